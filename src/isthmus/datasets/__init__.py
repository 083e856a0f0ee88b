"""Data sets by name: each file in this folder that holds an ``ENTRY`` is one, found by being there.

Names are compared without case, ``-``, ``_`` and spaces. Nothing here imports torch.

>>> digits = load("digits")
>>> len(digits.train), len(digits.test), digits.input_shape, digits.classes
(1437, 360, (1, 8, 8), 10)
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus import registry, usercode
from isthmus.datasets import altering
from isthmus.datasets.dataset import DataSet, Split
from isthmus.datasets.files import VARIABLE
from isthmus.registry import canonical_name

__all__ = ["DataSet", "Entry", "Split", "canonical_name", "describe", "load", "names"]


@dataclass(frozen=True)
class Entry:
    """A data set: how it is loaded, one sentence about it, and where its files come from.

    ``load`` takes the data folder (None for none named) and keyword options with defaults, annotated with
    the types that are accepted. The entry's name is the name of its file.
    """

    load: Callable[..., DataSet]
    summary: str
    needs_files: bool
    where: str


def names() -> tuple[str, ...]:
    """The names of all data sets in this folder, sorted."""
    return tuple(sorted(_entries()))


def describe(name: str) -> str:
    """One line: what the data set is, its options with their defaults, and where its files come from."""
    entry = registry.find("data set", name, _entries())
    return f"{registry.summarise(entry.summary, entry.load, besides=('root',))} {entry.where}"


def load(name: str, /, root: str | os.PathLike[str] | None = None, **options: Any) -> DataSet:
    """The data set of this name, from files under ``root`` where it needs any.

    ``root`` is the environment variable ``ISTHMUS_DATA`` unless given. Every set also takes the options of
    :func:`isthmus.datasets.altering.alter`: ``examples``, ``per_class``, ``random_labels``. A data set of your own
    code is named ``package.module:function``; see :func:`isthmus.datasets.own.load`.

    Raises:
        UnknownName: for a name that nothing answers to.
        BadInput: for an option that the data set does not take, or cannot have.
        MissingData: when its files are not there; the sentence says what to fetch and where to put it.
        BadData: when a file is malformed.
    """
    what = f"Data set {name}"
    set_options, common = altering.split_options(options)
    alterations = registry.accept_values(what, altering.alter, common, besides=("found",))
    named = os.environ.get(VARIABLE) if root is None else root
    folder = None if named is None else Path(named).expanduser()
    if usercode.is_user_code(name):
        from isthmus.datasets import own

        found = own.load(name, folder, set_options, also=altering.OPTIONS)
    else:
        entry = registry.find("data set", name, _entries())
        accepted = registry.accept_values(what, entry.load, set_options, besides=("root",), also=altering.OPTIONS)
        found = entry.load(folder, **accepted)
    return altering.alter(found, **alterations) if alterations else found


@functools.cache
def _entries() -> dict[str, Entry]:
    files = ((module.__name__, getattr(module, "ENTRY", None)) for module in registry.modules(__name__))
    return registry.gather("data set", ((file, {file.rpartition(".")[2]: entry}) for file, entry in files if entry))
