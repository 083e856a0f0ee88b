"""What a forward pass written out from a definition is given, in double precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from isthmus import models

Tensors = dict[str, Tensor]


def randomised(name: str, /, *, spread: float = 0.2, **arguments: Any) -> tuple[nn.Module, Tensors]:
    """A model in evaluation mode whose every tensor, buffers included, has generic values."""
    model = models.initialise(name, 5, **arguments).double().eval()
    generator = torch.Generator().manual_seed(17)
    for key, tensor in model.state_dict().items():
        if tensor.dtype.is_floating_point:
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.copy_(0.5 + noise.abs() if key.endswith("running_var") else tensor + spread * noise)
    return model, dict(model.state_dict())


def inputs(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(23), dtype=torch.float64)
