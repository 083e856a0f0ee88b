"""The values that the study's author released, beside ours: distances and barriers by (k1, k2).

Source: https://github.com/ishapira1/LinearModeConnectivity, of one run each: ``processed/CIFAR-10_df.csv`` and
``dataframes/MNIST_df.csv`` of commit 96f48d9 (April 2023), ``dataframes/TINYIMAGENET_df.csv`` of 748cf8e. There the
second number of a pair counts epochs in all; here k2 counts those after k1. Barriers are computed from its test losses
at 25 alphas, 0 where none is above the straight line. Of CIFAR-10 only k1 up to 10 are taken over. Left out are k1 = 0
with k2 = 2 and 3 on CIFAR-10 and Tiny ImageNet: their ends are not equally good, so not of one epoch.

What the code says of these numbers: the reduced VGG is looked at on pictures cropped and flipped, as in training, the
first 6,400 of the test set, and drawn anew at every alpha (ours are the same at all of them), so that barriers of less
than a hundredth are noise; LeNet-5 has its ReLU before the pooling; the incomplete last batch is trained on; AlexNet is
the usual layout with 1,000 outputs, and every network of a path, its ends too, is a new one that parameters alone are
copied into: its running statistics are those of ``init``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from isthmus.claims import Tables
from isthmus.errors import BadInput
from isthmus.tables import Table

__all__ = ["CIFAR10", "MNIST", "TINY_IMAGENET", "Pair", "Released", "beside", "off"]


@dataclass(frozen=True)
class Pair:
    """L2 distance of two networks, and the chord barrier of the test loss between them (nats)."""

    l2: float
    chord: float


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
    (1, 25): Pair(57.678, 0.034),
    (2, 1): Pair(11.673, 0.0),
    (2, 5): Pair(25.204, 0.002),
    (2, 9): Pair(33.279, 0.012),
    (2, 13): Pair(39.821, 0.017),
    (2, 17): Pair(45.056, 0.012),
    (2, 21): Pair(49.738, 0.014),
    (2, 25): Pair(53.939, 0.012),
    (5, 1): Pair(12.856, 0.009),
    (5, 5): Pair(26.229, 0.002),
    (5, 9): Pair(34.277, 0.001),
    (5, 13): Pair(40.034, 0.003),
    (5, 17): Pair(45.205, 0.010),
    (5, 21): Pair(49.706, 0.003),
    (10, 1): Pair(12.698, 0.0),
    (10, 5): Pair(26.993, 0.006),
    (10, 9): Pair(34.379, 0.010),
    (10, 13): Pair(40.453, 0.0),
    (10, 17): Pair(45.283, 0.003),
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
    (1, 1): Pair(0.338, 0.0),
    (1, 2): Pair(0.938, 0.001),
    (1, 3): Pair(1.334, 0.001),
    (1, 5): Pair(1.746, 0.0),
    (1, 7): Pair(1.935, 0.001),
    (1, 9): Pair(2.076, 0.0),
    (2, 1): Pair(0.241, 0.0),
    (2, 3): Pair(0.296, 0.0),
    (2, 5): Pair(0.409, 0.0),
    (2, 7): Pair(0.547, 0.0),
    (5, 1): Pair(0.244, 0.0),
    (5, 3): Pair(0.407, 0.0),
    (5, 5): Pair(0.555, 0.0),
    (7, 1): Pair(0.224, 0.0),
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


def off(tables: Tables) -> float:
    """How far distances are off the released ones, as a share of these: the most over all pairs of k1 = 0."""
    if "released" not in tables:
        raise BadInput("nothing was run that the released values are of")
    among = tables["released"].where(k1=0)
    if not len(among):
        raise BadInput("there is no pair of k1 = 0 that the released values have as well")
    return float(np.max([abs(row["l2_ratio"] - 1) for row in among]))
