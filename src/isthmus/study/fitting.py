"""Whether the lengths in a study fit each other, the data and the recipe: what a field by itself cannot tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from isthmus.importance import SCORES
from isthmus.spec import Duration
from isthmus.study.branch import multiples
from isthmus.study.model import (
    Baselines,
    Branch,
    BranchStudy,
    Evaluate,
    InitToFinalStudy,
    MergeSpec,
    Pretrain,
    ScoresSpec,
    Start,
    Study,
    To,
)

__all__ = [
    "baselines_problems",
    "branch_problems",
    "merge_problems",
    "pretrain_problems",
    "problems",
    "scores_problems",
    "start_problems",
    "to_problems",
]

Named = Iterable[tuple[str, Duration]]
_LONGEST = 10**8  # a run is named by the learning rate of each step


def problems(study: Study, per_epoch: int | None) -> list[str]:
    """One sentence for each length that does not fit.

    Args:
        study: what is to be done.
        per_epoch: steps an epoch; None where the data are not known: then lengths of one unit are compared.
    """
    scores = study.evaluate.scores
    more = scores_problems(scores, per_epoch) if scores else ()
    return [*_family(study, per_epoch), *_choose(study, per_epoch), *more, *_augmented(study)]


def _augmented(study: Study) -> Iterator[str]:
    augment = study.recipe.augment
    if study.evaluate.augmented and (augment.brightness or not augment.acts):
        found = "brightness" if augment.brightness else "none"
        yield f"evaluate.augmented: expected a recipe whose augment crops or flips and no more, found {found}."


def _family(study: Study, per_epoch: int | None) -> list[str]:
    if isinstance(study, BranchStudy):
        augmented = study.recipe.augment.acts
        return [
            *branch_problems(study.branch, per_epoch, augmented=augmented),
            *(merge_problems(study.merge, study.branch, per_epoch) if study.merge else ()),
            *_two_warmups(study, per_epoch),
            *(baselines_problems(study.baselines, study.merge, study.branch, per_epoch) if study.baselines else ()),
        ]
    return list(to_problems(study.train, per_epoch)) if isinstance(study, InitToFinalStudy) else []


def branch_problems(branch: Branch, per_epoch: int | None, *, augmented: bool | None = None) -> Iterator[str]:
    """A k beyond the end, two k or s that are one step, a length of no step or too many, children that are the same."""
    yield from _too_short([("branch.every", branch.every)] if branch.every else [], per_epoch)
    yield from _too_short(_named("branch.lengths", branch.lengths), per_epoch)
    yield from _too_long(_named("branch.at", branch.at), per_epoch)
    yield from _too_long(_named("branch.lengths", branch.lengths), per_epoch)
    yield from _too_long([("branch.to", branch.to)] if branch.to else [], per_epoch)
    yield from _same_step(_named("branch.at", branch.at), per_epoch)
    yield from _same_step(_named("branch.lengths", branch.lengths), per_epoch)
    if branch.to is not None and branch.every is not None:
        for path, at in _named("branch.at", branch.at):
            if _reaches(at, branch.to, per_epoch):
                yield f"{path}: expected a k before the end branch.to = {branch.to}, found {at}."
            elif per_epoch and branch.every.amount and not _lengths(branch, at, per_epoch):
                yield (
                    f"{path}: expected a k at least one branch.every = {branch.every} before the end branch.to ="
                    f" {branch.to}, found {at}."
                )
    if branch.differ == ("augmentation",) and augmented is False and not branch.disjoint:
        yield (
            "branch.differ: expected a stream that acts, found augmentation alone, and recipe.augment augments nothing:"
            " the children would be one and the same network."
        )


def merge_problems(merge: MergeSpec, branch: Branch, per_epoch: int | None) -> Iterator[str]:
    """A merge after an s that there is not, or evaluations after it that there are none of."""
    if branch.trunk_alone:
        if merge != MergeSpec():
            yield "merge: expected copies to merge, found none, as branch has neither lengths nor to; leave it out."
        return
    if merge.after is not None and merge.every is not None:
        yield from _too_short([("merge.every", merge.every)], per_epoch)
        yield from _too_long([("merge.after", merge.after)], per_epoch)
        if not _reaches(merge.after, merge.every, per_epoch, unknown=True):
            yield f"merge.every: expected at most merge.after = {merge.after}, found {merge.every}."
    if merge.weights is not None and len(merge.weights) != branch.children:
        yield f"merge.weights: expected one weight a child, {branch.children} of them, found {len(merge.weights)}."
    if merge.at is not None and per_epoch:
        known = {s for at in branch.at for s in _lengths(branch, at, per_epoch)}
        for path, at in _named("merge.at", merge.at):
            if at.steps(per_epoch) not in known:
                told = ", ".join(str(s) for s in branch.lengths) or f"multiples of {branch.every}"
                yield f"{path}: expected an s after which children are looked at ({told}), found {at}."


def baselines_problems(
    baselines: Baselines, merge: MergeSpec | None, branch: Branch, per_epoch: int | None
) -> Iterator[str]:
    """Baselines without a merge, averages of no checkpoint on the way, a network that goes on beside nothing."""
    if merge is None:
        yield "baselines: expected [merge] beside it, which they are compared with, found none."
        return
    ema, longer = baselines.ema, baselines.longer
    if ema is not None:
        yield from _too_short([("baselines.ema.every", ema.every)], per_epoch)
        lengths = merge.at or branch.lengths or ((branch.every,) if branch.every else ())
        for s in lengths:
            if not _reaches(s, ema.every, per_epoch, unknown=True):
                yield f"baselines.ema.every: expected at most the s of a merge, {s}, found {ema.every}."
                break
    if longer is not None:
        whole = [Duration(s.amount * branch.children, s.unit) for s in branch.lengths]
        whole += [Duration(branch.to.amount * branch.children, branch.to.unit)] if branch.to else []
        yield from _too_long([("baselines.longer", length) for length in whole], per_epoch)
        if longer.go_on and merge.after is None:
            yield "baselines.longer.go_on: expected merge.after beside it, as long as which it goes on, found none."


def _two_warmups(study: BranchStudy, per_epoch: int | None) -> Iterator[str]:
    """A warm-up after the merge while that of the schedule goes on: one would take the place of the other."""
    first, merge = study.recipe.schedule, study.merge
    if merge is None or merge.warmup is None or first.warmup is None or not per_epoch:
        return
    over = first.warmup.steps(per_epoch) + (first.warmup_start.steps(per_epoch) if first.warmup_start else 0)
    earliest = min(
        at.steps(per_epoch) + s for at in study.branch.at for s in _lengths(study.branch, at, per_epoch) or [0]
    )
    if earliest < over:
        yield (
            f"merge.warmup: expected the warm-up of recipe.schedule to be over at the merge, found it until step {over}"
            f" and a merge at step {earliest}."
        )


def _choose(study: Study, per_epoch: int | None) -> Iterator[str]:
    """A base run of no known length, of no step or of too many."""
    asked = [rule for rule in study.recipe.optimizer.by_block if isinstance(rule.blocks, str)]
    to = study.choose.to if study.choose else None
    if asked and to is None and not isinstance(study, InitToFinalStudy):
        yield f"choose.to: expected how long the base run trains that tells blocks with {asked[0].blocks}, found none."
    named = [("choose.to", to)] if to else []
    yield from _too_short(named, per_epoch)
    yield from _too_long(named, per_epoch)


def scores_problems(scores: ScoresSpec, per_epoch: int | None) -> Iterator[str]:
    """Runs for scores of no step or of too many, or that are looked at too seldom."""
    named = [("evaluate.scores.at", scores.at)]
    yield from _too_short(named, per_epoch)
    yield from _too_long(named, per_epoch)
    if SCORES[scores.score].every_epoch and per_epoch and 0 < scores.at.steps(per_epoch) < 2 * per_epoch:
        yield (
            f"evaluate.scores.at: expected at least 2ep for {scores.score}, which compares ends of epochs, found"
            f" {scores.at}."
        )


def to_problems(to: To, per_epoch: int | None) -> Iterator[str]:
    """Training for no step, or for more than can be named."""
    yield from _too_short([("train.to", to.to)], per_epoch)
    yield from _too_long([("train.to", to.to)], per_epoch)


def start_problems(start: Start, evaluate: Evaluate) -> Iterator[str]:
    """A start beside the top of a path that is off the path wherever the top is."""
    points = len(start.points or evaluate.points)
    if abs(start.offset) >= points:
        yield f"start.offset: expected less than the {points} points of the path, found {start.offset}."


def pretrain_problems(pretrain: Pretrain, per_epoch: int | None) -> Iterator[str]:
    """Pre-training for no step, or for more than can be named; ``per_epoch`` is its own."""
    yield from _too_short([("start.pretrain.to", pretrain.to)], per_epoch)
    yield from _too_long([("start.pretrain.to", pretrain.to)], per_epoch)


def _named(path: str, values: Iterable[Duration]) -> list[tuple[str, Duration]]:
    return [(f"{path}.{index}", value) for index, value in enumerate(values)]


def _too_short(named: Named, per_epoch: int | None) -> Iterator[str]:
    for path, value in named:
        whole = value.amount * (per_epoch or 1 if value.unit == "ep" else 1)
        if not value.amount or (per_epoch and whole < 1):
            told = f" (an epoch has {per_epoch})" if per_epoch and value.unit == "ep" else ""
            yield f"{path}: expected at least one step{told}, found {value}."


def _too_long(named: Named, per_epoch: int | None) -> Iterator[str]:
    for path, value in named:
        if value.steps(per_epoch or 1) > _LONGEST:
            yield f"{path}: expected at most {_LONGEST:,} steps, found {value}."


def _same_step(named: Named, per_epoch: int | None) -> Iterator[str]:
    first: dict[int, Duration] = {}
    for path, value in named if per_epoch else ():
        other = first.setdefault(value.steps(per_epoch or 1), value)
        if other != value:
            yield f"{path}: expected another step than that of {other}, found {value} (an epoch has {per_epoch} steps)."


def _reaches(a: Duration, b: Duration, per_epoch: int | None, *, unknown: bool = False) -> bool:
    """Whether ``a`` is as long as ``b`` or longer; ``unknown`` where that cannot be told."""
    if a.unit == b.unit:
        return a.amount >= b.amount
    return a.steps(per_epoch) >= b.steps(per_epoch) if per_epoch else unknown


def _lengths(branch: Branch, at: Duration, per_epoch: int) -> list[int]:
    if branch.to is None or branch.every is None:
        return [length.steps(per_epoch) for length in branch.lengths]
    if not branch.every.amount:
        return []
    return multiples(branch.every, branch.to.steps(per_epoch) - at.steps(per_epoch), per_epoch)
