"""LeNet-5 on MNIST at full scale: ten epochs, two repeats; figures F1 to F5 and the paper's claims about MNIST."""

from __future__ import annotations

import functools

import numpy as np

from isthmus.claims import Claim, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.shapira23 import draw
from isthmus.papers.shapira23 import quantities as q
from isthmus.papers.shapira23.tabulate import Published, tabulate
from isthmus.study import Study, from_mapping

__all__ = ["ROW", "study"]

PUBLISHED = Published(network="lenet5", data="mnist", parameters=61_706, accuracy=0.9818)
NEGLIGIBLE = 0.02  # nats: a tenth of the test loss after two epochs
LOOK = draw.Look("LeNet-5 on MNIST", limits={"loss": NEGLIGIBLE, "error": 0.02})

STUDY = {
    "name": "shapira23-mnist",
    "family": "branch",
    "seeds": [0, 1],
    "model": {"name": "lenet5"},
    "data": {"name": "mnist"},
    "recipe": {"batch_size": 1024, "drop_last": True, "optimizer": {"name": "adam", "lr": 1e-3}},
    "branch": {
        "at": ["0ep", "1ep", "2ep", "5ep", "7ep"],
        "to": "10ep",
        "every": "1ep",
        "trunk_is_child": True,
        "buffers": "keep",
        "trunk_at_k": True,
    },
    "evaluate": {"alphas": 25, "on": ["train:10000", "test"], "norm_stats": "interpolate"},
}


def study(scale: Scale = "paper") -> Study:
    """The published set-up, at either scale: it takes minutes on two cores.

    Adam at 1e-3 without a schedule, batches of 1024, the incomplete last one dropped: 58 steps an epoch, 580 in all.
    Paths are evaluated on the test set and on a fixed 10,000 of the training examples; on all of them with
    ``--set 'evaluate.on=["train", "test"]'``.
    """
    return from_mapping(STUDY, where=f"shapira23 mnist at {scale} scale")


BOTH = (2, 2)  # a rule about every k1 or k2 has to hold in every repeat
repeat = functools.partial(per_seed, by="repeat")

