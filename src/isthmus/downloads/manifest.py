"""What was fetched, kept in ``.isthmus/NAME.json`` in the data folder: from where, and the digests of what came of it.

The files of an archive are remembered by one digest a folder, so that the manifest stays small and a difference can
still be placed. Hidden files do not count: caches are among them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from isthmus.downloads.disk import digests, workplace, write
from isthmus.errors import BadData

__all__ = ["File", "Manifest", "folders", "hashes", "read", "save"]

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class File(BaseModel):
    """A file as it was fetched: where from, what is published of it, what was found; of an archive, its folders."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    url: str
    place: str
    bytes: int
    published: str
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    sha256: Hash
    folders: dict[str, Hash] | None = None


class Manifest(BaseModel):
    """A data set as it was fetched: its files, and the digest of its arrays as this pillow decoded them."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    data_set: str
    digest: Hash
    pillow: str
    isthmus: str
    files: tuple[File, ...]


def _path(root: Path, name: str) -> Path:
    return workplace(root, name).with_suffix(".json")


def save(root: Path, manifest: Manifest) -> None:
    """Keep it beside the data, in place of an earlier one."""
    write(_path(root, manifest.data_set), manifest.model_dump_json(indent=1).encode())


def read(root: Path, name: str) -> Manifest | None:
    """What was fetched of this data set; None where nothing was.

    Raises:
        BadData: it is no manifest.
    """
    path = _path(root, name)
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        found = error.strerror if isinstance(error, OSError) else "something else"
        raise BadData(f"{path}: expected the record of what was fetched, found {found}: remove it.") from None


def folders(files: Mapping[str, str]) -> dict[str, str]:
    """One digest for each folder: of the names and digests of the files directly in it, given by their paths."""
    seals: dict[str, hashlib._Hash] = {}
    for path in sorted(files):
        *parents, name = path.split("/")
        if not any(part.startswith(".") for part in (*parents, name)):
            seal = seals.setdefault("/".join(parents) or ".", hashlib.sha256())
            seal.update(f"{files[path]} {name}\0".encode("utf-8", "surrogateescape"))
    return {folder: seal.hexdigest() for folder, seal in seals.items()}


def hashes(base: Path) -> dict[str, str]:
    """The sha256 of every file below a folder by its path, hidden ones left out.

    Raises:
        BadData: one cannot be read.
    """
    found = {}
    for place, names, files in os.walk(base):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(file for file in files if not file.startswith(".")):
            path = Path(place, name)
            try:
                found[path.relative_to(base).as_posix()] = digests(path).sha256
            except OSError as error:
                raise BadData(f"{path}: cannot be read ({error.strerror}): check the file.") from None
    return found
