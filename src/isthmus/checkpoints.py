"""Checkpoints: files of weights that others wrote, of which nothing is trusted."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import load_file
from torch import Tensor

from isthmus.errors import BadInput

__all__ = ["read_weights"]


def read_weights(file: str) -> dict[str, Tensor]:
    """The tensors of a safetensors or a weights-only torch file.

    Raises:
        BadInput: the file is not there, or holds anything but a flat mapping of names to tensors.
    """
    try:
        if file.endswith(".safetensors"):
            return dict(load_file(file))
        found = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInput(f"There is no file of weights at {file}.") from None
    except Exception as error:  # torch and safetensors raise whatever their parsers raise
        raise BadInput(f"The file {file} is no safetensors and no weights-only torch file: {error}.") from None
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise BadInput(f"The file {file} must hold a flat mapping of names to tensors (a state dict).")
    return dict(found)
