"""Weights: a flat mapping from names to tensors, and arithmetic on it.

Every function takes plain state dicts. :class:`Weights` is such a mapping that also knows what kind
each entry is (parameter, float buffer, integer buffer) and which names are tied to one tensor, as a
module knows it. In a plain dict the kind is inferred: integer and boolean tensors are integer
buffers, ``running_mean`` and ``running_var`` are float buffers, all else are parameters; ties are
unknown there, so each name counts by itself.

Arithmetic (:func:`lerp`, :func:`weighted_sum`) moves every floating-point entry; integer buffers are
never averaged, they come from the nearer end. Distances are over parameters unless told otherwise.
"""

from __future__ import annotations

from isthmus.weights.arithmetic import difference, lerp, weighted_sum
from isthmus.weights.arithmetic import lerp_tensor as lerp_tensor
from isthmus.weights.arithmetic import sum_tensors as sum_tensors
from isthmus.weights.bits import digest, same_bits
from isthmus.weights.distances import distance, distance_by_block, norm
from isthmus.weights.mapping import Kind, Weights, check_match, kinds, parameters
from isthmus.weights.mapping import State as State
from isthmus.weights.selection import graft, select

# State, lerp_tensor and sum_tensors are offered as well, to who asks for them by name
__all__ = [
    "Kind",
    "Weights",
    "check_match",
    "difference",
    "digest",
    "distance",
    "distance_by_block",
    "graft",
    "kinds",
    "lerp",
    "norm",
    "parameters",
    "same_bits",
    "select",
    "weighted_sum",
]
