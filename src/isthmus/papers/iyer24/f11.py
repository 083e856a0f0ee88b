"""F11: F1 with copies that train on disjoint random halves of the training set."""

from __future__ import annotations

import functools

from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw, rules
from isthmus.papers.iyer24.setups import gains, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study

__all__ = ["ROW", "study"]

HALVES, WHOLE = "disjoint halves", "all of the data"
SOURCE = "Iyer 2024, F11"


def study(scale: Scale = "paper") -> Study:
    """The set-up of F1, each copy on a half of its own while they are apart, and as in F1.

    s is counted in epochs of the whole set: a copy sees its half twice in each.
    """
    variants = {HALVES: {"branch": {"disjoint": True}}, WHOLE: {}}
    return of("f11", scale, gains(scale), {"merge": {"children_go_on": scale == "paper"}}, variants=variants)


ROW = Row(
    name="f11",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10: copies on disjoint halves of the data (F11)",
    shows=("F11",),
    study=study,
    tables=tabulate,
    claims=(
        rules.gains(HALVES, SOURCE, text="Copies that saw disjoint halves of the data gain by merging as well."),
        rules.drop(HALVES, SOURCE),
    ),
    figures=functools.partial(draw.figure_of_gains, "F11", "Copies on disjoint halves", (HALVES, WHOLE)),
)
