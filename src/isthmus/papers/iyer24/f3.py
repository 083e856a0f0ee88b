"""F3: the merge and both copies go on, and are soon the same; F3a for one k, F3b for several large ones."""

from __future__ import annotations

import functools

from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw, rules
from isthmus.papers.iyer24.setups import branch, continued, epochs, gains, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study

__all__ = ["ROW", "study"]

COPIES = "copies"


def study(scale: Scale = "paper") -> Study:
    """k = 5, 10, 20 epochs, merged after s = 5, all going on for 5 more; at small scale k = 5, then 2, as in F1."""
    if scale == "small":
        return of("f3", scale, gains(scale), variants={COPIES: {}})
    parts = branch(epochs((5, 10, 20)), epochs(range(1, 6)), trunk_at_k=True) | continued("5ep", at=["5ep"])
    return of("f3", scale, parts, variants={COPIES: {}})


ROW = Row(
    name="f3",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10: the merge against copies that go on (F3a, F3b)",
    shows=("F3", "F3a", "F3b"),
    study=study,
    tables=tabulate,
    claims=(*rules.training_on(COPIES, "Iyer 2024, F3"), rules.same(COPIES, "Iyer 2024, F3")),
    figures=functools.partial(draw.figure_of_gains, "F3", "The merge and both copies go on", (COPIES,)),
)
