"""Other people's checkpoints under the names of a model: prefixes of wrappers, and tables of names.

torchvision's and timm's residual networks, torchvision's VGG and AlexNet need no table: ours name their tensors
as they do. :func:`isthmus.models.counterpart` says which of ours that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from isthmus.errors import BadWeights

__all__ = ["TABLES", "WRAPPERS", "renamed", "translate"]

WRAPPERS = ("module.", "model.", "_orig_mod.")
"""What comes before every name where a model was saved inside DataParallel, Lightning or torch.compile."""


_HF_RESNET = {
    r"resnet\.embedder\.embedder\.convolution\.(.+)": r"conv1.\1",
    r"resnet\.embedder\.embedder\.normalization\.(.+)": r"bn1.\1",
    r"resnet\.encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.convolution\.(.+)": r"layer<\1>.\2.conv<\3>.\4",
    r"resnet\.encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.normalization\.(.+)": r"layer<\1>.\2.bn<\3>.\4",
    r"resnet\.encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.convolution\.(.+)": r"layer<\1>.\2.downsample.0.\3",
    r"resnet\.encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.normalization\.(.+)": r"layer<\1>.\2.downsample.1.\3",
    r"classifier\.1\.(.+)": r"fc.\1",
}

TABLES: Mapping[str, Mapping[str, str]] = {"ResNetForImageClassification of transformers": _HF_RESNET}
"""For each published naming: patterns of whole names, and what they are in torchvision's, ``<n>`` for n + 1."""


def translate(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The tensors under the names of ``model``, in its order: as they are, without a wrapper's prefix, or by a table.

    The counters of batches that old checkpoints lack are 0, as torch takes them. Nothing else is made up, left
    out or reshaped, and the tensors themselves are those that were given.

    Raises:
        BadWeights: no naming makes them fit; the sentence is about the one that comes nearest, and says which
            names are missing, left over or of another shape.

    >>> tensors = {f"module.{name}": tensor for name, tensor in nn.Linear(2, 3).state_dict().items()}
    >>> list(translate(tensors, nn.Linear(2, 3)))
    ['weight', 'bias']
    """
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    nearest: tuple[int, str, list[str]] | None = None
    for told, named in _readings(tensors):
        counters = {name: torch.zeros((), dtype=torch.int64) for name in _absent_counters(own, named)}
        found = {**named, **counters}
        misfits = _misfits(own, found)
        if not misfits:
            return {name: found[name] for name in own}
        if nearest is None or len(misfits) < nearest[0]:
            nearest = (len(misfits), told, misfits)
    assert nearest is not None
    count, told, misfits = nearest
    more = f" and {count - 5} more" if count > 5 else ""
    raise BadWeights(
        f"The tensors do not fit the model {type(model).__name__} by any naming that is known; read {told}:"
        f" {'; '.join(misfits[:5])}{more}."
    )


def renamed(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """All the tensors under the naming by which most of them fit ``model``, the plainest of equals.

    For checkpoints of which a part is wanted; the counters of batches that old ones lack are 0.

    >>> tensors = {"module.weight": torch.zeros(3, 2), "module.head": torch.zeros(5)}
    >>> list(renamed(tensors, nn.Linear(2, 3)))
    ['weight', 'head']
    """
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = [
        {**named, **{name: torch.zeros((), dtype=torch.int64) for name in _absent_counters(own, named)}}
        for _, named in _readings(tensors)
    ]
    return min(found, key=lambda one: len(_misfits(own, one)))


def _readings(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """(how they are read, tensors by name), the plainest first."""
    prefix = ""
    while True:
        named = {name[len(prefix) :]: tensor for name, tensor in tensors.items()}
        yield (f"without the prefix {prefix}" if prefix else "as they are"), named
        for source, table in TABLES.items():
            renamed = {_renamed(name, table): tensor for name, tensor in named.items()}
            if renamed.keys() != named.keys() and len(renamed) == len(named):
                yield f"as those of {source}", renamed
        following = next((one for one in WRAPPERS if named and all(name.startswith(one) for name in named)), None)
        if following is None:
            return
        prefix += following


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for pattern, replacement in table.items():
        match = re.fullmatch(pattern, name)
        if match:
            return re.sub(r"<(\d+)>", lambda number: str(int(number[1]) + 1), match.expand(replacement))
    return name


def _absent_counters(own: Mapping[str, tuple[int, ...]], found: Mapping[str, Tensor]) -> list[str]:
    counters = [name for name in own if name.rpartition(".")[2] == "num_batches_tracked"]
    return [] if any(name in found for name in counters) else counters


def _misfits(own: Mapping[str, tuple[int, ...]], found: Mapping[str, Tensor]) -> list[str]:
    shapes = [
        f"{name} has shape {tuple(found[name].shape)}, expected {shape}"
        for name, shape in own.items()
        if name in found and tuple(found[name].shape) != shape
    ]
    missing = [f"{name} is missing" for name in own if name not in found]
    return shapes + missing + [f"there is no {name} in the model" for name in found if name not in own]
