"""From a study to nodes: what is to be measured, under which labels, and what that rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from isthmus import datasets, noise, registry, usercode
from isthmus.errors import BadInput, BadStudy
from isthmus.nodes import (
    DataRef,
    Distance,
    Init,
    Merge,
    ModelRef,
    Node,
    PathMeasure,
    PathSpec,
    State,
    advance,
)
from isthmus.noise import Noise
from isthmus.recipe import Recipe
from isthmus.spec import Duration
from isthmus.study.model import BranchStudy, DataSpec, InitToFinalStudy, ModelSpec, Study, multiples

__all__ = ["Expansion", "Request", "expand", "find_data"]


@dataclass(frozen=True)
class Request:
    """A measurement and the labels under which its numbers go into a table.

    ``table`` is "pairs" (two networks and the line between them), "paths" (initial to final) or "networks".
    """

    table: str
    labels: Mapping[str, Any]
    measure: PathMeasure
    distance: Distance | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What has to be computed."""
        return (self.measure, self.distance) if self.distance is not None else (self.measure,)


@dataclass(frozen=True)
class Expansion:
    """A study as nodes."""

    requests: tuple[Request, ...]
    data: DataRef
    steps_per_epoch: int
    logs: tuple[tuple[Mapping[str, Any], State], ...] = field(default=())

    @property
    def targets(self) -> list[Node]:
        """Every node that is asked for."""
        return [node for request in self.requests for node in request.nodes]


def expand(study: Study, *, data_root: str | Path | None = None, bf16: bool = False) -> Expansion:
    """The nodes of a study.

    Args:
        study: what is to be done.
        data_root: the folder of data sets.
        bf16: what precision "auto" becomes.

    Raises:
        BadStudy: unknown model or data set, a k beyond the end, an unknown block: all problems at once.
        MissingData: the data set's files are not there.
    """
    problems: list[str] = []
    model = _model(study.model, problems)
    data = _data(study.data, data_root, problems)
    if model is None or data is None:
        if model is not None:
            _check_model(study.model, problems)
        raise BadStudy(problems)
    recipe = study.recipe.resolved(bf16=bf16)
    per_epoch = recipe.steps_per_epoch(data.train)
    builder = _Builder(study, model, data, recipe, per_epoch, problems)
    if isinstance(study, BranchStudy):
        requests = list(_branch(builder, study))
    elif isinstance(study, InitToFinalStudy):
        requests = list(_init_to_final(builder, study))
    else:
        raise TypeError(f"no way to expand a {type(study).__name__}")
    if problems:
        raise BadStudy(problems)
    return Expansion(tuple(requests), data, per_epoch)


def check(study: Study) -> None:
    """Refuse a model that cannot be built as the study says (this loads torch).

    Raises:
        BadStudy: with one sentence.
    """
    problems: list[str] = []
    _check_model(study.model, problems)
    if problems:
        raise BadStudy(problems)


def _check_model(spec: ModelSpec, problems: list[str]) -> None:
    from isthmus import models

    try:
        models.initialise(spec.name, 0, **spec.arguments)
    except BadInput as error:
        problems.append(f"model: {error}")


def _model(spec: ModelSpec, problems: list[str]) -> ModelRef | None:
    try:
        source = usercode.source_digest(spec.name) if usercode.is_user_code(spec.name) else None
    except BadInput as error:
        problems.append(f"model.name: {error}")
        return None
    return ModelRef(registry.canonical_name(spec.name), spec.arguments, source)


def _data(spec: DataSpec, root: str | Path | None, problems: list[str]) -> DataRef | None:
    try:
        return find_data(spec, root)
    except BadInput as error:
        if type(error).__name__ in ("MissingData", "BadData"):
            raise
        problems.append(f"data: {error}")
        return None


