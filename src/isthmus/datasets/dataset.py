"""What a data set is once it is in memory: two splits of inputs and labels, read-only and checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadData
from isthmus.hashing import digest_arrays

__all__ = ["DataSet", "Split", "check_labels"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Split:
    """Examples and their classes.

    Attributes:
        inputs: pictures, uint8 of shape (N, C, H, W), or points, float32 of shape (N, d); read-only.
        labels: int64 of shape (N,); read-only.

    Raises:
        BadData: for other types or shapes, or no examples at all.
    """

    inputs: Array
    labels: Array

    def __post_init__(self) -> None:
        kind = (self.inputs.dtype.name, self.inputs.ndim)
        if kind not in {("uint8", 4), ("float32", 2)}:
            found = f"{kind[0]} of shape {self.inputs.shape}"
            raise BadData(f"A split's inputs must be uint8 (N, C, H, W) or float32 (N, d), found {found}.")
        if self.labels.dtype != np.int64 or self.labels.shape != self.inputs.shape[:1] or not self.labels.size:
            found = f"{self.labels.dtype} of shape {self.labels.shape} for {len(self.inputs)} inputs"
            raise BadData(f"A split's labels must be int64, one for each input and at least one, found {found}.")
        for name in ("inputs", "labels"):
            view = getattr(self, name).view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class DataSet:
    """A training and a test split of one classification problem.

    Attributes:
        classes: labels run from 0 to classes - 1.
        mean, std: the constants by which channels of pictures scaled to [0, 1] are usually normalised; () for points.
        class_names: in the order of the labels, or ().
        notes: what a reader of results has to know about these data, one sentence each.

    Raises:
        BadData: when splits, labels and constants do not fit each other.
    """

    name: str
    train: Split
    test: Split
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        what = f"Data set {self.name}"
        if self.train.inputs.shape[1:] != self.test.inputs.shape[1:]:
            found = f"{self.train.inputs.shape[1:]} and {self.test.inputs.shape[1:]}"
            raise BadData(f"{what}: expected training and test inputs of one shape, found {found}.")
        for part, split in (("training", self.train), ("test", self.test)):
            check_labels(f"{what}, {part} labels", split.labels, self.classes)
            if split.inputs.dtype == np.float32 and not np.isfinite(split.inputs).all():
                raise BadData(f"{what}, {part} inputs: expected finite numbers, found NaN or infinity.")
        channels = self.input_shape[0] if len(self.input_shape) == 3 else 0
        if {len(self.mean), len(self.std)} not in ({0}, {channels}):
            found = f"{len(self.mean)} and {len(self.std)}"
            raise BadData(f"{what}: expected a mean and a deviation for each of {channels} channels, found {found}.")
        if len(self.class_names) not in (0, self.classes):
            raise BadData(f"{what}: expected {self.classes} class names or none, found {len(self.class_names)}.")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example: (C, H, W) or (d,)."""
        return self.train.inputs.shape[1:]

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits that name the examples and labels of both splits, and nothing else."""
        arrays = {
            "train.inputs": self.train.inputs,
            "train.labels": self.train.labels,
            "test.inputs": self.test.inputs,
            "test.labels": self.test.labels,
        }
        return digest_arrays((name, array.dtype.name, array.shape, array) for name, array in arrays.items())


def check_labels(source: str, labels: Array, classes: int) -> None:
    """Refuse labels outside 0 to ``classes`` - 1.

    Raises:
        BadData: one sentence with the source, the first wrong label and its index.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise BadData(f"{source}: expected labels 0 to {classes - 1}, found {labels[wrong[0]]} at index {wrong[0]}.")
