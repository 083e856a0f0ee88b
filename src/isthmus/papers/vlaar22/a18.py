"""Block 3 of ResNet-18 on CIFAR-10, its parameters and its running statistics apart; figure A18."""

from __future__ import annotations

import functools

from isthmus.claims import ABOVE, Claim, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import draw, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.tabulate import ALONE, tabulate
from isthmus.study import Study, from_mapping

__all__ = ["ROW", "study"]

BLOCK, STATISTICS, OTHERS = "stage3", "running statistics", "all but statistics"
GROUPS = {
    BLOCK: ["layer3.*"],
    STATISTICS: ["layer3.*.running_mean", "layer3.*.running_var"],
    OTHERS: ["layer3.*.weight", "layer3.*.bias"],
    "running means": ["layer3.*.running_mean"],
    "running variances": ["layer3.*.running_var"],
    "convolutions": ["layer3.*.conv?.weight", "layer3.*.downsample.0.weight"],
    "scales and shifts": [
        *("layer3.*.bn?.weight", "layer3.*.bn?.bias"),
        *("layer3.*.downsample.1.weight", "layer3.*.downsample.1.bias"),
    ],
}


def study(scale: Scale = "paper") -> Study:
    """The networks of the base set-up; of block 3 groups of tensors move alone, all else at the final weights.

    The paths of the whole network and of the whole block are those of row ``f1b``.
    """
    content = setups.base(scale, "a18")
    content["train"]["blocks"] = GROUPS
    return from_mapping(content, where=f"vlaar22 a18 at {scale} scale")


CLAIMS = (
    Claim(
        id="statistics-govern-block-3",
        text="The path of block 3 is governed by its running means and variances.",
        source="Vlaar & Frankle 2022, A18",
        statistic="mean over alpha of |loss - that of the whole block 3|: where all but the running statistics move,"
        " minus where these alone move (nats; above 0: the statistics are nearer)",
        side=">=",
        threshold=ABOVE,
        why="nearer is nearer; in two seeds of three",
        values=per_seed(q.difference(q.apart(ALONE, OTHERS, BLOCK), q.apart(ALONE, STATISTICS, BLOCK))),
        count=(2, 3),
        published="the running statistics govern the block's path",
    ),
)

ROW = Row(
    name="a18",
    paper="vlaar22",
    title="Block 3 of ResNet-18 on CIFAR-10 by groups of its tensors: running statistics and the rest (A18)",
    shows=("A18",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=functools.partial(draw.draw, "A18", draw.Look("Groups of tensors of block 3")),
)
