"""A study from a file, in TOML, YAML or Python, with overrides."""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from isthmus.errors import BadStudy
from isthmus.study.model import Study
from isthmus.study.overlay import keys_of
from isthmus.study.read import from_mapping
from isthmus.study.sentences import sentences, titled

__all__ = ["load", "override"]


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
    content = _READERS.get(path.suffix.lower(), _unknown)(path)
    if isinstance(content, Study):
        content = content.model_dump()
    if not isinstance(content, Mapping):
        raise BadStudy([f"{path}: expected a table of fields, found {type(content).__name__}."])
    try:
        return from_mapping(override(content, sets), where=str(path))
    except RecursionError:
        raise BadStudy([f"{path}: expected tables of fields, found one that holds itself."]) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadStudy([f"The study file {path} cannot be read: {error.strerror}."]) from None


def _toml(path: Path) -> Any:
    try:
        return tomllib.loads(_text(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadStudy([f"{path} is no valid TOML: {error}."]) from None


def _yaml(path: Path) -> Any:
    try:
        import yaml
    except ImportError:
        raise BadStudy([f'{path}: reading YAML needs pip install "isthmus[yaml]"; TOML needs nothing.']) from None
    try:
        return yaml.load(_text(path), _yaml_loader(yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadStudy([f"{path} is no valid YAML: {' '.join(str(error).split())}."]) from None


def _yaml_loader(base: Any) -> Any:
    """A loader of plain values to which ``on`` (a field of ours), ``off``, ``yes`` and ``no`` are text."""
    loader: Any = type("Loader", (base,), {})
    plain = {first: [r for r in found if r[0] != _YAML_BOOL] for first, found in base.yaml_implicit_resolvers.items()}
    loader.yaml_implicit_resolvers = plain
    loader.add_implicit_resolver(_YAML_BOOL, re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))
    return loader


_YAML_BOOL = "tag:yaml.org,2002:bool"


def _python(path: Path) -> Any:
    try:
        found = runpy.run_path(str(path)).get("study")
    except ValidationError as error:
        raise BadStudy(f"{path}: {sentence}" for sentence in sentences(titled(error.title), error)) from None
    except BadStudy:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise BadStudy([f"{path} failed to run: {type(error).__name__}: {reason}."]) from error
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
        match = _SETTING.fullmatch(text)
        keys = keys_of(match[1]) if match else []
        if not match or not keys:
            raise BadStudy([f"--set {text}: expected path=value, such as recipe.optimizer.lr=0.1."])
        here = result
        for key in keys[:-1]:
            here[key] = {} if here.get(key) is None else here[key]  # a study of Python's has what it lacks as None
            here = here[key]
            if not isinstance(here, dict):
                kind = "a list: set it whole" if isinstance(here, list | tuple) else "a single value"
                raise BadStudy([f"--set {text}: expected a table of fields at {key}, it holds {kind}."])
        here[keys[-1]] = _value(text, match[2].strip())
    return result


_SETTING = re.compile(r"""((?:"[^"]*"|'[^']*'|[^="'])*)=(.*)""", re.DOTALL)


def _copy(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in content.items()}


def _value(whole: str, text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if text[:1] in tuple("[{\"'"):
            example = 'branch.at=["0ep", "1ep"]'
            raise BadStudy([f"--set {whole}: expected a value as in TOML, with text in quotes: {example}."]) from None
        return text
