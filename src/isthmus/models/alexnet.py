"""AlexNet in the one-column form of Krizhevsky 2014, with BatchNorm after the first two convolutions on request.

``form="224"`` is the usual layout (61.1M parameters at 1,000 classes), ``form="64"`` the native one for 64x64 pictures,
as Shapira 2023 may have used: 11x11 with stride 2 and padding 2 first, no last pool (57.8M at 200 classes). Tensors
are named as in torchvision; a normalisation stands between layers as ``features.norm1``.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn

from isthmus.errors import BadInput
from isthmus.models import Entry
from isthmus.models.layers import AveragePoolTo, ImageShape, Norm, make_norm
from isthmus.registry import Count, Rate

__all__ = ["ENTRIES", "AlexNet"]

Form = Literal["224", "64"]
LEAST = {"224": 63, "64": 19}


class AlexNet(nn.Module):
    """Five convolutions and three linear layers with dropout before the first two; blocks ``conv1`` .. ``fc3``."""

    def __init__(
        self, classes: int, input_shape: tuple[int, ...], width: int, norm: Norm, form: Form, dropout: float
    ) -> None:
        super().__init__()
        channels = input_shape[0]
        c1, c2, c3, c4, c5 = width, 3 * width, 6 * width, 4 * width, 4 * width
        first = nn.Conv2d(channels, c1, 11, stride=4 if form == "224" else 2, padding=2)
        layers: OrderedDict[str, nn.Module] = OrderedDict({"0": first})
        _normalised(layers, "norm1", norm, c1)
        layers |= {"1": nn.ReLU(inplace=True), "2": nn.MaxPool2d(3, 2), "3": nn.Conv2d(c1, c2, 5, padding=2)}
        _normalised(layers, "norm2", norm, c2)
        layers |= {
            "4": nn.ReLU(inplace=True),
            "5": nn.MaxPool2d(3, 2),
            "6": nn.Conv2d(c2, c3, 3, padding=1),
            "7": nn.ReLU(inplace=True),
        }
        layers |= {"8": nn.Conv2d(c3, c4, 3, padding=1), "9": nn.ReLU(inplace=True)}
        layers |= {"10": nn.Conv2d(c4, c5, 3, padding=1), "11": nn.ReLU(inplace=True)}
        if form == "224":
            layers["12"] = nn.MaxPool2d(3, 2)
        self.features = nn.Sequential(layers)
        self.avgpool = AveragePoolTo(6)
        hidden = 64 * width
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(36 * c5, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, classes)."""
        scores: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return scores


def _normalised(layers: OrderedDict[str, nn.Module], name: str, norm: Norm, channels: int) -> None:
    if norm != "none":
        layers[name] = make_norm(norm, channels)


def _blocks(model: nn.Module) -> dict[str, tuple[str, ...]]:
    convolutions = {
        "conv1": ("0", "norm1"),
        "conv2": ("3", "norm2"),
        "conv3": ("6",),
        "conv4": ("8",),
        "conv5": ("10",),
    }
    found = {name: tuple(f"features.{layer}.*" for layer in layers) for name, layers in convolutions.items()}
    return found | {f"fc{index}": (f"classifier.{layer}.*",) for index, layer in enumerate((1, 4, 6), start=1)}


def alexnet(
    classes: Count = 10,
    input_shape: ImageShape = (3, 224, 224),
    width: Count = 64,
    norm: Norm = "batch",
    form: Form = "224",
    dropout: Rate = 0.5,
) -> nn.Module:
    """(N, *input_shape) to (N, classes); ``width`` is the number of channels of the first convolution.

    Raises:
        BadInput: pictures too small for the layout.
    """
    if min(input_shape[1:]) < LEAST[form]:
        raise BadInput(
            f"Model alexnet: form {form!r} needs a height and width of at least {LEAST[form]}, found {input_shape}."
        )
    return AlexNet(classes, input_shape, width, norm, form, dropout)


SMALL = {"width": 4, "form": "64", "input_shape": (3, 64, 64)}
ENTRIES = {"alexnet": Entry(alexnet, "AlexNet for 224x224 pictures, or (form 64) for 64x64 ones.", _blocks, SMALL)}
