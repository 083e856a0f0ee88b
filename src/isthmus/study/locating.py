"""Finding where the networks of a study start: the data, the models, the file and the blocks that ``[start]`` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isthmus.datasets.files import data_folder
from isthmus.errors import BadData, BadInput, MissingData
from isthmus.nodes import DataRef, Import, ModelRef
from isthmus.recipe import Recipe
from isthmus.study import fitting
from isthmus.study.checking import augment_problems, built, by_block, model_problems, model_ref
from isthmus.study.model import DataSpec, Pretrain, Start, Study
from isthmus.study.pretraining import PATH, laid
from isthmus.study.starting import Pretraining, Starting, same

__all__ = ["Located", "LookUp", "locate", "weights_places"]

LookUp = Callable[[DataSpec], tuple[DataRef | None, list[str], BadData | None]]
"""Gives a data set where it is at hand, what is wrong with its description, what is wrong with its files."""


@dataclass
class Located:
    """Where networks start where that could be found, else what is wrong; ``missing``: with the files of data."""

    starting: Starting | None = None
    problems: list[str] = field(default_factory=list)
    missing: BadData | None = None


def locate(
    study: Study,
    model: ModelRef,
    data: DataRef,
    recipe: Recipe,
    look_up: LookUp,
    *,
    bf16: bool,
    root: str | Path | None = None,
    absent: bool = False,
) -> Located:
    """Where the networks of a study start that has this model, data and recipe itself.

    ``root`` is the folder of data sets; with ``absent`` a file that is not there is taken to fit. Models are built,
    which loads torch, only where blocks are named or two architectures meet.
    """
    if study.start is None:
        return Located()
    found = Located(problems=list(fitting.start_problems(study.start, study.evaluate)))
    if study.start.pretrain is not None:
        _from_pretraining(found, study, study.start, study.start.pretrain, look_up, (model, data, recipe), bf16)
    else:
        _from_file(found, study, study.start, (model, data, recipe), root, absent)
    if found.problems or found.missing:
        found.starting = None
    return found


Own = tuple[ModelRef, DataRef, Recipe]


def _from_pretraining(
    found: Located, study: Study, start: Start, pretrain: Pretrain, look_up: LookUp, own: Own, bf16: bool
) -> None:
    model, data, recipe = own
    before = _pretraining(found, study, pretrain, look_up, data, bf16)
    if before is None:
        return
    if not start.blocks and same(before.model, model):
        found.starting = Starting(study, model, data, recipe, pretraining=before)
        return
    try:
        theirs = built(before.spec)[0].state_dict()
    except BadInput:
        found.problems += before.problems()
        return
    taken, fresh = _parts(found, study, start, theirs, "the pre-trained network")
    found.starting = Starting(study, model, data, recipe, pretraining=before, taken=taken, fresh=fresh)


def _pretraining(
    found: Located, study: Study, pretrain: Pretrain, look_up: LookUp, own: DataRef, bf16: bool
) -> Pretraining | None:
    over, problems = laid(study)
    if over is None:
        found.problems += problems
        return None
    data, wrong, found.missing = look_up(over.data)
    spec = over.model if data is None else over.fitted(data, own)
    model, unnamed = model_ref(spec)
    recipe, unruled = by_block(spec, over.recipe.resolved(bf16=bf16))
    per_epoch = None if data is None else recipe.steps_per_epoch(data.train)
    lengths = list(fitting.pretrain_problems(pretrain, per_epoch))
    told = [*wrong, *unnamed, *unruled, *augment_problems(recipe, data)]
    if study.evaluate.augmented and recipe.augment.brightness and study.start is not None and study.start.at == "top":
        told.append("recipe.augment: evaluate.augmented shows the path to its network crops and flips, not brightness.")
    if any(isinstance(rule.blocks, str) for rule in recipe.optimizer.by_block):
        told.append(
            "recipe.optimizer.by_block: expected rules for blocks by name, found one for blocks by their barriers,"
            " which only the study's own training has; give the pre-training rules of its own, or [] for none."
        )
    if (told or lengths) and model is not None:
        told += model_problems(spec, data, recipe.loss)
    found.problems += [PATH + text for text in told] + lengths
    if data is None or model is None or per_epoch is None or found.problems:
        return None
    return Pretraining(spec, model, data, recipe, pretrain.to.steps(per_epoch), pretrain.until)


def _from_file(found: Located, study: Study, start: Start, own: Own, root: str | Path | None, absent: bool) -> None:
    from isthmus import weights
    from isthmus.checkpoints import read_weights

    assert start.file is not None
    places = weights_places(start.file, root)
    path = next((str(place) for place in places if place.exists()), str(places[0]))
    if absent and not Path(path).exists():
        _from_absent_file(found, study, start, own)
        return
    if len(places) > 1 and not Path(path).exists():
        found.missing = MissingData(
            f"There is no file of weights {start.file}, neither in {places[0].parent} nor in {places[1].parent};"
            " put it into one of them."
        )
        return
    try:
        tensors = read_weights(path)
    except BadInput as error:
        found.problems.append(f"start.file: {error}")
        return
    taken, fresh = _parts(found, study, start, tensors, "the file", foreign=True)
    file = Import(own[0], weights.digest(tensors), path, whole=not start.blocks)
    if start.blocks:
        found.starting = Starting(study, *own, file=file, taken=taken, fresh=fresh)
    else:
        found.starting = Starting(study, *own, file=file)


def _from_absent_file(found: Located, study: Study, start: Start, own: Own) -> None:
    """As from a file that holds the network of the study whole."""
    try:
        theirs = built(study.model)[0].state_dict()
    except BadInput as error:
        found.problems.append(f"model: {error}")
        return
    taken, fresh = _parts(found, study, start, theirs, "the file") if start.blocks else (None, ())
    file = Import(own[0], "absent", str(start.file), whole=not start.blocks)
    found.starting = Starting(study, *own, file=file, taken=taken, fresh=fresh)


def weights_places(file: str, root: str | Path | None) -> list[Path]:
    """Where a file of weights may be: from the working folder on, and a relative one from the folder of data sets."""
    path = Path(file).expanduser()
    base = data_folder(root)
    below = [] if base is None or path.is_absolute() else [base / path]
    return [place.absolute() for place in (path, *below)]


def _parts(
    found: Located, study: Study, start: Start, theirs: Mapping[str, Any], what: str, *, foreign: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    from isthmus.study.transplanting import Network, parts
    from isthmus.weights import Weights

    try:
        module, blocks = built(study.model)
    except BadInput as error:
        found.problems.append(f"model: {error}")
        return (), ()
    if foreign:
        from isthmus.models import renamed

        theirs = renamed(theirs, module)
    split = parts(start, Network(study.model.name, Weights.from_module(module), blocks), theirs, what)
    found.problems += split.problems
    return split.taken, split.fresh
