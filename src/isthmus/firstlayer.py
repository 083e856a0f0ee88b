"""A layer's output is linear in its own weights, so along a line the first layer need not be run again.

Below the first layer with weights nothing moves, so its input is the same at every point; its output at
alpha is the interpolation of its outputs at the two ends. For small networks on pictures the first layer
is the larger half of the work, and the same for every alpha.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from isthmus.paths import Coordinate, Path
from isthmus.weights import lerp_tensor

__all__ = ["FirstLayer"]

_EXACT_ENOUGH = (torch.float32, torch.float64)
_LINEAR_IN_WEIGHTS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class FirstLayer:
    """Stands in for the first layer of a private model while a path is evaluated.

    :meth:`find` returns None where the shortcut does not apply: the first module with weights of its own
    is no plain convolution or linear layer, it runs more than once, shares its weights or has hooks. Wherever
    it stands, a layer's inputs are compared with those that its outputs were computed from.
    """

    def __init__(self, name: str, module: nn.Module, path: Path) -> None:
        self.name, self.module, self.path = name, module, path
        self.forward: Callable[[Tensor], Tensor] = module.forward
        self.ends = [
            {key: end[f"{name}.{key}" if name else key] for key, _ in module.named_parameters(recurse=False)}
            for end in path.ends
        ]
        self.input: Tensor | None = None
        self.version = 0
        self.outputs: list[Tensor] = []
        self.alpha: float | None = None

    @classmethod
    def find(cls, model: nn.Module, path: Path, sample: Tensor) -> FirstLayer | None:
        """The model's first layer where the shortcut applies; runs the model on a sample once."""
        if len(path.ends) != 2:
            return None
        try:
            name = _first_called(model, sample)
        except Exception:  # a model that takes no batch of this size; if it takes none, evaluating it says so
            return None
        module = None if name is None else model.get_submodule(name)
        if name is None or module is None or not _linear_in_weights(module):
            return None
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module) or _shares(model, module):
            return None
        if any(parameter.dtype not in _EXACT_ENOUGH for parameter in module.parameters(recurse=False)):
            return None
        return cls(name, module, path)

    def moves(self, moving: Collection[str]) -> bool:
        """Whether any of the layer's own tensors is among these names."""
        return any((f"{self.name}.{key}" if self.name else key) in moving for key in self.ends[0])

    def move(self, at: Coordinate) -> None:
        """Say at which point the model stands now."""
        keys = [f"{self.name}.{key}" if self.name else key for key in self.ends[0]]
        found = {self.path.coefficients(key, at) for key in keys}
        first, second = found.pop()
        self.alpha = second if not found and first == 1.0 - second else None

    def __enter__(self) -> FirstLayer:
        self.module.forward = self._shortcut
        return self

    def __exit__(self, *_: object) -> None:
        del self.module.forward
        self.input, self.outputs = None, []

    def _shortcut(self, input: Tensor) -> Tensor:
        """In place of the module's forward, whose argument has this name."""
        if self.alpha is None:
            return self.forward(input)
        if not self._known(input):
            self.input, self.version, self.outputs = input, input._version, self._at_ends(input)
        return lerp_tensor(self.outputs[0], self.outputs[1], self.alpha)

    def _at_ends(self, inputs: Tensor) -> list[Tensor]:
        del self.module.forward
        try:
            return [torch.func.functional_call(self.module, end, (inputs,)) for end in self.ends]
        finally:
            self.module.forward = self._shortcut

    def _known(self, inputs: Tensor) -> bool:
        held = self.input
        if held is None or held.shape != inputs.shape or held._version != self.version:
            return False
        same_memory = held.data_ptr() == inputs.data_ptr() and held.stride() == inputs.stride()
        return (same_memory and held._version == inputs._version) or torch.equal(held, inputs)


def _linear_in_weights(module: nn.Module) -> bool:
    """Whether a module's output is linear in its weights: torch's own plain layers, and ours that say so."""
    return type(module) in _LINEAR_IN_WEIGHTS or "linear_in_weights" in vars(type(module))


def _first_called(model: nn.Module, sample: Tensor) -> str | None:
    """The first module with weights of its own that a forward pass calls, if it calls it exactly once."""
    calls: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *_: calls.append(name)

    handles = [
        module.register_forward_pre_hook(note(name))
        for name, module in model.named_modules()
        if any(parameter is not None for parameter in module._parameters.values())
    ]
    try:
        model(sample)
    finally:
        for handle in handles:
            handle.remove()
    return calls[0] if calls and calls.count(calls[0]) == 1 else None


def _shares(model: nn.Module, module: nn.Module) -> bool:
    """Whether any of the module's parameters is used under another name as well."""
    own = {id(parameter) for parameter in module.parameters(recurse=False)}
    return sum(id(parameter) in own for _, parameter in model.named_parameters(remove_duplicate=False)) > len(own)
