"""What the claims compute from pairs of copies and single networks in the tables of one seed. In points.

A function raises :class:`BadInput` where something that it needs was not run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isthmus.claims import Tables
from isthmus.errors import BadInput
from isthmus.tables import Table

__all__ = [
    "Statistic",
    "best_alpha",
    "difference",
    "end",
    "gain_at",
    "largest",
    "late_gain",
    "of_variant",
    "rise_with_k",
    "smallest",
    "spread",
    "spread_of_means",
]

Statistic = Callable[[Tables], float]


def of_variant(table: Table, name: str, split: str) -> Table:
    """The rows of a variant on a part of the data."""
    found = table.where(variant=name, split=split)
    if not len(found):
        raise BadInput(f"there is no variant {name!r} on {split}")
    return found


def _gains(tables: Tables, variant: str, split: str, k: str | None = None) -> Table:
    found = of_variant(tables["gains"], variant, split)
    found = found if k is None else found.where(k=k)
    if not len(found):
        raise BadInput(f"there is no pair with k = {k} in {variant!r}")
    return found


def smallest(table: Table) -> str:
    """The smallest k of a table of pairs."""
    return str(min(table, key=lambda row: row["k_epochs"])["k"])


def largest(table: Table) -> str:
    """The largest k of a table of pairs."""
    return str(max(table, key=lambda row: row["k_epochs"])["k"])


def gain_at(
    variant: str,
    which: Callable[[Table], str] | str,
    s: Sequence[str],
    pick: Callable[[list[float]], Any] = np.min,
    split: str = "test",
) -> Statistic:
    """The gain at a k (one, the smallest, the largest) after each of these s: by default the smallest of them."""

    def value(tables: Tables) -> float:
        k = which if isinstance(which, str) else which(_gains(tables, variant, split))
        found = _gains(tables, variant, split, k)
        return float(pick([_one(found, k, length)["gain"] for length in s]))

    return value


def _one(found: Table, k: str, s: str) -> Any:
    rows = found.where(k=k, s=s).rows
    if not rows:
        raise BadInput(f"there is no pair with k = {k} and s = {s}")
    return rows[0]


def rise_with_k(variant: str, s: str, of: Sequence[str], split: str = "test") -> Statistic:
    """The smallest change of the gain from one k to the next ``of`` these, after the same s; where one of them was not
    run, to the next that was."""

    def value(tables: Tables) -> float:
        found = _gains(tables, variant, split).where(lambda row: row["k"] in of, s=s)
        rows = sorted(found, key=lambda row: row["k_epochs"])
        if len(rows) < 2:
            raise BadInput(f"there are no two k to compare at s = {s}")
        return float(np.min(np.diff([row["gain"] for row in rows])))

    return value


def spread(variant: str, k: str, s: Sequence[str]) -> Statistic:
    """The largest gain minus the smallest, over the largest, at one k over these s."""

    def value(tables: Tables) -> float:
        found = _gains(tables, variant, "test", k)
        return _spread([_one(found, k, length)["gain"] for length in s], variant)

    return value


def spread_of_means(variant: str, *, but: Sequence[tuple[str, str]] = ()) -> Statistic:
    """That of the gains of each k (mean over every s) or of each s (mean over every k), whichever is more."""

    def value(tables: Tables) -> float:
        found = _gains(tables, variant, "test").where(lambda row: (row["k"], row["s"]) not in but)
        means = ([np.mean(own["gain"]) for own in found.groups(name).values()] for name in ("k", "s"))
        return float(np.max([_spread(each, variant) for each in means]))

    return value


def _spread(gains: Sequence[float], variant: str) -> float:
    if len(gains) < 2:
        raise BadInput(f"there are no two pairs to compare in {variant!r}")
    top = float(np.max(gains))
    if top <= 0:
        raise BadInput(f"there is no gain in {variant!r}, whose size could depend on anything")
    return float((top - np.min(gains)) / top)


def late_gain(variant: str) -> Statistic:
    """The mean gain at the largest k over every s that ends after the last drop of the learning rate."""

    def value(tables: Tables) -> float:
        found = _gains(tables, variant, "test")
        rows = found.where(k=largest(found), drops_left=0).rows
        if not rows:
            raise BadInput(f"nothing in {variant!r} was looked at after the last drop of the learning rate")
        return float(np.mean([row["gain"] for row in rows]))

    return value


def best_alpha(variant: str, s: str) -> Statistic:
    """Accuracy at alpha 1/2 minus the better of those at 1/4 and 3/4.

    Nearer neighbours differ by less than a network on them does by chance, and where one copy is better than the other
    the highest point is not exactly half way.
    """

    def value(tables: Tables) -> float:
        rows = of_variant(tables["lines"], variant, "test").where(s=s)
        found = {row["alpha"]: 100 * row["accuracy"] for row in rows if row["alpha"] in (0.25, 0.5, 0.75)}
        if len(found) < 3:
            raise BadInput(f"there is no line with alpha 1/4, 1/2 and 3/4 in {variant!r} at s = {s}")
        return float(found.pop(0.5) - np.max(list(found.values())))

    return value


def end(variant: str, network: str, split: str = "test") -> Statistic:
    """The accuracy of a network when it was last looked at."""

    def value(tables: Tables) -> float:
        rows = of_variant(tables["networks"], variant, split).where(network=network).rows
        if not rows:
            raise BadInput(f"there is no network {network!r} in {variant!r}")
        last = max(rows, key=lambda row: row["k_epochs"] + row["s_epochs"] + row["after"])
        return float(100 * last["accuracy"])

    return value


def difference(first: Statistic, second: Statistic) -> Statistic:
    """One number minus another."""
    return lambda tables: first(tables) - second(tables)
