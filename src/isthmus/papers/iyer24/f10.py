"""F10: F1 without augmentation."""

from __future__ import annotations

import functools
from typing import Any

from isthmus.claims import Claim
from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw, merges, rules
from isthmus.papers.iyer24 import quantities as q
from isthmus.papers.iyer24.setups import gains, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study

__all__ = ["ROW", "study"]

PLAIN, WITH = "no augmentation", "augmented"
SOURCE = "Iyer 2024, F10"


def study(scale: Scale = "paper") -> Study:
    """The set-up of F1 without crops and flips, and with them; at small scale the copies do not go on."""
    variants: dict[str, Any] = {PLAIN: {"recipe": {"augment": {}}}, WITH: {}}
    return of("f10", scale, gains(scale), {"merge": {"children_go_on": scale == "paper"}}, variants=variants)


CLAIMS = (
    rules.gains(PLAIN, SOURCE, text="Without augmentation copies gain by merging as well."),
    rules.drop(PLAIN, SOURCE),
    Claim(
        id="more-noticeable",
        text="The gain is more noticeable without augmentation.",
        source=SOURCE,
        statistic="G0 without augmentation minus G0 with it (points)",
        side=">=",
        threshold=0.0,
        why="the claim is about the direction",
        values=rules.seeds_of((PLAIN, WITH), q.difference(*(merges.over(name, merges.gain) for name in (PLAIN, WITH)))),
    ),
)

ROW = Row(
    name="f10",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10 without augmentation: a merge (F10)",
    shows=("F10",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=functools.partial(draw.figure_of_gains, "F10", "A merge without augmentation", (PLAIN, WITH)),
)
