"""F2: copies of ResNet-20 on CIFAR-10 for a grid of k, from their first epochs apart to the end of training."""

from __future__ import annotations

import functools

from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw_grids, rules
from isthmus.papers.iyer24.setups import early, late, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study

__all__ = ["EARLY", "LATE", "ROW", "SOURCE", "points", "study"]

EARLY, LATE = "early", "to the end"
SOURCE = "Iyer 2024, F2"


def points(scale: Scale) -> dict[str, object]:
    """Eleven alphas at paper scale."""
    return {"evaluate": {"alphas": 5 if scale == "small" else 11}}


def study(scale: Scale = "paper") -> Study:
    """k from 0 to 10 epochs, the copies to epoch 160, looked at after 1, 2, 3, 5 and every five epochs.

    At small scale k is 0, 196 iterations and 2 epochs, s at most 3; to the end go copies of a narrow network on 10,000
    examples, from k = 10 to epoch 60.
    """
    return of("f2", scale, points(scale), early(scale), variants={EARLY: {}, LATE: late(scale)})


ROW = Row(
    name="f2",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10: a grid of k, to the end of training (F2)",
    shows=("F2",),
    study=study,
    tables=tabulate,
    claims=(*rules.early(EARLY, SOURCE), rules.late(LATE, SOURCE)),
    figures=functools.partial(draw_grids.figure_of_ks, "F2", "The line between copies that share k", (EARLY, LATE)),
)
