"""From a study to nodes: what is to be measured, under which labels, and what that rests on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from isthmus import datasets, usercode
from isthmus.errors import BadData, BadStudy, MissingData
from isthmus.study import fitting
from isthmus.study.branching import branch_requests
from isthmus.study.checking import (
    augment_problems,
    by_block,
    data_ref,
    model_problems,
    model_ref,
    published_ref,
    still_children,
)
from isthmus.study.choosing import barrier_choice, score_choice
from isthmus.study.from_init import path_requests
from isthmus.study.locating import Located, LookUp, locate
from isthmus.study.model import BranchStudy, DataSpec, InitToFinalStudy, Study
from isthmus.study.overlay import quoted
from isthmus.study.pretraining import PATH, laid
from isthmus.study.read import each
from isthmus.study.requests import Builder, Expansion, Ground, Request, labelled

__all__ = ["Published", "check", "expand"]

Published = Literal["no", "absent", "all"]


def expand(
    study: Study, *, data_root: str | Path | None = None, bf16: bool = False, published: Published = "no"
) -> Expansion:
    """The nodes of a study, those of all its variants together.

    Args:
        study: what is to be done.
        data_root: the folder of data sets.
        bf16: what precision "auto" becomes.
        published: data that are not read but taken to be as they are published: none, those that are "absent", or
            "all" that are published anywhere. Weights whose file is absent are then taken to fit. What is expanded
            like that can be looked at and its cost told, but it cannot be run.

    Raises:
        BadStudy: unknown data set, a k beyond the end, an unknown block: all problems at once. A model is
            built, which loads torch, only to say what is wrong with it beside something else: see :func:`check`.
        MissingData: the data set's files are not there, and nothing else is wrong.
    """
    look_up = _once(data_root, published)
    expanded = partial(_expand, look_up=look_up, bf16=bf16, root=data_root, absent=published != "no")
    studies = each(study)
    found = {name: _tried(partial(expanded, one)) for name, one in studies.items()}
    unasked = _unasked(studies.values())
    if unasked or any(isinstance(one, BadStudy) for one in found.values()):
        alone = _tried(partial(expanded, _alone(study))) if study.variants else found[""]
        problems = {name: _problems(one, found[name]) for name, one in studies.items()}
        raise BadStudy(_by_variant(problems, _problems(_alone(study), alone)) + unasked)
    if not study.variants:
        return _got(found[""])
    return _joined({name: _got(one) for name, one in found.items()})


def check(study: Study, expansion: Expansion, *, data_root: str | Path | None = None) -> None:
    """Refuse models that cannot be built as the study says, or do not fit the data (this loads torch).

    Raises:
        BadStudy: with one sentence for each problem.
    """
    parts = expansion.variants or {"": expansion}
    problems = {name: _problems(one, parts[name]) for name, one in each(study).items()}
    if not any(problems.values()):
        return
    own: list[str] = []
    if study.variants:
        own = _problems(
            _alone(study), _tried(partial(_expand, _alone(study), _once(data_root, "no"), False, data_root))
        )
    raise BadStudy(_by_variant(problems, own))


def _problems(study: Study, found: Expansion | BadStudy | BadData) -> list[str]:
    """What is wrong with a study, or with its models if it could be expanded."""
    if isinstance(found, BadStudy):
        return list(found.problems)
    if isinstance(found, BadData):
        return [f"data: {found}"]
    before = found.sources[0][1].pretraining if found.sources else None
    problems = model_problems(study.model, found.data, study.recipe.loss)
    if not problems and isinstance(study, BranchStudy):
        problems = still_children(study)
    return problems + (before.problems() if before is not None else [])


def _unasked(studies: Collection[Study]) -> list[str]:
    """What is wrong with a choice of blocks that no rule asks for; variants may have the rule and the study not."""
    asking = any(isinstance(rule.blocks, str) for one in studies for rule in one.recipe.optimizer.by_block)
    if asking or all(one.choose is None for one in studies):
        return []
    return [
        'choose: expected a rule of recipe.optimizer.by_block with blocks = "barrier" or "no barrier", which it is for,'
        " found none; leave it out."
    ]


def _alone(study: Study) -> Study:
    return study.model_copy(update={"variants": None})


def _once(data_root: str | Path | None, published: Published) -> LookUp:
    """Reads a data set once, however many variants name it."""
    seen: dict[str, Any] = {}

    def look_up(spec: DataSpec) -> Any:
        name = repr(spec)
        if name not in seen:
            seen[name] = _data(spec, data_root, published)
        return seen[name]

    return look_up


def _data(spec: DataSpec, root: str | Path | None, published: Published) -> Any:
    if published == "all" and _is_published(spec):
        return published_ref(spec)
    found = data_ref(spec, root)
    absent = isinstance(found[2], MissingData) and published == "absent" and _is_published(spec)
    return published_ref(spec) if absent else found


def _is_published(spec: DataSpec) -> bool:
    return not usercode.is_user_code(spec.name) and datasets.entry(spec.name)[1].outline is not None


def _tried(make: Callable[[], Expansion]) -> Expansion | BadStudy | BadData:
    try:
        return make()
    except (BadStudy, BadData) as error:
        return error


def _got(found: Expansion | BadStudy | BadData) -> Expansion:
    if isinstance(found, Expansion):
        return found
    raise found


def _by_variant(problems: Mapping[str, Sequence[str]], own: Sequence[str]) -> list[str]:
    """Problems under the name of their variant, but for those that the study has without it."""
    told = [
        text if text in own or not name else f"variants.{quoted(name)}.{text}"
        for name, texts in problems.items()
        for text in texts
    ]
    return list(dict.fromkeys(told))


def _joined(found: Mapping[str, Expansion]) -> Expansion:
    """The expansions of variants as one, with the name of its variant among the labels of each request."""
    return Expansion(
        tuple(replace(r, labels=labelled(r.labels, name)) for name, one in found.items() for r in one.requests),
        {name: one.grounds[""] for name, one in found.items()},
        tuple((labelled(labels, name), source) for name, one in found.items() for labels, source in one.sources),
        found,
    )


def _expand(study: Study, look_up: LookUp, bf16: bool, root: str | Path | None, absent: bool = False) -> Expansion:
    """The nodes of a study without variants."""
    data, wrong_data, missing = look_up(study.data)
    model, wrong = model_ref(study.model)
    problems = [*wrong_data, *wrong]
    recipe, ruled = by_block(study.model, study.recipe.resolved(bf16=bf16))
    problems += ruled
    per_epoch = None if data is None else recipe.steps_per_epoch(data.train)
    problems += fitting.problems(study, per_epoch)
    problems += augment_problems(recipe, data)
    start = Located()
    if model is not None and data is not None:
        start = locate(study, model, data, recipe, look_up, bf16=bf16, root=root, absent=absent)
        problems += start.problems
        missing = missing or start.missing
    elif study.start is not None:
        problems += fitting.start_problems(study.start, study.evaluate)
        problems += laid(study)[1]
        if study.start.pretrain is not None:
            problems += fitting.pretrain_problems(study.start.pretrain, None)
    requests: list[Request] = []
    if model is not None and data is not None and per_epoch is not None and not problems and missing is None:
        builder = Builder(study, model, data, recipe, per_epoch, problems, starting=start.starting)
        chosen = barrier_choice(builder)
        builder.choices = (chosen,) if chosen else ()
        builder.splits = score_choice(builder, study.evaluate.scores) if study.evaluate.scores else None
        if isinstance(study, BranchStudy):
            requests = list(branch_requests(builder, study))
        elif isinstance(study, InitToFinalStudy):
            requests = list(path_requests(builder, study))
        else:
            raise TypeError(f"no way to expand a {type(study).__name__}")
        if not problems:
            found = start.starting
            sources = [({"seed": seed}, found.source(seed)) for seed in study.seeds] if found is not None else []
            ground = Ground(data, per_epoch)
            return Expansion(tuple(requests), {"": ground}, tuple(sources), chosen=chosen, splits=builder.splits)
    if not wrong:
        told = model_problems(study.model, data, recipe.loss)
        once = {f"model: {text.partition(': ')[2]}" for text in told}  # what builds the model says so as well
        problems = told + [text for text in problems if text not in once]
    if missing is not None and not problems:
        raise missing
    problems = [text for text in problems if not text.startswith(PATH) or text.removeprefix(PATH) not in problems]
    section = "start.file" if study.start is not None and study.start.file is not None else "start.pretrain.data"
    lacking = [] if missing is None else [f"{'data' if data is None else section}: {missing}"]
    raise BadStudy(dict.fromkeys([*problems, *lacking]))
