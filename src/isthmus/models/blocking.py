"""The blocks of a network: names for groups of tensors, given as globs on state-dict names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from isthmus.errors import BadInput

__all__ = ["check_partition", "children", "declared", "matching", "within"]

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


def within(blocks: Mapping[str, tuple[str, ...]], name: str, tensors: Iterable[str]) -> tuple[str, ...]:
    """The globs of a block, or of a part of one by a dotted name: "stage4.0" is the first unit of stage 4.

    Returns nothing where there is no such block, or no tensor in it.

    >>> within({"stage4": ("layer4.*",)}, "stage4.0", ["layer4.0.conv1.weight", "layer4.1.conv1.weight"])
    ('layer4.0.*',)
    """
    found = blocks.get(name, ())
    head, _, rest = name.partition(".")
    if not found and rest and head in blocks and not set(rest) & set("*?["):
        stems = tuple(f"{glob[:-1]}{rest}" for glob in blocks[head] if glob.endswith(".*"))
        found = tuple(f"{stem}{end}" for stem in stems for end in ("", ".*"))
    return matching(found, tensors)


def matching(globs: Iterable[str], tensors: Iterable[str]) -> tuple[str, ...]:
    """Those globs that match one of the tensors."""
    tensors = list(tensors)
    return tuple(glob for glob in globs if any(fnmatchcase(tensor, glob) for tensor in tensors))
