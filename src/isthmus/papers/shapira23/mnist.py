"""LeNet-5 on MNIST at full scale: ten epochs, two repeats; figures F1 to F5 and the paper's claims about MNIST."""

from __future__ import annotations

import functools

import numpy as np

from isthmus.claims import Claim
from isthmus.papers import Row, Scale
from isthmus.papers.shapira23 import draw, released, rules
from isthmus.papers.shapira23 import quantities as q
from isthmus.papers.shapira23.rules import BOTH, NEGLIGIBLE, drifting
from isthmus.papers.shapira23.setups import branching
from isthmus.papers.shapira23.tabulate import Published, tabulate
from isthmus.study import Study

__all__ = ["ROW", "study"]

PUBLISHED = Published(network="lenet5", data="mnist", examples=60_000, parameters=61_706, steps=580, accuracy=0.9818)
LOOK = draw.Look("LeNet-5 on MNIST", limits={"loss": NEGLIGIBLE, "error": 0.02})


def study(scale: Scale = "paper") -> Study:
    """The published set-up, at either scale: it takes minutes on two cores.

    The paper names no non-linearity; ReLU before the pooling is that of the code which was released with its numbers.
    Adam at 1e-3 without a schedule, batches of 1024, the incomplete last one dropped: 58 steps an epoch, 580 in all.
    Paths are evaluated on the test set and on a fixed 10,000 of the training examples; on all of them with
    ``--set 'evaluate.on=["train", "test"]'``.
    """
    return branching(
        "mnist",
        scale,
        at=(0, 1, 2, 5, 7),
        to=10,
        model={"name": "lenet5", "activation": "relu", "activate": "before"},
        data={"name": "mnist"},
        recipe={"batch_size": 1024},
        evaluate={"on": ["train:10000", "test"]},
    )


CLAIMS = (
    Claim(
        id="accuracy",
        text="The main branch reaches about 98 % test accuracy in ten epochs.",
        source="Shapira 2023, Table 1",
        published="0.9818",
        statistic="test accuracy of the main branch at the end of training (share)",
        side="within",
        threshold=(0.976, 0.984),
        why=".980 +- .004 holds the published .9818 and leaves room for other initial weights and data orders",
        values=q.repeat(q.final_accuracy),
    ),
    Claim(
        id="negligible-at-0",
        text="There is hardly a barrier even between networks that share nothing but their initial weights.",
        source="Shapira 2023, F1 (MNIST)",
        statistic="chord barrier of the test loss for k1 = 0 at the end of training, k2 = max (nats)",
        side="<=",
        threshold=NEGLIGIBLE,
        why="a tenth of the test loss after two epochs, a fiftieth of the barrier of networks that are not connected",
        values=q.repeat(q.ending("chord", k1=0)),
    ),
    Claim(
        id="negligible-at-0-any-k2",
        text="... and that is so at every k2 on the way.",
        source="Shapira 2023, F1 and F3 (MNIST)",
        statistic="largest chord barrier of the test loss over every k2, for k1 = 0 (nats)",
        side="<=",
        threshold=NEGLIGIBLE,
        why="as for negligible-at-0; over k2 because a barrier might pass",
        values=q.repeat(q.largest("chord", k1=0, only=True)),
        count=BOTH,
    ),
    rules.falling(
        NEGLIGIBLE / 4,
        "on MNIST all are near 0: this says that the barrier does not rise, up to a quarter of what is negligible",
    ),
    rules.train_like_test(0.01, "half of what counts as negligible"),
    Claim(
        id="extreme-near-middle",
        text="The loss leaves the straight line between its ends most near the middle of the path.",
        source="Shapira 2023, F1 and F3",
        statistic="largest |alpha - 1/2| over every k1, alpha where |gap| of the test loss is largest, at the end",
        side="<=",
        threshold=0.125,
        why="the middle quarter of the path; where there is no barrier the gap is negative, so its magnitude counts",
        values=q.repeat(q.off_centre(k1=0)),
        count=BOTH,
    ),
    rules.early("Shapira 2023, F2", "ten points; on CIFAR-10 the paper finds about twenty"),
    Claim(
        id="gap-negative",
        text="With enough shared training the middle of the path is better than the straight line between the ends.",
        source="Shapira 2023, F3 (MNIST)",
        statistic="largest midpoint gap of the test loss over every k1 >= 2 and every k2 (nats)",
        side="<=",
        threshold=0.0,
        why="the claim is about the sign",
        values=q.repeat(q.largest("midpoint", k1=2)),
        count=BOTH,
    ),
    Claim(
        id="gap-stops-growing",
        text="The gap grows with k2 only where little training is shared.",
        source="Shapira 2023, F3",
        statistic="largest change of the midpoint gap of the test loss from the first k2 to the last, k1 >= 2 (nats)",
        side="<=",
        threshold=NEGLIGIBLE / 4,
        why="a quarter of what is negligible; growth for small k1 cannot be seen on MNIST, where there is no gap",
        values=q.repeat(q.change_over_k2("midpoint", k1=2, pick=np.max)),
        count=BOTH,
    ),
    Claim(
        id="distance-falls-with-k1",
        text="The more epochs two networks share, the closer their weights are in the end.",
        source="Shapira 2023, F4",
        statistic="largest change of the L2 distance at the end from one k1 to the next, k1 = 0 to 5 (below 0: falls)",
        side="<=",
        threshold=0.0,
        why="the claim is about the direction, from each k1 to the next",
        values=q.repeat(q.change_with_k1("l2", among=(0, 1, 2, 5))),
        count=BOTH,
    ),
    *drifting(),
)

ROW = Row(
    name="mnist",
    paper="shapira23",
    title="LeNet-5 on MNIST: B(k1, k2), full scale (Table 1, F1 to F5)",
    shows=("T1", "F1", "F2", "F3", "F4", "F5"),
    study=study,
    tables=lambda results: tabulate(results, PUBLISHED, released.MNIST),
    claims=CLAIMS,
    figures=functools.partial(draw.draw, LOOK),
)
