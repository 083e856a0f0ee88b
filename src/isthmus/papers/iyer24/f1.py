"""F1: ResNet-20 on CIFAR-10 gains at a merge, and loses it again when it is trained on."""

from __future__ import annotations

import functools

from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw, rules
from isthmus.papers.iyer24.setups import epochs, gains, of, trunk
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study

__all__ = ["ROW", "study"]

COPIES, TRUNK = "copies", "trunk"


def study(scale: Scale = "paper") -> Study:
    """Copies that leave at k = 10 epochs, merged after s = 10, trained on for 10; at small scale k = s = 5, then 2.

    At paper scale the trunk is looked at after every epoch, at small scale where other rows train it to anyway.
    """
    before = epochs((1, 2) if scale == "small" else range(1, 10))
    return of("f1", scale, gains(scale), variants={COPIES: {}, TRUNK: trunk(before)})


ROW = Row(
    name="f1",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10: a jump at the merge, a drop after it (F1)",
    shows=("F1",),
    study=study,
    tables=tabulate,
    claims=(*rules.training_on(COPIES, "Iyer 2024, F1"), rules.stalls(COPIES, "Iyer 2024, F1")),
    figures=functools.partial(
        draw.figure_of_gains, "F1", "Test accuracy before and after a merge", (COPIES,), trunk=TRUNK
    ),
)
