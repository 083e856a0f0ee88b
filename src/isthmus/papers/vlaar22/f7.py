"""ResNet-18 on CIFAR-10 with four weight decays; figure 7."""

from __future__ import annotations

import functools

from isthmus.claims import ABOVE, DIRECTION, EVERY, Claim, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import draw, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.setups import LESS, MORE, NONE, USUAL
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Study, from_mapping

__all__ = ["ROW", "study"]


def study(scale: Scale = "paper") -> Study:
    """The base set-up with weight decays of 0, 1e-4, 5e-4 (the base set-up itself) and 5e-3.

    At small scale with those that :data:`setups.DECAYS` has for it.
    """
    content = setups.base(scale, "f7")
    content["variants"] = {
        name: {"recipe.optimizer.weight_decay": decay} for name, decay in setups.DECAYS[scale].items()
    }
    return from_mapping(content, where=f"vlaar22 f7 at {scale} scale")


PAPER = "Vlaar & Frankle 2022, F7"
LABELLED = "1 where the label of the path of the whole network is {}, else 0 (weight decay: {})"

CLAIMS = (
    Claim(
        id="plateau-at-base",
        text="With the base recipe's weight decay the path is a plateau with a late drop.",
        source=PAPER,
        statistic=LABELLED.format("P", USUAL),
        side=">=",
        threshold=1.0,
        why="the label itself, in every seed",
        values=per_seed(q.is_shape(USUAL, "P")),
        count=EVERY,
        published="plateau",
    ),
    Claim(
        id="plateau-above",
        text="With more weight decay it is a plateau as well.",
        source=PAPER,
        statistic=LABELLED.format("P", MORE),
        side=">=",
        threshold=1.0,
        why="the label itself, in every seed",
        values=per_seed(q.is_shape(MORE, "P")),
        count=EVERY,
        published="plateau",
    ),
    Claim(
        id="monotone-below",
        text="With less weight decay the loss falls monotonically.",
        source=PAPER,
        statistic=LABELLED.format("NB", LESS),
        side=">=",
        threshold=1.0,
        why="the label itself, in two seeds of three",
        values=per_seed(q.is_shape(LESS, "NB")),
        count=(2, 3),
        published="monotone",
    ),
    Claim(
        id="best-at-base",
        text="The base recipe's weight decay gives the most accurate networks.",
        source=PAPER,
        statistic="test accuracy at the base's decay minus that at the other decay which is best on average (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=q.lead(USUAL, NONE, LESS, MORE),
        published="5e-4 best, 5e-3 worse",
    ),
    Claim(
        id="mixed-at-0",
        text="Without weight decay some runs have a barrier and others none.",
        source=PAPER,
        statistic="number of different labels of the path of the whole network over seeds (weight decay: 0)",
        side=">=",
        threshold=2.0,
        why="two runs with different labels are what mixed means",
        values=q.labels_at(NONE),
        published="mixed over runs",
    ),
)

ROW = Row(
    name="f7",
    paper="vlaar22",
    title="ResNet-18 on CIFAR-10: four weight decays, none, less, that of the base and more (F7)",
    shows=("F7",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=functools.partial(
        draw.draw,
        "F7",
        draw.Look("Weight decay", ordered=True, metrics=("loss", "accuracy")),
    ),
)
