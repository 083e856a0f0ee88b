"""Data sets by name: each file in this folder that holds an ``ENTRY`` is one, found by being there.

Names are compared without case, ``-``, ``_`` and spaces. Nothing here imports torch.

>>> digits = load("digits")
>>> len(digits.train), len(digits.test), digits.input_shape, digits.classes
(1437, 360, (1, 8, 8), 10)
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus import registry, usercode
from isthmus.datasets import altering
from isthmus.datasets.dataset import DataSet, Split
from isthmus.datasets.files import data_folder
from isthmus.datasets.outline import Outline, altered
from isthmus.datasets.sources import Source
from isthmus.errors import BadInput
from isthmus.registry import canonical_name

__all__ = [
    "DataSet",
    "Entry",
    "Outline",
    "Source",
    "Split",
    "at_hand",
    "canonical_name",
    "describe",
    "entry",
    "load",
    "names",
    "outline",
]


@dataclass(frozen=True)
class Entry:
    """A data set: how it is loaded, one sentence about it, and where its files come from.

    ``load`` takes the data folder (None for none named) and keyword options with defaults, annotated with
    the types that are accepted. The entry's name is the name of its file. ``sources`` are the files that can be
    fetched for it, all of which it needs; ``digest`` is that of the published data, loaded without options, where it
    is known. ``outline`` gives the sizes of the published data by those options of ``load`` that change them; None for
    data that are not published. ``places`` are files and folders below the data folder of which one is there where
    the set is, and ``part`` says in a few words what of it is there where that is plainly not all.
    """

    load: Callable[..., DataSet]
    summary: str
    needs_files: bool
    where: str
    sources: tuple[Source, ...] = ()
    digest: str | None = None
    outline: Callable[..., Outline] | None = None
    places: tuple[str, ...] = ()
    part: Callable[[Path], str] | None = None


def names() -> tuple[str, ...]:
    """The names of all data sets in this folder, sorted."""
    return tuple(sorted(_entries()))


def describe(name: str) -> str:
    """One line: what the data set is, its options with their defaults, and where its files come from."""
    found = entry(name)[1]
    return f"{registry.summarise(found.summary, found.load, besides=('root',))} {found.where}"


def entry(name: str) -> tuple[str, Entry]:
    """(the name as its file has it, the entry) of the data set that a name, in any spelling, stands for.

    Raises:
        UnknownName: for a name that nothing answers to.
    """
    found = registry.find("data set", name, _entries())
    return next(known for known, one in _entries().items() if one is found), found


def load(name: str, /, root: str | os.PathLike[str] | None = None, **options: Any) -> DataSet:
    """The data set of this name, from files under ``root`` where it needs any.

    ``root`` is the environment variable ``ISTHMUS_DATA`` unless given. Every set also takes the options of
    :func:`isthmus.datasets.altering.alter`: ``part``, ``split_seed``, ``examples``, ``per_class``, ``random_labels``
    and ``size``; one that it has an option of the same name for is its own. A data set of your own code is named
    ``package.module:function``; see :func:`isthmus.datasets.own.load`.

    Raises:
        UnknownName: for a name that nothing answers to.
        BadInput: for an option that the data set does not take, or cannot have.
        MissingData: when its files are not there; the sentence says what to fetch and where to put it.
        BadData: when a file is malformed.
    """
    what = f"Data set {name}"
    place = data_folder(root)
    loader = usercode.load(name) if usercode.is_user_code(name) else entry(name)[1].load
    set_options, common = altering.split_options(options, besides=_parameters(loader))
    alterations = registry.accept_values(what, altering.alter, common, besides=("found",))
    if usercode.is_user_code(name):
        from isthmus.datasets import own

        found = own.load(name, place, set_options, also=altering.OPTIONS)
    else:
        accepted = registry.accept_values(what, loader, set_options, besides=("root",), also=altering.OPTIONS)
        found = loader(place, **accepted)
    return altering.alter(found, **alterations) if alterations else found


def outline(name: str, /, **options: Any) -> Outline:
    """The sizes that the data set of this name has as it is published, with these options; no file is looked for.

    Raises:
        UnknownName: for a name that nothing answers to.
        BadInput: for an option that the set does not take, or a set that is nowhere published.
    """
    what = f"Data set {name}"
    found = None if usercode.is_user_code(name) else entry(name)[1]
    if found is None or found.outline is None:
        raise BadInput(f"{what} is nowhere published, so its sizes are those of its files; put them into place.")
    own, common = altering.split_options(options, besides=_parameters(found.load))
    common = registry.accept_values(what, altering.alter, common, besides=("found",))
    own = registry.accept_values(what, found.load, own, besides=("root",), also=altering.OPTIONS)
    return altered(found.outline(**{key: own[key] for key in _parameters(found.outline) if key in own}), own | common)


def at_hand(name: str, root: str | os.PathLike[str] | None = None) -> str | None:
    """Whether files of a data set are in the data folder, at a glance: "", or in words which part; None where not.

    The files are not read: :func:`load` says what is wrong with them.
    """
    if usercode.is_user_code(name):
        return ""
    found = entry(name)[1]
    if not found.needs_files:
        return ""
    base = data_folder(root)
    if base is None or not any((base / place).exists() for place in found.places):
        return None
    return found.part(base) if found.part else ""


def _parameters(loader: object) -> tuple[str, ...]:
    """The names that it takes by keyword; those that ``**options`` would take do not count."""
    if not callable(loader):
        return ()
    found = inspect.signature(loader).parameters.values()
    return tuple(one.name for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))


@functools.cache
def _entries() -> dict[str, Entry]:
    files = ((module.__name__, getattr(module, "ENTRY", None)) for module in registry.modules(__name__))
    return registry.gather("data set", ((file, {file.rpartition(".")[2]: entry}) for file, entry in files if entry))
