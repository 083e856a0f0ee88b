"""F5 and Table 1: which training examples gain by a merge, and lose by training on."""

from __future__ import annotations

import functools

from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw_splits, splits
from isthmus.study import Study

__all__ = ["ROW", "study"]

COPIES = "copies"


def study(scale: Scale = "paper") -> Study:
    """ResNet-20 on CIFAR-10, four splits by EL2N: see :func:`isthmus.papers.iyer24.splits.study`."""
    return splits.study("f5", scale, variant=COPIES)


ROW = Row(
    name="f5",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10: the gain on easy and hard training examples (F5, Table 1)",
    shows=("F5", "T1"),
    study=study,
    tables=functools.partial(splits.tables, variant=COPIES, published=True),
    claims=splits.claims("Iyer 2024, F5 and Table 1", published=True),
    figures=functools.partial(draw_splits.figures, "F5", "Easy and hard examples at a merge", COPIES),
)
