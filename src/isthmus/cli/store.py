"""``isthmus show``, ``forget`` and ``verify``: results in the store, by key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.cli.options import STORE, Where
from isthmus.errors import BadInput, IsthmusError

if TYPE_CHECKING:
    from isthmus.store import Store

__all__ = ["forget", "show", "verify"]


def show(key: str, /, *, store: Where = STORE) -> None:
    """Show a result: what it is, what it descends from, its numbers, its file.

    Parameters
    ----------
    key
        The key of a result, or its first digits (at least four).
    """
    import json
    from dataclasses import asdict

    found = _existing(store).find(key)
    print(json.dumps(asdict(found), indent=1))
    if found.blob is not None:
        print(_existing(store).blob_path(found))


def forget(key: str, /, *more: str, store: Where = STORE) -> None:
    """Delete results by key; what needs them computes them again.

    Parameters
    ----------
    key
        The key of a result, or its first digits (at least four).
    more
        Further keys.
    """
    place = _existing(store)
    for record in {found.key: found for found in map(place.find, (key, *more))}.values():
        place.delete(record.key)
        print(f"forgot {record.key[:12]} ({record.label})")


def verify(*, store: Where = STORE) -> None:
    """Check that every result in the store has the bytes that were written."""
    problems = _existing(store).verify()
    for problem in problems:
        print(problem)
    if problems:
        raise IsthmusError(f"{len(problems)} damaged result(s) in {store}.")
    print(f"{len(list(_existing(store).keys()))} results in {store}, all whole.")


def _existing(where: Path) -> Store:
    from isthmus.store import Store

    if not where.is_dir():
        raise BadInput(f"There is no store at {where}; name it with --store.")
    return Store(where)
