"""Handwritten digits of 8x8 pixels, part of the package: 1,797 examples, 10 classes.

The test set of the UCI "Optical Recognition of Handwritten Digits" data (E. Alpaydin and C. Kaynak, 1998,
https://doi.org/10.24432/C50P49, licence CC BY 4.0), as scikit-learn distributes it. UCI's own split is by
writer; this one is a fixed shuffle of the 1,797 into 1,437 and 360, so writers are shared by both parts.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np

from isthmus import noise
from isthmus.datasets import DataSet, Entry, Split

__all__ = ["ENTRY", "load"]

TRAINING = 1437


def load(root: Path | None = None) -> DataSet:
    """The digits. Pixels, counts of 0 to 16 in the source, are scaled to ``count * 255 // 16``."""
    with (resources.files(__package__) / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        counts, labels = stored["counts"], stored["labels"]
    pictures = (counts.astype(np.uint16) * 255 // 16).astype(np.uint8)[:, None]
    order = noise.order(len(labels), "digits", "split")
    train, test = (Split(pictures[part], labels[part].astype(np.int64)) for part in np.split(order, [TRAINING]))
    return DataSet("digits", train, test, 10, mean=(0.3041,), std=(0.3758,), class_names=tuple("0123456789"))


ENTRY = Entry(load, "Handwritten digits of 8x8 pixels, 10 classes.", needs_files=False, where="Part of the package.")
