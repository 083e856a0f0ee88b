"""Operations for one replica (matrices) or for a stack of them, and their gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus import losses

__all__ = [
    "ELEMENTWISE",
    "Op",
    "affine",
    "binary_cross_entropy",
    "by_bias",
    "by_relu",
    "by_sigmoid",
    "by_tanh",
    "by_weight",
    "cross_entropy",
    "in_own_memory",
    "linear",
    "loss_of_each",
    "one_by_one",
    "product",
    "relu",
    "sigmoid",
    "tanh",
]

_aten: Any = torch.ops.aten

Op = Callable[..., None]
"""``op(*operands, out=...)``: of one replica, or of a stack of them, whose operands have one dimension more."""


def product(a: Tensor, b: Tensor, *, out: Tensor) -> None:
    """``a b``, products of matrices."""
    (torch.mm if a.ndim == 2 else torch.bmm)(a, b, out=out)


def affine(x: Tensor, weight: Tensor, bias: Tensor, *, out: Tensor) -> None:
    """``x w^T + b``."""
    (torch.addmm if x.ndim == 2 else torch.baddbmm)(bias, x, weight.mT, out=out)


def linear(x: Tensor, weight: Tensor, *, out: Tensor) -> None:
    """``x w^T``."""
    product(x, weight.mT, out=out)


def by_weight(gradient: Tensor, x: Tensor, *, out: Tensor) -> None:
    """The gradient of an affine layer by its weight."""
    product(gradient.mT, x, out=out)


def by_bias(gradient: Tensor, *, out: Tensor) -> None:
    """... by its bias."""
    torch.sum(gradient, -2, keepdim=True, out=out)


def relu(x: Tensor, *, out: Tensor) -> None:
    """``max(x, 0)``."""
    torch.clamp_min(x, 0, out=out)


def by_relu(gradient: Tensor, y: Tensor, *, out: Tensor) -> None:
    """Its gradient, from that of its values and the values."""
    _aten.threshold_backward.grad_input(gradient, y, 0, grad_input=out)


def tanh(x: Tensor, *, out: Tensor) -> None:
    """The hyperbolic tangent."""
    torch.tanh(x, out=out)


def by_tanh(gradient: Tensor, y: Tensor, *, out: Tensor) -> None:
    """Its gradient, likewise."""
    _aten.tanh_backward.grad_input(gradient, y, grad_input=out)


def sigmoid(x: Tensor, *, out: Tensor) -> None:
    """``1 / (1 + exp(-x))``."""
    torch.sigmoid(x, out=out)


def by_sigmoid(gradient: Tensor, y: Tensor, *, out: Tensor) -> None:
    """Its gradient, likewise."""
    _aten.sigmoid_backward.grad_input(gradient, y, grad_input=out)


def one_by_one(op: Op, *operands: Tensor, out: Tensor) -> None:
    """Replica by replica."""
    for each, *own in zip(out, *operands, strict=True):
        op(*own, out=each)


ELEMENTWISE: dict[type[nn.Module], tuple[Op, Op]] = {
    nn.ReLU: (relu, by_relu),
    nn.Tanh: (functools.partial(one_by_one, tanh), functools.partial(one_by_one, by_tanh)),
    nn.Sigmoid: (functools.partial(one_by_one, sigmoid), functools.partial(one_by_one, by_sigmoid)),
}
"""Each function, and its gradient from that of its values and the values, of a stack."""


def in_own_memory(op: Op, *operands: Tensor, out: Tensor) -> None:
    """As of a replica alone, which has all its tensors to itself: where they begin may tell in their bits."""
    for each, *own in zip(out, *operands, strict=True):
        found = torch.empty_like(each)
        op(*(operand.clone() for operand in own), out=found)
        each.copy_(found)


def loss_of_each(name: str, outputs: Tensor, targets: Tensor, *, out: Tensor, gradient: Tensor) -> None:
    """The loss of each replica as training one computes it, and its gradient."""
    for index, (own, wanted) in enumerate(zip(outputs, targets, strict=True)):
        with torch.enable_grad():
            leaf = own.detach().requires_grad_()
            loss = losses.mean(name, leaf, wanted)
            (found,) = torch.autograd.grad(loss, leaf)
        out[index] = loss.detach()
        gradient[index] = found


def cross_entropy(outputs: Tensor, targets: Tensor, *, out: Tensor, gradient: Tensor) -> None:
    """The same for classes: each row is computed by itself, whatever the rows beside it."""
    with torch.enable_grad():
        leaf = outputs.flatten(0, 1).detach().requires_grad_()
        logs = F.log_softmax(leaf, 1)
        total = F.nll_loss(logs, targets.flatten().long(), reduction="sum")
        (found,) = torch.autograd.grad(total, leaf, torch.full((), 1.0 / outputs.shape[1]))
    gradient.copy_(found.view_as(gradient))
    for index, own in enumerate(logs.detach().view_as(outputs)):
        out[index] = F.nll_loss(own, targets[index].long())


def binary_cross_entropy(outputs: Tensor, targets: Tensor, *, out: Tensor, gradient: Tensor) -> None:
    """The same for single logits: what rounds is computed replica by replica, without autograd."""
    wanted = targets.to(outputs.dtype).view_as(outputs)
    for index, (own, right) in enumerate(zip(outputs, wanted, strict=True)):
        out[index] = F.binary_cross_entropy_with_logits(own, right)
        torch.sigmoid(own, out=gradient[index])
    gradient.sub_(wanted).mul_(1.0 / outputs.shape[1])
