"""Claims that several rows make: about every k1, and (F4) that networks drift apart while the barrier stops growing."""

from __future__ import annotations

import functools

import numpy as np

from isthmus.claims import Claim
from isthmus.papers.shapira23 import quantities as q

__all__ = ["BOTH", "NEGLIGIBLE", "drifting", "early", "falling", "train_like_test"]

NEGLIGIBLE = 0.02  # nats: a tenth of the test loss of LeNet-5 on MNIST after two epochs
BOTH = (2, 2)  # a rule about every k1 or k2 has to hold in every repeat


def falling(threshold: float, why: str, variant: str = "") -> Claim:
    """The barrier falls with k1, up to a threshold."""
    return Claim(
        id="falls-with-k1",
        text="The more epochs two networks share, the lower the barrier between them.",
        source="Shapira 2023, F1",
        statistic="largest rise of the chord barrier of the test loss from one k1 to the next, at the end (nats)",
        side="<=",
        threshold=threshold,
        why=why,
        values=q.repeat(q.change_with_k1("chord"), variant),
        count=BOTH,
    )


def train_like_test(threshold: float, why: str, variant: str = "") -> Claim:
    """Barriers on training and test data differ by no more than a threshold."""
    return Claim(
        id="train-like-test",
        text="Barriers on training and test data are nearly the same.",
        source="Shapira 2023, F1",
        statistic="largest |train - test| chord barrier of the loss over every k1, at the end (nats)",
        side="<=",
        threshold=threshold,
        why=why,
        values=q.repeat(q.train_against_test, variant),
        count=BOTH,
    )


def early(source: str, why: str, published: str = "", variant: str = "") -> Claim:
    """Networks are connected ten points before the final accuracy."""
    return Claim(
        id="connected-before-accurate",
        text="Networks are connected well before they are as accurate as they will be.",
        source=source,
        statistic="final test accuracy of the main branch minus that at the smallest k1 from which on every pair ends"
        " with a chord barrier of the test error below 2 points (share)",
        side=">=",
        threshold=0.1,
        why=why,
        values=q.repeat(q.headroom(0.02), variant),
        published=published,
    )


def drifting(variant: str = "") -> tuple[Claim, ...]:
    """The claims of F4, of a study with variants about this one."""
    of = functools.partial(q.repeat, variant=variant)
    return (
        Claim(
            id="distance-grows-with-k2",
            text="The weights of two networks drift apart all the time.",
            source="Shapira 2023, F4",
            statistic="smallest change of the L2 distance from one k2 to the next, over every k1 >= 1 (above 0: grows)",
            side=">=",
            threshold=0.0,
            why="the claim is about the direction, from each k2 to the next",
            values=of(q.smallest_step("l2", k1=1)),
            count=BOTH,
        ),
        Claim(
            id="predictions-drift-with-k2",
            text="The predictions of two networks drift apart as well.",
            source="Shapira 2023, F4",
            statistic="smallest change of the prediction cross-entropy (-sum p log q, p of the main branch) on the test"
            " set from the first k2 to the last, over every k1 >= 1 (nats; above 0: grows)",
            side=">=",
            threshold=0.0,
            why="the claim is about the direction, from the first k2 to the last, as single epochs are noisy",
            values=of(q.change_over_k2("prediction_cross_entropy", k1=1, pick=np.min)),
            count=BOTH,
        ),
        Claim(
            id="predictions-drift-at-end",
            text="Of pairs that end at the same step, those that parted earlier predict more differently.",
            source="our control for predictions-drift-with-k2",
            statistic="prediction cross-entropy on the test set at the end: k1 = 0 minus the largest k1 (nats)",
            side=">=",
            threshold=0.0,
            why="added after the first run: cross-entropy holds the entropy of p, which falls all through training; at"
            " one step of training that entropy is the same for every k1",
            values=of(q.drift_at_end("prediction_cross_entropy")),
            count=BOTH,
        ),
        Claim(
            id="barrier-stops-growing",
            text="While two networks drift apart, the barrier between them stops growing.",
            source="Shapira 2023, F4",
            statistic="largest chord barrier of the test loss at the last k2 minus that at the middle one, k1 >= 1"
            " (nats)",
            side="<=",
            threshold=NEGLIGIBLE,
            why="what counts as negligible",
            values=of(q.late_rise(k1=1)),
            count=BOTH,
        ),
    )