def find_data(spec: DataSpec, root: str | Path | None = None) -> DataRef:
    """The data set that a study names, read and digested."""
    found = datasets.load(spec.name, root, **spec.options)
    return DataRef(
        name=registry.canonical_name(spec.name),
        options=spec.options,
        digest=found.digest,
        train=len(found.train),
        test=len(found.test),
        classes=found.classes,
        input_shape=tuple(found.train.inputs.shape[1:]),
        mean=found.mean if spec.mean is None else spec.mean,
        std=found.std if spec.std is None else spec.std,
    )


@dataclass
class _Builder:
    """What both families build with."""

    study: Study
    model: ModelRef
    data: DataRef
    recipe: Recipe
    per_epoch: int
    problems: list[str]

    def steps(self, duration: Duration) -> int:
        return duration.steps(self.per_epoch)

    def advance(self, start: State, stream: Noise, stop: int, **options: Any) -> State:
        return advance(start, self.recipe, self.data, stream, stop, **options)

    def line(
        self, table: str, labels: Mapping[str, Any], path: PathSpec, *, distance: bool = True
    ) -> Iterator[Request]:
        """The measurements of a path on every part of the data."""
        evaluate = self.study.evaluate
        apart = Distance(path.ends[0], path.ends[-1]) if distance else None
        for part in evaluate.parts:
            measure = PathMeasure(
                path,
                self.data,
                part,
                evaluate.points if path.form != "point" else (0.0,),
                evaluate.norm,
                self.recipe.loss,
                evaluate.precision,
                evaluate.batch_size,
            )
            yield Request(table, {**labels, "split": str(part)}, measure, apart)

    def network(self, labels: Mapping[str, Any], state: State) -> Iterator[Request]:
        """The measurements of one network."""
        return self.line("networks", labels, PathSpec("point", (state,)), distance=False)


# --- branch --------------------------------------------------------------------------------------------------------


def _branch(build: _Builder, study: BranchStudy) -> Iterator[Request]:
    branch = study.branch
    splits = [(at, build.steps(at)) for at in branch.at]
    for index, (at, k) in enumerate(splits):
        if branch.to is not None and k >= build.steps(branch.to):
            build.problems.append(
                f"branch.at.{index}: expected a k before the end branch.to = {branch.to}, found {at}."
            )
    if branch.every is not None and build.steps(branch.every) < 1:
        build.problems.append(f"branch.every: expected at least one step, found {branch.every}.")
    for index, length in enumerate(branch.lengths):
        if build.steps(length) < 1:
            build.problems.append(f"branch.lengths.{index}: expected at least one step, found {length}.")
    if build.problems:
        return
    for seed in study.seeds:
        root = Init(build.model, seed)
        trunk_noise = Noise.of(noise.derive(seed, "trunk"))
        for at, k in splits:
            trunk = build.advance(root, trunk_noise, k)
            for text, s in _lengths(build, study, k):
                labels = {"seed": seed, "k": str(at), "s": text, "k_steps": k, "s_steps": s}
                yield from _pair(build, study, labels, trunk, trunk_noise, k + s)


def _lengths(build: _Builder, study: BranchStudy, k: int) -> list[tuple[str, int]]:
    branch = study.branch
    if branch.lengths:
        return [(str(length), build.steps(length)) for length in branch.lengths]
    assert branch.to is not None
    assert branch.every is not None
    found = multiples(branch.every, build.steps(branch.to) - k, build.per_epoch)
    return [(str(Duration(branch.every.amount * (i + 1), branch.every.unit)), s) for i, s in enumerate(found)]


def _noises(study: BranchStudy, seed: int, trunk: Noise) -> list[Noise | None]:
    """Each child's noise; None for the trunk going on."""
    branch = study.branch
    count = branch.children - branch.trunk_is_child
    seeds = branch.noise or tuple(noise.derive(seed, "child", index) for index in range(count))
    own = [trunk.but(**dict.fromkeys(branch.differ, child)) for child in seeds]
    return [None, *own] if branch.trunk_is_child else list(own)


