"""Merging networks, and what then happens to the optimiser's buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor

from isthmus import weights
from isthmus.errors import BadInput
from isthmus.networks import NetworkState
from isthmus.recipe import Buffers

__all__ = ["merge"]


def merge(
    states: Sequence[NetworkState],
    coefficients: Sequence[float] | None = None,
    *,
    buffers: Buffers = "reset",
    step: int | None = None,
) -> NetworkState:
    """The weighted mean of networks: their interpolant (alpha = 1/2 for two and no coefficients).

    Args:
        states: at least two, all at the same step unless ``step`` is given.
        coefficients: one a state, adding up to 1; equal ones by default.
        buffers: the optimiser's buffers afterwards: none ("reset"), those of the first state ("keep"), or
            averaged with the same coefficients ("average").
        step: where the schedule goes on after the merge; it is needed where the states are at several steps, such
            as those of one trajectory.

    Returns:
        A state at the same step (or at ``step``), so that a schedule of the global step goes on where it was.

    Raises:
        BadInput: fewer than two, no states, other steps, coefficients that do not add up to 1.
        BadWeights: states that do not match.
    """
    if len(states) < 2:
        raise BadInput(f"A merge needs at least two networks, found {len(states)}.")
    for state in states:
        if not isinstance(state, NetworkState):
            raise BadInput(
                f"A merge takes NetworkState values, found {type(state).__name__}: NetworkState.of(model) is the state"
                " of a module, and weights.lerp merges plain state dicts."
            )
    shares = [1.0 / len(states)] * len(states) if coefficients is None else [float(c) for c in coefficients]
    if len(shares) != len(states) or not abs(sum(shares) - 1.0) <= 1e-9:
        raise BadInput(f"A merge needs one coefficient a network, adding up to 1, found {shares}.")
    if buffers not in get_args(Buffers):
        raise BadInput(f"buffers must be one of {', '.join(get_args(Buffers))}, found {buffers!r}.")
    steps = {state.step for state in states}
    if step is None and len(steps) != 1:
        raise BadInput(f"Networks to merge must be at the same step, found {sorted(steps)}.")
    if len(states) == 2:
        merged = weights.lerp(states[0].weights, states[1].weights, shares[1])
    else:
        merged = weights.weighted_sum([state.weights for state in states], shares)
    return NetworkState(merged, _optimizer(states, shares, buffers), states[0].step if step is None else step)


def _optimizer(
    states: Sequence[NetworkState], shares: Sequence[float], buffers: Buffers
) -> dict[str, dict[str, Tensor]]:
    if buffers == "reset":
        return {}
    if buffers == "keep":
        return {name: {s: t.clone() for s, t in slots.items()} for name, slots in states[0].optimizer.items()}
    layouts = [{name: sorted(slots) for name, slots in state.optimizer.items()} for state in states]
    if any(layout != layouts[0] for layout in layouts[1:]):
        raise BadInput('buffers="average" needs networks trained by the same optimiser.')
    with torch.no_grad():
        return {
            name: {slot: _mean([state.optimizer[name][slot] for state in states], shares) for slot in slots}
            for name, slots in states[0].optimizer.items()
        }


def _mean(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """The weighted mean; of equal tensors exactly that tensor (Adam's step count, which thirds would not add up to)."""
    if all(torch.equal(tensor, tensors[0]) for tensor in tensors[1:]):
        return tensors[0].clone()
    return weights.sum_tensors(tensors, shares)
