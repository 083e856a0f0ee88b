"""The reduced VGG of Shapira 2023: two 3x3 convolutions, each with max-pooling, then fully connected layers.

Three forms, with their parameters at 32x32 pixels and 10 classes:

- ``"paper"`` (853,123): the text has two fully connected layers and "855K" parameters, and this meets them best;
- ``"released"`` (545,098): the code that was published in one commit with the measured values
  (https://github.com/ishapira1/LinearModeConnectivity, 96f48d9, April 2023): 128 hidden units, and whole channels
  dropped after the second pooling. Distances of networks trained so are those of that commit (row ``cifar10``);
- ``"later"`` (1,102,410): the code of May 2023, with three fully connected layers.
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

Form = Literal["paper", "released", "later"]
HIDDEN: dict[Form, tuple[int, ...]] = {"paper": (203,), "released": (128,), "later": (256, 128)}


def reduced_vgg(
    classes: Count = 10,
    input_shape: ImageShape = (3, 32, 32),
    form: Form = "paper",
    dropout: Rate = 0.5,
) -> nn.Module:
    """(N, *input_shape) to (N, classes), with dropout after each hidden fully connected layer.

    The released form also drops channels after the second pooling, at half of the rate.

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
    )
    if form == "released":
        layers["dropout0"] = nn.Dropout2d(dropout / 2)
    layers["flatten"] = nn.Flatten()
    inputs = 64 * (height // 4) * (width // 4)
    for index, units in enumerate(HIDDEN[form], start=1):
        layers[f"fc{index}"] = nn.Linear(inputs, units)
        layers[f"relu{index + 2}"] = nn.ReLU(inplace=True)
        layers[f"dropout{index}"] = nn.Dropout(dropout)
        inputs = units
    layers[f"fc{len(HIDDEN[form]) + 1}"] = nn.Linear(inputs, classes)
    return nn.Sequential(layers)


ENTRIES = {"reduced_vgg": Entry(reduced_vgg, "Two convolutions and two or three fully connected layers with dropout.")}
