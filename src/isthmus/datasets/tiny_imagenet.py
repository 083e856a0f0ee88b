"""Tiny ImageNet (Stanford CS231n): colour pictures of 64x64 pixels, 200 classes of 500 for training and 50 for test.

Its validation part is the test split here; the labels of its own test part were never published. Folders with fewer
classes or pictures are read as well, with a note.
"""

from __future__ import annotations

import re
from pathlib import Path

from isthmus.datasets import DataSet, Entry, Outline, Source
from isthmus.datasets.files import missing, read
from isthmus.datasets.pictures import Labelled, folders, pictures, splits, stay_inside
from isthmus.datasets.resizing import Size, height_and_width
from isthmus.errors import BadData, BadInput
from isthmus.registry import Count

__all__ = ["ENTRY", "load"]

FOLDER = "tiny-imagenet-200"
ANNOTATIONS = "val/val_annotations.txt"
WHERE = "Tiny ImageNet, unpacked (http://cs231n.stanford.edu/tiny-imagenet-200.zip)"
PUBLISHED = (200, 100_000, 10_000)
SOURCE = Source(
    "tiny-imagenet-200.zip",
    ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
    "md5:90528d7ca1a48142e341f4ef8d21d0de",
    FOLDER,
    size=248_100_043,
    unpack=True,
)
"""The MD5 sum is the one that public loaders of this set check; its page gives none."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, as torchvision gives them."""


def load(root: Path | None = None, *, size: Size = 64, classes: Count | None = None) -> DataSet:
    """Tiny ImageNet from ``root/tiny-imagenet-200``: the classes of wnids.txt that are there, in its order.

    Of them the first so many, if ``classes`` says how many.
    Grey pictures get three equal channels. Another ``size`` than 64, one number or (height, width), is made while they
    are decoded, as in :mod:`isthmus.datasets.resizing`: at 32 each pixel is the mean of four, rounded.
    """
    for place in ("wnids.txt", "train", ANNOTATIONS, "val/images"):
        if root is None or not (root / FOLDER / place).exists():
            raise missing("tiny_imagenet", root, [f"{FOLDER}/{place}" if root else FOLDER], WHERE)
    assert root is not None
    base = root / FOLDER
    known = _classes(base)
    if classes is not None and classes > len(known):
        raise BadInput(f"Data set tiny_imagenet: classes must be at most {len(known)}, found {classes}.")
    wnids = known[:classes]
    train = [(file, label) for label, wnid in enumerate(wnids) for file in pictures(base, f"train/{wnid}/images")]
    parts = splits(base, train, _validation(base, wnids), size=height_and_width(size))
    found = (len(wnids), *(len(part) for part in parts))
    told = "{} classes, {:,} pictures for training and {:,} for test".format(*found)
    notes = () if found == PUBLISHED else (f"This is a part of Tiny ImageNet: {told}.",)
    return DataSet("tiny_imagenet", *parts, len(wnids), MEAN, STD, _names(base, wnids), notes)


def _lines(base: Path, name: str) -> list[list[str]]:
    """The fields, between tabs, of the lines that are not empty."""
    stay_inside(base, base / name)
    return [line.rstrip("\r").split("\t") for line in read(base / name).decode("latin1").split("\n") if line.strip()]


def _classes(base: Path) -> list[str]:
    there = set(folders(base, "train"))
    wnids = [fields[0].strip() for fields in _lines(base, "wnids.txt")]
    for index, wnid in enumerate(wnids):
        if not re.fullmatch(r"n\d{8}", wnid) or wnid in wnids[:index]:
            raise BadData(f"{base / 'wnids.txt'}: expected different names such as n01443537, found {wnid!r}.")
    return [wnid for wnid in wnids if wnid in there]


def _validation(base: Path, classes: list[str]) -> Labelled:
    """The pictures of val_annotations.txt, in its order, without those of classes that are not there."""
    path = base / ANNOTATIONS
    files = {file.path.rpartition("/")[2]: file for file in pictures(base, "val/images")}
    labels = {wnid: label for label, wnid in enumerate(classes)}
    found = {}
    for fields in _lines(base, ANNOTATIONS):
        if len(fields) < 2 or not re.fullmatch(r"n\d{8}", fields[1]) or fields[0] in found:
            raise BadData(f"{path}: expected a new picture and its class in each line, found {' '.join(fields)!r}.")
        if fields[1] in labels:
            if fields[0] not in files:
                raise BadData(
                    f"{path}: expected {fields[0]!r} among the pictures in {base / 'val/images'}, found none."
                )
            found[fields[0]] = (files[fields[0]], labels[fields[1]])
    return list(found.values())


def _names(base: Path, classes: list[str]) -> tuple[str, ...]:
    """The first of the words for each class, or its wnid."""
    lines = _lines(base, "words.txt") if (base / "words.txt").is_file() else []
    words = {fields[0]: fields[-1].split(",")[0] for fields in lines}
    return tuple(words.get(wnid, wnid) for wnid in classes)


def _outline(size: int | tuple[int, int] = 64, classes: int = PUBLISHED[0]) -> Outline:
    train, test = (count // PUBLISHED[0] * classes for count in PUBLISHED[1:])
    return Outline(train, test, classes, (3, *height_and_width(size)), MEAN, STD)


def _part(root: Path) -> str:
    there = sum(one.is_dir() for one in (root / FOLDER / "train").glob("n*"))
    return "" if there >= PUBLISHED[0] else f"{there} of {PUBLISHED[0]} classes"


ENTRY = Entry(
    load,
    "Tiny ImageNet: colour pictures of 64x64 pixels, 200 classes.",
    needs_files=True,
    where=f"Files: {WHERE}.",
    sources=(SOURCE,),
    outline=_outline,
    places=(FOLDER,),
    part=_part,
)
