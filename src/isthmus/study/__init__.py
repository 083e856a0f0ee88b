"""Studies: declarative experiments that expand to nodes, run, and return tidy tables."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from isthmus.errors import BadInput, IsthmusError, RunFailed
from isthmus.execute import Display, Setting, executor
from isthmus.graph import Plan, plan, stale
from isthmus.nodes import State
from isthmus.store import Store
from isthmus.study.chosen import told
from isthmus.study.expand import Published, check, expand
from isthmus.study.files import load
from isthmus.study.model import (
    Baselines,
    Branch,
    BranchStudy,
    ChooseSpec,
    DataSpec,
    Evaluate,
    InitToFinalStudy,
    MergeSpec,
    ModelSpec,
    Pretrain,
    ScoresSpec,
    Start,
    Study,
    To,
)
from isthmus.study.provenance import provenance_table, shortfalls, standing
from isthmus.study.read import from_mapping, variants
from isthmus.study.requests import Expansion, present
from isthmus.study.tables import tables
from isthmus.tables import Table, write_tables

if TYPE_CHECKING:
    from isthmus.networks import NetworkState

__all__ = [
    "Baselines",
    "Branch",
    "BranchStudy",
    "ChooseSpec",
    "DataSpec",
    "Evaluate",
    "InitToFinalStudy",
    "MergeSpec",
    "ModelSpec",
    "Pretrain",
    "Results",
    "ScoresSpec",
    "Start",
    "Study",
    "To",
    "expand",
    "from_mapping",
    "load",
    "prepare",
    "run",
    "variants",
]


@dataclass(frozen=True)
class Results:
    """What a study found.

    Attributes:
        study: what was run.
        tables: ``pairs`` or ``paths``, ``curves``, ``networks``, ``seeds``, ``starts`` where networks do not start
            at freshly initialised weights, and ``provenance``: by what they were computed. Of a study that chooses
            blocks ``chosen``, of one that scores examples ``splits`` and ``scores``.
        expansion: the nodes, for those who want more than the tables.
        computed: how many nodes this call computed; 0 when the store had everything.
        parameters: the number of parameters of the network that is measured, as counted when it was made; None if the
            store has none of its states any more, or variants have networks of several sizes.
        counts: the same for each variant; of a study without variants under "".
    """

    study: Study
    tables: Mapping[str, Table]
    expansion: Expansion
    computed: int
    parameters: int | None = None
    counts: Mapping[str, int | None] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Table:
        if name not in self.tables:
            raise BadInput(f"The study has no table {name!r}; it has {', '.join(self.tables)}.")
        return self.tables[name]

    def network(self, store: Store | str | os.PathLike[str], **labels: Any) -> NetworkState:
        """The one network of the table ``networks`` with these labels, as it is stored (this loads torch).

        Such as ``network(store, seed=0, k="1ep", s="1ep", network="merge", after_steps=0)``; the part of the data on
        which it was evaluated does not matter.

        Raises:
            BadInput: there is no such network, or several.
        """
        requests = [request for request in self.expansion.requests if request.table == "networks"]
        found = {
            end.key: end
            for request in requests
            for end in request.measure.path.ends
            if request.measure.path.form == "point" and labels.items() <= request.labels.items()
        }
        if len(found) != 1:
            told = ", ".join(f"{name}={value!r}" for name, value in labels.items()) or "no labels"
            raise BadInput(f"Expected labels of one network of the study, found {len(found)} with {told}.")
        return _stored(found.popitem()[1], store if isinstance(store, Store) else Store(store))

    def to_csv(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write every table into a folder; the files written."""
        return write_tables(self.tables, folder)


def _stored(state: State, store: Store) -> NetworkState:
    from safetensors.torch import load as load_tensors

    from isthmus import models
    from isthmus.networks import NetworkState
    from isthmus.weights import Weights

    record = store.get(state.key)
    template = Weights.from_module(models.initialise(state.model.name, 0, **dict(state.model.arguments)))
    flat = dict(sorted(load_tensors(store.blob(record)).items()))
    return NetworkState.from_tensors(flat, int(record.summary["step"]), template)


class _Silent:
    """A display that shows nothing."""

    def begin(self, plan: Plan, workers: int) -> None: ...
    def progress(self, worker: int, key: str, done: float, total: float, note: str) -> None: ...
    def finished(self, worker: int, key: str, record: Any) -> None: ...
    def failed(self, worker: int, key: str, message: str) -> None: ...
    def say(self, message: str) -> None: ...
    def end(self) -> None: ...


