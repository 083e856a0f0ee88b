"""ResNet-18 on CIFAR-10 from weights that know random labels by heart; figure 2B."""

from __future__ import annotations

import functools

from isthmus.claims import ABOVE, DIRECTION, EVERY, Claim, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import conditions, draw, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Study, from_mapping

__all__ = ["ROW", "study"]

SCRATCH, RANDOM = "scratch", "random labels"


def study(scale: Scale = "paper") -> Study:
    """The base set-up without weight decay, from initial weights and from weights trained on random labels."""
    content = setups.base(scale, "f2b")
    content["recipe"]["optimizer"]["weight_decay"] = 0.0
    content["variants"] = {SCRATCH: {}, RANDOM: {"start": {"pretrain": setups.random_labels(scale)}}}
    return from_mapping(content, where=f"vlaar22 f2b at {scale} scale")


PAPER = "Vlaar & Frankle 2022, F2B"
MEAN = (
    "for the mean over seeds. Rises of blocks differ by orders of magnitude between seeds: in F7 more decay than the"
    " base's raised their sum by 1.88, .24 and 1.54 nats, every time, and the interval of the mean is [-.93, 3.4]."
)

CLAIMS = (
    Claim(
        id="worse",
        text="Weights that know random labels by heart are a bad start: the network becomes less accurate.",
        source=PAPER,
        statistic="test accuracy from scratch minus that from random labels, both without weight decay (points)",
        side=">=",
        threshold=1.0,
        why="several times the spread over seeds",
        values=per_seed(conditions.knowing(q.gain(SCRATCH, RANDOM), RANDOM)),
        published="lower accuracy",
    ),
    Claim(
        id="higher-block-barriers",
        text="Its blocks have higher barriers when they move alone.",
        source=PAPER,
        statistic="sum over blocks (stem, 1 to 4, fc) of the rise of the test loss when each moves alone: from random"
        " labels minus from scratch (nats)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        count=EVERY,
        was=MEAN,
        values=per_seed(
            conditions.knowing(
                conditions.where_blocks_rise(
                    q.difference(q.summed_rises(RANDOM), q.summed_rises(SCRATCH)), RANDOM, SCRATCH
                ),
                RANDOM,
            )
        ),
        published="higher block barriers",
    ),
    Claim(
        id="higher-barrier",
        text="The barrier on the path of the whole network is higher as well.",
        source=PAPER,
        statistic="rise of the test loss on the path of the whole network: from random labels minus from scratch"
        " (nats)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=per_seed(conditions.knowing(q.difference(q.rise(RANDOM), q.rise(SCRATCH)), RANDOM)),
        count=EVERY,
        was=MEAN,
        published="higher barrier",
    ),
)

ROW = Row(
    name="f2b",
    paper="vlaar22",
    title="ResNet-18 on CIFAR-10 without weight decay, started at weights trained on random labels (F2B)",
    shows=("F2B",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=functools.partial(draw.draw, "F2B", draw.Look("A start at weights trained on random labels")),
)
