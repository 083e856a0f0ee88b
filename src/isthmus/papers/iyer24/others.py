"""What F14 to F19 share: F2 and F9 again for another network or other data."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isthmus.claims import Claim, Tables
from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw_grids, rules
from isthmus.papers.iyer24.f2 import points
from isthmus.papers.iyer24.setups import NO_MERGE, continued, early, gains, grid, late, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study

__all__ = ["EARLY", "GRID", "LATE", "row"]

EARLY, LATE, GRID = "early", "to the end", "k and s"


def row(
    figures: tuple[str, str],
    what: str,
    setup: Mapping[str, Any],
    small: Mapping[str, Any],
    substitute: Mapping[str, Any] | None = None,
) -> Row:
    """The row of two figures, the one like F2 and the one like F9.

    Args:
        figures: their names; the row is called like the first.
        what: network and data.
        setup: how the published set-up differs from that of ResNet-20 on CIFAR-10.
        small: how that at small scale differs from it: beside this k = s = 5 epochs and one more, without a grid.
        substitute: what is different where the data are not at hand.
    """
    name = figures[0].lower()

    def study(scale: Scale = "paper", *more: Mapping[str, Any]) -> Study:
        if scale == "small":
            on = continued("1ep", children_go_on=False)
            return of(name, scale, setup, small, *more, gains(scale), on, variants={GRID: {}})
        variants = {
            GRID: {},
            EARLY: {**points(scale), **early(scale), **NO_MERGE},
            LATE: {**points(scale), **late(scale)},
        }
        return of(name, scale, setup, *more, grid(), variants=variants)

    return Row(
        name=name,
        paper="iyer24",
        title=f"{what}: a grid of k, and merges for a grid of k and s ({', '.join(figures)})",
        shows=figures,
        study=study,
        tables=tabulate,
        claims=_claims(*(f"Iyer 2024, {figure}" for figure in figures)),
        figures=functools.partial(_figures, figures, what),
        substitute=None if substitute is None else lambda scale: study(scale, substitute),
    )


def _claims(lines: str, merges: str) -> tuple[Claim, ...]:
    return (
        rules.gains(GRID, merges, 1.0, "the prediction for other networks and data than F1's", scales=rules.SMALL),
        rules.gains_everywhere(GRID, merges),
        rules.better(GRID, merges, rules.PAPER),
        rules.first_epoch(GRID, merges),
        rules.same(GRID, merges, rules.PAPER),
        rules.everywhere(GRID, merges),
        rules.size(GRID, merges),
        *rules.early(EARLY, lines, rules.PAPER),
        rules.late(LATE, lines, rules.PAPER),
    )


def _figures(names: tuple[str, str], what: str, tables: Tables, folder: Path) -> list[Path]:
    parts = tuple(name for name in (EARLY, LATE) if name in tables["setup"]["variant"]) or (GRID,)
    lines = draw_grids.figure_of_ks(names[0], f"The line between copies: {what}", parts, tables, folder)
    return lines + draw_grids.figure_of_merges(names[1], f"Around the merge: {what}", (GRID,), tables, folder)
