"""Residual networks for 32x32 pictures: ResNet-20, -32, -44 and -56 (He, Zhang, Ren & Sun 2016, section 4.2).

Three stages of (depth - 2) / 6 units of two 3x3 convolutions, with ``width``, 2 ``width`` and 4 ``width``
channels; shortcuts that change the shape are a 1x1 convolution and a normalisation, as in the
public code of Frankle et al. 2020 (open_lth), from which the initial values are taken as well.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.models import Entry
from isthmus.models.layers import ImageShape, Norm, PointwiseConv2d, initialise_as, make_norm
from isthmus.registry import Count

__all__ = ["ENTRIES", "Unit", "resnet"]


class Unit(nn.Module):
    """Two 3x3 convolutions, each normalised, whose result is added to the (projected) input."""

    def __init__(self, channels: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = _convolution(channels, outputs, 3, stride, norm)
        self.norm1 = make_norm(norm, outputs)
        self.conv2 = _convolution(outputs, outputs, 3, 1, norm)
        self.norm2 = make_norm(norm, outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != outputs:
            self.shortcut = nn.Sequential(
                OrderedDict[str, nn.Module](
                    conv=_convolution(channels, outputs, 1, stride, norm),
                    norm=make_norm(norm, outputs),
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, outputs, H / stride, W / stride), rounded up."""
        inner = F.relu(self.norm1(self.conv1(x)), inplace=True)
        inner = self.norm2(self.conv2(inner))
        inner += self.shortcut(x)  # in place: a new tensor of this size costs as much as the sum
        return F.relu(inner, inplace=True)


class GlobalAverage(nn.Module):
    """The mean over all pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C)."""
        return x.mean((2, 3))


def resnet(depth: int, classes: int, input_shape: tuple[int, ...], width: int, norm: Norm) -> nn.Module:
    """The ResNet with ``depth`` (6 n + 2) weighted layers: (N, *input_shape) to (N, classes).

    Initial values: convolutions and the linear layer Kaiming-normal (fan-in, gain sqrt 2); batch
    normalisation with scale U(0, 1) and shift 0, layer and group normalisation with scale 1; biases (those
    of the linear layer, and of the convolutions where ``norm`` is ``none``) the framework's.
    Blocks: ``stem``, ``stage1``, ``stage2``, ``stage3``, ``fc``; ``stage1.0`` is the first unit of the first stage.
    """
    units = (depth - 2) // 6
    model = nn.Sequential(
        OrderedDict[str, nn.Module](
            stem=_stem(input_shape[0], width, norm),
            stage1=_stage(width, width, units, 1, norm),
            stage2=_stage(width, 2 * width, units, 2, norm),
            stage3=_stage(2 * width, 4 * width, units, 2, norm),
            pool=GlobalAverage(),
            fc=nn.Linear(4 * width, classes),
        )
    )
    return initialise_as(model, "kaiming")


def _stem(channels: int, width: int, norm: Norm) -> nn.Module:
    convolution = _convolution(channels, width, 3, 1, norm)
    return nn.Sequential(
        OrderedDict[str, nn.Module](conv=convolution, norm=make_norm(norm, width), relu=nn.ReLU(inplace=True))
    )


def _stage(channels: int, outputs: int, units: int, stride: int, norm: Norm) -> nn.Module:
    first = Unit(channels, outputs, stride, norm)
    return nn.Sequential(first, *(Unit(outputs, outputs, 1, norm) for _ in range(units - 1)))


def _convolution(channels: int, outputs: int, side: int, stride: int, norm: Norm) -> nn.Conv2d:
    if side == 1:
        return PointwiseConv2d(channels, outputs, 1, stride, bias=norm == "none")
    return nn.Conv2d(channels, outputs, side, stride, padding=side // 2, bias=norm == "none")


def _entry(depth: int) -> Entry:
    def build(
        classes: Count = 10,
        input_shape: ImageShape = (3, 32, 32),
        width: Count = 16,
        norm: Norm = "batch",
    ) -> nn.Module:
        return resnet(depth, classes, input_shape, width, norm)

    return Entry(build, f"ResNet-{depth} for 32x32 pictures, with 1x1-convolution shortcuts.")


ENTRIES = {f"resnet{depth}": _entry(depth) for depth in (20, 32, 44, 56)}
