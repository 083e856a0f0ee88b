"""Fully connected networks with ReLU.

Vlaar & Frankle 2022 (figure 1A) train one with two hidden layers of 50 units on MNIST and on a spiral.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from isthmus.models import Entry
from isthmus.registry import Count, Rate

__all__ = ["ENTRIES", "mlp"]


def mlp(
    classes: Count = 10,
    input_shape: tuple[Count, ...] = (1, 28, 28),
    hidden: tuple[Count, ...] = (50, 50),
    outputs: Count | None = None,
    dropout: Rate = 0.0,
) -> nn.Module:
    """(N, *input_shape) to (N, outputs): the input flattened, then affine layers with ReLU between them.

    ``outputs`` is ``classes`` unless given; 1 is meant for binary cross-entropy. Dropout follows each ReLU
    (no layer at 0). Initial values are the framework's. Blocks: ``layer1`` to ``layerN``, the affine layers.
    """
    widths = (math.prod(input_shape), *hidden, classes if outputs is None else outputs)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for index in range(1, len(widths)):
        layers[f"layer{index}"] = nn.Linear(widths[index - 1], widths[index])
        if index <= len(hidden):
            layers[f"relu{index}"] = nn.ReLU()
        if index <= len(hidden) and dropout > 0:
            layers[f"dropout{index}"] = nn.Dropout(dropout)
    return nn.Sequential(layers)


ENTRIES = {"mlp": Entry(mlp, "Fully connected layers with ReLU, the input flattened.")}
