"""What the claims compute from the tables of one seed, or (``lead``, ``labels_at``) across seeds.

Losses are in nats, accuracies in points. A function raises :class:`BadInput` where a variant, block or number that it
needs is not there; that sentence becomes the reason why a seed has no number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from isthmus.claims import Tables, Values, per_seed
from isthmus.errors import BadInput
from isthmus.tables import Table

__all__ = [
    "BARRIER",
    "MAIN",
    "accuracy",
    "apart",
    "block_rises",
    "curve",
    "descent",
    "difference",
    "distance",
    "fall",
    "farthest",
    "gain",
    "is_shape",
    "labels_at",
    "largest",
    "largest_rise",
    "lead",
    "lowest",
    "only_row",
    "path",
    "rise",
    "scaled",
    "smallest",
    "summed_rises",
    "top",
]

Statistic = Callable[[Tables], float]

MAIN = "initial->final"
BARRIER = 0.05
"""The least rise that is called a barrier, in nats."""
OVERLAPPING = ("all", "stage4.0")
"""Rows of ``paths`` that are no parts of a network beside the others: the whole, and a part of another part."""


def only_row(table: Table, what: str) -> Mapping[str, Any]:
    """The row of a table that has one."""
    if not len(table):
        raise BadInput(f"there is no {what}")
    if len(table) > 1:
        raise BadInput(f"there are {len(table)} rows for {what}, expected one")
    return table.rows[0]


def path(
    tables: Tables, variant: str, block: str = "all", route: str = MAIN, metric: str = "loss"
) -> Mapping[str, Any]:
    """The row of ``paths`` on the part of the data that comes first."""
    table = tables["paths"].where(variant=variant, path=route, block=block, metric=metric)
    if len(table):
        table = table.where(split=table["split"][0])
    return only_row(table, f"path {route} of block {block} for {variant}")


def curve(tables: Tables, variant: str, block: str = "all", route: str = MAIN, metric: str = "loss") -> Any:
    """Alphas and values along a path, two arrays."""
    rows = sorted(tables["curves"].where(variant=variant, path=route, block=block), key=lambda row: row["alpha"])
    if not rows:
        raise BadInput(f"there is no curve of {route} of block {block} for {variant}")
    return np.array([row["alpha"] for row in rows]), np.array([row[metric] for row in rows], dtype=np.float64)


def rise(variant: str, block: str = "all", route: str = MAIN) -> Statistic:
    """The greatest climb of the loss along a path."""
    return lambda tables: float(path(tables, variant, block, route)["rise"])


def top(variant: str, block: str = "all", route: str = MAIN, *, above: str | None = MAIN) -> Statistic:
    """The highest loss on a path, above that at the start of another path of the whole network (or as it is)."""

    def value(tables: Tables) -> float:
        start = 0.0 if above is None else path(tables, variant, "all", above)["start"]
        return float(path(tables, variant, block, route)["top"] - start)

    return value


def lowest(variant: str, *, upto: float, block: str = "all", route: str = MAIN) -> Statistic:
    """The lowest loss on a path over the alphas up to one."""

    def value(tables: Tables) -> float:
        alphas, losses = curve(tables, variant, block, route)
        return float(np.min(losses[alphas <= upto + 1e-9]))

    return value


def farthest(variant: str, level: float, route: str = MAIN) -> Statistic:
    """The loss on a path that is farthest from a level, above or below."""

    def value(tables: Tables) -> float:
        _, losses = curve(tables, variant, "all", route)
        off = np.abs(losses - level)
        return math.nan if np.isnan(off).any() else float(losses[int(np.argmax(off))])

    return value


def apart(variant: str, block: str, other: str) -> Statistic:
    """The mean over alphas of the difference, without its sign, between the losses of two blocks that move alone."""

    def value(tables: Tables) -> float:
        (alphas, a), (others, b) = (curve(tables, variant, name) for name in (block, other))
        if not np.array_equal(alphas, others):
            raise BadInput(f"there are no common alphas of blocks {block} and {other} for {variant}")
        return float(np.mean(np.abs(a - b)))

    return value


def descent(variant: str, block: str = "all", route: str = MAIN) -> Statistic:
    """The loss at the end of a path as a share of that at its start."""

    def value(tables: Tables) -> float:
        row = path(tables, variant, block, route)
        return float(row["end"] / row["start"])

    return value


def distance(variant: str) -> Statistic:
    """How far the final weights are from the initial ones, by the norm of the latter (the paper's equation 4)."""

    def value(tables: Tables) -> float:
        found = path(tables, variant)["relative_distance"]
        if found is None:
            raise BadInput(f"there is no distance for {variant}")
        return float(found)

    return value


def is_shape(variant: str, label: str, block: str = "all", route: str = MAIN) -> Statistic:
    """1 where the path has this label, else 0."""

    def value(tables: Tables) -> float:
        found = path(tables, variant, block, route)["shape"]
        return math.nan if found == "NaN" else float(found == label)

    return value


def block_rises(tables: Tables, variant: str, blocks: Iterable[str] | None = None) -> dict[str, float]:
    """The rise of each block that moves alone; by default of all that are no part of another."""
    rows = tables["paths"].where(variant=variant, path=MAIN, metric="loss")
    known = [block for block in dict.fromkeys(rows["block"]) if block not in OVERLAPPING]
    wanted = known if blocks is None else list(blocks)
    if not wanted:
        raise BadInput(f"there are no paths of single blocks for {variant}")
    return {block: rise(variant, block)(tables) for block in wanted}


def summed_rises(variant: str) -> Statistic:
    """The sum over blocks of the rises when each moves alone."""
    return lambda tables: float(np.sum(list(block_rises(tables, variant).values())))


def largest_rise(variant: str, *blocks: str) -> Statistic:
    """The largest rise of these blocks (of all that are no part of another) when each moves alone."""
    return lambda tables: float(np.max(list(block_rises(tables, variant, blocks or None).values())))


def accuracy(variant: str, split: str = "test") -> Statistic:
    """The accuracy of the final network, in points."""

    def value(tables: Tables) -> float:
        row = only_row(
            tables["accuracy"].where(variant=variant, split=split), f"accuracy on the {split} split for {variant}"
        )
        return 100.0 * float(row["accuracy"])

    return value


def difference(a: Statistic, b: Statistic) -> Statistic:
    """One number minus another of the same seed."""
    return lambda tables: a(tables) - b(tables)


def gain(variant: str, over: str, split: str = "test") -> Statistic:
    """By how many points one variant is more accurate than another."""
    return difference(accuracy(variant, split), accuracy(over, split))


def smallest(*statistics: Statistic) -> Statistic:
    """The smallest of several numbers, NaN if one of them is."""
    return lambda tables: float(np.min([each(tables) for each in statistics]))


def largest(*statistics: Statistic) -> Statistic:
    """The largest of several numbers, NaN if one of them is."""
    return lambda tables: float(np.max([each(tables) for each in statistics]))


def scaled(factor: float, of: Statistic) -> Statistic:
    """A number times a factor."""
    return lambda tables: factor * of(tables)


def fall(of: Statistic, to: Statistic) -> Statistic:
    """The share by which a number falls to another; where it is 0 there is nothing to fall."""

    def value(tables: Tables) -> float:
        before = of(tables)
        if not before > 0:
            raise BadInput(f"there is nothing to fall from {before:g}")
        return 1.0 - to(tables) / before

    return value


def lead(variant: str, *others: str, split: str = "test") -> Callable[[Tables], Values]:
    """For each seed by how many points a variant is ahead of that other one which is the most accurate on average."""

    def values(tables: Tables) -> Values:
        found = {name: per_seed(accuracy(name, split))(tables) for name in (variant, *others)}
        numbers = {name: [value for value in of.values() if not isinstance(value, str)] for name, of in found.items()}
        if missing := [name for name in (variant, *others) if not numbers[name]]:
            return {"all": f"there is no accuracy on the {split} split for {', '.join(missing)}"}
        rival = max(others, key=lambda name: float(np.mean(numbers[name])))
        return per_seed(gain(variant, rival, split))(tables)

    return values


def labels_at(variant: str, block: str = "all") -> Callable[[Tables], Values]:
    """How many different shape labels the seeds have."""

    def values(tables: Tables) -> Values:
        rows = tables["paths"].where(variant=variant, path=MAIN, block=block, metric="loss")
        if len(set(rows["seed"])) < 2:
            return {"all": f"there are no labels of two seeds for {variant}"}
        if "NaN" in rows["shape"]:
            return {"all": f"there is no label of a run of {variant} whose loss is not a number"}
        return {"all": float(len(set(rows["shape"])))}

    return values
