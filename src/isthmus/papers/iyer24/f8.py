"""F8: F9 with layer normalisation."""

from __future__ import annotations

import functools

from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw_grids, rules
from isthmus.papers.iyer24.setups import LAYER_NORM, gains, grid, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study

__all__ = ["ROW", "study"]

LAYER, BATCH = "layer norm", "batch norm"
SOURCE = "Iyer 2024, F8"


def study(scale: Scale = "paper") -> Study:
    """The grid of F9 with layer normalisation and a warm-up over 100 iterations, and F9's; small: k of F1."""
    parts = gains(scale) | {"merge": {**gains(scale)["merge"], "children_go_on": False}}
    return of("f8", scale, parts if scale == "small" else grid(), variants={LAYER: LAYER_NORM, BATCH: {}})


ROW = Row(
    name="f8",
    paper="iyer24",
    title="ResNet-20 with layer normalisation on CIFAR-10: merges for a grid of k and s (F8)",
    shows=("F8",),
    study=study,
    tables=tabulate,
    claims=(
        *rules.smaller(BATCH, LAYER, SOURCE),
        rules.better(LAYER, SOURCE, rules.PAPER),
        rules.drop(LAYER, SOURCE),
        rules.same(LAYER, SOURCE, rules.PAPER),
        rules.everywhere(LAYER, SOURCE),
        rules.size(LAYER, SOURCE),
    ),
    figures=functools.partial(
        draw_grids.figure_of_merges, "F8", "Around the merge, layer normalisation", (LAYER, BATCH)
    ),
)
