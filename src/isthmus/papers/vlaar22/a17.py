"""Fully connected networks of six hidden layers on the spiral, narrow and wide; figure A17."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from isthmus.claims import ABOVE, EVERY, Claim, Tables, Values
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import conditions, draw, f1a, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Study, from_mapping
from isthmus.study.overlay import laid_over

__all__ = ["ROW", "study"]

NARROW, WIDE, SIX, EIGHT = "50", "500", "500x4, 25x2", "500x4, 25x4"
HIDDEN = {NARROW: [50] * 6, WIDE: [500] * 6, SIX: [500] * 4 + [25] * 2, EIGHT: [500] * 4 + [25] * 4}


def study(scale: Scale = "paper") -> Study:
    """Networks of 50 or 500 units in each of six hidden layers, and of many units in the early ones alone.

    For the latter the paper counts 500 units in layers 1 to 4 and 25 in layers 5 to 8, while six hidden layers and the
    output are seven. Both readings are there: six hidden layers, of which the last two have 25 units; and eight of
    them. Trained to an accuracy of 100 % on the test set, at small scale 99.9 %, there for five seeds, as narrow
    networks without a barrier say nothing.
    """
    content = laid_over(f1a.mlp("a17", HIDDEN[NARROW]), f1a.SPIRAL)
    content["train"] |= {"blocks": "all", "blocks_on": ["initial->final"], "paths": ["initial->final", f1a.FRESH]}
    content["seeds"] = setups.seeds(scale, small=5)
    if scale == "paper":
        content["train"]["until"] = {"accuracy": 1.0, "on": "test"}
    content["variants"] = {name: {"model.hidden": hidden} for name, hidden in HIDDEN.items()}
    return from_mapping(content, where=f"vlaar22 a17 at {scale} scale")


PAPER = "Vlaar & Frankle 2022, A17"
LEAST = 0.1 * math.log(2)
"""The least rise on the path of a whole network that is labelled a barrier, in nats."""
HALF = (
    "half of the rise of the test loss from i to f of the narrow network minus the rise of the {} (nats; runs in which"
    " the narrow one has a barrier by its label, 3 of them at least)"
)
WHY = "a barrier of less than half the height; a tie does not count"
LEARNT = 99.9
"""Test accuracy, in points, that both have to have reached."""


def _lower(variant: str) -> Callable[[Tables], Values]:
    """By how much a network's rise is below half of that of the narrow one, of runs where that has a barrier."""
    apart = q.difference(q.scaled(0.5, q.rise(NARROW)), q.rise(variant))
    both = conditions.learnt(LEARNT, apart, NARROW, variant)
    return conditions.among(both, keep=q.rise(NARROW), least=LEAST, needed=3)


CLAIMS = tuple(
    Claim(
        id=name,
        text=text,
        source=PAPER,
        statistic=HALF.format(what),
        side=">=",
        threshold=ABOVE,
        why=WHY,
        values=_lower(variant),
        count=EVERY,
        published="no barrier",
    )
    for name, variant, what, text in (
        ("wide-without-barrier", WIDE, "wide one", "Ten times as many units in each layer take the barrier away."),
        (
            "wide-early-layers-6",
            SIX,
            "one with 500, 500, 500, 500, 25, 25 units",
            "More units in the early layers, which have barriers, do so although the later ones get fewer.",
        ),
        (
            "wide-early-layers-8",
            EIGHT,
            "one with four layers of 500 units and four of 25",
            "... and with eight hidden layers, the other reading of the paper's count, as well.",
        ),
    )
)

LOOK = draw.Look(
    "Fully connected networks on the spiral",
    names={NARROW: "6 x 50", WIDE: "6 x 500", SIX: "4 x 500, 2 x 25", EIGHT: "4 x 500, 4 x 25"},
    routes=("initial->final", f1a.FRESH),
)

ROW = Row(
    name="a17",
    paper="vlaar22",
    title="MLPs of six hidden layers on the spiral: 50 wide, 500 wide, wide early layers (A17)",
    shows=("A17",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=functools.partial(draw.draw, "A17", LOOK),
)
