"""What nodes are made of: models and data by reference, parts of the data, normalisation statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from isthmus import noise
from isthmus.errors import BadInput
from isthmus.recipe import Augment

__all__ = ["DataRef", "ModelRef", "NormSpec", "Part", "Share"]


@dataclass(frozen=True)
class ModelRef:
    """A model by name and arguments; ``source`` is the digest of its code where that is not ours."""

    name: str
    arguments: Mapping[str, Any]
    source: str | None = None

    def describe(self) -> dict[str, Any]:
        """What names it."""
        found: dict[str, Any] = {"name": self.name, "arguments": dict(self.arguments)}
        return found | ({"source": self.source} if self.source else {})


@dataclass(frozen=True)
class DataRef:
    """A data set: named by the digest of its arrays and its normalisation, found again by name and options."""

    name: str
    options: Mapping[str, Any]
    digest: str
    train: int
    test: int
    classes: int
    input_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def describe(self) -> dict[str, Any]:
        """What names it."""
        return {"digest": self.digest, "mean": list(self.mean), "std": list(self.std)}


@dataclass(frozen=True)
class Share:
    """One of ``of`` disjoint parts of nearly equal size into which a seed splits examples at random.

    The examples in the order ``noise.order(examples, seed, "shares")`` are cut into ``of`` runs, whose sizes differ
    by one at most; ``index`` counts from 0.
    """

    index: int
    of: int
    seed: int

    def count(self, examples: int) -> int:
        """How many of so many examples it holds."""
        return examples // self.of + (self.index < examples % self.of)

    def indices(self, examples: int) -> npt.NDArray[np.int64]:
        """Which of so many examples it holds, in rising order."""
        begin = self.index * (examples // self.of) + min(self.index, examples % self.of)
        mixed = noise.order(examples, self.seed, "shares")
        return np.sort(mixed[begin : begin + self.count(examples)])


@dataclass(frozen=True)
class Part:
    """Examples of a data set: a split, whole or the first ``examples`` of a fixed mixed order, or a subset.

    ``share`` takes one of several disjoint random parts of a whole split. With ``augment`` each picture is cropped
    and flipped, in one way for all networks that look at it; the draws are those of the whole split.
    """

    split: Literal["train", "test"]
    examples: int | None = None
    share: Share | None = None
    augment: Augment | None = None

    @classmethod
    def parse(cls, text: str) -> Part:
        """A part from its text: ``"test"``, ``"train"`` or ``"train:10000"``."""
        split, colon, count = text.partition(":")
        if split not in ("train", "test") or (colon and not (count.isascii() and count.isdigit() and int(count) > 0)):
            raise BadInput(f'expected "train", "test" or a number of them such as "train:10000", found {text!r}')
        return cls("train" if split == "train" else "test", int(count) if colon else None)

    def __str__(self) -> str:
        share = f" (share {self.share.index + 1} of {self.share.of})" if self.share else ""
        return f"{self.split}{f':{self.examples}' if self.examples else ''}{share}"

    def count(self, data: DataRef) -> int:
        """How many examples that is."""
        whole = data.train if self.split == "train" else data.test
        return self.share.count(whole) if self.share else min(self.examples or whole, whole)

    def describe(self) -> dict[str, Any]:
        """What names it."""
        found: dict[str, Any] = {"split": self.split}
        if self.examples:
            found["examples"] = self.examples
        if self.share is not None:
            found["share"] = vars(self.share)
        return found | ({"augment": self.augment.identity()} if self.augment is not None else {})


@dataclass(frozen=True)
class NormSpec:
    """Where normalisation statistics come from: a mode, and for "recompute" the batch and number of examples."""

    mode: Literal["recompute", "interpolate", "batch", "keep", "init"] = "interpolate"
    batch: int = 256
    examples: int = 10_240

    def describe(self) -> dict[str, Any]:
        """What names it; batch and number only where they act."""
        return vars(self) if self.mode == "recompute" else {"mode": self.mode}
