"""Which networks stack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isthmus.stacking.operations import ELEMENTWISE

__all__ = ["LARGEST", "stackable"]

LARGEST = 200_000
"""Parameters above which nothing is stacked: a larger network's step is arithmetic, and a stack only takes memory."""


def stackable(model: nn.Module, inputs: Tensor | None = None) -> bool:
    """Whether it is a small plain sequence of affine layers and elementwise functions, all of it trained in float32.

    With ``inputs``, whether it also takes these, flattened to a row an example.
    """
    children = list(model) if isinstance(model, nn.Sequential) else []
    parameters = [p for child in children if type(child) is nn.Linear for p in child.parameters()]
    return (
        type(model) is nn.Sequential
        and 0 < sum(parameter.numel() for parameter in parameters) <= LARGEST
        and all(type(child) in (nn.Flatten, nn.Linear, nn.Identity, *ELEMENTWISE) for child in children)
        and all(not _altered(module) for module in model.modules())
        and all((c.start_dim, c.end_dim) == (1, -1) for c in children if isinstance(c, nn.Flatten))
        and len(list(model.parameters()))
        == len(parameters)  # tied ones, and those of a layer that occurs twice, count once
        and not list(model.buffers())
        and all(_plain(parameter) for parameter in parameters)
        and (inputs is None or _takes(children, inputs))
    )


def _takes(children: Sequence[nn.Module], inputs: Tensor) -> bool:
    """Whether what comes to the first affine layer has one row an example."""
    first = next(index for index, child in enumerate(children) if isinstance(child, nn.Linear))
    flat = inputs.ndim == 2 or any(isinstance(child, nn.Flatten) for child in children[:first])
    return inputs.ndim > 1 and flat and inputs[0].numel() == children[first].in_features


def _altered(module: nn.Module) -> bool:
    """Whether somebody hung something on it."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name) for name in hooks) or "forward" in vars(module)


def _plain(parameter: nn.Parameter) -> bool:
    return (
        type(parameter) is nn.Parameter
        and parameter.dtype == torch.float32
        and parameter.device.type == "cpu"
        and parameter.layout == torch.strided
        and parameter.is_contiguous()
        and parameter.requires_grad
        and not parameter._backward_hooks
        and not getattr(parameter, "_post_accumulate_grad_hooks", None)
    )
