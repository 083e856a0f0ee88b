"""CIFAR-10 (Krizhevsky 2009): colour pictures of 32x32 pixels, 50,000 for training and 10,000 for test.

Read from the Python or the binary version, unpacked or in its archive (which is never unpacked to disk).
"""

from __future__ import annotations

from pathlib import Path

from isthmus.datasets import DataSet, Entry, Outline
from isthmus.datasets.cifar import Family, Version, join, parse_binary
from isthmus.datasets.cifar_pickle import parse_pickle

__all__ = ["ENTRY", "load"]

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Per channel over all pixels of the training set, in the rounding that is common in public code."""

PUBLISHED = {
    "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
    "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""MD5 sums: of the archives as their page gives them, of the files in the Python one as torchvision does."""

BATCHES = (*(f"data_batch_{index}" for index in range(1, 6)), "test_batch")
PYTHON = Version("cifar-10-batches-py", "cifar-10-python.tar.gz", BATCHES)
BINARY = Version("cifar-10-batches-bin", "cifar-10-binary.tar.gz", tuple(f"{name}.bin" for name in BATCHES))
FAMILY = Family("cifar10", "CIFAR-10", (PYTHON, BINARY), PUBLISHED, size=170_498_071)


def load(root: Path | None = None) -> DataSet:
    """CIFAR-10 from the first of the two folders and two archives that is under ``root``."""
    version, files, notes = FAMILY.read(root)
    batches = [parse_pickle(file.data, file.source) if version is PYTHON else parse_binary(file) for file in files]
    train, test = join(files[:-1], batches[:-1], 10), join(files[-1:], batches[-1:], 10)
    return DataSet("cifar10", train, test, 10, MEAN, STD, CLASS_NAMES, notes)


ENTRY = Entry(
    load,
    "CIFAR-10: colour pictures of 32x32 pixels, 10 classes.",
    needs_files=True,
    where=f"Files: {FAMILY.where}.",
    sources=(FAMILY.source,),
    outline=lambda: Outline(50_000, 10_000, 10, (3, 32, 32), MEAN, STD),
    places=FAMILY.places,
)
