"""F7: F5 with layer normalisation."""

from __future__ import annotations

import functools

from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw_splits, splits
from isthmus.papers.iyer24.setups import LAYER_NORM
from isthmus.study import Study

__all__ = ["ROW", "study"]

COPIES = "layer norm"


def study(scale: Scale = "paper") -> Study:
    """As F5, with layer normalisation and a warm-up over the first 100 iterations."""
    return splits.study("f7", scale, LAYER_NORM, variant=COPIES)


ROW = Row(
    name="f7",
    paper="iyer24",
    title="ResNet-20 with layer normalisation on CIFAR-10: easy and hard training examples (F7)",
    shows=("F7",),
    study=study,
    tables=functools.partial(splits.tables, variant=COPIES),
    claims=splits.claims("Iyer 2024, F7"),
    figures=functools.partial(draw_splits.figures, "F7", "Easy and hard examples, layer normalisation", COPIES),
)
