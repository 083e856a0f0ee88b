"""F6: F2 with layer normalisation."""

from __future__ import annotations

import functools

from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw_grids, rules
from isthmus.papers.iyer24.f2 import points
from isthmus.papers.iyer24.setups import LAYER_NORM, NO_MERGE, early, gains, late, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study
from isthmus.study.overlay import laid_over

__all__ = ["ROW", "study"]

LAYER, LATE, BATCH = "layer norm", "layer norm, to the end", "batch norm"
SOURCE = "Iyer 2024, F6"


def study(scale: Scale = "paper") -> Study:
    """The grid of F2 with layer normalisation and a warm-up over 100 iterations, and F2's; small: k of F1."""
    if scale == "small":
        return of("f6", scale, gains(scale), NO_MERGE, variants={LAYER: LAYER_NORM, BATCH: {}})
    variants = {LAYER: LAYER_NORM, LATE: laid_over(LAYER_NORM, late(scale)), BATCH: {}}
    return of("f6", scale, points(scale), early(scale), variants=variants)


ROW = Row(
    name="f6",
    paper="iyer24",
    title="ResNet-20 with layer normalisation on CIFAR-10: a grid of k, to the end of training (F6)",
    shows=("F6",),
    study=study,
    tables=tabulate,
    claims=(
        *rules.smaller(BATCH, LAYER, SOURCE),
        *rules.early(LAYER, SOURCE, rules.PAPER),
        rules.late(LATE, SOURCE, rules.PAPER),
    ),
    figures=functools.partial(
        draw_grids.figure_of_ks, "F6", "The line between copies, layer normalisation", (LAYER, LATE, BATCH)
    ),
)
