"""Options that every data set takes: fewer training examples, random labels, pictures of another size.

They act in one order, however they are written: ``random_labels``, ``part``, ``examples`` or ``per_class``, ``size``.
So a random label belongs to its example whatever else is left out, and ``examples`` are the first so many of the part.
Only ``size`` touches the test split. The result is a data set of its own, named by the digest of its own examples; the
constants of its channels stay those of the set.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from isthmus import noise
from isthmus.datasets.dataset import DataSet, Split
from isthmus.datasets.resizing import Size, resize
from isthmus.errors import BadInput
from isthmus.registry import Count

__all__ = ["NEEDS", "OPTIONS", "alter", "split_options"]

Seed = Annotated[int, Field(strict=True, ge=0)]


def alter(
    found: DataSet,
    examples: Count | None = None,
    per_class: Count | None = None,
    random_labels: Seed | None = None,
    part: tuple[Count, Count] | None = None,
    split_seed: Seed | None = None,
    size: Size | None = None,
) -> DataSet:
    """The data set with its training split altered, or all of its pictures in another size.

    Args:
        found: as it was loaded.
        examples: the first so many of a fixed mixed order, which then are in that order; smaller sets are parts of
            larger ones.
        per_class: at most so many of each class, the first in that order.
        random_labels: the seed of labels drawn uniformly from all classes, for every example of the training split,
            whatever the other options leave of it.
        part: (i, n), the i-th, counted from 1, of n random parts of the training split, which have no example in
            common, are the whole together, and differ by one example at most. A part keeps the order of the set.
        split_seed: the seed of the parts (0).
        size: of the pictures, one number or (height, width); see :mod:`isthmus.datasets.resizing`.

    Raises:
        BadInput: more examples than there are, or so many of a class, or both options at once; a part that there is
            not, or a seed without one; a size for data that are no pictures.
    """
    if examples is not None and per_class is not None:
        raise BadInput(f"Data set {found.name} takes examples or per_class, found both: leave one out.")
    train, true, notes = found.train, found.train.labels, list(found.notes)
    if random_labels is not None:
        drawn = noise.uniform(len(train), random_labels, "random labels")
        train = Split(train.inputs, np.floor(drawn * found.classes).astype(np.int64))
        notes.append(f"All training labels are random (seed {random_labels}).")
    if part is not None:
        places = _part(found, *part, split_seed or 0)
        train, true = _picked(train, places), true[places]
        notes.append(f"The training examples are part {part[0]} of {part[1]} (split seed {split_seed or 0}).")
    elif split_seed is not None:
        raise BadInput(f"Data set {found.name}: split_seed needs part = [i, n], found none: leave it out.")
    if examples is not None:
        if examples > len(train):
            raise BadInput(f"Data set {found.name}: examples must be at most {len(train)}, found {examples}.")
        train = _picked(train, _mixed(len(train))[:examples])
    if per_class is not None:
        train = _picked(train, _of_each(found, true, per_class))
    altered = replace(found, train=train, notes=tuple(notes))
    return altered if size is None else _resized(altered, size)


def _mixed(count: int) -> npt.NDArray[np.int64]:
    return noise.order(count, "training subset")


def _part(found: DataSet, index: int, parts: int, seed: int) -> npt.NDArray[np.int64]:
    """The places of the examples of one part, in their order."""
    count = len(found.train)
    if index > parts or parts > count:
        expected = f"part = [i, n] with i at most n and n at most {count}"
        raise BadInput(f"Data set {found.name}: expected {expected}, found [{index}, {parts}].")
    order = noise.order(count, "training parts", seed)
    return np.sort(order[(index - 1) * count // parts : index * count // parts])


def _resized(found: DataSet, size: Size) -> DataSet:
    if len(found.input_shape) != 3:
        raise BadInput(f"Data set {found.name}: size is for pictures, found points: leave it out.")
    train, test = (Split(resize(split.inputs, size), split.labels) for split in (found.train, found.test))
    return replace(found, train=train, test=test)


def _of_each(found: DataSet, true: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """The first of each of the ``true`` classes, in the mixed order."""
    mixed, seen = _mixed(len(true)), np.zeros(found.classes, np.int64)
    rank = np.empty(len(mixed), np.int64)
    labels = true[mixed]
    for label in range(found.classes):
        of_class = labels == label
        seen[label] = of_class.sum()
        rank[of_class] = np.arange(seen[label])
    if (seen < count).any():
        label = int(seen.argmin())
        raise BadInput(
            f"Data set {found.name}: per_class must be at most {seen[label]}, the number of examples of class {label},"
            f" found {count}."
        )
    return mixed[rank < count]


def _picked(split: Split, where: npt.NDArray[np.int64]) -> Split:
    return Split(split.inputs[where], split.labels[where])


OPTIONS = tuple(inspect.signature(alter).parameters)[1:]
"""What :func:`alter` takes beside a data set."""

NEEDS = {"split_seed": "part"}
"""Options that mean nothing without another."""


def split_options(options: Mapping[str, Any], besides: Collection[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the options of the set itself, those of :func:`alter`); the set's are also those whose names are ``besides``."""
    common = {name: value for name, value in options.items() if name in OPTIONS and name not in besides}
    return {name: value for name, value in options.items() if name not in common}, common
