"""From a study to nodes: what is to be measured, under which labels, and what that rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import datasets, noise, origins, registry
from isthmus.errors import BadData, BadInput, BadStudy, UnknownName
from isthmus.hashing import canonical
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
from isthmus.study import fitting
from isthmus.study.model import BranchStudy, DataSpec, InitToFinalStudy, MergeSpec, ModelSpec, Study, multiples

__all__ = ["Expansion", "Request", "check", "expand", "find_data", "section_problems"]


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
        BadStudy: unknown data set, a k beyond the end, an unknown block: all problems at once. A model is
            built, which loads torch, only to say what is wrong with it beside something else: see :func:`check`.
        MissingData: the data set's files are not there, and nothing else is wrong.
    """
    data, problems, missing = _data(study.data, data_root)
    model, wrong = _model(study.model)
    problems += wrong
    recipe, ruled = _by_block(study.model, study.recipe.resolved(bf16=bf16))
    problems += ruled
    per_epoch = None if data is None else recipe.steps_per_epoch(data.train)
    problems += fitting.problems(study, per_epoch)
    if data is not None and recipe.augment.acts and len(data.input_shape) != 3:
        problems.append(
            f"recipe.augment: crops, flips and brightness need pictures, {data.name} has none; leave it out."
        )
    requests: list[Request] = []
    if model is not None and data is not None and per_epoch is not None and not problems:
        builder = _Builder(study, model, data, recipe, per_epoch, problems)
        if isinstance(study, BranchStudy):
            requests = list(_branch(builder, study))
        elif isinstance(study, InitToFinalStudy):
            requests = list(_init_to_final(builder, study))
        else:
            raise TypeError(f"no way to expand a {type(study).__name__}")
        if not problems:
            return Expansion(tuple(requests), data, per_epoch)
    if not wrong:
        problems = _model_problems(study.model, data, recipe.loss) + problems
    if missing is not None and not problems:
        raise missing
    raise BadStudy(dict.fromkeys([*problems, *([f"data: {missing}"] if missing is not None else [])]))


def _built(spec: ModelSpec) -> tuple[Any, dict[str, tuple[str, ...]]]:
    """A model with whatever weights, and its blocks (this loads torch).

    Raises:
        BadInput: it cannot be built as the study says.
    """
    from isthmus import models

    model = models.initialise(spec.name, 0, **spec.arguments)
    return model, models.blocks(spec.name, model)


def _by_block(model: ModelSpec, recipe: Recipe) -> tuple[Recipe, list[str]]:
    """The recipe with the blocks of its rules as globs on tensor names, and what is wrong with them."""
    rules, problems = recipe.optimizer.by_block, []
    if not rules:
        return recipe, []
    from isthmus.models.blocking import matching, within

    try:
        module, known = _built(model)
    except BadInput:
        return recipe, []  # told where the model is looked at
    tensors = [name for name, _ in module.named_parameters()]
    found = []
    for index, rule in enumerate(rules):
        globs: list[str] = []
        for place, name in enumerate(rule.blocks):
            own = within(known, name, tensors) or matching((name,), tensors)
            if not own:
                problems.append(
                    f"recipe.optimizer.by_block.{index}.blocks.{place}: expected a block of {model.name}"
                    f" ({', '.join(known)}), a part of one, or a pattern of its parameters, found {name!r}."
                )
            globs += own
        found.append(rule.model_copy(update={"blocks": tuple(dict.fromkeys(globs))}))
    optimizer = recipe.optimizer.model_copy(update={"by_block": tuple(found)})
    return recipe.model_copy(update={"optimizer": optimizer}), problems


def check(study: Study, data: DataRef) -> None:
    """Refuse a model that cannot be built as the study says, or does not fit the data (this loads torch).

    Raises:
        BadStudy: with one sentence for each problem.
    """
    problems = _model_problems(study.model, data, study.recipe.loss)
    if problems:
        raise BadStudy(problems)


def section_problems(model: ModelSpec | None, data: DataSpec | None) -> tuple[list[str], DataRef | None]:
    """What is wrong with these parts of a study by themselves, and the data set where it is at hand."""
    found, problems, _ = (None, [], None) if data is None else _data(data, None)
    if model is not None:
        problems = (_model(model)[1] or _model_problems(model, found)) + problems
    return problems, found


def _model(spec: ModelSpec) -> tuple[ModelRef | None, list[str]]:
    if "seed" in spec.arguments:
        return None, ["model.seed: initial weights are drawn from the study's seeds; leave it out."]
    try:
        canonical(spec.arguments)
    except BadInput as error:
        return None, [f"model: {error}"]
    try:
        source = origins.source(spec.name)
    except BadInput as error:
        return None, [f"model.name: {error}"]
    return ModelRef(registry.canonical_name(spec.name), spec.arguments, source), []


def _model_problems(spec: ModelSpec, data: DataRef | None, loss: str | None = None) -> list[str]:
    from isthmus import models

    def build(**arguments: Any) -> Any:
        return models.initialise(spec.name, 0, **arguments)

    try:
        model = build(**spec.arguments)
    except UnknownName as error:
        return [f"model.name: {error}"]
    except BadInput as error:
        alone = spec.arguments if origins.of(spec.name) == "ours" else {}
        return _one_by_one("model", build, alone) or [f"model: {error}"]
    return [] if data is None else _misfit(spec, model, data, loss)


def _one_by_one(section: str, accept: Callable[..., Any], arguments: Mapping[str, Any]) -> list[str]:
    """The problems of those arguments that are refused by themselves, under the path of each."""
    problems = []
    for name, value in arguments.items():
        try:
            accept(**{name: value})
        except BadData:
            continue  # the data are missing, the argument is none the worse
        except BadInput as error:
            problems.append(f"{section}.{name}: {error}")
    return problems


