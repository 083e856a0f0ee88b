"""A study again under other conventions: where normalisation statistics come from, what happens to optimiser buffers.

Published work seldom states them, and a sign may hang on them. What the conventions have in common is computed once,
as everything is; other normalisation statistics cost evaluation alone, unless something that is trained was chosen by
a measurement (the top of a barrier, the blocks that show one).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from isthmus.errors import BadInput
from isthmus.study.checking import built
from isthmus.study.model import BranchStudy, Evaluate, ModelSpec, Study
from isthmus.study.overlay import undotted
from isthmus.study.read import each, from_mapping, variants
from isthmus.tables import Table

__all__ = ["Convention", "beside", "conventions", "laid_over_all", "sign"]

NORM_STATS: tuple[str, ...] = get_args(Evaluate.model_fields["norm_stats"].annotation)
BUFFERS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "keep": {"branch": {"buffers": "keep"}, "merge": {"buffers": "keep"}},
    "average": {"branch": {"buffers": "keep"}, "merge": {"buffers": "average"}},
    "reset": {"branch": {"buffers": "reset"}, "merge": {"buffers": "reset"}},
}
"""What happens to the optimiser's buffers at the branch and at the merge, where those of the first copy are kept."""


@dataclass(frozen=True)
class Convention:
    """A study under another convention: ``name`` is the one that differs from the study's own."""

    name: str
    study: Study


def laid_over_all(study: Study, changes: Mapping[str, Mapping[str, Any]]) -> Study:
    """The study with fields of its sections changed, in each of its variants too, whatever they say of them.

    ``changes`` are tables of fields by section (``{"evaluate": {"norm_stats": "init"}}``); a section that the study,
    or a variant, has not is none of theirs and stays away.

    Raises:
        BadStudy: the study cannot be so.
    """
    content = study.model_dump(exclude_unset=True)
    content |= _sections(study, changes)
    if study.variants:
        own = {name: undotted(changed) for name, changed in study.variants.items()}
        content["variants"] = {name: own[name] | _sections(one, changes) for name, one in variants(study).items()}
    return from_mapping(content, where=study.name)


def _sections(study: Study, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Whole sections with their changes: each field is given, so that none of another study shows through."""
    found = {name: getattr(study, name, None) for name in changes}
    return {name: section.model_dump() | dict(changes[name]) for name, section in found.items() if section is not None}


def conventions(study: Study, only: Sequence[str] = ()) -> tuple[list[Convention], list[str]]:
    """The study under every convention that is not its own, and in a sentence each what was left out or costs more.

    ``norm_stats`` are those of :class:`Evaluate`; the optimiser's buffers are kept, or reset, at the branch and at the
    merge alike, or kept at the branch and averaged at the merge. Asking networks whether they have running statistics
    builds them, which loads torch. Of all that, ``only`` names what is wanted: a convention ("norm_stats interpolate")
    or a kind of them ("buffers").

    Raises:
        BadInput: ``only`` names none that there is.
    """
    known = [f"norm_stats {mode}" for mode in NORM_STATS] + [f"buffers {name}" for name in BUFFERS]
    for asked in only:
        if not any(_named(name, (asked,)) for name in known):
            raise BadInput(
                f"There is no convention {asked!r}: expected norm_stats, buffers or one of {', '.join(known)}."
            )
    studies = list(each(study).values())
    found: list[Convention] = []
    told: list[str] = []
    modes = {one.evaluate.norm_stats for one in _normalised(studies)}
    if len(modes) > 1:
        told.append("The variants differ in norm_stats themselves, which is left out.")
    elif modes:
        found += [
            Convention(f"norm_stats {mode}", laid_over_all(study, {"evaluate": {"norm_stats": mode}}))
            for mode in NORM_STATS
        ]
        if any(map(_chooses, studies)):
            told.append(
                "Blocks or tops of barriers are looked for by the normalisation statistics, so what rests on them is"
                " trained for each of them."
            )
    else:
        told.append("No network has running statistics: norm_stats makes no difference and is left out.")
    branches = [one for one in studies if isinstance(one, BranchStudy)]
    if branches and any(map(_has_buffers, branches)):
        gone_on = any(one.merge is not None and one.merge.after is not None for one in branches)
        found += [
            Convention(f"buffers {name}", laid_over_all(study, changes))
            for name, changes in BUFFERS.items()
            if name != "average" or gone_on
        ]
    elif branches:
        told.append("The optimiser has no buffers: keeping or resetting them makes no difference and is left out.")
    own = _effective(study)
    return [one for one in found if _named(one.name, only) and _effective(one.study) != own], told


def _named(convention: str, only: Sequence[str]) -> bool:
    """Whether a convention, or its kind, is among those wanted; without any all are."""
    return not only or any(convention == asked or convention.startswith(f"{asked} ") for asked in only)


def _effective(study: Study) -> dict[str, Any]:
    """What is run, whatever of it is written out."""
    return {name: one.model_dump(exclude={"variants"}) for name, one in each(study).items()}


def _normalised(studies: Iterable[Study]) -> list[Study]:
    """Those whose networks keep running statistics."""
    from isthmus import normalisation

    known: list[tuple[ModelSpec, bool]] = []
    found = []
    for study in studies:
        keeps = next((keeps for model, keeps in known if model == study.model), None)
        if keeps is None:
            keeps = bool(normalisation.layers(built(study.model)[0]))
            known.append((study.model, keeps))
        if keeps:
            found.append(study)
    return found


def _chooses(study: Study) -> bool:
    by_barrier = any(isinstance(rule.blocks, str) for rule in study.recipe.optimizer.by_block)
    return by_barrier or (study.start is not None and study.start.at == "top")


def _has_buffers(study: Study) -> bool:
    optimizer = study.recipe.optimizer
    return optimizer.name != "sgd" or optimizer.momentum > 0


_NUMBERS = ("mean", "low", "high", "seeds")
_SIGNED = ("signed", "signed_mean", "midpoint")


def beside(seeds: Mapping[str, Table]) -> Table:
    """The tables ``seeds`` of a study under several conventions, the first its own, as one.

    A row a convention and row of ``seeds``: mean and interval, the mean by the study's own convention, and for the
    barriers that have a sign whether the two means have different ones.
    """
    first = next(iter(seeds.values()))
    labels = [name for name in first.columns if name not in _NUMBERS]
    own = {tuple(row[name] for name in labels): row["mean"] for row in first}
    rows = []
    for convention, table in seeds.items():
        for row in table:
            default = own.get(tuple(row.get(name) for name in labels))
            differs = sign(row["mean"]) != sign(default) if row["quantity"] in _SIGNED else None
            rows.append({"convention": convention, **row, "default_mean": default, "sign_differs": differs})
    columns: Sequence[str] = ("convention", *labels, *_NUMBERS, "default_mean", "sign_differs")
    return Table.of(rows, columns)


def sign(value: float | None) -> int | None:
    """-1, 0 or 1; None of what is no number."""
    if value is None or value != value:
        return None
    return (value > 0) - (value < 0)
