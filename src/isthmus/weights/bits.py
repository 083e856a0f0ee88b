"""The bits of tensors: whether two have the same, and the digest of a whole state."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.hashing import digest_arrays
from isthmus.weights.mapping import State

__all__ = ["digest", "same_bits"]

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are of one shape and type and equal bit for bit: zeros of one sign, NaNs of one kind."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b)
    whole = _INTEGERS[a.element_size()]
    return torch.equal(a.view(whole), b.view(whole))


def digest(state: State) -> str:
    """The digest of names, types, shapes and bits: equal exactly when two states are bit-identical."""
    return digest_arrays(
        (name, str(tensor.dtype), tuple(tensor.shape), _bits(tensor).numpy()) for name, tensor in state.items()
    )


def _bits(tensor: Tensor) -> Tensor:
    whole = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    flat = whole.as_strided((whole.numel(),), (1,))  # a tensor of one element may keep any stride
    return flat.view(torch.uint8) if flat.numel() else flat.to(torch.uint8)
