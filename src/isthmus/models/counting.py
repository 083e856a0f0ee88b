"""How many multiplications a network takes an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from isthmus.models import build

__all__ = ["multiply_accumulates"]


def multiply_accumulates(name: str, arguments: Mapping[str, Any], input_shape: Sequence[int]) -> int:
    """The multiply-accumulates of the convolutions and products of matrices of a forward pass of one example.

    They are counted as they are computed, without computing them; LeNet-5's pooled convolutions take fewer than a
    convolution and a pooling apart.

    >>> multiply_accumulates("mlp", {"input_shape": [3], "hidden": [5], "classes": 2}, (3,))
    25
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = build(name, **arguments).eval()
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(torch.zeros(1, *input_shape, device="meta"))
    return int(counted.get_total_flops()) // 2
