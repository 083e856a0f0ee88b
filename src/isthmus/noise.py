"""SGD noise as a pure function: data order, augmentation draws and dropout masks.

Every draw is a function of (seed, stream name, epoch or step), computed by the counter-based Philox
generator under a key that hashes those fields. Nothing is advanced, so a run can be cut, resumed or
branched anywhere. Only Philox's raw 64-bit words are used, whose values are fixed by its definition:
library versions cannot change them. There is no seed arithmetic: streams cannot meet.

Source: Iyer 2024 and Frankle 2020 define SGD noise as data order and augmentation; dropout masks are
added here because they are drawn anew in each copy as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.hashing import Field, digest_fields

__all__ = ["Noise", "derive", "normal", "order", "uniform", "words"]

Words = npt.NDArray[np.uint64]


def words(count: int, *fields: Field) -> Words:
    """``count`` raw 64-bit words of the stream that ``fields`` name.

    >>> words(2, 0, "order", 3).dtype, bool((words(2, 0, "order", 3) == words(5, 0, "order", 3)[:2]).all())
    (dtype('uint64'), True)
    """
    key = np.frombuffer(digest_fields("isthmus.noise", *fields)[:16], dtype="<u8").astype(np.uint64)
    return np.random.Philox(key=key).random_raw(count)


def uniform(count: int, *fields: Field) -> npt.NDArray[np.float64]:
    """``count`` numbers uniform on [0, 1), from the top 53 bits of each word."""
    return (words(count, *fields) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(count: int, *fields: Field) -> npt.NDArray[np.float64]:
    """``count`` standard normal numbers (Box and Muller's transform of :func:`uniform`)."""
    half = (count + 1) // 2
    draws = uniform(2 * half, *fields)
    radius = np.sqrt(-2.0 * np.log1p(-draws[:half]))
    angle = 2.0 * np.pi * draws[half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def order(examples: int, *fields: Field) -> npt.NDArray[np.int64]:
    """A permutation of ``range(examples)``: the ranks of one word an example (ties keep their order)."""
    return np.argsort(words(examples, *fields), kind="stable").astype(np.int64)


def derive(*fields: Field) -> int:
    """A seed in [0, 2**63) derived from fields, such as ``derive(replicate, "child", 2)``."""
    return int.from_bytes(digest_fields("isthmus.seed", *fields)[:8], "little") >> 1


@dataclass(frozen=True)
class Noise:
    """The SGD noise of a run: one seed for each of its three streams.

    ``Noise.of(7)`` fixes all three; ``Noise.of(7).but(order=8)`` changes one and keeps the others.
    Augmentation is drawn by example, not by position in the batch, so with the augmentation seed
    held an example meets the same crop in an epoch wherever the order puts it.
    """

    order: int
    augmentation: int
    dropout: int

    @classmethod
    def of(cls, seed: int) -> Noise:
        """The noise whose three streams all have this seed."""
        return cls(seed, seed, seed)

    def but(self, *, order: int | None = None, augmentation: int | None = None, dropout: int | None = None) -> Noise:
        """This noise with the given streams' seeds replaced."""
        return Noise(
            self.order if order is None else order,
            self.augmentation if augmentation is None else augmentation,
            self.dropout if dropout is None else dropout,
        )

    def epoch_order(self, examples: int, epoch: int) -> npt.NDArray[np.int64]:
        """The permutation of the examples in this epoch."""
        return order(examples, self.order, "order", epoch)

    def augmentation_words(self, examples: int, epoch: int, draw: str) -> Words:
        """One word an example for one kind of draw (``"crop-y"``, ``"flip"``, ...) in this epoch."""
        return words(examples, self.augmentation, "augmentation", draw, epoch)

    def dropout_seed(self, step: int) -> int:
        """The seed of everything that the model itself draws at this step."""
        return derive(self.dropout, "dropout", step)

    def describe(self) -> dict[str, int]:
        """The three seeds by name."""
        return {"order": self.order, "augmentation": self.augmentation, "dropout": self.dropout}
