"""Network architectures by name: each file in this folder is a family, found by being there.

A family's file holds ``ENTRIES``, a mapping from name to :class:`Entry`. Names are compared without
case, ``-``, ``_`` and spaces. Anyone's own network is named ``package.module:factory``, one of an installed package
``torchvision:NAME``, ``timm:NAME`` or ``hf:KIND`` (see :mod:`isthmus.adapters`), as it is spelled there.

>>> model = initialise("lenet5", seed=3, classes=7)
>>> count_parameters(model), list(blocks("lenet5", model))
(61451, ['conv1', 'conv2', 'fc1', 'fc2', 'fc3'])
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from isthmus import adapters, noise, registry, usercode
from isthmus.adapters import counterpart
from isthmus.errors import BadInput
from isthmus.models import blocking
from isthmus.models.foreign import renamed, translate
from isthmus.registry import canonical_name
from isthmus.usercode import source_digest

__all__ = [
    "Entry",
    "blocks",
    "build",
    "canonical_name",
    "count_parameters",
    "counterpart",
    "describe",
    "initialise",
    "names",
    "renamed",
    "source_digest",
    "translate",
]


@dataclass(frozen=True)
class Entry:
    """An architecture: how it is built, what its blocks are, and one sentence about it.

    ``build`` takes keyword arguments with defaults, annotated with the types that are accepted, and draws
    initial values from torch's global generator as modules do. ``blocks`` maps each block of a built model,
    in the order of the forward pass, to globs on the names of its state dict. ``small`` are arguments under which
    the architecture is whole and quick to try.
    """

    build: Callable[..., nn.Module]
    summary: str
    blocks: Callable[[nn.Module], Mapping[str, tuple[str, ...]]] = blocking.children
    small: Mapping[str, Any] = field(default_factory=dict)


def names() -> tuple[str, ...]:
    """The names of all architectures in this folder, sorted."""
    return tuple(sorted(_entries()))


def describe(name: str) -> str:
    """One line: what the architecture is, and its arguments with their defaults."""
    if adapters.is_adapter(name):
        return adapters.describe(name)
    entry = _entry(name)
    return registry.summarise(entry.summary, entry.build)


def build(name: str, /, **arguments: Any) -> nn.Module:
    """A new network, its values drawn from torch's global generator (see :func:`initialise`).

    Raises:
        UnknownName: for a name that nothing answers to.
        BadInput: for an argument that the architecture does not take, or cannot have; for a package that is not there.
    """
    if adapters.is_adapter(name):
        return adapters.build(name, arguments)
    entry = _entry(name)
    if usercode.is_user_code(name):
        return _build_user_code(name, entry, arguments)
    return entry.build(**registry.accept_values(f"Model {name}", entry.build, arguments))


def initialise(name: str, /, seed: int, **arguments: Any) -> nn.Module:
    """The network that this seed names: :func:`build` under torch's CPU generator, which is put back after."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(noise.derive(seed, "init"))
        return build(name, **arguments)


def blocks(name: str, model: nn.Module) -> dict[str, tuple[str, ...]]:
    """The blocks of a model in the order of the forward pass: for each, globs on state-dict names.

    Every parameter and buffer belongs to exactly one block. For ``package.module:factory`` they are
    what ``model.blocks`` (a mapping, or a method that returns one) says, else the top-level children. For a model of
    another package they are those of ours where it is one of the same family, else its top-level children, the
    container that holds most of it opened (:func:`isthmus.models.blocking.opened`).

    Raises:
        BadInput: when a tensor is in no block or in two.
    """
    found = adapters.blocks(name, model) if adapters.is_adapter(name) else dict(_entry(name).blocks(model))
    blocking.check_partition(f"Model {name}", found, model.state_dict().keys())
    return found


def count_parameters(model: nn.Module) -> int:
    """The number of scalar parameters, buffers left out and tied ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


@functools.cache
def _entries() -> dict[str, Entry]:
    files = ((module.__name__, getattr(module, "ENTRIES", {})) for module in registry.modules(__name__))
    return registry.gather("model", files)


def _entry(name: str) -> Entry:
    if not usercode.is_user_code(name):
        return registry.find("model", name, _entries())
    factory = usercode.load(name)
    if not callable(factory):
        raise BadInput(f"Model {name}: expected a function or class that returns a module, found {factory!r}.")
    return Entry(factory, (inspect.getdoc(factory) or name).partition("\n")[0], blocking.declared)


def _build_user_code(name: str, entry: Entry, arguments: Mapping[str, Any]) -> nn.Module:
    registry.accept_names(f"Model {name}", entry.build, arguments)
    try:
        model = entry.build(**arguments)
    except Exception as error:
        raise BadInput(f"Model {name}: the factory raised {type(error).__name__}: {error}.") from error
    if not isinstance(model, nn.Module):
        raise BadInput(f"Model {name}: expected the factory to return a torch.nn.Module, found {type(model).__name__}.")
    return model
