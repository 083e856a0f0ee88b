"""The layers of all replicas, whose parameters become views of one memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Layer"]

_ALIGNED = 16  # floats in 64 bytes, at multiples of which torch places what it allocates


class Layer:
    """A layer of all replicas."""

    def __init__(self, replicas: Sequence[nn.Module]) -> None:
        self.kind = type(replicas[0])
        self.parameters = {
            name: [r.get_parameter(name) for r in replicas] for name, _ in replicas[0].named_parameters()
        }
        self.values = {name: _stacked(own) for name, own in self.parameters.items()}
        self.trained = [name for name, own in self.parameters.items() if own[0].requires_grad]
        self.gradients = {name: torch.empty(self.values[name].shape) for name in self.trained}
        self.places = {
            name: [each.view(p.shape) for each, p in zip(self.gradients[name], self.parameters[name], strict=True)]
            for name in self.trained
        }

    def give_gradients(self) -> None:
        """Make its places the ``.grad`` of each parameter that is trained."""
        for name in self.trained:
            for parameter, place in zip(self.parameters[name], self.places[name], strict=True):
                parameter.grad = place


@torch.no_grad()
def _stacked(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Memory of its own for all of these, each placed as if it were alone; biases become rows."""
    rows = torch.Size((1,)) + parameters[0].shape if parameters[0].ndim == 1 else parameters[0].shape
    memory = _aligned((len(parameters), *rows))
    for parameter, own in zip(parameters, memory, strict=True):
        own.copy_(parameter)
        parameter.data = own.view(parameter.shape)
    return memory


def _aligned(shape: tuple[int, ...]) -> Tensor:
    """A stack whose replicas begin where memory of their own might begin."""
    size = torch.Size(shape[1:]).numel()
    padded = -(-size // _ALIGNED) * _ALIGNED
    return torch.zeros(shape[0], padded)[:, :size].view(shape)
