"""CINIC-10 (Darlow et al. 2018, arXiv:1810.03505): colour pictures of 32x32 pixels, three parts of 90,000, 10 classes.

CIFAR-10's pictures and classes, enlarged by pictures of ImageNet. Folders with fewer pictures are read as well, with
a note.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from isthmus.datasets import DataSet, Entry, Outline, Source
from isthmus.datasets.files import missing
from isthmus.datasets.pictures import Labelled, pictures, splits
from isthmus.errors import BadData

__all__ = ["ENTRY", "load"]

FOLDERS = ("CINIC-10", "cinic-10", "cinic10")
WHERE = "CINIC-10, unpacked (https://datashare.ed.ac.uk/handle/10283/3192)"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PART = 90_000
SOURCE = Source(
    "CINIC-10.tar.gz",
    (
        "https://datashare.ed.ac.uk/bitstream/handle/10283/3192/CINIC-10.tar.gz",
        "https://datashare.is.ed.ac.uk/bitstream/handle/10283/3192/CINIC-10.tar.gz",
    ),
    "md5:6ee4d0c996905fe93221de577967a372",
    FOLDERS[0],
    size=687_544_992,
    unpack=True,
)
"""The MD5 sum is the one that public loaders of this set check. The archive has no folder of its own around all."""

MEAN, STD = (0.47889522, 0.47227842, 0.43047404), (0.24205776, 0.23828046, 0.25874835)
"""As its authors give them (https://github.com/BayesWatch/cinic-10)."""


def load(root: Path | None = None, *, valid: Literal["drop", "train"] = "drop") -> DataSet:
    """CINIC-10 from ``root/CINIC-10``; its validation part is left out, or joined to the training split."""
    folder = next((name for name in FOLDERS if root is not None and (root / name).is_dir()), None)
    if root is None or folder is None:
        raise missing("cinic10", root, FOLDERS, WHERE)
    found: dict[str, Labelled] = {}
    for part in ("train", "valid", "test") if valid == "train" else ("train", "test"):
        found[part] = []
        for label, name in enumerate(CLASS_NAMES):
            if not (root / folder / part / name).is_dir():
                raise missing("cinic10", root, [f"{folder}/{part}/{name}"], WHERE)
            found[part] += ((file, label) for file in pictures(root / folder, f"{part}/{name}"))
    train, test = splits(root / folder, found["train"] + found.get("valid", []), found["test"])
    if train.inputs.shape[1:] != (3, 32, 32):
        size = "x".join(str(length) for length in train.inputs.shape[:1:-1])
        raise BadData(f"{root / folder}: expected pictures of 32x32 pixels, found {size}: fetch it again.")
    whole = (PART * (len(found) - 1), PART)
    told = f"{len(train):,} pictures for training and {len(test):,} for test"
    notes = () if (len(train), len(test)) == whole else (f"This is a part of CINIC-10: {told}.",)
    return DataSet("cinic10", train, test, 10, MEAN, STD, CLASS_NAMES, notes)


ENTRY = Entry(
    load,
    "CINIC-10: colour pictures of 32x32 pixels, 10 classes.",
    needs_files=True,
    where=f"Files: {WHERE}.",
    sources=(SOURCE,),
    outline=lambda valid="drop": Outline(PART * (1 + (valid == "train")), PART, 10, (3, 32, 32), MEAN, STD),
    places=FOLDERS,
)
