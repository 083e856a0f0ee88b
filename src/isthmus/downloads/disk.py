"""Writing to the data folder: what the operating system refuses is one sentence, and no file is ever half there."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from isthmus.errors import IsthmusError

__all__ = ["Digests", "digests", "move", "remove", "workplace", "write", "writing"]

CHUNK = 2**20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Digests(NamedTuple):
    """Of the bytes of a file, in hexadecimal digits."""

    bytes: int
    md5: str
    sha256: str

    def of(self, checksum: str) -> str:
        """The digest of the kind that this checksum is of, with its kind before it; the sha256 of an unpublished."""
        return f"md5:{self.md5}" if checksum.startswith("md5:") else f"sha256:{self.sha256}"


def workplace(root: Path, name: str) -> Path:
    """The folder below the data folder for all that is not yet this data set."""
    return root / ".isthmus" / name


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within, the folder or file is written.

    Raises:
        IsthmusError: one sentence, where the disk is full or does not let it be written.
    """
    try:
        yield
    except BrokenPipeError:  # of who reads what is shown
        raise
    except OSError as error:
        todo = "make room" if error.errno in FULL else "make it writable or name another folder with --data"
        raise IsthmusError(
            f"{path} cannot be written ({error.strerror or error}): {todo}; what was received is kept, and the same"
            " command goes on from there."
        ) from None


def write(path: Path, data: bytes) -> None:
    """Write a file whole: under a temporary name, synced and renamed."""
    temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}.tmp")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def move(here: Path, there: Path) -> None:
    """Give a file or folder that is whole its place; an empty folder that is there gives way."""
    with writing(there):
        there.parent.mkdir(parents=True, exist_ok=True)
        here.replace(there)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    with writing(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def digests(path: Path, told: Callable[[int], None] = lambda done: None) -> Digests:
    """The size and digests of a file, read once; ``told`` hears how many bytes are done.

    Raises:
        OSError: when it cannot be read.
    """
    md5, sha256, count = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            md5.update(chunk)
            sha256.update(chunk)
            count += len(chunk)
            told(count)
    return Digests(count, md5.hexdigest(), sha256.hexdigest())
