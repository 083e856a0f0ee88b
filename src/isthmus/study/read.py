"""Reading a study: from TOML, YAML or Python, with overrides; every problem in it is told at once."""

from __future__ import annotations

import runpy
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from isthmus.errors import BadStudy, nearest
from isthmus.study.model import FAMILIES, Study

__all__ = ["from_mapping", "load", "override"]


def load(path: str | Path, sets: Iterable[str] = ()) -> Study:
    """The study in a file, with ``path=value`` overrides applied.

    ``.toml`` and ``.yaml`` files hold the study's fields; a ``.py`` file defines ``study``, a :class:`Study` or a
    mapping.

    Raises:
        BadStudy: the file cannot be read, or the study has problems: one sentence each, all of them.
    """
    path = Path(path)
    if not path.is_file():
        raise BadStudy([f"There is no study file {path}."])
    content = _READERS.get(path.suffix, _unknown)(path)
    if isinstance(content, Study):
        content = content.model_dump(mode="json")
    if not isinstance(content, Mapping):
        raise BadStudy([f"{path}: expected a table of fields, found {type(content).__name__}."])
    return from_mapping(override(content, sets), where=str(path))


def _toml(path: Path) -> Any:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadStudy([f"{path} is no valid TOML: {error}."]) from None


def _yaml(path: Path) -> Any:
    try:
        import yaml
    except ImportError:
        raise BadStudy([f'{path}: reading YAML needs pip install "isthmus[yaml]"; TOML needs nothing.']) from None
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadStudy([f"{path} is no valid YAML: {' '.join(str(error).split())}."]) from None


def _python(path: Path) -> Any:
    try:
        found = runpy.run_path(str(path)).get("study")
    except Exception as error:
        raise BadStudy([f"{path} failed to run: {type(error).__name__}: {error}."]) from error
    if found is None:
        raise BadStudy([f'{path}: expected it to define "study", found no such name.'])
    return found


def _unknown(path: Path) -> Any:
    raise BadStudy([f"{path}: expected a study file ending in .toml, .yaml, .yml or .py, found {path.suffix!r}."])


_READERS = {".toml": _toml, ".yaml": _yaml, ".yml": _yaml, ".py": _python}


def override(content: Mapping[str, Any], sets: Iterable[str]) -> dict[str, Any]:
    """A copy of a study's fields with ``path=value`` applied; values are written as in TOML, or are plain text.

    >>> override({"recipe": {"batch_size": 8}}, ["recipe.batch_size=16", "name=other"])
    {'recipe': {'batch_size': 16}, 'name': 'other'}
    """
    result = _copy(content)
    for text in sets:
        path, equals, value = text.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise BadStudy([f"--set {text}: expected path=value, such as recipe.optimizer.lr=0.1."])
        here = result
        for key in keys[:-1]:
            here = here.setdefault(key, {})
            if not isinstance(here, dict):
                raise BadStudy([f"--set {text}: {key!r} holds a single value, not a table of fields."])
        here[keys[-1]] = _value(value.strip())
    return result


def _copy(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in content.items()}


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def from_mapping(content: Mapping[str, Any], where: str = "study") -> Study:
    """The study with these fields.

    Raises:
        BadStudy: with one sentence for each problem: the field's path, what was expected, what was found.
    """
    family = content.get("family")
    if family not in FAMILIES:
        known = " or ".join(f'"{name}"' for name in FAMILIES)
        raise BadStudy([f"{where}: family: expected {known}, found {family!r}{nearest(str(family), FAMILIES)}"])
    cls = FAMILIES[family]
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        problems = [f"{where}: {_sentence(cls, problem)}" for problem in error.errors()]
        raise BadStudy(problems) from None


def _sentence(cls: type[BaseModel], problem: Any) -> str:
    location = [part for part in problem["loc"] if not _is_branch_of_union(part)]
    path = ".".join(str(part) for part in location) or "the study"
    kind, message, found = problem["type"], problem["msg"], problem["input"]
    if kind == "extra_forbidden":
        return f"{path}: unknown field{nearest(str(location[-1]), _fields(cls, location[:-1]))}"
    if kind == "missing":
        return f"{path}: expected a value, found none."
    if kind == "value_error":
        text = message.removeprefix("Value error, ")
        return f"{path}: {text}{'' if 'found' in text else f', found {_short(found)}'}."
    text = message[0].lower() + message[1:]
    text = text.replace("input should be", "expected").replace(", unable to parse string as an integer", "")
    return f"{path}: {text}, found {_short(found)}."


def _is_branch_of_union(part: object) -> bool:
    """Pydantic names the member of a union that it tried; the user did not write that."""
    return isinstance(part, str) and ("[" in part or part in ("int", "constrained-int", "literal"))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fields(cls: type[BaseModel], location: Iterable[Any]) -> list[str]:
    """The fields that there are at a place in a study."""
    here: Any = cls
    for part in location:
        if isinstance(part, str) and isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(part)
            here = _model_in(field.annotation) if field else None
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _model_in(annotation: Any) -> Any:
    """The Spec in an annotation such as ``Merge | None``."""
    if get_origin(annotation) in (Union, UnionType, Annotated, tuple):
        found = (_model_in(argument) for argument in get_args(annotation))
        return next((model for model in found if model is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