def prepare(
    study: Study,
    store: Store,
    *,
    data_root: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    published: Published = "no",
) -> tuple[Expansion, Plan]:
    """The nodes of a study and what of them the store lacks; the model is tried only if something is lacking.

    For looking at a study alone, data may be taken to be as they are ``published``; see :func:`expand`.
    """
    root = None if data_root is None else Path(data_root)
    expansion = expand(study, data_root=root, bf16=_bf16(study, device), published=published)
    found = plan(expansion.targets, store)
    if found.pending:
        check(study, expansion, data_root=root)
    return expansion, found


def _bf16(study: Study, device: str) -> bool:
    """Whether the device computes in bfloat16 natively; asked only where the study leaves it open."""
    if not any(_left_open(one) for one in (study, *variants(study).values())):
        return False
    if device == "cuda":
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _left_open(study: Study) -> bool:
    pretrain = study.start.pretrain if study.start is not None else None
    return "auto" in (study.recipe.precision, pretrain.recipe.get("precision") if pretrain is not None else None)


def run(
    study: Study,
    store: Store | str | os.PathLike[str] = "isthmus-store",
    *,
    data_root: str | os.PathLike[str] | None = None,
    workers: int = 1,
    threads: int | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    recompute: bool = False,
    display: Display | None = None,
) -> Results:
    """Run a study: compute what the store lacks, then return its tables.

    Args:
        study: a :class:`Study`, from :func:`load`, :func:`from_mapping` or made in Python.
        store: a folder of results, shared by all studies that use it; made if need be.
        data_root: the folder of data sets; by default the environment's ``ISTHMUS_DATA``.
        workers: processes; 0 computes in this one.
        threads: threads of each process; by default the cores divided among the workers.
        device: "cpu" or "cuda".
        recompute: train again the stored states that descend from a realisation the store no longer holds.
        display: shows progress.

    Raises:
        BadStudy: the study has problems: all of them, a sentence each.
        RunFailed: some results failed; all others are kept, and its ``results`` are the tables of what there is.
        Interrupted: stopped on request; run again to go on.
    """
    store = store if isinstance(store, Store) else Store(store)
    expansion, found = prepare(study, store, data_root=data_root, device=device)
    setting = Setting(workers, threads, device, None if data_root is None else str(data_root))
    display, computed = display or _Silent(), len(found.pending)
    try:
        if recompute:
            computed = _recompute(expansion, store, setting, display)
        else:
            executor("local")(found, store, setting, display)
    except RunFailed as error:
        there = present(expansion, store)
        with contextlib.suppress(IsthmusError):  # what failed is to be told, not what follows from it
            error.results = _results(study, there, store, computed, display) if there.requests else None
        raise
    return _results(study, expansion, store, computed, display)


def _results(study: Study, expansion: Expansion, store: Store, computed: int, display: Display) -> Results:
    """The tables of what was measured, and what has to be said about it."""
    for name, one in (expansion.variants or {"": expansion}).items():
        for sentence in told(one, store):
            display.say(f"{name}: {sentence}" if name else sentence)
    records = standing(expansion.targets, store)
    found_tables = tables(expansion, store) | {"provenance": provenance_table(records)}
    for sentence in shortfalls(expansion.targets, store):
        display.say(sentence)
    counted = {record.key: record.summary["parameters"] for record in records if "parameters" in record.summary}
    counts = {name: _parameters(one, counted) for name, one in (expansion.variants or {"": expansion}).items()}
    return Results(study, found_tables, expansion, computed, _parameters(expansion, counted), counts)


def _parameters(expansion: Expansion, counted: Mapping[str, int]) -> int | None:
    """The number of parameters of the networks that are measured, where it is known and one."""
    measured = {end.key for request in expansion.requests for end in request.measure.path.ends}
    counts = {counted[key] for key in measured & set(counted)} or set(counted.values())
    return counts.pop() if len(counts) == 1 else None


def _recompute(expansion: Expansion, store: Store, setting: Setting, display: Display) -> int:
    """Run, first setting aside stored states that descend from a realisation which is no longer held.

    An ancestor that has to be trained again first shows only then which of its descendants are stale, so
    there are two rounds at most.
    """
    computed = 0
    for last in (False, True):
        for key in stale(expansion.targets, store):
            store.set_aside(key)
        found = plan(expansion.targets, store)
        try:
            executor("local")(found, store, setting, display)
        except RunFailed:
            if last or not stale(expansion.targets, store):
                raise
        computed += len(found.pending)
    return computed
