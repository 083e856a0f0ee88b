"""Models of other packages, named ``torchvision:NAME``, ``timm:NAME``, ``hf:KIND``: one file here for each prefix.

A file holds an ``ADAPTER``; its name is the prefix. The package is imported when a model is built and not before,
nothing here imports torch, and nothing is ever downloaded: initial values are drawn, as for every model.

Every adapter takes ``classes`` and ``input_shape`` and says them in the package's own words; further arguments
are passed on as they are.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from isthmus import registry
from isthmus.errors import BadInput, IsthmusError, UnknownName
from isthmus.hashing import digest, digest_bytes
from isthmus.registry import Count

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "Adapter",
    "Asked",
    "blocks",
    "build",
    "code",
    "counterpart",
    "describe",
    "find",
    "is_adapter",
    "load",
    "names",
    "overview",
    "source",
]


@dataclass(frozen=True)
class Asked:
    """A model as it was asked for: ``name`` in full, ``model`` without the prefix, and the arguments.

    ``classes`` and ``input_shape`` are None where they were not given; ``further`` are all other arguments, and
    ``content`` is what the model's file holds, if it has one.
    """

    name: str
    model: str
    classes: int | None
    input_shape: tuple[int, int, int] | None
    further: Mapping[str, Any]
    content: bytes | None = None

    def saying(self, **theirs: Any) -> dict[str, Any]:
        """The further arguments and ``theirs``, what ``classes`` and ``input_shape`` are in the package's own words.

        Raises:
            BadInput: one of them was given in both ways.
        """
        both = [name for name in theirs if name in self.further]
        if both:
            raise BadInput(
                f"Model {self.name}: the argument {both[0]} says again what classes or input_shape says; leave it out."
            )
        return {**self.further, **theirs}


def _no_file(model: str) -> Path | None:
    return None


@dataclass(frozen=True)
class Adapter:
    """How models of a package are found, built and divided.

    ``package`` is what is imported and the name under which it is installed; ``extra`` is ours that installs it.
    ``known`` lists the names of its models and ``build`` makes one, drawing from torch's global generator. ``blocks``
    maps the blocks of a model of this name, in the order of the forward pass, to globs on the names of its state dict.
    ``never`` are arguments that would bring in trained weights. ``file`` is what is read each time that this model
    is built, if anything. ``same`` says which of our own models, with which arguments, has the tensors of one of
    theirs by name and shape.
    """

    package: str
    extra: str
    summary: str
    known: Callable[[ModuleType], Collection[str]]
    build: Callable[[ModuleType, Asked], nn.Module]
    blocks: Callable[[str, nn.Module], Mapping[str, tuple[str, ...]]]
    never: Collection[str] = ()
    file: Callable[[str], Path | None] = _no_file
    same: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)


def names() -> tuple[str, ...]:
    """The prefixes, sorted."""
    return tuple(sorted(_entries()))


def is_adapter(name: str) -> bool:
    """Whether a name is of the form ``prefix:NAME`` with a prefix of this folder.

    >>> is_adapter("timm:resnet18"), is_adapter("timm.models:resnet18"), is_adapter("resnet18")
    (True, False, False)
    """
    prefix, colon, _ = name.partition(":")
    return bool(colon) and prefix in _entries()


def find(name: str) -> Adapter:
    """The adapter of a full name."""
    return _entries()[name.partition(":")[0]]


@functools.cache
def _entries() -> dict[str, Adapter]:
    files = ((module.__name__, getattr(module, "ADAPTER", None)) for module in registry.modules(__name__))
    return {file.rpartition(".")[2]: adapter for file, adapter in files if adapter is not None}


def overview(prefix: str) -> str:
    """One line about an adapter: what its models are, and whether the package is at hand (which is not imported)."""
    adapter = _entries()[prefix]
    if _place(adapter.package) is None:
        return f"{adapter.summary} {adapter.package} is not installed: pip install 'isthmus[{adapter.extra}]'."
    return f"{adapter.summary} {adapter.package} {_version(adapter.package) or 'of unknown version'} is installed."


def describe(name: str) -> str:
    """One line: what the model is, its arguments, and which of ours has the same tensors.

    Raises:
        BadInput: the package is not at hand.
        UnknownName: it has no such model.
    """
    adapter, model = find(name), name.partition(":")[2]
    _check_known(name, adapter, load(name))
    version = _version(adapter.package)
    line = f"{model} of {adapter.package}{f' {version}' if version else ''}."
    line += " Arguments: classes, input_shape, and those that its package gives it."
    ours = counterpart(name)
    if ours is not None:
        told = ", ".join(f"{key}={value!r}" for key, value in ours[1].items())
        line += f" Its tensors have the names and shapes of {ours[0]}({told})."
    return line


def counterpart(name: str) -> tuple[str, dict[str, Any]] | None:
    """Our own model and its arguments whose tensors have the names and shapes of this one's by default, or None.

    >>> counterpart("torchvision:vgg11")
    ('vgg11', {'norm': 'none', 'head': 'imagenet', 'classes': 1000, 'input_shape': (3, 224, 224)})
    """
    found = find(name).same.get(name.partition(":")[2]) if is_adapter(name) else None
    return None if found is None else (found[0], dict(found[1]))


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A new network, its values drawn from torch's global generator.

    Raises:
        BadInput: the package is not at hand or does not import; an argument that it refuses.
        UnknownName: it has no such model.
    """
    from torch import nn

    adapter, what = find(name), f"Model {name}"
    common = {key: arguments[key] for key in ("classes", "input_shape") if key in arguments}
    accepted = registry.accept_values(what, _common, common)
    further = {key: value for key, value in arguments.items() if key not in common}
    for key in further:
        if key in adapter.never:
            raise BadInput(
                f"{what}: the argument {key} is about trained weights, and initial values are drawn from seeds; leave"
                " it out."
            )
    package = load(name)
    _check_known(name, adapter, package)
    model, shape = name.partition(":")[2], accepted.get("input_shape")
    asked = Asked(name, model, accepted.get("classes"), shape, further, _content(name))
    try:
        made = adapter.build(package, asked)
    except IsthmusError:
        raise
    except ImportError as error:  # packages load their models when they are first asked for
        raise _not_importable(name, adapter, error) from error
    except Exception as error:  # whatever a package raises on arguments that it does not take
        raise BadInput(f"{what}: {_refusal(adapter, error)}") from error
    if not isinstance(made, nn.Module):
        raise BadInput(f"{what}: expected {adapter.package} to return a module, found {type(made).__name__}.")
    return made


