"""The models and the data that a study names: found, or what is wrong with them in a sentence each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import datasets, hashing, origins, registry
from isthmus.datasets import altering
from isthmus.errors import BadData, BadInput, UnknownName
from isthmus.hashing import canonical
from isthmus.nodes import DataRef, ModelRef
from isthmus.recipe import Recipe
from isthmus.study.model import BranchStudy, DataSpec, ModelSpec

__all__ = [
    "augment_problems",
    "built",
    "by_block",
    "data_ref",
    "find_data",
    "model_problems",
    "model_ref",
    "published_ref",
    "section_problems",
    "still_children",
]


def built(spec: ModelSpec) -> tuple[Any, dict[str, tuple[str, ...]]]:
    """A model with whatever weights, and its blocks (this loads torch).

    Raises:
        BadInput: it cannot be built as the study says.
    """
    from isthmus import models

    model = models.initialise(spec.name, 0, **spec.arguments)
    return model, models.blocks(spec.name, model)


def by_block(model: ModelSpec, recipe: Recipe) -> tuple[Recipe, list[str]]:
    """The recipe with the blocks of its rules as globs on tensor names, and what is wrong with them."""
    rules, problems = recipe.optimizer.by_block, []
    if not rules:
        return recipe, []
    from isthmus.models.blocking import matching, within

    try:
        module, known = built(model)
    except BadInput:
        return recipe, []  # told where the model is looked at
    tensors = [name for name, _ in module.named_parameters()]
    found = []
    for index, rule in enumerate(rules):
        if isinstance(rule.blocks, str):
            found.append(rule)  # told by a base run
            continue
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
    named = [rule for rule in found if not isinstance(rule.blocks, str)]
    acting = [next((rule for rule in named if matching(rule.blocks, [name])), None) for name in tensors]
    if acting and all(rule is not None and not rule.factor for rule in acting):
        told = "expected something to train, found rules that freeze every parameter."
        problems.append(f"recipe.optimizer.by_block: {told}")
    optimizer = recipe.optimizer.model_copy(update={"by_block": tuple(found)})
    return recipe.model_copy(update={"optimizer": optimizer}), problems


def augment_problems(recipe: Recipe, data: DataRef | None) -> list[str]:
    """Whether the data are pictures, where the recipe augments."""
    if data is None or not recipe.augment.acts or len(data.input_shape) == 3:
        return []
    return [f"recipe.augment: crops, flips and brightness need pictures, {data.name} has none; leave it out."]


def section_problems(model: ModelSpec | None, data: DataSpec | None) -> tuple[list[str], DataRef | None]:
    """What is wrong with these parts of a study by themselves, and the data set where it is at hand."""
    found, problems, _ = (None, [], None) if data is None else data_ref(data, None)
    if model is not None:
        problems = (model_ref(model)[1] or model_problems(model, found)) + problems
    return problems, found


def model_ref(spec: ModelSpec) -> tuple[ModelRef | None, list[str]]:
    """The model as nodes name it, and what is wrong with how it is named."""
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


def model_problems(spec: ModelSpec, data: DataRef | None, loss: str | None = None) -> list[str]:
    """What is wrong with a model, alone and with the data and the loss (this builds it, which loads torch)."""
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


def still_children(study: BranchStudy) -> list[str]:
    """Whether children differ in nothing, as the model draws nothing (this builds it, which loads torch).

    Of other people's models nobody knows whether they draw.
    """
    branch = study.branch
    idle = ["augmentation"] if "augmentation" in branch.differ and not study.recipe.augment.acts else []
    if branch.disjoint or branch.trunk_is_child or set(branch.differ) != {"dropout", *idle}:
        return []
    modules = built(study.model)[0].modules() if origins.of(study.model.name) == "ours" else ()
    if origins.of(study.model.name) != "ours" or any(getattr(module, "p", 0) for module in modules):
        return []
    found, more = " and ".join(branch.differ), " and recipe.augment augments nothing" if idle else ""
    return [
        f"branch.differ: expected a stream that acts, found {found}, and {study.model.name} has no dropout{more}: the"
        " children would be one and the same network."
    ]


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


def data_ref(spec: DataSpec, root: str | Path | None) -> tuple[DataRef | None, list[str], BadData | None]:
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
        alone = {name: value for name, value in spec.options.items() if altering.NEEDS.get(name) not in spec.options}
        return None, _one_by_one("data", load, alone) or [f"data: {error}"], None
    problems = []
    for name, values in (("mean", spec.mean), ("std", spec.std)):
        channels = len(found.mean)
        if values is not None and len(values) != channels:
            told = f"{channels} numbers, one a channel" if channels else "none, as nothing of these data is normalised"
            problems.append(f"data.{name}: expected {told}, found {len(values)}.")
    return _reference(spec, found), problems, None


def published_ref(spec: DataSpec) -> tuple[DataRef | None, list[str], BadData | None]:
    """The data set as it is published, in the form of :func:`data_ref`: its sizes, under a digest that is none.

    A study that is expanded with it can be looked at and its cost told, but not run.
    """
    try:
        found = datasets.outline(spec.name, **spec.options)
    except BadInput as error:
        return None, [f"data: {error}"], None
    own = {name: value for name, value in (("mean", spec.mean), ("std", spec.std)) if value is not None}
    digest = hashing.digest("published data", {"name": registry.canonical_name(spec.name), "options": spec.options})
    return DataRef(registry.canonical_name(spec.name), spec.options, digest, **(vars(found) | own)), [], None


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
