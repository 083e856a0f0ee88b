"""F9: the gain at the merge and its loss for a grid of k and s."""

from __future__ import annotations

import functools

from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw_grids, rules
from isthmus.papers.iyer24.setups import gains, grid, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study

__all__ = ["GRID", "ROW", "study"]

GRID = "k and s"
SOURCE = "Iyer 2024, F9"


def study(scale: Scale = "paper") -> Study:
    """k and s from 1, 2, 5, 10, 20 epochs, merged after each s and trained on for two epochs; small: that of F1."""
    return of("f9", scale, gains(scale) if scale == "small" else grid(), variants={GRID: {}})


ROW = Row(
    name="f9",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10: merges for a grid of k and s (F9)",
    shows=("F9",),
    study=study,
    tables=tabulate,
    claims=(
        rules.gains(GRID, SOURCE, scales=rules.SMALL),
        rules.gains_everywhere(GRID, SOURCE),
        rules.better(GRID, SOURCE),
        rules.drop(GRID, SOURCE),
        rules.same(GRID, SOURCE),
        rules.everywhere(GRID, SOURCE),
        rules.size(GRID, SOURCE),
    ),
    figures=functools.partial(draw_grids.figure_of_merges, "F9", "Around the merge, for each k and s", (GRID,)),
)