def _pair(
    build: _Builder, study: BranchStudy, labels: Mapping[str, Any], trunk: State, trunk_noise: Noise, stop: int
) -> Iterator[Request]:
    """The children at one (k, s): every line between two of them, their merge, and what follows it."""
    streams = _noises(study, labels["seed"], trunk_noise)

    def child(stream: Noise | None, step: int) -> State:
        if stream is None:
            return build.advance(trunk, trunk_noise, step)
        return build.advance(trunk, stream, step, buffers=study.branch.buffers)

    children = [child(stream, stop) for stream in streams]
    for first, second in combinations(range(len(children)), 2):
        pair = {**labels, "pair": f"{_name(study, first)}-{_name(study, second)}"}
        yield from build.line("pairs", pair, PathSpec("line", (children[first], children[second])))
    merge = study.merge
    if merge is None or (merge.at is not None and labels["s_steps"] not in [build.steps(at) for at in merge.at]):
        return
    shares = (1.0 / len(children),) * len(children)
    merged = Merge(tuple(children), shares, merge.buffers)
    yield from build.network({**labels, "network": "merge", "after_steps": 0}, merged)
    for index, network in enumerate(children):
        yield from build.network({**labels, "network": _name(study, index), "after_steps": 0}, network)
    if merge.after is None or merge.every is None:
        return
    merged_noise = Noise.of(noise.derive(labels["seed"], "merge"))
    for after in multiples(merge.every, build.steps(merge.after), build.per_epoch):
        on = build.advance(merged, merged_noise, stop + after)
        yield from build.network({**labels, "network": "merge", "after_steps": after}, on)
        for index, stream in enumerate(streams if merge.children_go_on else []):
            more = {**labels, "network": _name(study, index), "after_steps": after}
            yield from build.network(more, child(stream, stop + after))


def _name(study: BranchStudy, index: int) -> str:
    if study.branch.trunk_is_child:
        return "trunk" if index == 0 else f"child{index}"
    return f"child{index + 1}"


# --- initial to final ----------------------------------------------------------------------------------------------


def _init_to_final(build: _Builder, study: InitToFinalStudy) -> Iterator[Request]:
    to = study.train
    stop = build.steps(to.to)
    if stop < 1:
        build.problems.append(f"train.to: expected at least one step, found {to.to}.")
    blocks = _blocks(build, study)
    if build.problems:
        return
    for seed in study.seeds:
        initial = Init(build.model, seed)
        final = build.advance(initial, Noise.of(noise.derive(seed, "trunk")), stop, until=to.until)
        states = {"initial": initial, "final": final, "fresh": Init(build.model, noise.derive(seed, "fresh"))}
        for path in to.paths:
            first, _, second = path.partition("->")
            ends = (states[first], states[second])
            labels = {"seed": seed, "path": path}
            yield from build.line("paths", {**labels, "block": "all"}, PathSpec("line", ends))
            if "final" not in (first, second):
                continue
            rest = _rest(first, to.rest)
            for block, patterns in blocks.items():
                spec = PathSpec("blocks", ends, patterns, "a" if rest == "a" else "b")
                yield from build.line("paths", {**labels, "block": block}, spec)


def _rest(first: str, wanted: str) -> str:
    final = "a" if first == "final" else "b"
    other = "b" if final == "a" else "a"
    return final if wanted == "final" else other


def _blocks(build: _Builder, study: InitToFinalStudy) -> dict[str, tuple[str, ...]]:
    """The blocks to move, by name; asking the model for its blocks loads torch."""
    wanted = study.train.blocks
    if not wanted:
        return {}
    from isthmus import models

    try:
        model = models.initialise(study.model.name, 0, **study.model.arguments)
        known = models.blocks(study.model.name, model)
    except BadInput as error:
        build.problems.append(f"model: {error}")
        return {}
    if wanted == "all":
        return known
    for index, name in enumerate(wanted):
        if name not in known:
            build.problems.append(
                f"train.blocks.{index}: expected a block of {study.model.name} ({', '.join(known)}), found {name!r}."
            )
    return {name: known[name] for name in wanted if name in known}
