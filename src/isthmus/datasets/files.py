"""Reading the files of a data set, and saying what to do when they are absent."""

from __future__ import annotations

import gzip
import io
import os
import shlex
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadData, MissingData

__all__ = ["VARIABLE", "data_folder", "missing", "read", "read_npz"]

VARIABLE = "ISTHMUS_DATA"
"""The environment variable that names the data folder."""


def data_folder(root: str | os.PathLike[str] | None) -> Path | None:
    """The data folder: the one that is given, else that which the environment names; None where neither is."""
    named = os.environ.get(VARIABLE) if root is None else root
    return None if named is None else Path(named).expanduser()


def missing(name: str, root: Path | None, places: Iterable[str], what: str, *, published: bool = True) -> MissingData:
    """The error for a data set that is at none of its ``places`` under ``root``; ``what`` is to be fetched.

    One that is ``published`` is fetched by ``isthmus data fetch``.
    """
    places = list(places)
    where = "DIR" if root is None else shlex.quote(str(root))
    command = f" (`isthmus data fetch {name} --data {where}` does both)" if published else ""
    if root is None:
        wanted = " or ".join("DIR" if place == "." else f"DIR/{place}" for place in places)
        return MissingData(
            f"Data set {name} needs files, and no data folder is named: fetch {what}, put it at {wanted}{command}, and"
            f" name the folder DIR with --data or the environment variable {VARIABLE}."
        )
    looked = ", ".join(str(root / place) for place in places)
    return MissingData(
        f"Data set {name} is at none of {looked}: fetch {what}, put it at one of these{command}, or name another"
        f" folder with --data or the environment variable {VARIABLE}."
    )


def read(path: Path) -> bytes:
    """The bytes of a file, decompressed if its name ends in ``.gz``.

    Raises:
        BadData: when it cannot be read, or is no whole gzip file.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadData(f"{path}: expected a whole gzip file, found {error}: fetch it again.") from error
    except OSError as error:
        raise BadData(f"{path}: cannot be read ({error.strerror}): check the file and its permissions.") from error


def read_npz(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of these names in an npz file, of which no pickle is read.

    Raises:
        BadData: when it cannot be read, is not whole, or lacks one.
    """
    data = read(path)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except Exception as error:  # a malformed archive may raise anything
        raise BadData(f"{path}: expected a whole npz file with {', '.join(names)}, found {error}.") from error
