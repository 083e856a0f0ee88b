"""Examples held in memory, on the device where they are used; batches are cut, augmented and normalised there.

Pictures stay uint8 until a batch is taken. There are no data-loader processes and no per-example code.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isthmus.errors import BadData, BadInput
from isthmus.noise import Noise
from isthmus.recipe import Augment

__all__ = ["Augmenter", "Examples", "Lent"]


@dataclass(frozen=True)
class Examples:
    """Inputs and targets as tensors, with the normalisation that a batch of inputs receives.

    Attributes:
        inputs: shape (examples, ...). uint8 pictures are scaled to [0, 1] if ``pixels``.
        targets: shape (examples, ...); integer classes or floats.
        mean, std: per channel, on [0, 1] pixels; empty for none. Other inputs come normalised.
        pixels: inputs are pictures whose values are divided by 255.
        channels_last: batches of pictures come in channels-last memory format, which convolutions prefer;
            a module that calls ``view`` on its activations needs it off.
    """

    inputs: Tensor
    targets: Tensor
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    pixels: bool = False
    channels_last: bool = False

    def __post_init__(self) -> None:
        shape = tuple(self.inputs.shape)
        if (self.mean or self.channels_last) and len(shape) != 4:
            raise BadData(f"Expected pictures of shape (examples, channels, height, width), found {shape}.")
        if (self.mean or self.std) and not (self.pixels and len(self.mean) == len(self.std) == shape[1]):
            raise BadData(
                "A normalisation needs pixels=True and a mean and a deviation for each channel, found"
                f" pixels={self.pixels}, {len(self.mean)} and {len(self.std)} for inputs of shape {shape}."
            )

    @classmethod
    def of(
        cls,
        data: Any,
        *,
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        pixels: bool = False,
        channels_last: bool = False,
    ) -> Examples:
        """Examples from a pair of arrays or tensors, or anything with ``inputs`` and ``labels``.

        Raises:
            BadData: not a pair, or inputs and targets of different lengths, or none at all.
        """
        if isinstance(data, Examples):
            return data
        pair = (data.inputs, data.labels) if hasattr(data, "inputs") and hasattr(data, "labels") else data
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise BadData(f"Data must be a pair (inputs, targets) of arrays or tensors, found {type(data).__name__}.")
        inputs, targets = (_tensor(part, name) for part, name in zip(pair, ("inputs", "targets")))
        if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets) or len(inputs) == 0:
            raise BadData(
                "Inputs and targets must have one entry an example and at least one example, found shapes"
                f" {tuple(inputs.shape)} and {tuple(targets.shape)}."
            )
        return cls(inputs, targets, mean, std, pixels, channels_last)

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device) -> Examples:
        """The same examples in the memory of a device."""
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))

    def subset(self, indices: Tensor) -> Examples:
        """The examples at these indices, in that order."""
        return replace(self, inputs=self.inputs[indices], targets=self.targets[indices])

    def augmented(self, augmenter: Augmenter, places: Tensor) -> Examples:
        """The same examples, augmented once and for all as what stands at these places of the augmenter's set."""
        inputs = torch.empty_like(self.inputs, memory_format=torch.contiguous_format)
        for begin in range(0, len(self), 1024):
            rows = slice(begin, begin + 1024)
            inputs[rows] = augmenter(self.inputs[rows], places[rows])
        return replace(self, inputs=inputs)

    def batch(self, where: slice | Tensor, augmenter: Augmenter | None = None) -> tuple[Tensor, Tensor]:
        """Inputs ready for a network (cut, augmented, normalised) and targets, in memory of their own."""
        inputs, targets = _rows(self.inputs, where), _rows(self.targets, where)
        if augmenter is not None:
            inputs = augmenter(inputs, where)
        if isinstance(where, slice):  # a view of what the caller handed in
            targets = targets.clone()
            inputs = inputs if self.pixels else inputs.clone()
        return self._ready(inputs, where, augmenter), targets

    def _ready(self, raw: Tensor, where: slice | Tensor, augmenter: Augmenter | None) -> Tensor:
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        if not self.pixels:
            if augmenter is not None and augmenter.factors is not None:
                raise BadInput("Brightness needs pixels from 0 to 255, found inputs of another kind; leave it out.")
            return raw.contiguous(memory_format=layout) if augmenter is not None or self.channels_last else raw
        ready = raw.to(torch.float32, memory_format=layout, copy=True)
        if augmenter is not None and augmenter.factors is not None:
            ready.mul_(augmenter.factors[where].view(-1, 1, 1, 1)).clamp_(max=255.0)
        if not self.mean:
            return ready.div_(255.0)
        scale, shift = self._constants
        return ready.mul_(scale).sub_(shift)

    @functools.cached_property
    def _constants(self) -> tuple[Tensor, Tensor]:
        """What a normalised batch is multiplied by, and what is then subtracted."""
        shape, device = (1, -1, 1, 1), self.inputs.device
        mean = torch.tensor(self.mean, dtype=torch.float64, device=device)
        std = torch.tensor(self.std, dtype=torch.float64, device=device)
        return (1 / (255.0 * std)).float().view(shape), (mean / std).float().view(shape)