def _misfit(spec: ModelSpec, model: Any, data: DataRef, loss: str | None) -> list[str]:
    """Whether a model takes the inputs of a data set, and has an output for each class and as the loss wants it."""
    from isthmus.evaluation import predict

    shape = list(data.input_shape)
    theirs = "" if origins.of(spec.name) == "user" else f"; give model.input_shape = {shape}"
    try:
        outputs = predict(model, (np.zeros((2, *shape), np.float32), np.zeros(2, np.int64)))
    except Exception as error:  # whatever a module raises on inputs that it was not made for
        reason = str(error).partition("\n")[0]
        return [f"model: {spec.name} does not take inputs of shape {shape}, as {data.name} has{theirs} ({reason})."]
    single = outputs.size == 2
    if loss is not None and single != (loss == "binary_cross_entropy"):
        wanted, found = ("a single output", "several") if not single else ("an output a class", "a single one")
        return [f"recipe.loss: {loss} needs a model with {wanted}, found {spec.name} with {found}."]
    binary = data.classes == 2 and single
    if not binary and (outputs.ndim != 2 or outputs.shape[1] < data.classes):
        found = "x".join(str(size) for size in outputs.shape[1:]) or "one number"
        return [f"model: expected an output for each of the {data.classes} classes of {data.name}, found {found}."]
    return []


def _data(spec: DataSpec, root: str | Path | None) -> tuple[DataRef | None, list[str], BadData | None]:
    """(the data set, what is wrong with its description, what is wrong with its files)."""

    def load(**options: Any) -> Any:
        if "root" in options:
            raise BadInput("the folder of data sets is named by --data or ISTHMUS_DATA, not in a study; leave it out.")
        return datasets.load(spec.name, root, **options)

    try:
        found = load(**spec.options)
    except UnknownName as error:
        return None, [f"data.name: {error}"], None
    except BadData as error:
        return None, [], error
    except BadInput as error:
        return None, _one_by_one("data", load, spec.options) or [f"data: {error}"], None
    problems = []
    for name, values in (("mean", spec.mean), ("std", spec.std)):
        channels = len(found.mean)
        if values is not None and len(values) != channels:
            told = f"{channels} numbers, one a channel" if channels else "none, as nothing of these data is normalised"
            problems.append(f"data.{name}: expected {told}, found {len(values)}.")
    return _reference(spec, found), problems, None


def find_data(spec: DataSpec, root: str | Path | None = None) -> DataRef:
    """The data set that a study names, read and digested."""
    return _reference(spec, datasets.load(spec.name, root, **spec.options))


def _reference(spec: DataSpec, found: datasets.DataSet) -> DataRef:
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
    for seed in study.seeds:
        root = Init(build.model, seed)
        trunk_noise = Noise.of(noise.derive(seed, "trunk"))
        for at, k in splits:
            trunk = build.advance(root, trunk_noise, k)
            if study.branch.trunk_at_k:
                start = {"seed": seed, "k": str(at), "s": "0ep", "k_steps": k, "s_steps": 0}
                yield from build.network({**start, "network": "trunk at k", "after_steps": 0}, trunk)
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
    recipe = _after_merge(build.recipe, merge, stop)
    for after in multiples(merge.every, build.steps(merge.after), build.per_epoch):
        on = advance(merged, recipe, build.data, merged_noise, stop + after)
        yield from build.network({**labels, "network": "merge", "after_steps": after}, on)
        for index, stream in enumerate(streams if merge.children_go_on else []):
            more = {**labels, "network": _name(study, index), "after_steps": after}
            yield from build.network(more, child(stream, stop + after))


def _after_merge(recipe: Recipe, merge: MergeSpec, step: int) -> Recipe:
    """The recipe of training on from a merge at a step."""
    optimizer = recipe.optimizer.model_copy(update={"lr": recipe.optimizer.lr * merge.factor})
    schedule = recipe.schedule
    if merge.warmup is not None:
        start = Duration.parse(f"{step}it")
        schedule = schedule.model_copy(update={"warmup": merge.warmup, "warmup_start": start})
    return recipe.model_copy(update={"optimizer": optimizer, "schedule": schedule})


def _name(study: BranchStudy, index: int) -> str:
    if study.branch.trunk_is_child:
        return "trunk" if index == 0 else f"child{index}"
    return f"child{index + 1}"


# --- initial to final ----------------------------------------------------------------------------------------------


def _init_to_final(build: _Builder, study: InitToFinalStudy) -> Iterator[Request]:
    to = study.train
    stop = build.steps(to.to)
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
    from isthmus.models.blocking import matching, within

    try:
        model, known = _built(study.model)
    except BadInput as error:
        build.problems.append(f"model: {error}")
        return {}
    if wanted == "all":
        return known
    tensors = list(model.state_dict())
    if isinstance(wanted, Mapping):
        for name, globs in wanted.items():
            for index, glob in enumerate(globs):
                if not matching((glob,), tensors):
                    build.problems.append(
                        f"train.blocks.{name}.{index}: expected a pattern that matches a tensor of {study.model.name}"
                        f" (such as {tensors[0]}), found {glob!r}."
                    )
        return dict(wanted)
    found = {name: within(known, name, tensors) for name in wanted}
    for index, name in enumerate(wanted):
        if not found[name]:
            build.problems.append(
                f"train.blocks.{index}: expected a block of {study.model.name} ({', '.join(known)}) or a part of one,"
                f" found {name!r}."
            )
    return found
