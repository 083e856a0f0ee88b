"""The blocks of a network: names for groups of tensors, given as globs on state-dict names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from isthmus.errors import BadInput

__all__ = ["check_partition", "children", "declared"]

Blocks = dict[str, tuple[str, ...]]


def children(model: nn.Module) -> Blocks:
    """One block for each top-level child that has tensors, and for each tensor of the model itself.

    >>> children(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))
    {'0': ('0.*',), '2': ('2.*',)}
    """
    heads = dict.fromkeys(name.partition(".")[::2] for name in model.state_dict())
    return {head: (f"{head}.*" if rest else head,) for head, rest in heads}


def declared(model: nn.Module) -> Blocks:
    """What ``model.blocks``, a mapping or a method that returns one, says; else :func:`children`.

    A submodule that happens to be called ``blocks`` declares nothing.
    """
    found: Any = getattr(model, "blocks", None)
    if callable(found) and not isinstance(found, nn.Module):
        found = found()
    if not isinstance(found, Mapping):
        return children(model)
    return {str(name): (globs,) if isinstance(globs, str) else tuple(globs) for name, globs in found.items()}


def check_partition(what: str, blocks: Mapping[str, Iterable[str]], tensors: Iterable[str]) -> None:
    """Refuse blocks that miss a tensor or hold it twice.

    Raises:
        BadInput: one sentence that names the tensor and the blocks.
    """
    for tensor in tensors:
        holders = [name for name, globs in blocks.items() if any(fnmatchcase(tensor, glob) for glob in globs)]
        if len(holders) != 1:
            found = " and ".join(holders) or "none"
            raise BadInput(f"{what}: expected the tensor {tensor} in exactly one block, found it in {found}.")
