"""The gradient of one example's loss: its norm, for every example (what GraNd scores are made of)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from isthmus import generators, losses
from isthmus.devices import deterministic
from isthmus.errors import BadInput, nearest
from isthmus.examples import Examples
from isthmus.networks import forward, load_into, private_copy
from isthmus.weights import State

__all__ = ["norms"]

_NUMBERS = 2**25  # in the gradients of a batch: 128 MiB in float32
_BATCH = {"cpu": 16, "cuda": 128}  # on a CPU more does not pay: a weight's backward pass is one of each example

Route = Callable[[Tensor, Tensor], Tensor]
"""(inputs, targets) of a batch -> one norm an example."""


@torch.inference_mode(mode=False)
@torch.enable_grad()
def norms(
    model: nn.Module,
    data: Any,
    *,
    weights: State | None = None,
    loss: str = "cross_entropy",
    progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.float64]:
    """The L2 norm of the gradient of each example's loss with respect to all trained parameters, shape (examples,).

    The network is in eval mode: in train mode batch normalisation would make an example's loss depend on the rest of
    its batch (and dropout would draw). Trained parameters are those that require a gradient. A network that cannot be
    differentiated example by example in a batch (one that decides by the values that it computes) is taken one
    example at a time, which is slower and as exact.

    Args:
        model: any module; it comes back untouched.
        data: a pair (inputs, targets) of arrays or tensors, ready for the model.
        weights: those of the network, instead of the model's own.
        loss: a name in :data:`isthmus.losses.LOSSES`.
        progress: called as it goes on with (examples done, examples in all).

    Raises:
        BadInput: an unknown loss, or a model without a parameter to train.

    >>> model = nn.Linear(2, 3)
    >>> _ = nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)
    >>> norms(model, (torch.tensor([[2.0, -2.0]]), torch.tensor([1]))).round(4)  # |p - y| * |(x, 1)|
    array([2.4495])
    """
    if loss not in losses.LOSSES:
        raise BadInput(f"There is no loss named {loss!r}{nearest(loss, losses.LOSSES)}")
    examples, own = Examples.of(data), private_copy(model).eval()
    if examples.channels_last:
        own = own.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if weights is not None:
        load_into(own, weights)
    trained = {name: parameter for name, parameter in own.named_parameters() if parameter.requires_grad}
    if not trained:
        raise BadInput(f"The model {type(model).__name__} has no parameter that requires a gradient.")
    device = next(iter(trained.values())).device
    size = max(
        1, min(_BATCH.get(device.type, 16), _NUMBERS // sum(parameter.numel() for parameter in trained.values()))
    )
    found, route = np.empty(len(examples)), None
    with generators.forked(device), deterministic(device), torch.autocast(device.type, enabled=False):
        generators.seed(0, device)  # a module that draws in eval mode too gives the same numbers each time
        for begin in range(0, len(examples), size):
            where = slice(begin, min(begin + size, len(examples)))
            inputs, targets = (part.to(device) for part in examples.batch(where))
            if route is None:
                route = _route(own, trained, loss, inputs, targets)
            found[where] = route(inputs, targets).cpu().numpy()
            if progress:
                progress(where.stop, len(examples))
    return found


def _route(model: nn.Module, trained: Mapping[str, Tensor], loss: str, inputs: Tensor, targets: Tensor) -> Route:
    """The way through a batch that this model allows, tried on the first two examples."""
    with torch.no_grad():
        losses.check(loss, forward(model, inputs.clone()), targets)
    together = _together(model, trained, loss)
    try:
        together(inputs[:2].clone(), targets[:2])
    except Exception:  # whatever vmap raises on what it cannot do; a fault of the model itself shows one by one too
        return _one_by_one(model, trained, loss)
    return together


def _together(model: nn.Module, trained: Mapping[str, Tensor], loss: str) -> Route:
    def value(parameters: Mapping[str, Tensor], one: Tensor, target: Tensor) -> Tensor:
        outputs = torch.func.functional_call(model, dict(parameters), (one[None],))
        return losses.mean(loss, outputs, target[None])

    parameters = {name: parameter.detach() for name, parameter in trained.items()}
    gradients = torch.func.vmap(torch.func.grad(value), in_dims=(None, 0, 0))
    narrow = all(parameter.dtype != torch.float64 for parameter in model.parameters())

    def route(inputs: Tensor, targets: Tensor) -> Tensor:
        ready = inputs.float() if narrow and inputs.dtype == torch.float64 else inputs
        return _norm([gradient.detach().flatten(1) for gradient in gradients(parameters, ready, targets).values()])

    return route


def _one_by_one(model: nn.Module, trained: Mapping[str, Tensor], loss: str) -> Route:
    def alone(inputs: Tensor, targets: Tensor) -> Tensor:
        single = losses.mean(loss, forward(model, inputs), targets)
        found = torch.autograd.grad(single, list(trained.values()), allow_unused=True)
        return _norm([gradient.reshape(1, -1) for gradient in found if gradient is not None])

    def route(inputs: Tensor, targets: Tensor) -> Tensor:
        return torch.cat([alone(inputs[i : i + 1], targets[i : i + 1]) for i in range(len(inputs))])

    return route


def _norm(gradients: list[Tensor]) -> Tensor:
    """The norm over all tensors of each example, in float64."""
    squares = [torch.linalg.vector_norm(gradient, dim=1, dtype=torch.float64).square() for gradient in gradients]
    return torch.stack(squares).sum(0).sqrt()
