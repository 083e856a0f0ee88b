"""CIFAR-100 (Krizhevsky 2009): colour pictures of 32x32 pixels, 50,000 for training and 10,000 for test.

Each has a fine label, one of 100, and a coarse one, one of 20. Read from the Python or the binary version,
unpacked or in its archive (which is never unpacked to disk).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from isthmus.datasets import DataSet, Entry, Outline
from isthmus.datasets.cifar import Family, Version, join, parse_binary
from isthmus.datasets.cifar_pickle import parse_names, parse_pickle
from isthmus.errors import BadData

__all__ = ["ENTRY", "load"]

MEAN, STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
"""Per channel over all pixels of the training set, in the rounding that is common in public code."""

PUBLISHED = {
    "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85",
    "cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8",
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}
"""MD5 sums: of the archives as their page gives them, of the files in the Python one as torchvision does."""

CLASSES = {"fine": 100, "coarse": 20}
NAMES = ("fine_label_names.txt", "coarse_label_names.txt")
PYTHON = Version("cifar-100-python", "cifar-100-python.tar.gz", ("train", "test", "meta"))
BINARY = Version("cifar-100-binary", "cifar-100-binary.tar.gz", ("train.bin", "test.bin", *NAMES))
FAMILY = Family("cifar100", "CIFAR-100", (PYTHON, BINARY), PUBLISHED, size=169_001_437)


def load(root: Path | None = None, *, labels: Literal["fine", "coarse"] = "fine") -> DataSet:
    """CIFAR-100 from the first of the two folders and two archives that is under ``root``."""
    version, (train, test, *rest), notes = FAMILY.read(root)
    if version is PYTHON:
        batches = [parse_pickle(file.data, file.source, f"{labels}_labels") for file in (train, test)]
        source, names = rest[0].source, parse_names(rest[0].data, rest[0].source, f"{labels}_label_names")
    else:  # the coarse label comes first in a record
        batches = [parse_binary(file, 2, column=int(labels == "fine")) for file in (train, test)]
        named = rest[int(labels == "coarse")]
        source, names = named.source, tuple(named.data.decode("latin1").split())
    classes = CLASSES[labels]
    if len(names) != classes:
        raise BadData(f"{source}: expected the names of {classes} classes, found {len(names)}: fetch it again.")
    training, testing = (join([file], [batch], classes) for file, batch in zip((train, test), batches))
    return DataSet("cifar100", training, testing, classes, MEAN, STD, names, notes)


ENTRY = Entry(
    load,
    "CIFAR-100: colour pictures of 32x32 pixels, 100 classes (labels='coarse': 20).",
    needs_files=True,
    where=f"Files: {FAMILY.where}.",
    sources=(FAMILY.source,),
    outline=lambda labels="fine": Outline(50_000, 10_000, CLASSES[labels], (3, 32, 32), MEAN, STD),
    places=FAMILY.places,
)