def _rows(whole: Tensor, where: slice | Tensor) -> Tensor:
    """``whole[where]``; on a CPU whole rows are copied, which is many times faster than entry by entry."""
    if (
        isinstance(where, Tensor)
        and whole.device.type == "cpu"
        and whole.is_contiguous()
        and where.dtype == torch.int64
    ):
        return whole.index_select(0, where)
    return whole[where]


def _tensor(part: Any, name: str) -> Tensor:
    if isinstance(part, Tensor):
        return part.detach()
    try:
        array = np.asarray(part)
        if array.dtype.kind not in "buif":
            raise TypeError(f"type {array.dtype}")
        if array.dtype.kind == "u" and array.dtype.itemsize > 1:
            array = array.astype(np.int64)  # torch can do next to nothing with its own unsigned types
        plain = array.flags.writeable and array.dtype.isnative and min(array.strides, default=0) >= 0
        return torch.from_numpy(array if plain else array.astype(array.dtype.newbyteorder("=")))
    except (TypeError, ValueError) as error:
        raise BadData(f"{name.capitalize()} must be an array or a tensor of numbers, found {error}.") from None


class Lent:
    """A batch's inputs for several forward passes: what a network changed in place is made anew for the next."""

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self.make = make
        self.inputs = make()
        self.version = self.inputs._version

    def take(self) -> Tensor:
        """The inputs as they were made."""
        if self.inputs._version != self.version:
            self.inputs = self.make()
            self.version = self.inputs._version
        return self.inputs


class Augmenter:
    """The augmentation of one epoch: random crops after zero-padding, flips, brightness, as the noise draws them.

    ``factors`` are those of the brightness of each example, or None: they act on the pixels once these are floats.
    """

    def __init__(self, augment: Augment, noise: Noise, examples: int, epoch: int, device: torch.device) -> None:
        self.padding, self.brightness = augment.crop, augment.brightness
        self.noise, self.examples = noise, examples
        sizes = {"crop-y": 2 * augment.crop + 1, "crop-x": 2 * augment.crop + 1, "flip": 2 if augment.flip else 1}
        self.sizes = {name: size for name, size in sizes.items() if size > 1}
        self.draws = {name: self._draw(name, epoch).to(device) for name in self.sizes}
        self.factors = self._factors(epoch).to(device) if augment.brightness else None

    def enter(self, epoch: int) -> None:
        """Go on to another epoch, in the memory that the draws are in: a recorded step reads them from there."""
        for name, draw in self.draws.items():
            draw.copy_(self._draw(name, epoch))
        if self.factors is not None:
            self.factors.copy_(self._factors(epoch))

    def _draw(self, name: str, epoch: int) -> Tensor:
        words = self.noise.augmentation_words(self.examples, epoch, name)
        return torch.from_numpy(_below(self.sizes[name], words))

    def _factors(self, epoch: int) -> Tensor:
        words = self.noise.augmentation_words(self.examples, epoch, "brightness")
        unit = (words >> np.uint64(11)) * 2.0**-53  # [0, 1)
        return torch.from_numpy(1.0 + self.brightness * (2.0 * unit - 1.0)).float()

    def __call__(self, raw: Tensor, where: slice | Tensor) -> Tensor:
        """The augmented pictures, shape (batch, channels, height, width), of the type that they came in."""
        if raw.ndim != 4:
            raise BadInput(
                "Crops and flips need pictures of shape (examples, channels, height, width), found inputs of shape"
                f" {tuple(raw.shape)}; train without augmentation."
            )
        if not self.draws:
            return raw
        height, width = raw.shape[-2:]
        rows = torch.arange(height, device=raw.device)
        columns = torch.arange(width, device=raw.device).expand(len(raw), width)
        if "flip" in self.draws:
            columns = torch.where(self.draws["flip"][where].bool()[:, None], width - 1 - columns, columns)
        if self.padding:
            raw = torch.nn.functional.pad(raw, [self.padding] * 4)
            rows = rows + self.draws["crop-y"][where][:, None]
            columns = columns + self.draws["crop-x"][where][:, None]
        else:
            rows = rows.expand(len(raw), height)
        batch = torch.arange(len(raw), device=raw.device)[:, None, None]
        picked = raw.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 1, 2)


def _below(size: int, words: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Integers in [0, size) from the top 32 bits of each word."""
    return (((words >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32)).astype(np.int64)
