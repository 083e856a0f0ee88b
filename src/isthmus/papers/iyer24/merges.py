"""What the claims compute from merges in the tables of one seed: gains, and what training on does to them. In points.

A *cell* is the merge at one k and one s. A function raises :class:`BadInput` where something that it needs was not run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.claims import Tables
from isthmus.errors import BadInput
from isthmus.papers.iyer24.quantities import Statistic, of_variant
from isthmus.tables import Table

__all__ = [
    "Cell",
    "apart",
    "better",
    "cells",
    "epoch_against_gain",
    "excess_apart",
    "fall",
    "fall_against_gain",
    "falls",
    "gain",
    "lost",
    "lost_in_an_epoch",
    "over",
    "regained",
    "stays_down",
]

Series = tuple[tuple[float, float], ...]
_ROUNDED = 0.02  # epochs: half an epoch of 391 steps is 196 of them


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


def cells(tables: Tables, variant: str, split: str = "test") -> list[Cell]:
    """The merges of a variant, by k and s."""
    networks = of_variant(tables["networks"], variant, split).where(lambda row: row["network"] != "trunk")
    gains = of_variant(tables["gains"], variant, split)
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
    """Accuracy of the merge minus its mean over the first epoch after it, minus .3 of the gain, where there is one."""
    return float(cell.peak - np.mean(cell.within(cell.merge, 1)) - 0.3 * max(cell.gain, 0.0))


def falls(cell: Cell) -> float:
    """1 where the merge falls by a third of its gain at least, else 0."""
    found = fall_against_gain(cell)
    return found if math.isnan(found) else float(found >= 0)


def stays_down(cell: Cell) -> float:
    """Accuracy of the merge minus its mean over the second half of training on from it."""
    last = cell.merge[-1][0]
    later = [accuracy for after, accuracy in cell.merge if after > last / 2 + _ROUNDED]
    if last <= 0:
        raise BadInput(f"k = {cell.k}, s = {cell.s}: the merge was not trained on")
    return float(cell.peak - np.mean(later))


def regained(cell: Cell) -> float:
    """The mean of the last five evaluations minus the accuracy one epoch after the merge."""
    later = cell.peak - lost_in_an_epoch(cell)
    if len(cell.merge) < 7:
        raise BadInput(f"k = {cell.k}, s = {cell.s}: the merge was not looked at five times after the first epoch")
    return float(np.mean([accuracy for _, accuracy in cell.merge[-5:]]) - later)
