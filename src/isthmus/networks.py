"""A network's state: weights, optimiser buffers and the step at which it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from isthmus import weights
from isthmus.errors import BadInput, BadWeights
from isthmus.weights import Weights, check_match

__all__ = ["Holders", "NetworkState", "forward", "holders", "load_into", "private_copy"]

Holders = Mapping[str, tuple[dict[str, Any], str]]
"""Where a module keeps each of its tensors: the dictionary and the key."""

_WEIGHTS, _OPTIMIZER = "weights/", "optimizer/"


@dataclass(frozen=True)
class NetworkState:
    """A network at a step; one safetensors file when stored.

    Attributes:
        weights: parameters and buffers.
        optimizer: the optimiser's tensors by parameter, then by slot (``momentum_buffer``, ``exp_avg``, ...).
        step: optimiser steps taken so far.
    """

    weights: Weights
    optimizer: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    step: int = 0

    @classmethod
    def of(cls, model: nn.Module, step: int = 0) -> NetworkState:
        """The state of a module as it stands, copied, with no optimiser buffers."""
        _check_state(model)
        return cls(Weights.from_module(model).clone(), {}, step)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor under a name of its own, contiguous, on the CPU, sharing no memory with another."""
        flat = {_WEIGHTS + name: tensor for name, tensor in self.weights.items()}
        flat |= {
            f"{_OPTIMIZER}{slot}/{name}": tensor
            for name, slots in self.optimizer.items()
            for slot, tensor in slots.items()
        }
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in flat.items()}

    @classmethod
    def from_tensors(cls, flat: Mapping[str, Tensor], step: int, template: Weights | None = None) -> NetworkState:
        """The inverse of :meth:`tensors`; ``template`` supplies kinds and ties."""
        found = {name[len(_WEIGHTS) :]: tensor for name, tensor in flat.items() if name.startswith(_WEIGHTS)}
        slots: dict[str, dict[str, Tensor]] = {}
        for name, tensor in flat.items():
            if name.startswith(_OPTIMIZER):
                slot, _, parameter = name[len(_OPTIMIZER) :].partition("/")
                slots.setdefault(parameter, {})[slot] = tensor
        return cls(template.like(found) if template else Weights(found), slots, step)

    def without_buffers(self) -> NetworkState:
        """This state with the optimiser's buffers reset."""
        return NetworkState(self.weights, {}, self.step)

    def digest(self) -> str:
        """Equal exactly when two states have the same weights and optimiser buffers, bit for bit."""
        return weights.digest(self.tensors())


def private_copy(model: nn.Module) -> nn.Module:
    """A deep copy of a module, which may be trained and written to.

    Raises:
        BadInput: not a module, one that cannot be copied, or one whose state is not made of tensors.
    """
    _check_state(model)
    try:
        return copy.deepcopy(model)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(
            f"The model {type(model).__name__} cannot be copied, and only a private copy is ever written to:"
            f" copy.deepcopy(model) fails with {type(error).__name__}: {reason} (the old torch.nn.utils.weight_norm and"
            " spectral_norm cause this: use those of torch.nn.utils.parametrizations, or remove them first)."
        ) from error


def _check_state(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise BadInput(f"The model must be a torch.nn.Module, found {type(model).__name__}.")
    for name, entry in model.state_dict(keep_vars=True).items():
        if is_lazy(entry):
            raise BadInput(f"The model's {name!r} has no shape yet: call the model on a batch first.")
        if not isinstance(entry, Tensor):
            raise BadInput(
                f"The model's state has an entry {name!r} that is no tensor ({type(entry).__name__}), and only tensors"
                " can be interpolated and stored: leave it out of the state (get_extra_state)."
            )


def forward(model: nn.Module, inputs: Tensor, precision: str = "float32") -> Tensor:
    """The model's outputs; in precision "bf16" under bfloat16 autocast, else under none.

    Inputs in float64, which numpy makes unasked, become float32 where the model has no weights in float64.

    Raises:
        BadInput: it returns something else than one tensor, or fails on inputs of another type than its weights.
    """
    if inputs.dtype == torch.float64 and all(p.dtype != torch.float64 for p in model.parameters()):
        inputs = inputs.float()
    try:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=precision == "bf16"):
            outputs: Any = model(inputs)
        if precision == "bf16":
            torch.clear_autocast_cache()  # inside a caller's autocast the cast weights would outlive their next values
    except RuntimeError as error:
        own = next((p.dtype for p in model.parameters()), inputs.dtype)
        if own == inputs.dtype or inputs.dtype in (torch.int64, torch.int32):
            raise
        reason = str(error).partition("\n")[0]
        raise BadInput(
            f"The model fails on inputs of type {inputs.dtype}, its weights being {own} ({reason}): convert the inputs,"
            " numbers to the type of the weights and indices to int64."
        ) from error
    if not isinstance(outputs, Tensor):
        raise BadInput(
            f"The model must return one tensor, found {type(outputs).__name__}; wrap it in a module that returns its"
            " logits."
        )
    return outputs


def holders(model: nn.Module, names: Mapping[str, Tensor]) -> Holders:
    """By name in the state dict. A forward pass may put another tensor in place of one, so none is held on to."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for holder in (module._parameters, module._buffers):
            found |= {f"{prefix}.{key}" if prefix else key: (holder, key) for key in holder}
    return {name: found.get(name, (dict(names), name)) for name in names}


@torch.no_grad()
def load_into(model: nn.Module, source: Mapping[str, Tensor]) -> None:
    """Copy weights into a module in place, each into the memory (and memory format) that it already has.

    Raises:
        BadWeights: the weights do not fit the module, or untie what is one tensor in it; names the tensor, expected
            and found.
    """
    own = model.state_dict(keep_vars=True)
    check_match(
        {name: tensor.detach() for name, tensor in own.items()}, source, names=("the model", "the given weights")
    )
    for name, first in Weights.from_module(model).ties.items():
        if not torch.allclose(source[name], source[first], rtol=0.0, atol=0.0, equal_nan=True):
            raise BadWeights(f"Tensors {first!r} and {name!r} are one tensor in the model, but the given ones differ.")
    for name, tensor in own.items():
        tensor.detach().copy_(source[name])
