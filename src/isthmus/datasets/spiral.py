"""Two interleaved spirals in the plane (Vlaar & Frankle 2022, figure 1A).

x = 2 sqrt(t) cos(8 sqrt(t) pi) + 0.02 N and y the same with sin, for t uniform on (0, 1) and N
standard normal; the second class adds pi to the argument.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from isthmus import noise
from isthmus.datasets import DataSet, Entry, Split
from isthmus.registry import Count

__all__ = ["ENTRY", "load"]

Seed = Annotated[int, Field(strict=True)]


def load(root: Path | None = None, *, train: Count = 10_000, test: Count = 5_000, seed: Seed = 0) -> DataSet:
    """Points drawn from ``seed``; the classes alternate, so they are balanced (to one example)."""
    return DataSet("spiral", _draw(train, seed, "train"), _draw(test, seed, "test"), classes=2, mean=(), std=())


def _draw(count: int, seed: int, part: str) -> Split:
    labels = np.arange(count) % 2
    radius = np.sqrt(noise.uniform(count, seed, "spiral", part, "t"))
    angle = 8 * np.pi * radius + np.pi * labels
    points = 2 * radius * np.stack([np.cos(angle), np.sin(angle)])
    jitter = [noise.normal(count, seed, "spiral", part, axis) for axis in ("x", "y")]
    return Split((points + 0.02 * np.stack(jitter)).T.astype(np.float32), labels.astype(np.int64))


ENTRY = Entry(load, "Two interleaved spirals in the plane, two classes.", needs_files=False, where="Drawn from a seed.")
