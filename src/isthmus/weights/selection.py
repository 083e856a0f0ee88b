"""Tensors by patterns on their names: which those are, and taking them from another network."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping

import torch

from isthmus.errors import BadWeights, nearest
from isthmus.weights.mapping import State, Weights, check_mapping, check_match, like

__all__ = ["graft", "select"]


@torch.no_grad()
def graft(base: State, donor: State, patterns: str | Iterable[str]) -> Weights:
    """``base`` with the tensors that any of the globs matches taken from ``donor``.

    The two may be of different architectures as long as what is taken fits: a new head is everything but the head
    taken from a trained network, a block that is reset is that block taken from initial weights.

    Args:
        base: what is not taken from the donor, and the names, kinds and ties of the result.
        donor: has a tensor of the same shape and type under each name that is taken.
        patterns: globs on the names of ``base``.

    Returns:
        New weights, bit for bit those of one or the other, that share no memory with either.

    Raises:
        BadWeights: a pattern that matches nothing, a tensor that the donor lacks or has otherwise, or one name taken
            of several that are one tensor in ``base``.

    >>> two = {"a.w": torch.tensor([1.0]), "b.w": torch.tensor([2.0])}
    >>> {name: tensor.item() for name, tensor in graft(two, {"a.w": torch.tensor([7.0])}, "a.*").items()}
    {'a.w': 7.0, 'b.w': 2.0}
    """
    check_mapping(base, "the base")
    check_mapping(donor, "the donor")
    taken = set(select(base, patterns))
    missing = next((name for name in base if name in taken and name not in donor), None)
    if missing is not None:
        raise BadWeights(f"Tensor {missing!r} is to be taken from the donor, which has none{nearest(missing, donor)}")
    own = {name: tensor for name, tensor in base.items() if name in taken}
    check_match(own, {name: donor[name] for name in own}, names=("the base", "the donor"))
    for name, first in base.ties.items() if isinstance(base, Weights) else ():
        if (name in taken) != (first in taken):
            raise BadWeights(f"Tensors {first!r} and {name!r} are one tensor in the base: take both or neither.")
    return like(base, {name: (donor if name in taken else base)[name].detach().clone() for name in base})


def select(state: Mapping[str, object], patterns: str | Iterable[str]) -> tuple[str, ...]:
    """The names that any of the globs matches, in the state's order.

    Raises:
        BadWeights: for a pattern that matches nothing, with the nearest name.

    >>> select({"fc.weight": 0, "fc.bias": 0, "conv.weight": 0}, ["fc.*"])
    ('fc.weight', 'fc.bias')
    """
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in state):
            raise BadWeights(f"No tensor matches the pattern {pattern!r}{nearest(pattern, state)}")
    return tuple(name for name in state if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))
