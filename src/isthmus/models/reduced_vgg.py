"""The reduced VGG of Shapira 2023: two 3x3 convolutions, each with max-pooling, then fully connected layers.

The text gives two fully connected layers and "855K" parameters, met most closely by ``form="paper"``
(853,123 at 32x32 pixels and 10 classes); the author's later code has three, ``form="later"`` (1,102,410).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn

from isthmus.errors import BadInput
from isthmus.models import Entry
from isthmus.models.layers import ImageShape
from isthmus.registry import Count, Rate

__all__ = ["ENTRIES", "reduced_vgg"]

Form = Literal["paper", "later"]
HIDDEN: dict[Form, tuple[int, ...]] = {"paper": (203,), "later": (256, 128)}


def reduced_vgg(
    classes: Count = 10,
    input_shape: ImageShape = (3, 32, 32),
    form: Form = "paper",
    dropout: Rate = 0.5,
) -> nn.Module:
    """(N, *input_shape) to (N, classes), with dropout after each hidden fully connected layer.

    Initial values are the framework's. Blocks: ``conv1``, ``conv2``, ``fc1``, ``fc2`` and, in the later form, ``fc3``.

    Raises:
        BadInput: for fewer than 4 pixels in height or width.
    """
    channels, height, width = input_shape
    if min(height, width) < 4:
        raise BadInput(f"Model reduced_vgg: input_shape needs a height and width of at least 4, found {input_shape}.")
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(channels, 32, 3, padding=1),
        relu1=nn.ReLU(inplace=True),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(32, 64, 3, padding=1),
        relu2=nn.ReLU(inplace=True),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
    )
    inputs = 64 * (height // 4) * (width // 4)
    for index, units in enumerate(HIDDEN[form], start=1):
        layers[f"fc{index}"] = nn.Linear(inputs, units)
        layers[f"relu{index + 2}"] = nn.ReLU(inplace=True)
        layers[f"dropout{index}"] = nn.Dropout(dropout)
        inputs = units
    layers[f"fc{len(HIDDEN[form]) + 1}"] = nn.Linear(inputs, classes)
    return nn.Sequential(layers)


ENTRIES = {"reduced_vgg": Entry(reduced_vgg, "Two convolutions and two or three fully connected layers with dropout.")}
