"""LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998) in the form that is common today.

Dense second convolution, plain average pooling, a linear output layer, and padding 2 so that
28x28 pixels serve as the original's 32x32: 61,706 parameters at 10 classes.

By default tanh comes after the pooling, which is LeCun's order and is computed as one strided convolution. Shapira 2023
names neither; its released code has ReLU before the pooling (``activation="relu", activate="before"``), and so has row
``mnist``, whose distances at k1 = 0 are then nearer to the released ones.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn

from isthmus.errors import BadInput
from isthmus.models import Entry
from isthmus.models.layers import Activation, AveragePool2x2, ImageShape, PooledConv2d, make_activation
from isthmus.registry import Count

__all__ = ["ENTRIES", "lenet5"]


def lenet5(
    classes: Count = 10,
    input_shape: ImageShape = (1, 28, 28),
    activation: Activation = "tanh",
    activate: Literal["after", "before"] = "after",
) -> nn.Module:
    """(N, *input_shape) to (N, classes). Initial values are the framework's.

    ``activate`` says whether the non-linearity comes after or before the pooling.

    Blocks: ``conv1``, ``conv2``, ``fc1``, ``fc2``, ``fc3``.

    Raises:
        BadInput: for fewer than 12 pixels in height or width.
    """
    channels, height, width = input_shape
    rows, columns = _side(height), _side(width)
    if min(rows, columns) < 1:
        raise BadInput(f"Model lenet5: input_shape needs a height and width of at least 12, found {input_shape}.")
    even = height // 2 % 2 == width // 2 % 2 == 0  # what the first stage gives
    layers: list[tuple[str, nn.Module]] = [
        *_stage(1, channels, 6, 2, activation, activate, "out" if even else "no"),
        *_stage(2, 6, 16, 0, activation, activate, "in" if even else "no"),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(16 * rows * columns, 120)),
        ("act3", make_activation(activation)),
        ("fc2", nn.Linear(120, 84)),
        ("act4", make_activation(activation)),
        ("fc3", nn.Linear(84, classes)),
    ]
    return nn.Sequential(OrderedDict(layers))


def _stage(
    number: int,
    channels: int,
    outputs: int,
    padding: int,
    activation: Activation,
    activate: str,
    squares: Literal["no", "in", "out"],
) -> list[tuple[str, nn.Module]]:
    act = (f"act{number}", make_activation(activation))
    if activate == "after":
        return [(f"conv{number}", PooledConv2d(channels, outputs, 5, padding, squares)), act]
    convolution = nn.Conv2d(channels, outputs, 5, padding=padding)
    return [(f"conv{number}", convolution), act, (f"pool{number}", AveragePool2x2())]


def _side(pixels: int) -> int:
    return (pixels // 2 - 4) // 2


ENTRIES = {"lenet5": Entry(lenet5, "LeNet-5 with average pooling and padding 2 (61,706 parameters on MNIST).")}
