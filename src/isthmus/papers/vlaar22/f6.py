"""ResNet-18 on CIFAR-10 with less data, without augmentation, and with more of it; figures 6, A14 and A15."""

from __future__ import annotations

import functools
from typing import Any

from isthmus.claims import ABOVE, DIRECTION, EVERY, Claim, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import conditions, draw, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Study, from_mapping

__all__ = ["ROW", "study"]

BASE, HALF, FIFTH, PLAIN, BOTH, BRIGHT = (
    *("base", "half of the data", "a fifth of the data"),
    *("no augmentation", "half, no augmentation", "brightness"),
)


def study(scale: Scale = "paper") -> Study:
    """The base set-up on a half and a fifth of its data, without crop and flip, both, and with brightness 0.05 more.

    At small scale that is 10,000, 5,000 and 2,000 examples, at paper scale the same shares of 50,000. Fewer examples
    mean shorter epochs, of which there are as many.
    """
    content = setups.base(scale, "f6")
    whole = setups.examples(scale)
    half, fifth = {"data.examples": whole // 2}, {"data.examples": whole // 5}
    plain: dict[str, Any] = {"recipe.augment": {}}
    content["variants"] = {
        BASE: {},
        HALF: half,
        FIFTH: fifth,
        PLAIN: plain,
        BOTH: half | plain,
        BRIGHT: {"recipe.augment.brightness": 0.05},
    }
    return from_mapping(content, where=f"vlaar22 f6 at {scale} scale")


PAPER = "Vlaar & Frankle 2022, F6"
SUM = "share by which the sum over blocks (stem, 1 to 4, fc) of rises of the test loss falls: {}"
FEWER = "what is called lower: at least a fifth less; by count, as a share of a small sum may be any number below 1"
MOST = (2, 3)

CLAIMS = (
    Claim(
        id="less-data-worse",
        text="The fewer examples a network is trained on, the less accurate it becomes.",
        source=PAPER,
        statistic="the smaller of two losses of test accuracy: from all of the data to a half, and from there to a"
        " fifth (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=per_seed(q.smallest(q.gain(BASE, HALF), q.gain(HALF, FIFTH))),
        published="worse",
    ),
    Claim(
        id="less-data-lower-block-barriers",
        text="With fewer examples the blocks have lower barriers when they move alone.",
        source=f"{PAPER} and Table 1",
        statistic=SUM.format("from all of the data to a fifth"),
        side=">=",
        threshold=0.2,
        why=FEWER,
        values=per_seed(conditions.where_blocks_rise(q.fall(q.summed_rises(BASE), q.summed_rises(FIFTH)), BASE, FIFTH)),
        count=MOST,
        published="blocks lower",
    ),
    Claim(
        id="less-data-monotone",
        text="With fewer examples the loss falls monotonically along the path of the whole network.",
        source=f"{PAPER} and Table 1",
        statistic="rise of the test loss on the path of the whole network (a fifth of the data; nats)",
        side="<=",
        threshold=0.02,
        why="less than half of the least rise that is called a barrier, as in F2A; the label NB also asks for a final"
        " loss below half of the initial one, which so few examples do not give",
        values=per_seed(q.rise(FIFTH)),
        count=EVERY,
        published="NB",
    ),
    Claim(
        id="no-augmentation-worse",
        text="Without augmentation networks become less accurate.",
        source=f"{PAPER} and Table 1",
        statistic="test accuracy with crop and flip minus that without (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=per_seed(q.gain(BASE, PLAIN)),
        published="worse",
    ),
    Claim(
        id="no-augmentation-lower-block-barriers",
        text="Without augmentation the blocks have lower barriers when they move alone.",
        source=f"{PAPER} and Table 1",
        statistic=SUM.format("from crop and flip to none"),
        side=">=",
        threshold=0.2,
        why=FEWER,
        values=per_seed(conditions.where_blocks_rise(q.fall(q.summed_rises(BASE), q.summed_rises(PLAIN)), BASE, PLAIN)),
        count=MOST,
        published="blocks lower",
    ),
)

ROW = Row(
    name="f6",
    paper="vlaar22",
    title="ResNet-18 on CIFAR-10: less data, no augmentation, both, extra brightness (F6, A14, A15)",
    shows=("F6", "A14", "A15"),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=functools.partial(draw.draw, "F6", draw.Look("Data and augmentation")),
)
