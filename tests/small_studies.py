"""Studies that train in a blink, for the tests of the graph, the executor and studies."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from isthmus.execute import Setting, executor
from isthmus.graph import Plan, plan
from isthmus.nodes import DataRef, ModelRef, Node, State
from isthmus.recipe import Recipe
from isthmus.store import Record, Store
from isthmus.study import BranchStudy, DataSpec, InitToFinalStudy, Results, Study, from_mapping, run
from isthmus.study.checking import find_data
from isthmus.study.files import override

if TYPE_CHECKING:
    from torch import nn

    from isthmus.networks import NetworkState

T = TypeVar("T", bound=Study)
PER_EPOCH = 5  # 190 examples in batches of 40

COMMON: Mapping[str, Any] = {
    "name": "small",
    "model": {"name": "mlp", "input_shape": [2], "classes": 2, "hidden": [7]},
    "data": {"name": "spiral", "train": 190, "test": 70},
    "recipe": {"batch_size": 40, "optimizer": {"lr": 0.1, "momentum": 0.9}},
    "evaluate": {"alphas": 3},
}
BRANCH: Mapping[str, Any] = {"family": "branch", **COMMON, "branch": {"at": ["0ep", "2ep"], "lengths": ["1ep"]}}
TO_FINAL: Mapping[str, Any] = {"family": "init-to-final", **COMMON, "train": {"to": "2ep"}}

MODEL = ModelRef("mlp", {"input_shape": [2], "classes": 2, "hidden": [7]})


def recipe(**changes: Any) -> Recipe:
    """The recipe of the studies, with changes to its fields (``lr`` and ``momentum`` go to the optimiser)."""
    optimizer = {"lr": 0.1, "momentum": 0.9}
    optimizer |= {name: changes.pop(name) for name in ("lr", "momentum", "weight_decay") if name in changes}
    return Recipe.model_validate({"batch_size": 40, "optimizer": optimizer, **changes})


@functools.cache
def data(train: int = 190, test: int = 70, seed: int = 0) -> DataRef:
    """A spiral."""
    return find_data(DataSpec.model_validate({"name": "spiral", "train": train, "test": test, "seed": seed}))


def branch(*sets: str) -> BranchStudy:
    """The small branch study with ``path=value`` overrides."""
    return _study(BRANCH, sets, BranchStudy)


def to_final(*sets: str) -> InitToFinalStudy:
    """The small init-to-final study with ``path=value`` overrides."""
    return _study(TO_FINAL, sets, InitToFinalStudy)


def _study(content: Mapping[str, Any], sets: tuple[str, ...], kind: type[T]) -> T:
    found = from_mapping(override(content, sets))
    assert isinstance(found, kind)
    return found


class Told:
    """A display that keeps what it is told, and may act on progress."""

    def __init__(self, on_progress: Callable[[str], None] = lambda key: None) -> None:
        self.on_progress = on_progress
        self.failures: dict[str, str] = {}
        self.lines: list[str] = []
        self.order: list[str] = []

    def begin(self, plan: Plan, workers: int) -> None: ...

    def progress(self, worker: int, key: str, done: float, total: float, note: str) -> None:
        self.on_progress(key)

    def finished(self, worker: int, key: str, record: Record) -> None:
        self.order.append(key)

    def failed(self, worker: int, key: str, message: str) -> None:
        self.failures[key] = message

    def say(self, message: str) -> None:
        self.lines.append(message)

    def end(self) -> None: ...


def compute(store: Store, *nodes: Node, workers: int = 0, display: Told | None = None) -> Store:
    """The store with these nodes computed, one thread a process."""
    executor("local")(plan(nodes, store), store, Setting(workers, threads=1), display or Told())
    return store


def digests(store: Store) -> dict[str, str]:
    """The digest of every value in a store, by key."""
    return {key: store.get(key).digest for key in list(store.keys())}


def state(store: Store, node: State) -> NetworkState:
    """A stored state, read without the code that computes."""
    from safetensors.torch import load

    from isthmus.networks import NetworkState

    record = store.get(node.key)
    return NetworkState.from_tensors(load(store.blob(record)), record.summary["step"])


def arrays(store: Store, node: Node) -> dict[str, Any]:
    """The stored arrays of a measurement."""
    from safetensors.numpy import load

    return load(store.blob(store.get(node.key)))


def write(folder: Path, content: Mapping[str, Any], name: str = "study.py") -> Path:
    """A study as a file."""
    path = folder / name
    path.write_text(f"study = {dict(content)!r}\n", encoding="utf-8")
    return path


def environment() -> dict[str, str]:
    """That of a subprocess which uses this isthmus and one thread."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


def normed() -> nn.Module:
    """A network of two numbers to two classes with batch normalisation and dropout."""
    from torch import nn

    return nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 2))


def ran(found: Study, store: Store | Path, **options: Any) -> Results:
    """A study run in this process, on one thread."""
    return run(found, store, workers=0, threads=1, **options)
