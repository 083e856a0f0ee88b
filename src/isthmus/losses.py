"""Losses by name, per example, and what counts as an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from isthmus.errors import BadData, BadInput

__all__ = ["LOSSES", "PerExample", "binary_cross_entropy", "cross_entropy", "error", "per_example"]

PerExample = Callable[[Tensor, Tensor], Tensor]
"""``loss(outputs, targets)``: one number an example, shape (batch,)."""


def _by_example(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1) if values.ndim > 1 else values


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of logits in nats, in float32; a mean over positions where an example has several."""
    if not targets.is_floating_point() and outputs.ndim >= 2:
        targets = targets.long()
        _check_range(targets, outputs.shape[1])
    return _by_example(F.cross_entropy(outputs.float(), targets, reduction="none"))


def _check_range(targets: Tensor, classes: int) -> None:
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= classes:
        raise BadData(f"Labels must be in 0..{classes - 1} for a model with {classes} outputs, found {low}..{high}.")


def binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of one logit an example against targets 0 and 1 (Vlaar 2022's spiral)."""
    logits = outputs.float().reshape(len(outputs), -1)
    wanted = targets.to(logits.dtype).reshape(len(targets), -1)
    if logits.shape != wanted.shape:
        raise BadInput(
            f"Binary cross-entropy needs one output an example, found outputs of shape {tuple(outputs.shape)};"
            " build the model with outputs=1."
        )
    return _by_example(F.binary_cross_entropy_with_logits(logits, wanted, reduction="none"))


LOSSES: Mapping[str, PerExample] = MappingProxyType(
    {"cross_entropy": cross_entropy, "binary_cross_entropy": binary_cross_entropy}
)


def per_example(loss: PerExample, outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of each example, checked: shape (batch,).

    Raises:
        BadInput: the loss returned anything else.
    """
    values = loss(outputs, targets)
    if not isinstance(values, Tensor) or values.shape != (len(targets),):
        found = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise BadInput(
            f"loss(outputs, targets) must return one number an example, shape ({len(targets)},), found {found};"
            ' a torch loss does so with reduction="none".'
        )
    return values


def error(outputs: Tensor, targets: Tensor) -> Tensor | None:
    """The share of each example's positions classified wrongly, shape (batch,); None where targets are no classes.

    Integer targets with one dimension less than the outputs are classes (argmax over dimension 1). Integer
    targets with a single output an example are two classes (its logit's sign).
    """
    if targets.is_floating_point() or targets.is_complex():
        return None
    if outputs.ndim == targets.ndim + 1 and outputs.shape[1] > 1:
        return _by_example((outputs.argmax(1) != targets).float())
    if outputs.numel() == targets.numel() and targets.ndim == 1:
        return ((outputs.reshape(-1) > 0) != targets.bool()).float()
    return None


def mean(name: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean loss of a batch, for training."""
    if name == "cross_entropy":
        return F.cross_entropy(outputs.float(), targets)
    return torch.mean(LOSSES[name](outputs, targets))
