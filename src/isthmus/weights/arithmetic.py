"""Sums of weights: interpolation, weighted sums, differences; of one tensor, and of every entry."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from isthmus.errors import BadWeights
from isthmus.weights.mapping import State, Weights, check_match, is_float, like

__all__ = ["difference", "lerp", "lerp_tensor", "sum_tensors", "weighted_sum"]


def lerp_tensor(a: Tensor, b: Tensor, alpha: float, out: Tensor | None = None) -> Tensor:
    """``(1 - alpha) * a + alpha * b`` of one entry; alpha 0 and 1 give the ends bit for bit.

    Integer and boolean entries come from the nearer end (``a`` at alpha = 1/2).
    """
    if alpha == 0.0 or alpha == 1.0 or not is_float(a):
        source = a if alpha <= 0.5 else b
        return source.clone() if out is None else out.copy_(source)
    if a.dtype in (torch.float16, torch.bfloat16) and a.device.type == "cpu":
        result = torch.lerp(a.float(), b.float(), alpha).to(a.dtype)
        return result if out is None else out.copy_(result)
    return torch.lerp(a, b, alpha) if out is None else torch.lerp(a, b, alpha, out=out)


@torch.no_grad()
def lerp(a: State, b: State, alpha: float) -> Weights:
    """The interpolant ``(1 - alpha) * a + alpha * b``, for any finite alpha.

    Alpha 0 and 1 return the ends bit for bit, and ``lerp(a, a, alpha)`` is ``a`` bit for bit (but for
    the sign of a zero, and infinities: inf - inf is NaN).
    Parameters and float buffers move; integer buffers come from the nearer end.

    Args:
        a: state dict at alpha = 0.
        b: state dict at alpha = 1, with the same names, shapes and types.
        alpha: position on the line; outside [0, 1] it extrapolates.

    Returns:
        New weights that share no memory with ``a`` or ``b``.

    Raises:
        BadWeights: names the tensor and both shapes where ``a`` and ``b`` do not match.

    >>> lerp({"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 6.0])}, 0.25)["w"]
    tensor([1.5000, 3.0000])
    """
    if not math.isfinite(alpha):
        raise BadWeights(f"alpha must be a finite number, found {alpha}.")
    check_match(a, b)
    return like(a, {name: lerp_tensor(tensor, b[name], alpha) for name, tensor in a.items()})


@torch.no_grad()
def weighted_sum(states: Sequence[State], coefficients: Sequence[float]) -> Weights:
    """``sum_i coefficients[i] * states[i]``, accumulated in the given order.

    A single coefficient of exactly 1 with all others 0 returns that state bit for bit. Integer
    buffers come from the state with the largest coefficient (the first of equals).

    Raises:
        BadWeights: no states, another number of coefficients or one that is not finite, or states that do not match.
    """
    if not states or len(states) != len(coefficients):
        raise BadWeights(f"A weighted sum needs one coefficient a state, found {len(states)} and {len(coefficients)}.")
    if not all(map(math.isfinite, coefficients)):
        raise BadWeights(f"The coefficients must be finite numbers, found {list(coefficients)}.")
    for index, state in enumerate(states[1:], start=2):
        check_match(states[0], state, names=("state 1", f"state {index}"))
    return like(
        states[0],
        {name: sum_tensors([state[name] for state in states], coefficients) for name in states[0]},
    )


def sum_tensors(tensors: Sequence[Tensor], coefficients: Sequence[float], out: Tensor | None = None) -> Tensor:
    """The weighted sum of one entry over several states; see :func:`weighted_sum`."""
    active = [(tensor, c) for tensor, c in zip(tensors, coefficients, strict=True) if c != 0.0]
    if len(active) == 1 and active[0][1] == 1.0:
        source = active[0][0]
        return source.clone() if out is None else out.copy_(source)
    if not is_float(tensors[0]):
        nearest_end = tensors[max(range(len(tensors)), key=lambda i: coefficients[i])]
        return nearest_end.clone() if out is None else out.copy_(nearest_end)
    wide = torch.float32 if tensors[0].dtype in (torch.float16, torch.bfloat16) else tensors[0].dtype
    total = torch.zeros_like(tensors[0], dtype=wide)
    for tensor, coefficient in active:
        total.add_(tensor.to(wide), alpha=coefficient)
    return total.to(tensors[0].dtype) if out is None else out.copy_(total)


@torch.no_grad()
def difference(a: State, b: State) -> Weights:
    """``b - a`` of the floating-point entries: the direction in which the line from ``a`` runs."""
    check_match(a, b)
    return like(a, {name: b[name] - tensor for name, tensor in a.items() if is_float(tensor)})
