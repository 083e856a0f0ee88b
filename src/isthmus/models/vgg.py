"""VGG-11 and VGG-16 (Simonyan & Zisserman 2015, table 1, configurations A and D), with or without normalisation.

Tensors are named as in torchvision. ``head="linear"`` is what published code uses for 32x32 pictures: an average over
the pixels that are left and one linear layer; ``head="imagenet"`` is the original with two hidden layers and dropout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from isthmus.errors import BadInput, nearest
from isthmus.models import Entry, blocking
from isthmus.models.layers import AveragePoolTo, ImageShape, Init, Norm, initialise_as, make_norm
from isthmus.registry import Count

__all__ = ["ENTRIES", "VGG"]

Head = Literal["linear", "imagenet"]
Narrow = Mapping[str, Annotated[float, Field(gt=0)]]
"""By the name of a convolution: the factor by which its number of channels shrinks (or grows)."""

# a number is a convolution with so many times ``width`` channels, None a 2x2 max-pool
CONFIGURATIONS: Mapping[str, tuple[int | None, ...]] = {
    "vgg11": (1, None, 2, None, 4, 4, None, 8, 8, None, 8, 8, None),
    "vgg16": (1, 1, None, 2, 2, None, 4, 4, 4, None, 8, 8, 8, None, 8, 8, 8, None),
}


class VGG(nn.Module):
    """3x3 convolutions with bias, each normalised, and max-pools, then linear layers.

    Blocks: ``conv1``, ``conv2``, ..., then ``fc``, or ``fc1`` to ``fc3`` with the original head.
    """

    def __init__(
        self,
        configuration: tuple[int | None, ...],
        classes: int,
        channels: int,
        width: int,
        norm: Norm,
        head: Head,
        narrow: Narrow,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.convolutions: dict[str, tuple[int, ...]] = {}
        for step in configuration:
            if step is None:
                layers.append(nn.MaxPool2d(2))
                continue
            name = f"conv{len(self.convolutions) + 1}"
            outputs = max(1, round(step * width * narrow.get(name, 1.0)))
            own: list[nn.Module] = [nn.Conv2d(channels, outputs, 3, padding=1)]
            own += [] if norm == "none" else [make_norm(norm, outputs)]
            self.convolutions[name] = tuple(range(len(layers), len(layers) + len(own)))
            layers += [*own, nn.ReLU(inplace=True)]
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.avgpool = AveragePoolTo(1 if head == "linear" else 7)
        self.classifier = _linear(channels, classes) if head == "linear" else _imagenet(channels, 64 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, classes)."""
        scores: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return scores

    def blocks(self) -> dict[str, tuple[str, ...]]:
        """Each convolution with its normalisation, then each linear layer."""
        found = {name: tuple(f"features.{i}.*" for i in places) for name, places in self.convolutions.items()}
        linear = [index for index, layer in enumerate(self.classifier) if isinstance(layer, nn.Linear)]
        names = ["fc"] if len(linear) == 1 else [f"fc{index}" for index in range(1, len(linear) + 1)]
        return found | {name: (f"classifier.{index}.*",) for name, index in zip(names, linear, strict=True)}


def _linear(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, classes))


def _imagenet(channels: int, hidden: int, classes: int) -> nn.Sequential:
    first = (nn.Linear(49 * channels, hidden), nn.ReLU(inplace=True), nn.Dropout())
    return nn.Sequential(
        *first, nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(hidden, classes)
    )


def _names(configuration: tuple[int | None, ...]) -> Iterator[str]:
    return (f"conv{index}" for index, _ in enumerate((step for step in configuration if step), start=1))


def _entry(name: str) -> Entry:
    configuration = CONFIGURATIONS[name]

    def build(
        classes: Count = 10,
        input_shape: ImageShape = (3, 32, 32),
        width: Count = 64,
        norm: Norm = "batch",
        head: Head = "linear",
        narrow: Narrow | None = None,
        init: Init = "framework",
    ) -> nn.Module:
        known = list(_names(configuration))
        for layer in narrow or ():
            if layer not in known:
                raise BadInput(f"Model {name}: narrow has no layer {layer!r}{nearest(layer, known)}")
        if min(input_shape[1:]) < 32:
            raise BadInput(f"Model {name}: input_shape needs a height and width of at least 32, found {input_shape}.")
        model = VGG(configuration, classes, input_shape[0], width, norm, head, narrow or {})
        return initialise_as(model, init)

    depth = name.removeprefix("vgg")
    summary = f"VGG-{depth}, one linear layer on an average for 32x32 pictures, or the original head."
    return Entry(build, summary, blocking.declared, {"width": 4})


ENTRIES = {name: _entry(name) for name in CONFIGURATIONS}
