"""How long weights are and how far apart, as a whole and block by block, accumulated in float64."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from isthmus.weights.mapping import State, check_match, parameters
from isthmus.weights.selection import select

__all__ = ["distance", "distance_by_block", "norm"]


@torch.no_grad()
def norm(state: State, *, buffers: bool = False) -> float:
    """The L2 norm over parameters (tied ones once), accumulated in float64."""
    return math.sqrt(math.fsum(_square(tensor) for tensor in parameters(state, buffers=buffers).values()))


def _square(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(_wide(tensor))) ** 2


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.complex128 if tensor.is_complex() else torch.float64)


@torch.no_grad()
def distance(a: State, b: State, relative: bool = False, *, buffers: bool = False) -> float:
    """``||b - a||`` over parameters; with ``relative``, divided by ``||a||`` (Vlaar 2022, equation 4).

    Args:
        a: the state from which the distance is measured, such as the initial weights.
        b: the other state.
        relative: divide by the norm of ``a``. NaN where that norm is 0.
        buffers: count float buffers as well. Integer buffers never count.

    Raises:
        BadWeights: where the two do not match.

    >>> distance({"w": torch.tensor([3.0, 4.0])}, {"w": torch.tensor([6.0, 8.0])}, relative=True)
    1.0
    """
    check_match(a, b)
    squares = _squares(a, b, buffers=buffers)
    total = math.sqrt(math.fsum(squares.values()))
    if not relative:
        return total
    scale = math.sqrt(math.fsum(_square(a[name]) for name in squares))
    return total / scale if scale else math.nan


def _squares(a: State, b: State, *, buffers: bool) -> dict[str, float]:
    """``||b - a||^2`` of each entry that counts; what either side knows to be a buffer or a tie does not."""
    others = parameters(b, buffers=buffers)
    return {
        name: _square(_wide(b[name]) - _wide(tensor))
        for name, tensor in parameters(a, buffers=buffers).items()
        if name in others
    }


def distance_by_block(
    a: State, b: State, blocks: Mapping[str, Iterable[str]], relative: bool = False, *, buffers: bool = False
) -> dict[str, float]:
    """``||b - a||`` of each block; squared, they add up to the whole where the blocks partition it.

    Args:
        a: the state from which the distance is measured.
        b: the other state.
        blocks: tensor-name globs by the name of the block.
        relative: divide by the norm of the block in ``a``. NaN where that norm is 0.
        buffers: count float buffers as well.
    """
    check_match(a, b)
    squares = _squares(a, b, buffers=buffers)
    counted = {block: [name for name in select(a, globs) if name in squares] for block, globs in blocks.items()}
    apart = {block: math.sqrt(math.fsum(squares[name] for name in names)) for block, names in counted.items()}
    if not relative:
        return apart
    scales = {block: math.sqrt(math.fsum(_square(a[name]) for name in names)) for block, names in counted.items()}
    return {block: found / scales[block] if scales[block] else math.nan for block, found in apart.items()}
