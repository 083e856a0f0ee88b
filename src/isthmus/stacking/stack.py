"""The stack: replicas of one model, and what gives the gradients of all."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from isthmus.stacking.calls import Plan
from isthmus.stacking.layers import Layer

__all__ = ["Stack"]


class Stack:
    """The losses and gradients of replicas of one stackable model, whose parameters become views of its own memory.

    Args:
        models: the replicas; what of them requires no gradient is frozen.
        loss: the name of the loss.
    """

    def __init__(self, models: Sequence[nn.Module], loss: str) -> None:
        self.count, self.loss = len(models), loss
        layers = zip(*(list(_sequence(model)) for model in models), strict=True)
        self.layers = [Layer(replicas) for replicas in layers if type(replicas[0]) not in (nn.Flatten, nn.Identity)]
        trained = [bool(layer.trained) for layer in self.layers]
        self.passes_on = [any(trained[:index]) for index in range(len(trained))]
        self.plans: dict[int, Plan] = {}

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each replica, shape (replicas,), its gradients being in ``.grad`` of its parameters.

        Args:
            inputs: ready for the network; those of the first replica's batch, then those of the second's, ...
            targets: likewise.
        """
        size = len(inputs) // self.count
        x = inputs.flatten(1).view(self.count, size, -1)
        targets = targets.view(self.count, size, *targets.shape[1:])
        if size not in self.plans:
            self.plans[size] = Plan(self.layers, self.passes_on, self.loss, x, targets)
        for layer in self.layers:
            layer.give_gradients()
        return self.plans[size].run(x, targets)


def _sequence(model: nn.Module) -> nn.Sequential:
    assert isinstance(model, nn.Sequential)
    return model
