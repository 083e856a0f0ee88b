"""Arrays of bytes that are expensive to make: kept in a file and memory-mapped from then on.

A cache is one ``.npy`` file followed by the sha256 of its bytes. Its name is a digest of all that it was made from, so
it never changes what is read; one that is damaged is written again.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["anew", "kept", "of_user"]

Array = npt.NDArray[np.uint8]
Shape = tuple[int | None, ...]
"""The shape of an array; None where any length will do."""

SEAL = hashlib.sha256().digest_size
_ANEW: ContextVar[bool] = ContextVar("anew", default=False)


def of_user(kind: str) -> Path:
    """The user's folder of caches of this kind: in ``$XDG_CACHE_HOME/isthmus`` or ``~/.cache/isthmus``."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "isthmus" / kind


@contextmanager
def anew() -> Iterator[None]:
    """Within, no cache is believed: what it holds is made again, so every file is read."""
    token = _ANEW.set(True)
    try:
        yield
    finally:
        _ANEW.reset(token)


def kept(places: Sequence[Path], name: str, shape: Shape, make: Callable[[], Iterator[Array]]) -> Array:
    """The array of this name and shape, read-only: from the first of the folders that has it, or else made.

    What ``make`` gives, some rows at a time, is written to the first folder that takes it; where none does, it stays
    in memory. What it raises is the caller's, but for OSError, which is taken for one of the folder.
    """
    for place in () if _ANEW.get() else places:
        found = _read(place / name, shape)
        if found is not None:
            return found
    for place in places:
        with suppress(OSError):
            _write(place / name, make(), shape)
            found = _read(place / name, shape)
            if found is not None:
                return found
    made = np.concatenate(list(make()))
    made.setflags(write=False)
    return made


def _read(path: Path, shape: Shape) -> Array | None:
    """The array that the file holds, if it is whole and what is asked for."""
    try:
        if path.is_symlink() or not path.is_file():
            return None
        data = np.memmap(path, dtype=np.uint8, mode="r")
        if hashlib.sha256(data[:-SEAL].data).digest() != data[-SEAL:].tobytes():
            return None
        array = np.lib.format.open_memmap(path, mode="r").view(np.ndarray)
    except (OSError, ValueError):
        return None
    fits = array.ndim == len(shape) and all(length in (None, found) for length, found in zip(shape, array.shape))
    return array if array.dtype == np.uint8 and fits else None


def _write(path: Path, chunks: Iterator[Array], shape: Shape) -> None:
    """The chunks as one array, under a temporary name, synced and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            seal = hashlib.sha256()
            for index, chunk in enumerate(chunks):
                for data in (chunk.tobytes(),) if index else (_header((shape[0], *chunk.shape[1:])), chunk.tobytes()):
                    seal.update(data)
                    file.write(data)
            file.write(seal.digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _header(shape: Shape) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()
