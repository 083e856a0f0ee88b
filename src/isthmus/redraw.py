"""Figures are drawn again only where something they come from has changed.

Drawing takes longer than everything else that a study does when its results are all at hand. A figure is a
function of the tables, of our code and of matplotlib, so beside the figures lies ``figures.json``: the digest of what
they were drawn from, and of each file's bytes. A figure that is missing or was touched is drawn again.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from isthmus.hashing import digest, digest_bytes
from isthmus.tables import Table, write_text

__all__ = ["draw_if_changed"]

_NOTE = "figures.json"


def draw_if_changed(
    folder: Path, tables: Mapping[str, Table], draw: Callable[[], list[Path]], about: Any = None
) -> list[Path]:
    """The figures in a folder, drawn by ``draw`` unless they are there and come from the same tables.

    Args:
        folder: where ``draw`` writes.
        tables: everything that they are drawn from, with ``about``.
        draw: writes the figures and returns their files.
        about: what else decides how they look, as a JSON value.
    """
    source = digest(
        "figures",
        {
            "tables": {name: digest_bytes(table.to_csv().encode()) for name, table in tables.items()},
            "about": about,
            "code": _code(),
            "matplotlib": _version("matplotlib"),
        },
    )
    note = folder / _NOTE
    if (files := _unchanged(note, source)) is not None:
        return files
    note.unlink(missing_ok=True)
    files = draw()
    if all(file.parent == folder for file in files):
        content = {"drawn_from": source, "files": {file.name: digest_bytes(file.read_bytes()) for file in files}}
        write_text(note, json.dumps(content, indent=1) + "\n")
    return files


def _unchanged(note: Path, source: str) -> list[Path] | None:
    """The files that a note names if they are the ones that it names and were drawn from this source."""
    try:
        found = json.loads(note.read_bytes())
        same = found["drawn_from"] == source
        files = {note.parent / name: written for name, written in found["files"].items()}
        whole = same and all(digest_bytes(file.read_bytes()) == written for file, written in files.items())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return list(files) if whole else None


@functools.cache
def _code() -> str:
    """The digest of every source file of this package."""
    root = Path(__file__).parent
    return digest_bytes(b"".join(digest_bytes(file.read_bytes()).encode() for file in sorted(root.rglob("*.py"))))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
