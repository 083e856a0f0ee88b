"""From a study to nodes: what is to be measured, under which labels, and what that rests on."""

from __future__ import annotations

from pathlib import Path

from isthmus.errors import BadStudy
from isthmus.study import fitting
from isthmus.study.branching import branch_requests
from isthmus.study.checking import by_block, data_ref, model_problems, model_ref
from isthmus.study.from_init import path_requests
from isthmus.study.model import BranchStudy, InitToFinalStudy, Study
from isthmus.study.requests import Builder, Expansion, Request

__all__ = ["expand"]


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
    data, problems, missing = data_ref(study.data, data_root)
    model, wrong = model_ref(study.model)
    problems += wrong
    recipe, ruled = by_block(study.model, study.recipe.resolved(bf16=bf16))
    problems += ruled
    per_epoch = None if data is None else recipe.steps_per_epoch(data.train)
    problems += fitting.problems(study, per_epoch)
    if data is not None and recipe.augment.acts and len(data.input_shape) != 3:
        problems.append(
            f"recipe.augment: crops, flips and brightness need pictures, {data.name} has none; leave it out."
        )
    requests: list[Request] = []
    if model is not None and data is not None and per_epoch is not None and not problems:
        builder = Builder(study, model, data, recipe, per_epoch, problems)
        if isinstance(study, BranchStudy):
            requests = list(branch_requests(builder, study))
        elif isinstance(study, InitToFinalStudy):
            requests = list(path_requests(builder, study))
        else:
            raise TypeError(f"no way to expand a {type(study).__name__}")
        if not problems:
            return Expansion(tuple(requests), data, per_epoch)
    if not wrong:
        problems = model_problems(study.model, data, recipe.loss) + problems
    if missing is not None and not problems:
        raise missing
    raise BadStudy(dict.fromkeys([*problems, *([f"data: {missing}"] if missing is not None else [])]))
