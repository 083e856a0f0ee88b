"""What the claims compute from the tables of one seed: gains at the merge, what training on does to them. In points.

A *cell* is one k and one s. A function raises
:class:`BadInput` where something that it needs was not run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.claims import Tables
from isthmus.errors import BadInput
from isthmus.tables import Table

__all__ = [
    "Cell",
    "apart",
    "best_alpha",
    "better",
    "cells",
    "difference",
    "end",
    "epoch_against_gain",
    "excess_apart",
    "fall",
    "fall_against_gain",
    "falls",
    "gain",
    "gain_at",
    "largest",
    "late_gain",
    "lost",
    "lost_in_an_epoch",
    "over",
    "regained",
    "rise_with_k",
    "smallest",
    "spread",
    "stays_down",
]

Statistic = Callable[[Tables], float]
Series = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Cell:
    """The merge at one k and s: accuracies in points, by the epochs since."""

    k: str
    s: str
    gain: float
    better: float
    merge: Series
    children: tuple[Series, ...]

    @property
    def peak(self) -> float:
        """The accuracy of the merge."""
        return self.merge[0][1]

    def within(self, series: Series, upto: float) -> list[float]:
        """The accuracies of training on, up to so many epochs after the merge."""
        found = [accuracy for after, accuracy in series if 0 < after <= upto]
        if not found:
            raise BadInput(f"k = {self.k}, s = {self.s}: nothing was evaluated in the {upto:g} epochs after the merge")
        return found


def _variant(table: Table, name: str, split: str) -> Table:
    found = table.where(variant=name, split=split)
    if not len(found):
        raise BadInput(f"there is no variant {name!r} on {split}")
    return found


def cells(tables: Tables, variant: str, split: str = "test") -> list[Cell]:
    """The merges of a variant, by k and s."""
    networks = _variant(tables["networks"], variant, split).where(lambda row: row["network"] != "trunk")
    gains = _variant(tables["gains"], variant, split)
    found = []
    for (k, s), group in networks.groups("k", "s").items():
        series = {name: _series(own) for (name,), own in group.groups("network").items()}
        (row,) = gains.where(k=k, s=s).rows or [None]
        if row is None or "merge" not in series:
            raise BadInput(f"k = {k}, s = {s}: there is no line between the copies, or no merge")
        children = tuple(own for name, own in series.items() if name.startswith("child"))
        found.append(Cell(k, s, row["gain"], row["better"], series["merge"], children))
    if not found:
        raise BadInput(f"nothing was merged in {variant!r}")
    return found


def _series(rows: Table) -> Series:
    return tuple(sorted((row["after"], 100 * row["accuracy"]) for row in rows))


def over(
    variant: str,
    statistic: Callable[[Cell], float],
    pick: Callable[[list[float]], Any] = np.min,
    *,
    split: str = "test",
    but: Sequence[tuple[str, str]] = (),
) -> Statistic:
    """A statistic over the cells of a variant (``but`` some of them): by default the smallest."""

    def value(tables: Tables) -> float:
        kept = [cell for cell in cells(tables, variant, split) if (cell.k, cell.s) not in but]
        if not kept:
            raise BadInput(f"nothing was merged in {variant!r} but at k = {but[0][0]}, s = {but[0][1]}")
        return float(pick([statistic(cell) for cell in kept]))

    return value


# --- of one merge ---------------------------------------------------------------------------------------------


def gain(cell: Cell) -> float:
    """Accuracy of the network half way between the copies minus the mean of the two: G0."""
    return cell.gain


def better(cell: Cell) -> float:
    """The same minus that of the better copy."""
    return cell.better


def fall(cell: Cell) -> float:
    """Accuracy of the merge minus its mean over the two epochs after it."""
    return float(cell.peak - np.mean(cell.within(cell.merge, 2)))


def fall_against_gain(cell: Cell) -> float:
    """The fall minus a third of the gain, where there is one: an accuracy that rises after the merge is no fall."""
    return fall(cell) - max(cell.gain, 0.0) / 3


def apart(cell: Cell) -> float:
    """How far the mean accuracy of the trained-on merge over two epochs is from that of the copies that went on."""
    if not cell.children or not any(after > 0 for after, _ in cell.children[0]):
        raise BadInput(f"k = {cell.k}, s = {cell.s}: the copies did not go on after the merge")
    copies = [np.mean(cell.within(series, 2)) for series in cell.children]
    return float(abs(np.mean(cell.within(cell.merge, 2)) - np.mean(copies)))


def excess_apart(cell: Cell) -> float:
    """How far apart they are minus what is allowed: a point, or a third of the gain where that is more."""
    return float(apart(cell) - np.maximum(1.0, cell.gain / 3))


def lost(cell: Cell) -> float:
    """Accuracy of the merge minus that at the end of training on from it."""
    if len(cell.merge) < 2:
        raise BadInput(f"k = {cell.k}, s = {cell.s}: the merge was not trained on")
    return cell.peak - cell.merge[-1][1]


def lost_in_an_epoch(cell: Cell) -> float:
    """Accuracy of the merge minus that one epoch later."""
    later = [accuracy for after, accuracy in cell.merge if abs(after - 1) < 1e-9]
    if not later:
        raise BadInput(f"k = {cell.k}, s = {cell.s}: the merge was not evaluated one epoch later")
    return cell.peak - later[0]


def epoch_against_gain(cell: Cell) -> float:
    """That minus .3 of the gain, where there is one."""
    return lost_in_an_epoch(cell) - 0.3 * max(cell.gain, 0.0)


def falls(cell: Cell) -> float:
    """1 where the merge falls by a third of its gain at least, else 0."""
    found = fall_against_gain(cell)
    return found if math.isnan(found) else float(found >= 0)


def stays_down(cell: Cell) -> float:
    """Accuracy of the merge minus its mean over the second half of what is trained on from it."""
    last = cell.merge[-1][0]
    later = [accuracy for after, accuracy in cell.merge if after > last / 2]
    if last <= 0:
        raise BadInput(f"k = {cell.k}, s = {cell.s}: the merge was not trained on")
    return float(cell.peak - np.mean(later))


def regained(cell: Cell) -> float:
    """The mean of the last five evaluations minus the accuracy one epoch after the merge."""
    later = cell.peak - lost_in_an_epoch(cell)
    if len(cell.merge) < 7:
        raise BadInput(f"k = {cell.k}, s = {cell.s}: the merge was not looked at five times after the first epoch")
    return float(np.mean([accuracy for _, accuracy in cell.merge[-5:]]) - later)


# --- of pairs -------------------------------------------------------------------------------------------------


def _gains(tables: Tables, variant: str, split: str, k: str | None = None) -> Table:
    found = _variant(tables["gains"], variant, split)
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


def spread(variant: str, k: str | None, s: Sequence[str] = (), *, but: Sequence[tuple[str, str]] = ()) -> Statistic:
    """The largest gain minus the smallest, over the largest: at one k over these s, or over all but some cells."""

    def value(tables: Tables) -> float:
        found = _gains(tables, variant, "test", k)
        rows = [_one(found, str(k), length) for length in s] or [r for r in found if (r["k"], r["s"]) not in but]
        if len(rows) < 2:
            raise BadInput(f"there are no two pairs to compare in {variant!r}")
        gains = [row["gain"] for row in rows]
        top = float(np.max(gains))
        if top <= 0:
            raise BadInput(f"there is no gain in {variant!r}, whose size could depend on anything")
        return float((top - np.min(gains)) / top)

    return value


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
        rows = _variant(tables["lines"], variant, "test").where(s=s)
        found = {row["alpha"]: 100 * row["accuracy"] for row in rows if row["alpha"] in (0.25, 0.5, 0.75)}
        if len(found) < 3:
            raise BadInput(f"there is no line with alpha 1/4, 1/2 and 3/4 in {variant!r} at s = {s}")
        return float(found.pop(0.5) - np.max(list(found.values())))

    return value


# --- of single networks ---------------------------------------------------------------------------------------


def end(variant: str, network: str, split: str = "test") -> Statistic:
    """The accuracy of a network when it was last looked at."""

    def value(tables: Tables) -> float:
        rows = _variant(tables["networks"], variant, split).where(network=network).rows
        if not rows:
            raise BadInput(f"there is no network {network!r} in {variant!r}")
        last = max(rows, key=lambda row: row["k_epochs"] + row["s_epochs"] + row["after"])
        return float(100 * last["accuracy"])

    return value


def difference(first: Statistic, second: Statistic) -> Statistic:
    """One number minus another."""
    return lambda tables: first(tables) - second(tables)
