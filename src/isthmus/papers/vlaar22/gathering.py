"""Several studies as the variants of one: what they have in common stands once, each says what is its own.

The nodes of a variant are those of the study that it was, so nothing is trained twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.papers.vlaar22.setups import Content
from isthmus.study import Study
from isthmus.study.overlay import fields_laid_over, undotted
from isthmus.study.read import each

__all__ = ["changed", "gathered", "parts"]

_NEEDED = ("model.name", "data.name", "recipe.batch_size", "recipe.optimizer.lr", "train.to")
"""What a study must say, and therefore says in the words of the first where they differ."""
_OF_THE_WHOLE = ("name", "family", "variants")


def changed(content: Content, changes: Mapping[str, Any]) -> Content:
    """A study's fields with changes laid over them, as a variant lays them (dotted names stand for nested tables).

    >>> changed({"recipe": {"optimizer": {"lr": 0.1, "momentum": 0.9}}}, {"recipe.optimizer.lr": 0.01})
    {'recipe': {'optimizer': {'lr': 0.01, 'momentum': 0.9}}}
    """
    return fields_laid_over(content, undotted(changes))


def gathered(name: str, studies: Mapping[str, Content]) -> Content:
    """The fields of a study whose variants are these (each without variants of its own), by name."""
    own = {label: {key: one[key] for key in one if key not in _OF_THE_WHOLE} for label, one in studies.items()}
    first, *rest = own.values()
    shared = first
    for one in rest:
        shared = _shared(shared, one)
    if len({one["data"]["name"] for one in own.values()}) > 1:
        shared = {**shared, "data": {}}  # a variant's data of another name take the place of these whole
    for path in _NEEDED:
        shared = _with(shared, path.split("."), first)
    whole: Content = {"name": f"vlaar22-{name}", "family": "init-to-final", **shared}
    return whole | {"variants": {label: _beyond(one, shared) for label, one in own.items()}}


def parts(study: Study) -> dict[str, Content]:
    """The fields of each variant of a study by its name (of a study without variants: its own, under "")."""
    whole = set(_OF_THE_WHOLE)
    return {name: one.model_dump(mode="json", exclude_unset=True, exclude=whole) for name, one in each(study).items()}


def _shared(a: Mapping[str, Any], b: Mapping[str, Any]) -> Content:
    """What two tables have in common."""
    found: Content = {}
    for key in a:
        if key in b and isinstance(a[key], Mapping) and isinstance(b[key], Mapping):
            found[key] = _shared(a[key], b[key])
        elif key in b and a[key] == b[key]:
            found[key] = a[key]
    return found


def _beyond(whole: Mapping[str, Any], shared: Mapping[str, Any]) -> Content:
    """What a table says beyond what it shares."""
    found: Content = {}
    for key, value in whole.items():
        here = shared.get(key)
        if isinstance(value, Mapping) and isinstance(here, Mapping):
            if inner := _beyond(value, here):
                found[key] = inner
        elif key not in shared or value != here:
            found[key] = value
    return found


def _with(shared: Mapping[str, Any], path: list[str], first: Mapping[str, Any]) -> Content:
    """The table with the entry of the first at a path where it has none."""
    key, *rest = path
    if not rest:
        return {key: first[key], **shared}
    return {**shared, key: _with(shared.get(key, {}), rest, first[key])}