def blocks(name: str, model: nn.Module) -> dict[str, tuple[str, ...]]:
    """The blocks of a built model in the order of the forward pass."""
    return dict(find(name).blocks(name.partition(":")[2], model))


def load(name: str) -> ModuleType:
    """The package behind a full name, imported.

    Raises:
        BadInput: it is not installed, or does not import.
    """
    adapter = find(name)
    code(name)
    try:
        return importlib.import_module(adapter.package)
    except Exception as error:
        raise _not_importable(name, adapter, error) from error


def _not_importable(name: str, adapter: Adapter, error: BaseException) -> BadInput:
    while error.__cause__ is not None:  # packages say first that something failed, and then what it was
        error = error.__cause__
    return BadInput(
        f"Model {name}: {adapter.package} {_version(adapter.package) or 'of unknown version'} is installed but does not"
        f" import ({_told(error)}); install a build of it that fits this torch, with pip install"
        f" 'isthmus[{adapter.extra}]'."
    )


def _told(error: BaseException) -> str:
    reason = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}{f': {reason}' if reason else ''}"


def source(name: str) -> str:
    """64 hexadecimal digits that change whenever the code of a model's package, or the file that it reads, may have.

    Raises:
        BadInput: the package is not installed, or the file cannot be read.
    """
    content = _content(name)
    return (
        code(name)
        if content is None
        else digest("package-and-file", {"code": code(name), "file": digest_bytes(content)})
    )


def _content(name: str) -> bytes | None:
    file = find(name).file(name.partition(":")[2])
    try:
        return None if file is None else file.read_bytes()
    except OSError as error:
        raise BadInput(
            f"Model {name}: the file {file} cannot be read ({error.strerror}); names of a hub are not looked up, as"
            " nothing is downloaded: save the configuration and name its file."
        ) from None


def code(name: str) -> str:
    """64 hexadecimal digits that change whenever the code of a model's package may have; it is not imported.

    A release of a package never changes, so its name and version stand for all of its code, which is spread over
    hundreds of files that its models share; between two releases anything may differ, initial values included.
    Where the files are not those of a release (a checkout, an editable install) the digest is of the sources.

    Raises:
        BadInput: the package is not installed.
    """
    adapter = find(name)
    place = _place(adapter.package)
    if place is None:
        raise BadInput(
            f"Model {name} needs the package {adapter.package}, which is not installed: pip install"
            f" 'isthmus[{adapter.extra}]'."
        )
    version = _version(adapter.package)
    if version is not None:
        return digest("package", {"name": adapter.package, "version": version})
    sources = {path.relative_to(place).as_posix(): digest_bytes(path.read_bytes()) for path in place.rglob("*.py")}
    return digest("package", {"name": adapter.package, "sources": sources})


def _place(package: str) -> Path | None:
    """The folder of a package, which is not imported; None where there is none."""
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent


def _version(package: str) -> str | None:
    """The version of the release that the package's files are of; None where they are of none."""
    try:
        found = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    # metadata may lie about that are not those of the files which are imported
    return found.version if Path(str(found.locate_file(package))).resolve() == _place(package) else None


def _common(
    classes: Count = 10,
    input_shape: Annotated[tuple[Count, ...], Field(min_length=3, max_length=3)] = (3, 224, 224),
) -> None:
    """What every adapter takes."""


def _check_known(name: str, adapter: Adapter, package: ModuleType) -> None:
    model = name.partition(":")[2]
    try:
        known = adapter.known(package)
    except Exception as error:  # the list may be a module that is loaded now
        raise _not_importable(name, adapter, error) from error
    if adapter.file(model) is None and model not in known:
        raise UnknownName(f"model of {adapter.package}", model, known)


def _refusal(adapter: Adapter, error: Exception) -> str:
    unexpected = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if unexpected is None:
        return f"{adapter.package} refuses these arguments with {_told(error)}."
    close = difflib.get_close_matches(unexpected[1], ("classes", "input_shape"), n=1, cutoff=0.5)
    offer = f'did you mean "{close[0]}"?' if close else f"leave it out, or see the documentation of {adapter.package}."
    return f"{adapter.package} takes no argument {unexpected[1]!r} for it; {offer}"
