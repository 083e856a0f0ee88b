"""Reading a study: from TOML, YAML or Python, with overrides; every problem in it is told at once."""

from __future__ import annotations

import difflib
import re
import runpy
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from isthmus.errors import BadStudy, nearest
from isthmus.study import fitting
from isthmus.study.checking import section_problems
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
        raise BadStudy(f"{path}: {sentence}" for sentence in _sentences(_titled(error.title), error)) from None
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
        path, equals, value = text.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise BadStudy([f"--set {text}: expected path=value, such as recipe.optimizer.lr=0.1."])
        here = result
        for key in keys[:-1]:
            here = here.setdefault(key, {})
            if not isinstance(here, dict):
                kind = "a list: set it whole" if isinstance(here, list | tuple) else "a single value"
                raise BadStudy([f"--set {text}: expected a table of fields at {key}, it holds {kind}."])
        here[keys[-1]] = _value(text, value.strip())
    return result


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


def from_mapping(content: Mapping[str, Any], where: str = "study") -> Study:
    """The study with these fields.

    Raises:
        BadStudy: with one sentence for each problem: the field's path, what was expected, what was found.
            Where the form is wrong, models, data sets and lengths are looked at too as far as they can be.
    """
    family, problems = _family(content)
    if family is None:
        raise BadStudy(f"{where}: {problem}" for problem in problems)
    cls = FAMILIES[family]
    try:
        study = cls.model_validate({**content, "family": family})
    except ValidationError as error:
        problems += _sentences(cls, error)
        problems += _further(cls, content, error)
    else:
        if not problems:
            return study
    raise BadStudy(f"{where}: {problem}" for problem in dict.fromkeys(problems))


