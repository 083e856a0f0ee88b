"""Made-up results of an Iyer24 row: everything that its study would measure, in a world where claims hold or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shapira23_worlds import barriers

from isthmus.nodes import DataRef
from isthmus.papers import Row, Scale
from isthmus.study import BranchStudy, Results, variants
from isthmus.study.requests import Expansion, Ground
from isthmus.tables import Table

__all__ = ["SPLIT", "At", "World", "hard", "results", "tables", "verdicts"]


@dataclass(frozen=True)
class At:
    """Which network: epochs since the start in ``k``, of its own in ``s``, since the merge in ``after``."""

    variant: str
    seed: int
    k: float
    s: float
    split: str
    after: float = 0.0

    @property
    def epoch(self) -> float:
        return self.k + self.s + self.after


SPLIT = {1: (0.990, 0.003, 0.9881), 2: (0.960, 0.030, 0.9504), 3: (0.850, 0.100, 0.8161), 4: (0.440, 0.080, 0.4316)}
"""Of each split: accuracy of the copies, gain at the merge, accuracy an epoch later (shares)."""


def hard(at: At) -> int:
    """The number of a split, 0 of another part of the data."""
    return int(at.split.rpartition("/")[2]) if "/" in at.split else 0


def child(at: At) -> float:
    """The copies as the paper has them."""
    return (SPLIT[hard(at)][0] if hard(at) else 0.77 - 0.4 * math.exp(-at.epoch)) + 0.001 * at.seed


def gain(at: At) -> float:
    """Poor at k = 0, then about four points, of the easy splits less, with layer normalisation less, late none."""
    if hard(at):
        return SPLIT[hard(at)][1]
    if at.k == 0:
        return -0.2 - 0.05 * at.s
    if "to the end" in at.variant:
        return 0.002 if at.epoch > 40 else 0.03
    size = 0.034 + 0.0003 * at.k + 0.001 * at.seed
    return size * (0.6 if "layer" in at.variant else 1.2 if "no aug" in at.variant else 1.0)


def merged(at: At) -> float:
    """Training on loses the gain, at a lower rate it does not, but ends lower."""
    if hard(at):
        return SPLIT[hard(at)][2]
    if at.variant == "lr .01":
        return child(at) + 0.045 - (0.06 if at.after > 20 else 0.0)
    return child(at) + 0.002 + 0.0001 * min(max(at.after - 2, 0.0), 40.0)


def trunk(at: At) -> float:
    """Dropped early it ends lower."""
    return child(at) + (0.01 if at.variant == "dropped late" and at.epoch > 30 else 0.0)


def rival(at: At, network: str) -> float:
    """The ensemble above the merge, a moving average at three quarters of its gain, a longer network above it."""
    share = {"ensemble": 1.3, "ema": 0.75, "longer": 1.2}[network.partition(" ")[0].strip(",")]
    return child(replace(at, after=0)) + 0.002 + share * gain(at)


def squared(at: At) -> float:
    """Of copies that first settle along steep directions, then drift apart along flat ones."""
    return 30 * (1 - math.exp(-6 * at.s)) + (4 + 0.1 * at.seed) * at.s


@dataclass(frozen=True)
class World:
    """Accuracies as shares; the gain is that half way between the copies. By default all that the paper says holds.

    Losses are shares of errors. ``squared`` are the squared distances of the copies, ``rival`` the accuracies of what
    merges are compared with, by name.
    """

    child: Callable[[At], float] = child
    apart: Callable[[At], float] = lambda at: 0.004
    gain: Callable[[At], float] = gain
    bump: Callable[[float], float] = lambda alpha: 4 * alpha * (1 - alpha)
    merged: Callable[[At], float] = merged
    trunk: Callable[[At], float] = trunk
    squared: Callable[[At], float] = squared
    rival: Callable[[At, str], float] = rival


def _lengths(study: BranchStudy, k: float, per_epoch: int) -> list[float]:
    branch = study.branch
    if branch.lengths:
        return [length.steps(per_epoch) / per_epoch for length in branch.lengths]
    if branch.to is None or branch.every is None:
        return []
    every, to = (length.steps(per_epoch) / per_epoch for length in (branch.every, branch.to))
    whole = [every * i for i in range(1, int((to - k) / every + 1e-9) + 1)]
    return whole if abs(k + whole[-1] - to) < 1e-9 else [*whole, to - k]


def results(row: Row, world: World, scale: Scale = "small", seeds: int | None = None) -> Results:
    """What a study would find; with fewer seeds where ``seeds`` says so."""
    study = row.study(scale)
    parts = variants(study) if study.variants else {"": study}
    raw: dict[str, list[dict[str, Any]]] = {"pairs": [], "curves": [], "networks": []}
    grounds = {}
    for name, part in parts.items():
        assert isinstance(part, BranchStudy)
        examples = part.data.options.get("examples", 50_000)
        per_epoch = part.recipe.steps_per_epoch(examples)
        ref = DataRef(part.data.name, part.data.options, "0" * 64, examples, 10_000, 10, (3, 32, 32), (0.5,), (0.5,))
        grounds[name] = Ground(ref, per_epoch)
        for table, found in _measured(part, name if study.variants else None, world, per_epoch, seeds):
            raw[table].append(found)
    found_tables = {name: Table.of(rows) for name, rows in raw.items() if rows}
    found_tables["splits"] = _ranked(row, scale)
    return Results(study, found_tables, Expansion((), grounds), 0, 272_474)


def tables(row: Row, world: World, scale: Scale = "small", seeds: int | None = None) -> Mapping[str, Table]:
    """The tables of a row in a world."""
    return row.tables(results(row, world, scale, seeds))


def _ranked(row: Row, scale: Scale) -> Table:
    return Table.of(
        {"split": f"train/{i}", "examples": 5000, "mean": 0.1 * i**2, "min": 0.1 * i, "max": 0.3 * i, "class_0": 500}
        for i in range(1, 5)
    )


def _measured(
    study: BranchStudy, variant: str | None, world: World, per_epoch: int, seeds: int | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    scores = study.evaluate.scores
    splits = [*study.evaluate.on, *(f"train/{i + 1}" for i in range(scores.splits if scores else 0))]
    branch, merge = study.branch, study.merge
    for seed in study.seeds[:seeds]:
        for at in branch.at:
            k = at.steps(per_epoch) / per_epoch
            base: dict[str, Any] = {"seed": seed} | ({} if variant is None else {"variant": variant}) | {"k": str(at)}
            base["k_steps"] = at.steps(per_epoch)
            for split in splits:
                own = At(variant or "", seed, k, 0.0, split)
                if branch.trunk_at_k:
                    row = {**base, "s": "0ep", "s_steps": 0, "network": "trunk at k", "after_steps": 0, "split": split}
                    yield "networks", _network(row, world.trunk(own))
                for s in _lengths(study, k, per_epoch):
                    text = f"{s:g}ep"
                    labels = {**base, "s": text, "s_steps": round(s * per_epoch), "split": split}
                    there = At(variant or "", seed, k, s, split)
                    yield from _line(study, labels, there, world)
                    if merge is None or (merge.at is not None and text not in [str(length) for length in merge.at]):
                        continue
                    yield from _merges(study, labels, there, world, per_epoch)


def _network(labels: dict[str, Any], accuracy: float) -> dict[str, Any]:
    numbers = {"loss": 1 - accuracy, "error": 1 - accuracy, "accuracy": 1 - (1 - accuracy)}
    return {**labels, **numbers, "examples": 10_000, "norm_stats": "recompute"}


def _curve(world: World, at: At, alphas: Any) -> list[float]:
    ends = world.child(at), world.child(at) + world.apart(at)
    gain = world.gain(at)
    return [(1 - a) * ends[0] + a * ends[1] + gain * world.bump(a) for a in alphas]


def _line(study: BranchStudy, labels: dict[str, Any], at: At, world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    alphas = study.evaluate.points
    error = [1 - accuracy for accuracy in _curve(world, at, alphas)]
    own = {**labels, "pair": "child1-child2"}
    for metric in ("loss", "error"):
        ends = {"metric": metric, "start": error[0], "end": error[-1], "l2": math.sqrt(world.squared(at))}
        yield "pairs", {**own, **ends, **barriers(alphas, error), "examples": 10_000, "norm_stats": "recompute"}
    for alpha, value in zip(alphas, error, strict=True):
        yield "curves", {**own, "alpha": alpha, "loss": value, "error": value}


def _merges(
    study: BranchStudy, labels: dict[str, Any], at: At, world: World, per_epoch: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    merge = study.merge
    assert merge is not None
    middle = _curve(world, at, (0.5,))[0]
    copies = {"child1": 0.0, "child2": world.apart(at)}
    yield "networks", _network({**labels, "network": "merge", "after_steps": 0}, middle)
    for name, more in copies.items():
        yield "networks", _network({**labels, "network": name, "after_steps": 0}, world.child(at) + more)
    for name, steps in _rivals(study, labels["s_steps"]):
        accuracy = world.rival(replace(at, after=steps / per_epoch), name)
        yield "networks", _network({**labels, "network": name, "after_steps": steps}, accuracy)
    if merge.after is None or merge.every is None:
        return
    for index in range(1, round(float(merge.after.amount / merge.every.amount)) + 1):
        after = float(merge.every.amount) * index
        later = At(at.variant, at.seed, at.k, at.s, at.split, after)
        then = {"after_steps": int(after * per_epoch + 0.5)}
        yield "networks", _network({**labels, "network": "merge", **then}, world.merged(later))
        for name, more in copies.items() if merge.children_go_on else ():
            yield "networks", _network({**labels, "network": name, **then}, world.child(later) + more)


def _rivals(study: BranchStudy, s: int) -> Iterator[tuple[str, int]]:
    """The names of what the merge of two copies is compared with, and the steps after the merge."""
    wanted = study.baselines
    if wanted is not None and wanted.ensemble:
        yield "ensemble", 0
    if wanted is not None and wanted.ema is not None:
        yield from (("ema child1", 0), ("ema child2", 0))
    for factor in wanted.longer.factor if wanted is not None and wanted.longer is not None else ():
        yield from ((f"longer, lr x {factor:g}", after) for after in (-s, 0))


def verdicts(judged: Table) -> dict[str, str]:
    """The verdict of each claim."""
    return {row["claim"]: row["verdict"] for row in judged}
