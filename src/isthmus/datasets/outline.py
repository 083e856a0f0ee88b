"""The sizes of a data set as it is published, for who has not the files: what a study of it costs can be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Outline", "altered"]


@dataclass(frozen=True)
class Outline:
    """How many examples, of which shape, of how many classes, normalised by which constants."""

    train: int
    test: int
    classes: int
    input_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


Make = Callable[..., Outline]


def altered(found: Outline, options: Mapping[str, Any]) -> Outline:
    """The outline of what :func:`isthmus.datasets.altering.alter` makes of a set with these options.

    >>> altered(Outline(50_000, 10_000, 10, (3, 32, 32), (), ()), {"part": (2, 3), "per_class": 100, "size": 16})
    Outline(train=1000, test=10000, classes=10, input_shape=(3, 16, 16), mean=(), std=())
    """
    train, shape = found.train, found.input_shape
    if options.get("part") is not None:
        index, parts = options["part"]
        train = index * train // parts - (index - 1) * train // parts
    if options.get("examples") is not None:
        train = min(train, options["examples"])
    if options.get("per_class") is not None:
        train = min(train, options["per_class"] * found.classes)
    if (size := options.get("size")) is not None:
        shape = (shape[0], *((size, size) if isinstance(size, int) else tuple(size)))
    return replace(found, train=train, input_shape=shape)
