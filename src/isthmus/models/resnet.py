"""Residual networks of four stages: ResNet-18, -34 and -50 (He, Zhang, Ren & Sun 2016, table 1).

Tensors are named as in torchvision, so that weights from there load without a translation. For small pictures
the stem is a 3x3 convolution with stride 1; published code differs in its padding and in whether the max-pool behind it
stays, and Vlaar 2022 does not say, so all are offered.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.models import Entry, blocking
from isthmus.models.layers import ImageShape, Init, Norm, PointwiseConv2d, initialise_as, make_norm
from isthmus.registry import Count

__all__ = ["ENTRIES", "Bottleneck", "ResNet", "Unit"]

Stem = Literal["3x3", "3x3-unpadded", "7x7"]


class Unit(nn.Module):
    """Two 3x3 convolutions, each normalised, added to the (projected) input."""

    expansion = 1

    def __init__(self, channels: int, planes: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = _convolution(channels, planes, 3, stride, norm)
        self.bn1 = make_norm(norm, planes)
        self.conv2 = _convolution(planes, planes, 3, 1, norm)
        self.bn2 = make_norm(norm, planes)
        self.downsample = _projection(channels, planes, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, planes, H / stride, W / stride), rounded up."""
        inner = F.relu(self.bn1(self.conv1(x)), inplace=True)
        inner = self.bn2(self.conv2(inner))
        inner += self.downsample(x)  # in place: a new tensor of this size costs as much as the sum
        return F.relu(inner, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolutions, each normalised, added to the (projected) input."""

    expansion = 4

    def __init__(self, channels: int, planes: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = _convolution(channels, planes, 1, 1, norm)
        self.bn1 = make_norm(norm, planes)
        self.conv2 = _convolution(planes, planes, 3, stride, norm)
        self.bn2 = make_norm(norm, planes)
        self.conv3 = _convolution(planes, 4 * planes, 1, 1, norm)
        self.bn3 = make_norm(norm, 4 * planes)
        self.downsample = _projection(channels, 4 * planes, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, 4 planes, H / stride, W / stride), rounded up."""
        inner = F.relu(self.bn1(self.conv1(x)), inplace=True)
        inner = F.relu(self.bn2(self.conv2(inner)), inplace=True)
        inner = self.bn3(self.conv3(inner))
        inner += self.downsample(x)
        return F.relu(inner, inplace=True)


class ResNet(nn.Module):
    """Stem, four stages of units with width, 2, 4 and 8 times the width channels, average, linear layer.

    Blocks: ``stem``, ``stage1`` .. ``stage4``, ``fc``; ``stage4.0`` is the first unit of the fourth stage.
    """

    def __init__(
        self,
        unit: type[Unit | Bottleneck],
        depths: tuple[int, int, int, int],
        classes: int,
        channels: int,
        width: int,
        norm: Norm,
        stem: Stem,
        max_pool: bool,
    ) -> None:
        super().__init__()
        side, stride, padding = {"3x3": (3, 1, 1), "3x3-unpadded": (3, 1, 0), "7x7": (7, 2, 3)}[stem]
        self.conv1 = nn.Conv2d(channels, width, side, stride, padding, bias=norm == "none")
        self.bn1 = make_norm(norm, width)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if max_pool else nn.Identity()
        inputs, stages = width, []
        for index, depth in enumerate(depths):
            planes = width * 2**index
            units = [unit(inputs, planes, 2 if index else 1, norm)]
            inputs = planes * unit.expansion
            units += [unit(inputs, planes, 1, norm) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*units))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, classes)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        scores: Tensor = self.fc(x.mean((2, 3)))
        return scores


def _convolution(channels: int, outputs: int, side: int, stride: int, norm: Norm) -> nn.Conv2d:
    if side == 1:
        return PointwiseConv2d(channels, outputs, 1, stride, bias=norm == "none")
    return nn.Conv2d(channels, outputs, side, stride, padding=1, bias=norm == "none")


def _projection(channels: int, outputs: int, stride: int, norm: Norm) -> nn.Module:
    if stride == 1 and channels == outputs:
        return nn.Identity()
    return nn.Sequential(_convolution(channels, outputs, 1, stride, norm), make_norm(norm, outputs))


def _entry(name: str, unit: type[Unit | Bottleneck], depths: tuple[int, int, int, int]) -> Entry:
    def build(
        classes: Count = 10,
        input_shape: ImageShape = (3, 32, 32),
        width: Count = 64,
        norm: Norm = "batch",
        stem: Stem = "3x3",
        max_pool: bool = False,
        init: Init = "framework",
    ) -> nn.Module:
        model = ResNet(unit, depths, classes, input_shape[0], width, norm, stem, max_pool)
        return initialise_as(model, init)

    summary = f"{name} of four stages, for 32x32 pictures or (stem 7x7, max_pool) larger ones."
    return Entry(build, summary, lambda model: blocking.FOUR_STAGES, {"width": 4})


ENTRIES = {
    "resnet18": _entry("ResNet-18", Unit, (2, 2, 2, 2)),
    "resnet34": _entry("ResNet-34", Unit, (3, 4, 6, 3)),
    "resnet50": _entry("ResNet-50", Bottleneck, (3, 4, 6, 3)),
}
