"""Any ``.npz`` file with the arrays x_train, y_train, x_test and y_test.

Inputs are pictures, uint8 of shape (N, H, W, C) or (N, C, H, W), or (N, H, W) for one channel; or points, float32 of
shape (N, d). Labels are integers from 0, one for each input, and each class has a training example.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from isthmus.datasets import DataSet, Entry, Split
from isthmus.datasets.dataset import check_labels
from isthmus.datasets.files import missing, read_npz
from isthmus.datasets.pictures import constants
from isthmus.errors import BadData

__all__ = ["ENTRY", "NAMES", "assemble", "load"]

NAMES = ("x_train", "y_train", "x_test", "y_test")
WHERE = "your arrays, as numpy.savez writes them (https://numpy.org/doc/stable/reference/generated/numpy.savez.html)"

Array = npt.NDArray[Any]


def load(root: Path | None = None, *, path: str = "data.npz", layout: Literal["NHWC", "NCHW"] = "NHWC") -> DataSet:
    """The arrays of ``root/path`` (an absolute path stands for itself); the constants are the training split's."""
    place = Path(path).expanduser()
    file = place if root is None else root / place
    if not file.is_file() or (root is None and not place.is_absolute()):
        raise missing("npz", Path() if place.is_absolute() else root, [str(place)], WHERE, published=False)
    return assemble("npz", str(file), read_npz(file, NAMES), layout)


def assemble(name: str, source: str, arrays: Mapping[str, Array], layout: Literal["NHWC", "NCHW"]) -> DataSet:
    """The data set of four arrays by their :data:`NAMES`; ``source`` is what errors call it.

    Raises:
        BadData: an array that does not fit, or a class without a training example.
    """
    inputs = [_inputs(f"{source}, {part}", arrays[part], layout) for part in NAMES[::2]]
    labels = [_labels(f"{source}, {part}", arrays[part], len(x)) for part, x in zip(NAMES[1::2], inputs)]
    classes = np.unique(labels[0])
    if not np.array_equal(classes, np.arange(len(classes))):
        absent = int(np.flatnonzero(classes != np.arange(len(classes)))[0])
        raise BadData(f"{source}, y_train: expected labels from 0 with an example of each, found none of {absent}.")
    check_labels(f"{source}, y_test", labels[1], len(classes))
    train, test = (Split(x, y.astype(np.int64)) for x, y in zip(inputs, labels))
    mean, std = constants(train.inputs) if train.inputs.ndim == 4 else ((), ())
    return DataSet(name, train, test, len(classes), mean, std)


def _inputs(source: str, array: Array, layout: str) -> Array:
    if array.dtype == np.float32 and array.ndim == 2:
        return array
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        found = f"{array.dtype} of shape {array.shape}"
        raise BadData(f"{source}: expected pictures of type uint8 or points of type float32 (N, d), found {found}.")
    if array.ndim == 3:
        return array[:, None]
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if layout == "NHWC" else array


def _labels(source: str, array: Array, count: int) -> Array:
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if not count or flat.dtype.kind not in "iu" or flat.shape != (count,):
        found = f"{array.dtype} of shape {array.shape}"
        raise BadData(f"{source}: expected an integer for each of {count} inputs, at least one, found {found}.")
    return flat


ENTRY = Entry(load, "Any npz file with x_train, y_train, x_test, y_test.", needs_files=True, where=f"Files: {WHERE}.")
