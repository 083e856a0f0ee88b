"""ResNet-18 on CIFAR-10 by the base recipe: the path of the whole network and of each block; figure 1B."""

from __future__ import annotations

import functools
import math
from typing import Any

from isthmus.claims import EVERY, Claim, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import draw, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.tabulate import ALONE, tabulate
from isthmus.study import Study, from_mapping

__all__ = ["ROW", "study"]

BASE = ALONE
STEMS: dict[str, dict[str, Any]] = {
    BASE: {"model": {"stem": "3x3", "max_pool": True}},
    "3x3, no pool": {"model": {"stem": "3x3", "max_pool": False}},
    "3x3 unpadded": {"model": {"stem": "3x3-unpadded", "max_pool": True}},
    "3x3 unpadded, no pool": {"model": {"stem": "3x3-unpadded", "max_pool": False}},
    "VGG-11": {"model": {"name": "vgg11"}, "train": {"blocks": "all"}},
}


def study(scale: Scale = "paper") -> Study:
    """The base set-up; at paper scale with every stem that the paper may have used, and VGG-11 beside them.

    The stem whose network reaches 92.2 +- 0.5 % is the paper's; on other pixels than the original ones VGG-11's
    91.9 % on the same pixels is the reference.
    """
    content = setups.base(scale, "f1b")
    if scale == "paper":
        content |= {"model": {"name": "resnet18"}, "variants": STEMS}
    return from_mapping(content, where=f"vlaar22 f1b at {scale} scale")


LN10 = math.log(10)
PAPER = "Vlaar & Frankle 2022, F1B"

CLAIMS = (
    Claim(
        id="accuracy",
        text="ResNet-18 reaches about 92 % test accuracy by the base recipe.",
        source="Vlaar & Frankle 2022, Table 2",
        statistic="test accuracy of the final network with the padded stem and max-pool (points)",
        side="within",
        threshold=(91.7, 92.7),
        why="the published number +- .5, which on the original pixels tells the paper's stem from the others",
        values=per_seed(q.accuracy(BASE)),
        published="92.2 +- 0.2",
        scales=("paper",),
    ),
    Claim(
        id="accuracy-beside-vgg11",
        text="It is about as accurate as VGG-11, which tells the stem on pixels other than the original ones as well.",
        source="Vlaar & Frankle 2022, Table 2",
        statistic="test accuracy with the padded stem and max-pool minus that of VGG-11 on the same pixels (points)",
        side="within",
        threshold=(-0.2, 0.8),
        why="the published difference, 92.2 - 91.9, +- .5",
        values=per_seed(q.gain(BASE, "VGG-11")),
        published="+0.3",
        scales=("paper",),
    ),
    Claim(
        id="plateau-at-chance",
        text="Along the path of the whole network the loss stays near that of guessing for most of the way.",
        source=PAPER,
        statistic="lowest test loss over alpha <= 0.6 on the path of the whole network (nats)",
        side=">=",
        threshold=0.8 * LN10,
        why="a fifth below the loss of guessing, ln 10, at more than half of the way",
        values=per_seed(q.lowest(BASE, upto=0.6)),
        published="plateau at chance",
    ),
    Claim(
        id="late-drop",
        text="The loss then drops close to the final weights.",
        source=PAPER,
        statistic="test loss at the final weights as a share of that at the initial ones",
        side="<=",
        threshold=0.5,
        why="what a plateau has to fall to by the definition of its label",
        values=per_seed(q.descent(BASE)),
        published="late drop",
    ),
    Claim(
        id="blocks-with-barriers",
        text="Some of the middle and later blocks have a barrier when they move alone.",
        source=PAPER + " and the blocks with barriers",
        statistic="largest rise of the test loss among blocks 2, 3 and 4.0 when each moves alone (nats)",
        side=">=",
        threshold=q.BARRIER,
        why="the least rise that is called a barrier, in every seed",
        values=per_seed(q.largest_rise(BASE, "stage2", "stage3", "stage4.0")),
        count=EVERY,
        published="barriers of blocks 2, 3 and 4.0",
        was=">= 0.05 in the mean. Rises of single blocks are far from normal (.055, .25 and 1.4 in the first three"
        " seeds): an interval of their mean holds 0 however far above the threshold each of them lies",
    ),
    Claim(
        id="fc-without-barrier",
        text="The last layer has none.",
        source=PAPER,
        statistic="rise of the test loss when the last layer moves alone (nats)",
        side="<=",
        threshold=0.02,
        why="less than half of the least rise that is called a barrier",
        values=per_seed(q.rise(BASE, "fc")),
        published="no barrier",
    ),
)

ROW = Row(
    name="f1b",
    paper="vlaar22",
    title="ResNet-18 on CIFAR-10, base recipe: whole path, each block, last layer (F1B)",
    shows=("F1B",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=functools.partial(draw.draw, "F1B", draw.Look("The base recipe", metrics=("loss", "accuracy"))),
)
