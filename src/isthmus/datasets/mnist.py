"""MNIST (LeCun, Cortes & Burges): handwritten digits of 28x28 pixels, 60,000 for training and 10,000 for test.

Read from the four idx files, gzipped or not, or from the one ``mnist.npz`` that Keras distributes.
Files in the same format with other counts are read as well, with a note.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from isthmus.datasets import DataSet, Entry, Outline, Source, Split
from isthmus.datasets.dataset import check_labels
from isthmus.datasets.files import missing, read, read_npz
from isthmus.datasets.idx import parse
from isthmus.errors import BadData

__all__ = ["ENTRY", "load"]

FOLDERS = ("MNIST/raw", "mnist", ".")
PARTS = ("train", "t10k")
KINDS = {"images-idx3": 3, "labels-idx1": 1}
ARCHIVE = "mnist.npz"
WHERE = "the four idx files of MNIST (such as from https://ossci-datasets.s3.amazonaws.com/mnist/), or Keras' mnist.npz"
PUBLISHED = "119f66deccc3a91edebaa72ff1e6b2b6de1d2fc781c1140a6daa8aa22d383815"
"""The digest of the published data, whichever of the formats they are read from."""

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
FILES = {
    "train-images-idx3-ubyte.gz": ("md5:f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
    "train-labels-idx1-ubyte.gz": ("md5:d53e105ee54ea40749a09fcbcd1e9432", 28_881),
    "t10k-images-idx3-ubyte.gz": ("md5:9fb629c4189551a2d022fa330f9573f3", 1_648_877),
    "t10k-labels-idx1-ubyte.gz": ("md5:ec29112dd5afa0611ce80d1b7f02629c", 4_542),
}
SOURCES = tuple(
    Source(name, tuple(f"{mirror}{name}" for mirror in MIRRORS), checksum, f"{FOLDERS[0]}/{name}", size=size)
    for name, (checksum, size) in FILES.items()
)
"""MD5 sums as torchvision gives them."""

Array = npt.NDArray[np.uint8]


def load(root: Path | None = None) -> DataSet:
    """MNIST from ``root/MNIST/raw``, ``root/mnist``, ``root`` or ``root/mnist.npz``, the first that is there."""
    train, test = (_split(*arrays) for arrays in _arrays(root))
    data = DataSet("mnist", train, test, 10, mean=(0.1307,), std=(0.3081,), class_names=tuple("0123456789"))
    if data.digest == PUBLISHED:
        return data
    return replace(data, notes=(f"These are not the published MNIST data: their digest is {data.digest[:16]}.",))


def _arrays(root: Path | None) -> list[tuple[Array, Array, str]]:
    """For both splits: images, labels, and what the labels were read from."""
    if root is not None:
        for folder in FOLDERS:
            if any(_find(root / folder, part, kind) for part in PARTS for kind in KINDS):
                return [_read_idx(root, folder, part) for part in PARTS]
        if (root / ARCHIVE).is_file():
            return _read_npz(root / ARCHIVE)
    raise missing("mnist", root, (*FOLDERS, ARCHIVE), WHERE)


def _find(folder: Path, part: str, kind: str) -> Path | None:
    stems = (f"{part}-{kind}-ubyte", f"{part}-{kind.replace('-', '.')}-ubyte")
    paths = (folder / f"{stem}{suffix}" for suffix in ("", ".gz") for stem in stems)
    return next((path for path in paths if path.is_file()), None)


def _read_idx(root: Path, folder: str, part: str) -> tuple[Array, Array, str]:
    found: list[tuple[Array, Path]] = []
    for kind, dimensions in KINDS.items():
        path = _find(root / folder, part, kind)
        if path is None:
            raise missing("mnist", root, [f"{folder}/{part}-{kind}-ubyte", f"{folder}/{part}-{kind}-ubyte.gz"], WHERE)
        found.append((parse(read(path), dimensions, str(path)), path))
    (images, _), (labels, path) = found
    return images, labels, str(path)


def _read_npz(path: Path) -> list[tuple[Array, Array, str]]:
    arrays = read_npz(path, ("x_train", "y_train", "x_test", "y_test"))
    for name, array in arrays.items():
        if array.dtype != np.uint8 or array.ndim != (3 if name[0] == "x" else 1):
            raise BadData(f"{path}: expected {name} as bytes, found {array.dtype} of shape {array.shape}.")
    return [(arrays[f"x_{part}"], arrays[f"y_{part}"], f"{path}, y_{part}") for part in ("train", "test")]


def _split(images: Array, labels: Array, source: str) -> Split:
    if len(images) != len(labels):
        raise BadData(f"{source}: expected a label for each of {len(images)} images, found {len(labels)}.")
    check_labels(source, labels, 10)
    return Split(images[:, None], labels.astype(np.int64))


ENTRY = Entry(
    load,
    "MNIST: handwritten digits of 28x28 pixels, 10 classes.",
    needs_files=True,
    where=f"Files: {WHERE}.",
    sources=SOURCES,
    digest=PUBLISHED,
    outline=lambda: Outline(60_000, 10_000, 10, (1, 28, 28), (0.1307,), (0.3081,)),
    places=(*FOLDERS[:2], ARCHIVE, *(f"t10k-{kind}-ubyte{gz}" for kind in KINDS for gz in ("", ".gz"))),
)
