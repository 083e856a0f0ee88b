"""Whether anything of the caller's has changed: a model to the last flag, and the global generators."""

from __future__ import annotations

import random
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn


def _bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().tobytes()


def portrait(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that evaluating or training a copy must leave alone."""
    return {
        "bits": {name: _bits(tensor) for name, tensor in model.state_dict().items()},
        "identities": {name: id(tensor) for name, tensor in model.state_dict(keep_vars=True).items()},
        "versions": {name: tensor._version for name, tensor in model.state_dict(keep_vars=True).items()},
        "strides": {name: tensor.stride() for name, tensor in model.state_dict().items()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "flags": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "grads": {
            name: None if parameter.grad is None else _bits(parameter.grad)
            for name, parameter in model.named_parameters()
        },
        "attributes": {name: sorted(vars(module)) for name, module in model.named_modules()},
        "hooks": {
            name: (len(module._forward_hooks), len(module._forward_pre_hooks)) for name, module in model.named_modules()
        },
        "momenta": {name: getattr(module, "momentum", None) for name, module in model.named_modules()},
    }


def generators() -> tuple[Any, ...]:
    """The state of torch's, numpy's and Python's global generators."""
    kind, keys, *rest = cast(tuple[Any, ...], np.random.get_state())  # noqa: NPY002
    return _bits(torch.get_rng_state()), kind, keys.tobytes(), rest, random.getstate()


def awkward(model: nn.Module) -> nn.Module:
    """The model in a state that no code of ours would choose: modes mixed, a frozen weight, gradients."""
    for index, module in enumerate(model.modules()):
        module.training = index % 2 == 0
    for index, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(index % 3 != 1)
        parameter.grad = torch.full_like(parameter, 0.1 * index + 0.3) if index % 2 else None
    return model
