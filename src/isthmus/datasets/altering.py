"""Options that every data set takes: fewer training examples, random labels. The test split stays as it is.

The result is a data set of its own, named by the digest of its own examples.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from isthmus import noise
from isthmus.datasets.dataset import DataSet, Split
from isthmus.errors import BadInput
from isthmus.registry import Count

__all__ = ["OPTIONS", "alter", "split_options"]

Seed = Annotated[int, Field(strict=True, ge=0)]


def alter(
    found: DataSet, examples: Count | None = None, per_class: Count | None = None, random_labels: Seed | None = None
) -> DataSet:
    """The data set with its training split altered.

    Args:
        found: as it was loaded.
        examples: the first so many of a fixed mixed order, which then are in that order; smaller sets are parts of
            larger ones.
        per_class: at most so many of each class, the first in that order.
        random_labels: the seed of labels drawn uniformly from all classes, for every example of the training split,
            whatever the other two options leave of it.

    Raises:
        BadInput: more examples than there are, or so many of a class, or both options at once.
    """
    if examples is not None and per_class is not None:
        raise BadInput(f"Data set {found.name} takes examples or per_class, found both: leave one out.")
    train, notes = found.train, list(found.notes)
    if random_labels is not None:
        drawn = noise.uniform(len(train), random_labels, "random labels")
        train = Split(train.inputs, np.floor(drawn * found.classes).astype(np.int64))
        notes.append(f"All training labels are random (seed {random_labels}).")
    if examples is not None:
        if examples > len(train):
            raise BadInput(f"Data set {found.name}: examples must be at most {len(train)}, found {examples}.")
        train = _picked(train, _mixed(train)[:examples])
    if per_class is not None:
        train = _picked(train, _of_each(found, per_class))
    return replace(found, train=train, notes=tuple(notes))


def _mixed(split: Split) -> npt.NDArray[np.int64]:
    return noise.order(len(split), "training subset")


def _of_each(found: DataSet, count: int) -> npt.NDArray[np.int64]:
    """The first of each true class, in the mixed order."""
    mixed, seen = _mixed(found.train), np.zeros(found.classes, np.int64)
    rank = np.empty(len(mixed), np.int64)
    labels = found.train.labels[mixed]
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


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the options of the set itself, those of :func:`alter`)."""
    own = {name: value for name, value in options.items() if name not in OPTIONS}
    return own, {name: value for name, value in options.items() if name in OPTIONS}
