"""What pydantic says of a study, in sentences for somebody who writes TOML: which field, expected, found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from isthmus.errors import nearest
from isthmus.study.model import FAMILIES

__all__ = ["model_in", "sentences", "titled", "written"]


def sentences(cls: type[BaseModel] | None, error: ValidationError) -> list[str]:
    """One sentence for each field that is refused; what a field might have been instead stands in one of them."""
    grouped: dict[str, list[Any]] = {}
    for problem in error.errors():
        path = ".".join(str(part) for part in written(problem["loc"]))
        grouped.setdefault(path, []).append(problem)
    return [
        _sentence(cls, path, problems)
        for path, problems in grouped.items()
        if not any(other.startswith(f"{path}.") for other in grouped)  # the other member of a union fits better
    ]


def _sentence(cls: type[BaseModel] | None, path: str, problems: Sequence[Any]) -> str:
    first = problems[0]
    kind, found, location = first["type"], first["input"], written(first["loc"])
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
    return str(problem["msg"]).removeprefix("Input should be ")


_WORDS = {
    "int_": "a whole number",
    "float_": "a number",
    "finite_number": "a finite number",
    "bool_": "true or false",
    "string_type": "text",
    "string_pattern": "letters, digits, dots, dashes and underscores, beginning with a letter or a digit",
    "tuple_": "a list",
    "model_": "a table of fields",
    "dict_": "a table of fields",
    "mapping_": "a table of fields",
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


def written(location: Iterable[Any]) -> list[Any]:
    """The place in a study as the user wrote it: pydantic also names the member of a union that it tried."""
    return [part for part in location if not (isinstance(part, str) and ("[" in part or part in _MEMBERS))]


_MEMBERS = ("int", "constrained-int", "constrained-float", "literal")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def titled(title: str) -> type[BaseModel] | None:
    """The part of a study of this name, wherever in it that is."""
    todo: list[type[BaseModel]] = list(FAMILIES.values())
    while todo:
        here = todo.pop()
        if here.__name__ == title:
            return here
        todo += filter(None, (model_in(field.annotation) for field in here.model_fields.values()))
    return None


def _fields(cls: type[BaseModel] | None, location: Iterable[Any]) -> list[str]:
    """The fields that there are at a place in a study."""
    here: Any = cls
    for part in location:
        if isinstance(part, str) and isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(part)
            here = model_in(field.annotation) if field else None
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def model_in(annotation: Any) -> Any:
    """The Spec in an annotation such as ``Merge | None``."""
    if get_origin(annotation) in (Union, UnionType, Annotated, tuple):
        found = (model_in(argument) for argument in get_args(annotation))
        return next((model for model in found if model is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
