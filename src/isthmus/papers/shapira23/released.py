"""The values that the study's author released, beside ours: distances and barriers by (k1, k2).

Source: https://github.com/ishapira1/LinearModeConnectivity, of one run each: ``processed/CIFAR-10_df.csv`` and
``dataframes/MNIST_df.csv`` of commit 96f48d9 (April 2023), ``dataframes/TINYIMAGENET_df.csv`` of 748cf8e. There the
second number of a pair counts epochs in all; here k2 counts those after k1. Barriers are computed from its test losses
at 25 alphas. Left out: k1 = 0 with k2 = 2 and 3 on CIFAR-10 and Tiny ImageNet, whose ends are two different epochs.

What the code says of these numbers: the reduced VGG is looked at on pictures that are cropped and flipped, as in
training (6,400 of the test set); LeNet-5 has its ReLU before the pooling; AlexNet is the usual layout with 1,000
outputs, and every network of a path, its ends too, is a new one that parameters alone are copied into: its running
statistics are those of ``init``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from isthmus.claims import Claim, Tables
from isthmus.errors import BadInput
from isthmus.papers.shapira23 import quantities as q
from isthmus.tables import Table

__all__ = ["CIFAR10", "MNIST", "TINY_IMAGENET", "Pair", "Released", "barrier", "beside", "distance"]


@dataclass(frozen=True)
class Pair:
    """L2 distance of two networks, and the chord barrier of the test loss between them where it was computed (nats)."""

    l2: float
    chord: float | None = None


Released = Mapping[tuple[float, float], Pair]

CIFAR10: Released = {
    (0, 1): Pair(15.886, 0.144),
    (0, 5): Pair(35.564, 0.311),
    (0, 9): Pair(48.238, 0.311),
    (0, 13): Pair(57.600, 0.402),
    (0, 17): Pair(65.290, 0.404),
    (0, 21): Pair(71.886, 0.417),
    (0, 25): Pair(77.841, 0.450),
    (0, 29): Pair(83.367, 0.446),
    (1, 1): Pair(11.525, 0.0),
    (1, 5): Pair(25.795, 0.004),
    (1, 9): Pair(34.737, 0.016),
    (1, 13): Pair(41.928, 0.022),
    (1, 17): Pair(47.672, 0.027),
    (1, 21): Pair(52.913, 0.036),
}
MNIST: Released = {
    (0, 1): Pair(2.023, 0.020),
    (0, 2): Pair(2.438, 0.012),
    (0, 3): Pair(2.910, 0.008),
    (0, 4): Pair(3.322, 0.008),
    (0, 5): Pair(3.655, 0.003),
    (0, 6): Pair(3.947, 0.005),
    (0, 7): Pair(4.189, 0.002),
    (0, 8): Pair(4.411, 0.004),
    (0, 9): Pair(4.623, 0.004),
    (0, 10): Pair(4.821, 0.005),
    (1, 1): Pair(0.338),
    (1, 2): Pair(0.938),
    (1, 3): Pair(1.334),
    (1, 5): Pair(1.746),
    (1, 7): Pair(1.935),
    (1, 9): Pair(2.076),
    (2, 1): Pair(0.241),
    (2, 3): Pair(0.296),
    (2, 5): Pair(0.409),
    (2, 7): Pair(0.547),
    (5, 1): Pair(0.244),
    (5, 3): Pair(0.407),
    (5, 5): Pair(0.555),
    (7, 1): Pair(0.224),
}

TINY_IMAGENET: Released = {
    (0, 1): Pair(29.606, 0.960),
    (0, 4): Pair(55.760, 1.382),
    (0, 5): Pair(61.219, 1.568),
    (0, 7): Pair(75.613, 1.818),
    (0, 9): Pair(80.847, 2.127),
    (1, 1): Pair(13.969, 0.080),
    (1, 4): Pair(29.801, 0.340),
    (1, 5): Pair(35.086, 0.391),
    (1, 7): Pair(39.785, 0.499),
    (2, 1): Pair(16.888, 0.118),
    (2, 4): Pair(26.688, 0.215),
    (2, 5): Pair(34.271, 0.289),
    (2, 7): Pair(39.384, 0.368),
    (5, 1): Pair(18.074, 0.111),
    (5, 4): Pair(34.648, 0.128),
}


def beside(pairs: Table, released: Released) -> Table:
    """A row a pair that both have, a repeat after the other, from the rows of ``pairs`` about the test loss."""
    rows = []
    for row in pairs.where(split="test", metric="loss"):
        if (theirs := released.get((row["k1"], row["k2"]))) is not None:
            labels = {name: row[name] for name in ("repeat", "variant", "k1", "k2") if name in row}
            distances = {"l2": row["l2"], "released_l2": theirs.l2, "l2_ratio": row["l2"] / theirs.l2}
            rows.append(labels | distances | {"chord": row["chord"], "released_chord": theirs.chord})
    return Table.of(rows)


def distance(released: Released, *, k1s: tuple[float, ...], threshold: float, why: str, variant: str = "") -> Claim:
    """Distances are those of the released values, up to a share of them."""
    among = " and ".join(map(str, k1s))
    return Claim(
        id="distance-as-released",
        text="Networks drift as far apart as the author's did.",
        source="the author's released values",
        statistic=f"largest |L2 distance / released distance - 1| over the pairs of k1 = {among} that both have",
        side="<=",
        threshold=threshold,
        why=why,
        values=q.repeat(_over(released, k1s, lambda row, theirs: abs(row["l2"] / theirs.l2 - 1)), variant),
    )


def barrier(released: Released, *, threshold: float, why: str, variant: str = "") -> Claim:
    """The barrier of networks that share nothing is that of the released values."""

    def apart(row: q.Row, theirs: Pair) -> float:
        return abs(float(row["chord"]) - (np.nan if theirs.chord is None else theirs.chord))

    return Claim(
        id="barrier-as-released",
        text="The barrier between networks that share nothing stands as high as between the author's.",
        source="the author's released values",
        statistic="largest |chord barrier of the test loss - released one| over the pairs of k1 = 0 that both have"
        " (nats)",
        side="<=",
        threshold=threshold,
        why=why,
        values=q.repeat(_over(released, (0,), apart), variant),
    )


def _over(
    released: Released, k1s: tuple[float, ...], apart: Callable[[q.Row, Pair], float]
) -> Callable[[Tables], float]:
    def value(tables: Tables) -> float:
        rows = [row for k1 in k1s for row in q.by_k1(tables).get(k1, ())]
        found = [apart(row, released[at]) for row in rows if (at := (row["k1"], row["k2"])) in released]
        if not found:
            raise BadInput("there is no pair that the released values have as well")
        return float(np.max(found))

    return value
