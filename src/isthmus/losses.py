"""Losses by name, per example, and what counts as an error."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from isthmus.errors import BadData, BadInput

__all__ = [
    "LOSSES",
    "PerExample",
    "binary_cross_entropy",
    "check",
    "cross_entropy",
    "error",
    "mean",
    "per_example",
    "pooled",
]

PerExample = Callable[[Tensor, Tensor], Tensor]
"""``loss(outputs, targets)``: one number an example, shape (batch,)."""


def _by_example(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1) if values.ndim > 1 else values


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of logits in nats, in float32 (float64 stays); a mean over positions where an example has several.

    Targets are classes, or probabilities of the outputs' shape.

    Raises:
        BadInput: targets of another shape.
        BadData: classes that the model has no output for.
    """
    check("cross_entropy", outputs, targets)
    return _by_example(F.cross_entropy(_wide(outputs), _classes(targets), reduction="none"))


def check(name: str, outputs: Tensor, targets: Tensor, examples: int | None = None) -> None:
    """Refuse targets that do not fit a named loss and the model's outputs.

    With ``examples``, the number of examples that the outputs are of, the targets may be more.

    Raises:
        BadInput: other shapes.
        BadData: classes that the model has no output for, or no probabilities.
    """
    wanted = len(targets) if examples is None else examples
    if outputs.ndim == 0 or len(outputs) != wanted:
        raise BadInput(
            f"The model must return one entry for each of the {wanted} examples of a batch, found outputs of shape"
            f" {tuple(outputs.shape)}."
        )
    if name == "binary_cross_entropy":
        low, high = float(targets.min()), float(targets.max())
        if low < 0 or high > 1:
            raise BadData(f"Binary cross-entropy needs targets from 0 to 1, found {low:g}..{high:g}.")
        return
    if outputs.ndim < 2 or outputs.shape[1] < 2:
        raise BadInput(
            f"Cross-entropy needs outputs of shape (examples, classes), at least two classes, found"
            f" {tuple(outputs.shape)}; a single logit an example takes the loss binary_cross_entropy."
        )
    if targets.is_floating_point():
        if targets.shape[1:] != outputs.shape[1:]:
            raise BadInput(
                "Cross-entropy needs integer labels, or probabilities of the outputs' shape, found floats of shape"
                f" {tuple(targets.shape)} for outputs of shape {tuple(outputs.shape)}; convert the labels to integers,"
                " or give another loss."
            )
        return
    if targets.shape[1:] != outputs.shape[2:]:
        raise BadInput(
            f"Cross-entropy needs one label for each prediction, found labels of shape {tuple(targets.shape)} for"
            f" outputs of shape {tuple(outputs.shape)}."
        )
    low, high, classes = int(targets.min()), int(targets.max()), outputs.shape[1]
    if low < 0 or high >= classes:
        raise BadData(f"Labels must be in 0..{classes - 1} for a model with {classes} outputs, found {low}..{high}.")


def _classes(targets: Tensor) -> Tensor:
    return targets if targets.is_floating_point() else targets.long()


def _wide(outputs: Tensor) -> Tensor:
    return outputs if outputs.dtype == torch.float64 else outputs.float()


def binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of one logit an example against targets 0 and 1, or between (Vlaar 2022's spiral).

    Raises:
        BadInput: more than one output an example.
        BadData: targets outside [0, 1].
    """
    check("binary_cross_entropy", outputs, targets)
    return _binary(outputs, targets)


def _binary(outputs: Tensor, targets: Tensor) -> Tensor:
    logits = _wide(outputs).reshape(len(outputs), -1)
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
    targets 0 and 1 with a single output an example are two classes (its logit's sign).
    """
    if targets.is_floating_point() or targets.is_complex():
        return None
    if outputs.ndim == targets.ndim + 1 and outputs.shape[1] > 1:
        return _by_example((outputs.argmax(1) != targets).float())
    if outputs.numel() == targets.numel() == len(targets) and bool(((targets == 0) | (targets == 1)).all()):
        return ((outputs.reshape(-1) > 0) != targets.reshape(-1).bool()).float()
    return None


def pooled(outputs: Sequence[Tensor]) -> Tensor:
    """Outputs in float64 whose predicted probabilities are the mean of those of several networks: an ensemble.

    Of outputs of shape (examples, classes, ...) log(mean_i softmax(outputs_i)), of a single logit an example (two
    classes) the logit of mean_i sigmoid(outputs_i). Every loss and error of one network is then that of the ensemble.

    >>> sure, unsure = torch.tensor([[9.0, 1.0]]).log(), torch.tensor([[1.0, 1.0]])
    >>> pooled([sure, unsure]).exp()
    tensor([[0.7000, 0.3000]], dtype=torch.float64)

    Raises:
        BadInput: no outputs, or outputs of other shapes.
    """
    if not outputs or any(one.shape != outputs[0].shape for one in outputs):
        shapes = ", ".join(str(tuple(one.shape)) for one in outputs) or "none"
        raise BadInput(f"An ensemble needs outputs of one shape of at least one network, found {shapes}.")
    stacked = torch.stack([one.double() for one in outputs])
    if stacked.ndim > 2 and stacked.shape[2] > 1:
        return stacked.log_softmax(2).logsumexp(0) - math.log(len(outputs))
    return F.logsigmoid(stacked).logsumexp(0) - F.logsigmoid(-stacked).logsumexp(0)


def mean(name: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean loss of a batch, for training; checked beforehand (a check reads the targets' values)."""
    if name == "cross_entropy":
        return F.cross_entropy(_wide(outputs), _classes(targets))
    return torch.mean(_binary(outputs, targets))