def _family(content: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """The family of a study, guessed from its sections where it is not named, and what is wrong with its name."""
    family = content.get("family")
    if isinstance(family, str) and family in FAMILIES:
        return family, []
    known = " or ".join(f'"{name}"' for name in FAMILIES)
    if "family" not in content:
        problem = f"family: expected {known}, found none."
    else:
        close = difflib.get_close_matches(str(family), FAMILIES, n=1)
        offer = f'; did you mean "{close[0]}"?' if close else "."
        problem = f"family: expected {known}, found {family!r}{offer}"
    guessed = [name for name, cls in FAMILIES.items() if any(field in content for field in cls.OWN)]
    return (guessed[0] if len(guessed) == 1 else None), [problem]


def _further(cls: type[Study], content: Mapping[str, Any], error: ValidationError) -> list[str]:
    """What else is wrong with a study whose form is: each section is read without the fields that are refused."""
    refused = {tuple(_written(problem["loc"])) for problem in error.errors()}
    rest = _without(content, refused)
    sections = {name: _section(cls, name, rest.get(name)) for name in ("model", "data", "recipe", "branch", "merge")}
    problems, data = section_problems(sections["model"], sections["data"])
    recipe, branch, merge = sections["recipe"], sections["branch"], sections["merge"]
    per_epoch = recipe.steps_per_epoch(data.train) if recipe is not None and data is not None else None
    if branch is not None:
        problems += fitting.branch_problems(branch, per_epoch)
    if branch is not None and merge is not None:
        problems += fitting.merge_problems(merge, branch, per_epoch)
    paths = {".".join(map(str, at)) for at in refused}
    told = [_renumbered(problem, refused) for problem in problems]
    return [text for text in told if not any(path.startswith(f"{text.partition(':')[0]}.") for path in paths)]


def _renumbered(problem: str, refused: Collection[tuple[Any, ...]]) -> str:
    """The problem with the index that the user's list has, where items before it were left out."""
    path, colon, text = problem.partition(":")
    *head, last = path.split(".")
    gone = sorted(at[-1] for at in refused if isinstance(at[-1], int) and list(map(str, at[:-1])) == head)
    if not gone or not last.isdigit():
        return problem
    index = int(last)
    for at in gone:
        index += at <= index
    return ".".join([*head, str(index)]) + colon + text


def _section(cls: type[Study], name: str, content: Any) -> Any:
    field = cls.model_fields.get(name)
    spec = _model_in(field.annotation) if field else None
    if spec is None or content is None:
        return None
    try:
        return spec.model_validate(content)
    except ValidationError:
        return None


def _without(value: Any, paths: Collection[tuple[Any, ...]]) -> Any:
    """A copy of nested tables and lists without what is at these paths."""

    def below(key: Any) -> list[tuple[Any, ...]]:
        return [path[1:] for path in paths if path[:1] == (key,)]

    if isinstance(value, Mapping):
        return {key: _without(item, below(key)) for key, item in value.items() if (key,) not in paths}
    if isinstance(value, list | tuple):
        return [_without(item, below(i)) for i, item in enumerate(value) if (i,) not in paths]
    return value


def _sentences(cls: type[BaseModel] | None, error: ValidationError) -> list[str]:
    """One sentence for each field that is refused; what a field might have been instead stands in one of them."""
    grouped: dict[str, list[Any]] = {}
    for problem in error.errors():
        path = ".".join(str(part) for part in _written(problem["loc"]))
        grouped.setdefault(path, []).append(problem)
    return [
        _sentence(cls, path, problems)
        for path, problems in grouped.items()
        if not any(other.startswith(f"{path}.") for other in grouped)  # the other member of a union fits better
    ]


def _sentence(cls: type[BaseModel] | None, path: str, problems: Sequence[Any]) -> str:
    first = problems[0]
    kind, found, location = first["type"], first["input"], _written(first["loc"])
    told = f"{path}: " if path else ""
    if kind == "extra_forbidden":
        return f"{told}unknown field{nearest(str(location[-1]), _fields(cls, location[:-1]))}"
    if kind == "missing":
        return f"{told}expected a value, found none."
    if kind == "value_error":
        text = first["msg"].removeprefix("Value error, ")
        return f"{told}{text}{'' if 'found' in text else f', found {_short(found)}'}."
    expected = " or ".join(dict.fromkeys(_expected(problem) for problem in problems))
    return f"{told}expected {expected}, found {_short(found)}."


def _expected(problem: Any) -> str:
    """What pydantic expected, in words that somebody who writes TOML knows."""
    kind, context = problem["type"], problem.get("ctx", {})
    for stem, words in _WORDS.items():
        if kind.startswith(stem):
            return words
    if kind in _LIMITS:
        return f"a number {_LIMITS[kind]} {context[_LIMIT_NAMES[kind]]:g}"
    if kind == "literal_error":
        return str(context["expected"]).replace("'", '"')
    text = str(problem["msg"])
    return text[0].lower() + text[1:].removeprefix("nput should be ")


_WORDS = {
    "int_": "a whole number",
    "float_": "a number",
    "finite_number": "a finite number",
    "bool_": "true or false",
    "string_type": "text",
    "string_pattern": "letters, digits, dots, dashes and underscores, beginning with a letter or a digit",
    "tuple_": "a list",
    "model_": "a table of fields",
    "too_": "a list of another length",
    "invalid_key": "fields named by text",
}
_LIMITS = {
    "greater_than": "above",
    "greater_than_equal": "of at least",
    "less_than": "below",
    "less_than_equal": "of at most",
}
_LIMIT_NAMES = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}


def _written(location: Iterable[Any]) -> list[Any]:
    """The place in a study as the user wrote it: pydantic also names the member of a union that it tried."""
    return [part for part in location if not (isinstance(part, str) and ("[" in part or part in _MEMBERS))]


_MEMBERS = ("int", "constrained-int", "literal")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _titled(title: str) -> type[BaseModel] | None:
    """The part of a study of this name, wherever in it that is."""
    todo: list[type[BaseModel]] = list(FAMILIES.values())
    while todo:
        here = todo.pop()
        if here.__name__ == title:
            return here
        todo += filter(None, (_model_in(field.annotation) for field in here.model_fields.values()))
    return None


def _fields(cls: type[BaseModel] | None, location: Iterable[Any]) -> list[str]:
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
