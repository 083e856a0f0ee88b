"""Entries found by folder: their names, their modules and the arguments they take.

Models and data sets are extension points: a file in the folder is an entry, there is no list to edit.
Everything here works without importing torch.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from isthmus.errors import BadInput, UnknownName, nearest

__all__ = [
    "Count",
    "Rate",
    "accept_names",
    "accept_values",
    "canonical_name",
    "find",
    "gather",
    "modules",
    "summarise",
]

Count = Annotated[int, Field(strict=True, ge=1)]
"""A whole number, at least 1."""

Rate = Annotated[float, Field(strict=True, ge=0, lt=1)]
"""A probability below 1."""

T = TypeVar("T")


def canonical_name(name: str) -> str:
    """The form in which names are compared: case, ``-``, ``_`` and spaces do not count.

    ``package.module:factory`` (user code) and ``timm:NAME`` (a model of another package) stay as they are.

    >>> canonical_name("ResNet-20"), canonical_name("my_package.nets:Big_Net")
    ('resnet20', 'my_package.nets:Big_Net')
    """
    return name if ":" in name else re.sub(r"[-_ ]", "", name).lower()


def modules(package: str) -> Iterator[ModuleType]:
    """The modules that lie in the folder of a package, in the order of their names, each imported."""
    folder = importlib.import_module(package).__path__
    for found in sorted(pkgutil.iter_modules(folder), key=lambda found: found.name):
        yield importlib.import_module(f"{package}.{found.name}")


def gather(what: str, files: Iterable[tuple[str, Mapping[str, T]]]) -> dict[str, T]:
    """The entries of all files, given as (file, entries by name), by name and in the order given.

    Raises:
        BadInput: when two files hold the same name (as :func:`canonical_name` compares names).
    """
    entries: dict[str, T] = {}
    origin: dict[str, str] = {}
    for file, found in files:
        for name, entry in found.items():
            first = origin.get(canonical_name(name))
            if first is not None:
                raise BadInput(f"The {what} {name!r} is defined in both {first} and {file}: rename one of them.")
            origin[canonical_name(name)] = file
            entries[name] = entry
    return entries


def find(what: str, name: str, entries: Mapping[str, T]) -> T:
    """The entry that a name, in any spelling that :func:`canonical_name` allows, stands for.

    Raises:
        UnknownName: when there is none; the sentence offers the nearest.
    """
    for known, entry in entries.items():
        if canonical_name(known) == canonical_name(name):
            return entry
    raise UnknownName(what, name, entries)


def summarise(summary: str, function: Callable[..., Any], besides: Collection[str] = ()) -> str:
    """The summary, followed by the arguments of ``function`` with their defaults where it takes any."""
    arguments = ", ".join(
        name if parameter.default is parameter.empty else f"{name}={parameter.default!r}"
        for name, parameter in _parameters(function, besides).items()
    )
    return f"{summary} Arguments: {arguments}." if arguments else summary


def accept_names(
    what: str,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    besides: Collection[str] = (),
    also: Collection[str] = (),
) -> None:
    """Refuse arguments that ``function`` does not take, and the lack of one that it needs.

    Parameters in ``besides`` are not the caller's to give; names in ``also`` are taken by somebody else.

    Raises:
        BadInput: one sentence that names ``what``, the argument, and the nearest valid one.
    """
    known = _parameters(function, besides)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
    for name in arguments:
        if name not in known and not open_ended:
            raise BadInput(f"{what} takes no argument {name!r}{nearest(name, [*known, *also])}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise BadInput(f"{what} needs the argument {name!r}: give it a value.")


def accept_values(
    what: str,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    besides: Collection[str] = (),
    also: Collection[str] = (),
) -> dict[str, Any]:
    """The arguments as ``function`` annotates them (a list becomes the tuple that is asked for).

    Raises:
        BadInput: one sentence that names ``what``, the argument, what was expected and what was found.
    """
    accept_names(what, function, arguments, besides, also)
    hints = get_type_hints(function, include_extras=True)
    return {name: _accept(what, name, hints[name], value) for name, value in arguments.items()}


def _parameters(function: Callable[..., Any], besides: Collection[str]) -> dict[str, inspect.Parameter]:
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = inspect.signature(function).parameters.items()
    return {name: parameter for name, parameter in found if parameter.kind in by_keyword and name not in besides}


def _accept(what: str, name: str, hint: Any, value: Any) -> Any:
    if get_origin(hint) is Literal and isinstance(value, str) and value not in get_args(hint):
        raise BadInput(f"{what}: argument {name} cannot be {value!r}{nearest(value, get_args(hint))}")
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        expected = error.errors()[0]["msg"]
        raise BadInput(f"{what}: argument {name}: {expected[0].lower()}{expected[1:]}, found {value!r}.") from None