CLAIMS = (
    Claim(
        id="accuracy",
        text="The main branch reaches about 98 % test accuracy in ten epochs.",
        source="Shapira 2023, Table 1 (0.9818)",
        statistic="test accuracy of the main branch at the end of training (share)",
        side="within",
        threshold=(0.976, 0.984),
        why=".980 +- .004 holds the published .9818 and leaves room for other initial weights and data orders",
        values=repeat(q.final_accuracy),
    ),
    Claim(
        id="negligible-at-0",
        text="There is hardly a barrier even between networks that share nothing but their initial weights.",
        source="Shapira 2023, F1 (MNIST)",
        statistic="chord barrier of the test loss for k1 = 0 at the end of training, k2 = max (nats)",
        side="<=",
        threshold=NEGLIGIBLE,
        why="a tenth of the test loss after two epochs, a fiftieth of the barrier of networks that are not connected",
        values=repeat(q.chord(0)),
    ),
    Claim(
        id="negligible-at-0-any-k2",
        text="... and that is so at every k2 on the way.",
        source="Shapira 2023, F1 and F3 (MNIST)",
        statistic="largest chord barrier of the test loss over every k2, for k1 = 0 (nats)",
        side="<=",
        threshold=NEGLIGIBLE,
        why="as for negligible-at-0; over k2 because a barrier might pass",
        values=repeat(q.largest("chord", k1=0, only=True)),
        count=BOTH,
    ),
    Claim(
        id="falls-with-k1",
        text="The more epochs two networks share, the lower the barrier between them.",
        source="Shapira 2023, F1",
        statistic="largest rise of the chord barrier of the test loss from one k1 to the next, at the end (nats)",
        side="<=",
        threshold=NEGLIGIBLE / 4,
        why="on MNIST all are near 0: this says that the barrier does not rise, up to a quarter of what is negligible",
        values=repeat(q.change_with_k1("chord")),
        count=BOTH,
    ),
    Claim(
        id="train-like-test",
        text="Barriers on training and test data are nearly the same.",
        source="Shapira 2023, F1",
        statistic="largest |train - test| chord barrier of the loss over every k1, at the end (nats)",
        side="<=",
        threshold=0.01,
        why="half of what counts as negligible",
        values=repeat(q.train_against_test),
        count=BOTH,
    ),
    Claim(
        id="extreme-near-middle",
        text="The loss leaves the straight line between its ends most near the middle of the path.",
        source="Shapira 2023, F1 and F3",
        statistic="largest |alpha - 1/2| over every k1, alpha where |gap| of the test loss is largest, at the end",
        side="<=",
        threshold=0.125,
        why="the middle quarter of the path; where there is no barrier the gap is negative, so its magnitude counts",
        values=repeat(q.off_centre(k1=0)),
        count=BOTH,
    ),
    Claim(
        id="connected-before-accurate",
        text="Networks are connected well before they are as accurate as they will be.",
        source="Shapira 2023, F2",
        statistic="final test accuracy of the main branch minus that at the smallest k1 from which on every pair ends"
        " with a chord barrier of the test error below 2 points (share)",
        side=">=",
        threshold=0.1,
        why="ten points; on CIFAR-10 the paper finds about twenty",
        values=repeat(q.headroom(0.02)),
    ),
    Claim(
        id="gap-negative",
        text="With enough shared training the middle of the path is better than the straight line between the ends.",
        source="Shapira 2023, F3 (MNIST)",
        statistic="largest midpoint gap of the test loss over every k1 >= 2 and every k2 (nats)",
        side="<=",
        threshold=0.0,
        why="the claim is about the sign",
        values=repeat(q.largest("midpoint", k1=2)),
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
        values=repeat(q.change_over_k2("midpoint", k1=2, pick=np.max)),
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
        values=repeat(q.change_with_k1("l2", upto=5)),
        count=BOTH,
    ),
    Claim(
        id="distance-grows-with-k2",
        text="The weights of two networks drift apart all the time.",
        source="Shapira 2023, F4",
        statistic="smallest change of the L2 distance from one k2 to the next, over every k1 >= 1 (above 0: grows)",
        side=">=",
        threshold=0.0,
        why="the claim is about the direction, from each k2 to the next",
        values=repeat(q.smallest_step("l2", k1=1)),
        count=BOTH,
    ),
    Claim(
        id="predictions-drift-with-k2",
        text="The predictions of two networks drift apart as well.",
        source="Shapira 2023, F4",
        statistic="smallest change of the prediction cross-entropy (-sum p log q, p of the main branch) on the test set"
        " from the first k2 to the last, over every k1 >= 1 (nats; above 0: grows)",
        side=">=",
        threshold=0.0,
        why="the claim is about the direction, from the first k2 to the last, as single epochs are noisy",
        values=repeat(q.change_over_k2("prediction_cross_entropy", k1=1, pick=np.min)),
        count=BOTH,
    ),
    Claim(
        id="predictions-drift-at-end",
        text="Of pairs that end at the same step, those that parted earlier predict more differently.",
        source="our control for predictions-drift-with-k2",
        statistic="prediction cross-entropy on the test set at the end: k1 = 0 minus the largest k1 (nats)",
        side=">=",
        threshold=0.0,
        why="added after the first run: cross-entropy holds the entropy of p, which falls all through training; at one"
        " step of training that entropy is the same for every k1",
        values=repeat(q.drift_at_end("prediction_cross_entropy")),
        count=BOTH,
    ),
    Claim(
        id="barrier-stops-growing",
        text="While two networks drift apart, the barrier between them stops growing.",
        source="Shapira 2023, F4",
        statistic="largest chord barrier of the test loss at the last k2 minus that at the middle one, k1 >= 1 (nats)",
        side="<=",
        threshold=NEGLIGIBLE,
        why="what counts as negligible",
        values=repeat(q.late_rise(k1=1)),
        count=BOTH,
    ),
)

ROW = Row(
    name="mnist",
    paper="shapira23",
    title="LeNet-5 on MNIST: B(k1, k2), full scale (Table 1, F1 to F5)",
    shows=("T1", "F1", "F2", "F3", "F4", "F5"),
    study=study,
    tables=lambda results: tabulate(results, PUBLISHED),
    claims=CLAIMS,
    figures=functools.partial(draw.draw, LOOK),
)
