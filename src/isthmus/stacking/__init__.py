"""Replicas of a small fully connected network as one stack: the gradients of all of them in a few calls, on a CPU.

A small network's step is bound by Python and by what each call costs, not by arithmetic. A stack does for all replicas
in one call what each would do in one of its own: products of matrices in batches, elementwise functions over all.
Each such call is used only if, tried on made-up values of the same shapes and strides, it gives the bits of each
replica alone; else it is made replica by replica, and where that differs too (:class:`Apart`), nothing is stacked.
"""

from isthmus.stacking.fitting import LARGEST, stackable
from isthmus.stacking.stack import Stack

__all__ = ["LARGEST", "Stack", "stackable"]
