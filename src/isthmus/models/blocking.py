"""The blocks of a network: names for groups of tensors, given as globs on state-dict names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from isthmus.errors import BadInput

__all__ = ["FOUR_STAGES", "check_partition", "children", "declared", "matching", "opened", "within"]

Blocks = dict[str, tuple[str, ...]]

FOUR_STAGES: Mapping[str, tuple[str, ...]] = {
    "stem": ("conv1.*", "bn1.*"),
    **{f"stage{index}": (f"layer{index}.*",) for index in range(1, 5)},
    "fc": ("fc.*",),
}
"""The blocks of a residual network whose tensors are named as in torchvision."""


def children(model: nn.Module) -> Blocks:
    """One block for each top-level child that has tensors, and for each tensor of the model itself.

    >>> children(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))
    {'0': ('0.*',), '2': ('2.*',)}
    """
    heads = dict.fromkeys(name.partition(".")[::2] for name in model.state_dict())
    return {head: (f"{head}.*" if rest else head,) for head, rest in heads}


def opened(model: nn.Module) -> Blocks:
    """As :func:`children`, but the container that holds most of the tensors gives a block for each of its children.

    That is a Sequential, ModuleList or ModuleDict with tensors in two of its children or more (``features``,
    ``blocks``, ``encoder.layers``); what lies beside the way to it gets blocks as well. A child whose name counts on
    from a sibling's (``layer3`` beside ``layer2``) is one of a series already and stays whole.

    >>> trunk = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.Linear(4, 5))
    >>> opened(nn.ModuleDict({"body": nn.ModuleDict({"features": trunk}), "head": nn.Linear(5, 1)}))
    {'body.features.0': ('body.features.0.*',), 'body.features.2': ('body.features.2.*',), \
'body.features.3': ('body.features.3.*',), 'head': ('head.*',)}
    """
    way = _way_to_container(model)
    found: Blocks = {}
    for name in model.state_dict():
        inside = max((path for path in way if name.startswith(path)), key=len, default="")
        head, _, rest = name[len(inside) :].partition(".")
        found[inside + head] = (f"{inside}{head}.*" if rest else inside + head,)
    return found


def _way_to_container(model: nn.Module) -> list[str]:
    """The prefixes that lead to the container with more than half of the tensors, its own last; [] for none."""
    tensors, way, module = list(model.state_dict()), [""], model
    while True:
        counts: dict[str, int] = {}
        for name in tensors:
            if name.startswith(way[-1]):
                head, _, rest = name[len(way[-1]) :].partition(".")
                counts[head] = counts.get(head, 0) + bool(rest)
        holders = [name for name, count in counts.items() if count]
        if isinstance(module, nn.Sequential | nn.ModuleList) and len(holders) > 1:
            return way
        main = next((name for name in holders if 2 * counts[name] > len(tensors)), None)
        series = [re.sub(r"\d+", "", name) for name in holders]
        if main is None or series.count(re.sub(r"\d+", "", main)) > 1:
            return []
        module = module.get_submodule(main)
        way.append(f"{way[-1]}{main}.")


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
    head = max((block for block in blocks if name.startswith(f"{block}.")), key=len, default=None)
    if not found and head is not None and not set(rest := name[len(head) + 1 :]) & set("*?["):
        stems = tuple(f"{glob[:-1]}{rest}" for glob in blocks[head] if glob.endswith(".*"))
        found = tuple(f"{stem}{end}" for stem in stems for end in ("", ".*"))
    return matching(found, tensors)


def matching(globs: Iterable[str], tensors: Iterable[str]) -> tuple[str, ...]:
    """Those globs that match one of the tensors."""
    tensors = list(tensors)
    return tuple(glob for glob in globs if any(fnmatchcase(tensor, glob) for tensor in tensors))
