"""Layers that several architectures share, and the argument types that their factories are annotated with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.registry import Count

__all__ = [
    "Activation",
    "AveragePool2x2",
    "AveragePoolTo",
    "ChannelNorm",
    "ImageShape",
    "Init",
    "Norm",
    "PointwiseConv2d",
    "PooledConv2d",
    "initialise_as",
    "make_activation",
    "make_norm",
]

ImageShape = Annotated[tuple[Count, ...], Field(min_length=3, max_length=3)]
"""Channels, height and width."""

Init = Literal["framework", "kaiming", "fan-out"]
"""Initial values: see :func:`initialise_as`."""

Activation = Literal["relu", "tanh", "sigmoid"]
Norm = Literal["batch", "layer", "group", "none"]

_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def make_activation(kind: Activation) -> nn.Module:
    """The elementwise non-linearity of this name."""
    return _ACTIVATIONS[kind]()


def make_norm(kind: Norm, channels: int) -> nn.Module:
    """A normalisation layer for (N, channels, H, W), affine, with the framework's initial scale 1 and shift 0.

    ``batch``: over examples and pixels. ``layer``: over channels at each pixel. ``group``: over pixels and
    each of 8 groups of channels (fewer where 8 does not divide them). ``none``: the identity.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "layer":
        return ChannelNorm(channels)
    return nn.GroupNorm(math.gcd(8, channels), channels) if kind == "group" else nn.Identity()


def initialise_as(model: nn.Module, kind: Init) -> nn.Module:
    """The model, its initial values drawn anew.

    ``framework``: as each layer drew them. ``kaiming``: convolutions and linear layers Kaiming-normal (fan-in, gain
    sqrt 2), the scales of batch normalisation U(0, 1), as in the public code of Frankle et al. 2020 (open_lth).
    ``fan-out``: convolutions Kaiming-normal by their outputs, as torchvision's residual networks.
    """
    if kind == "framework":
        return model
    return model.apply(_kaiming if kind == "kaiming" else _fan_out)


def _kaiming(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.uniform_(module.weight)


def _fan_out(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (N, channels, H, W), at each pixel apart, then affine.

    The statistics are taken in channels-last order whatever the memory format of the input, so the
    format does not alter the values; a channels-last input is not copied.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The normalised input, of its shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class AveragePoolTo(nn.AdaptiveAvgPool2d):
    """The means over equal parts of a picture, so many a side; a picture of that size already comes back itself.

    (The general form has no deterministic gradient on accelerators, and that size is the usual one.)
    """

    def __init__(self, side: int) -> None:
        super().__init__(side)
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, side, side)."""
        return x if x.shape[2] == x.shape[3] == self.side else super().forward(x)


class AveragePool2x2(nn.Module):
    """The means of 2x2 squares of pixels, stride 2, an odd last row or column dropped.

    On a CPU it is computed as a depthwise convolution with weights 1/4, several times faster there than
    ``avg_pool2d`` in channels-last order; elsewhere by ``avg_pool2d``, because accelerators may
    round the inputs of convolutions (TF32).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H // 2, W // 2)."""
        if x.device.type != "cpu":
            return F.avg_pool2d(x, 2)
        channels = x.shape[1]
        return F.conv2d(x, torch.full((channels, 1, 2, 2), 0.25, dtype=x.dtype), stride=2, groups=channels)


class PooledConv2d(nn.Conv2d):
    """A convolution followed by the means of 2x2 squares, computed as one convolution with stride 2.

    Both maps are linear, so together they are a convolution whose kernel, one pixel larger each way, is the
    mean of four shifts of this one's: a third of the multiplications for a 5x5 kernel, and no large
    activation in between. Equal to ``avg_pool2d(conv2d(x), 2)`` up to rounding. Stride 1 only, no dilation, no groups.

    Strided convolutions of few channels, and their gradients, are several times slower on a CPU than the same sums as
    a product of matrices or with stride 1. Two of these layers with nothing but an elementwise function in between can
    therefore pass on each 2x2 square of pixels as four channels (``pixel_unshuffle(x, 2)``): the first with
    ``squares="out"``, which needs an even height and width to give, the second, without padding, with ``squares="in"``.
    """

    linear_in_weights = True

    def __init__(
        self, channels: int, outputs: int, side: int, padding: int = 0, squares: Literal["no", "in", "out"] = "no"
    ) -> None:
        super().__init__(channels, outputs, side, padding=padding)
        self.border, self.squares = padding, squares

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, outputs, H' // 2, W' // 2), where H' and W' are what the convolution alone gives."""
        kernel = F.avg_pool2d(self.weight, 2, stride=1, padding=1)
        if self.squares == "in":
            return F.conv2d(x, _in_order_of(x, F.pixel_unshuffle(kernel, 2)), self.bias)
        if self.squares == "out" and x.device.type == "cpu":
            return self._four_at_once(F.pad(x, (self.border,) * 4), kernel)
        y = F.conv2d(x, _in_order_of(x, kernel), self.bias, stride=2, padding=self.border)
        return F.pixel_unshuffle(y, 2) if self.squares == "out" else y

    def _four_at_once(self, x: Tensor, kernel: Tensor) -> Tensor:
        """The four pixels of each square from one window of the padded input, by four shifts of the kernel."""
        shifts = [(2 * right, 2 - 2 * right, 2 * down, 2 - 2 * down) for down in (0, 1) for right in (0, 1)]
        four = torch.stack([F.pad(kernel, shift) for shift in shifts], 1).flatten(0, 1)
        rows, columns = four.shape[2:]
        windows = x.unfold(2, rows, 4).unfold(3, columns, 4).permute(0, 2, 3, 1, 4, 5)
        bias = None if self.bias is None else self.bias.repeat_interleave(4)
        return F.linear(windows.flatten(3), four.flatten(1), bias).permute(0, 3, 1, 2)


def _in_order_of(x: Tensor, kernel: Tensor) -> Tensor:
    """The kernel in the memory format of the input."""
    return (
        kernel.contiguous(memory_format=torch.channels_last)
        if x.is_contiguous(memory_format=torch.channels_last)
        else kernel
    )


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution with a stride: pixels are picked first, then convolved with stride 1. The same values.

    The library behind torch's convolutions on CPUs writes past its workspace in the weight gradient of a
    strided 1x1 convolution of channels-last input with few channels (oneDNN issue 6035), which corrupts
    the heap; with stride 1 it does not.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, outputs, H / stride, W / stride), rounded up."""
        rows, columns = self.stride
        return F.conv2d(x[:, :, ::rows, ::columns], self.weight, self.bias)
