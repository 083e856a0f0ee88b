"""Tables laid over tables: what a variant changes in a study, and pre-training in the recipe of the study."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from isthmus.registry import canonical_name

__all__ = ["fields_laid_over", "keys_of", "laid_over", "quoted", "undotted"]


def laid_over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``base`` with ``changes``: tables are merged, anything else takes the place of what was there.

    An empty table takes the place of what was there as well.

    >>> laid_over({"a": {"b": 1, "c": [2]}, "d": {"e": 3}}, {"a": {"c": [4, 5]}, "d": {}, "f": {"g": 6}})
    {'a': {'b': 1, 'c': [4, 5]}, 'd': {}, 'f': {'g': 6}}
    """
    result = {name: laid_over(value, {}) if isinstance(value, Mapping) else value for name, value in base.items()}
    for name, value in changes.items():
        here = base.get(name)
        table = here if isinstance(here, Mapping) and value else {}
        result[name] = laid_over(table, value) if isinstance(value, Mapping) else value
    return result


def fields_laid_over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A study's fields with ``changes`` laid over them, but ``data`` of another name replace those data whole.

    >>> fields_laid_over({"data": {"name": "spiral", "seed": 3}}, {"data": {"name": "digits"}})
    {'data': {'name': 'digits'}}
    """
    own, new = base.get("data"), changes.get("data")
    if isinstance(own, Mapping) and isinstance(new, Mapping) and "name" in new:
        names = (own.get("name"), new["name"])
        if not all(isinstance(name, str) for name in names) or len(set(map(canonical_name, names))) > 1:
            base = {**base, "data": {}}
    return laid_over(base, changes)


def undotted(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The nested tables that dotted names at the top of a table stand for; later ones are laid over earlier ones.

    >>> undotted({"a.b": 1, "a": {"c": 2}, "d": 3})
    {'a': {'b': 1, 'c': 2}, 'd': 3}
    """
    found: dict[str, Any] = {}
    for name, value in changes.items():
        keys = keys_of(name) if isinstance(name, str) else []
        for key in reversed(keys or [name]):
            value = {key: value}
        found = laid_over(found, value)
    return found


def keys_of(path: str) -> list[str]:
    """The keys of a dotted name, those in quotes as they are; nothing where it is no such name.

    >>> keys_of('variants."lr 0.1".recipe'), keys_of("a..b")
    (['variants', 'lr 0.1', 'recipe'], [])
    """
    path = path.strip()
    if not re.fullmatch(rf"{_KEY}(\.{_KEY})*", path):
        return []
    return [key[1:-1] if key[0] in "\"'" else key for key in re.findall(_KEY, path)]


_KEY = r"""(?:"[^"]+"|'[^']+'|[^."'][^.]*)"""


def quoted(key: str) -> str:
    """A key as it is written in a dotted name of TOML."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
