"""One archive into one folder, trusting nothing that the archive says.

Only folders and plain files are made, each by its own parts below the folder. A member that is anything else, a link
or a device, that has a path which could lead elsewhere (absolute, with ``..``, with a backslash), or that comes twice
ends the unpacking: no data set needs one, so the archive is not what it should be. As no link is ever made, none can be
written through. Bytes are counted as they come, whatever the headers say, and so are members.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from isthmus.downloads.disk import writing
from isthmus.errors import BadData

__all__ = ["unpack"]

CHUNK = 2**20
TIMES = 10  # pictures hardly shrink, pickled arrays by a tenth
ROOM = 2**26  # bytes that any archive may have beyond that
MEMBERS = 10**6
BLOCK = 512  # bytes, of a tar


class Wrong(Exception):
    """What is wrong with an archive or a member of it."""


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


class Member(NamedTuple):
    """A folder or a file of an archive: the parts of its path below the folder, and its bytes (None: a folder)."""

    parts: tuple[str, ...]
    stream: Readable | None


def unpack(archive: Path, folder: Path, told: Callable[[int], None] = lambda done: None) -> dict[str, str]:
    """The sha256 of each file by its path, once all of the archive is in the folder, which is new.

    ``told`` hears how many bytes of the archive are done.

    Raises:
        BadData: the archive is not whole, has a member that could leave the folder, or grows beyond ten times its
            size and 64 MiB; what was unpacked until then is left in the folder.
        IsthmusError: the disk is full or cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True)
    found: dict[str, str] = {}
    members = (_zip if archive.name.endswith(".zip") else _tar)(archive, told)
    try:
        for count, (parts, stream) in enumerate(members):
            if count == MEMBERS:
                raise Wrong(f"more than {MEMBERS:,} members")
            path = folder.joinpath(*parts)
            with _making(path):
                (path if stream is None else path.parent).mkdir(parents=True, exist_ok=True)
                if stream is not None:
                    found["/".join(parts)] = _write(stream, path)
        if not found:
            raise Wrong("no file in it")
    except Wrong as error:
        expected = "a whole archive that is safe to unpack"
        raise BadData(f"{archive}: expected {expected}, found {error}; fetch it again.") from None
    return found


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """What the disk refuses, apart from what is the archive's doing."""
    with writing(path):
        try:
            yield
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise Wrong(f"the member {path.name!r} in the place of another") from None
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
                raise Wrong(f"the member {path.name[:60]!r}, whose name no file can have") from None
            raise


def _write(stream: Readable, path: Path) -> str:
    """The sha256 of the bytes, once they are in a new file, which nobody may execute."""
    seal = hashlib.sha256()
    with path.open("xb") as file:
        while chunk := stream.read(CHUNK):
            seal.update(chunk)
            file.write(chunk)
    return seal.hexdigest()


@contextmanager
def _reading() -> Iterator[None]:
    """What reading an archive raises, in its own exception: that of writing is another matter."""
    try:
        yield
    except Wrong:
        raise
    except Exception as error:  # a malformed archive may raise anything
        raise Wrong(str(error) or type(error).__name__) from None


class _Counted:
    """A stream of bytes that may not bring more than there is room for."""

    def __init__(self, stream: Readable, room: list[int], told: Callable[[], None]) -> None:
        self.stream, self.room, self.told = stream, room, told

    def read(self, size: int, /) -> bytes:
        with _reading():
            found = self.stream.read(min(size, self.room[0] + 1))
        self.room[0] -= len(found)
        if self.room[0] < 0:
            raise Wrong("far more bytes in it than its size lets expect")
        self.told()
        return found


def _room(archive: Path) -> list[int]:
    """The bytes that may come out of it, shared by all that reads it."""
    return [TIMES * archive.stat().st_size + ROOM]


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a member's path; () for the folder itself."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or any(letter in name for letter in "\\\0") or ":" in "".join(parts[:1]):
        raise Wrong(f"the member {name!r}, whose path may lead out of its folder")
    return parts


def _zip(path: Path, told: Callable[[int], None]) -> Iterator[Member]:
    room, done = _room(path), 0
    with path.open("rb") as raw:
        with _reading():
            archive = zipfile.ZipFile(raw)
        for info in archive.infolist():
            parts = _parts(info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise Wrong(f"the member {info.filename!r}, which is neither a file nor a folder")
            if info.filename.endswith("/"):
                yield Member(parts, None)
                continue
            if not parts:
                raise Wrong(f"a file named {info.filename!r}")
            with _reading():
                stream = archive.open(info)
            yield Member(parts, _Counted(stream, room, lambda: None))
            done += info.compress_size
            told(done)


def _tar(path: Path, told: Callable[[int], None]) -> Iterator[Member]:
    with path.open("rb") as raw:
        stream: Readable = raw if path.name.endswith(".tar") else gzip.GzipFile(fileobj=raw)
        counted = _Counted(stream, _room(path), lambda: told(raw.tell()))
        with _reading():
            archive = tarfile.open(fileobj=counted, mode="r|", bufsize=CHUNK)  # type: ignore[call-overload]  # noqa: SIM115
        while True:
            with _reading():
                info = archive.next()
            if info is None:
                break
            parts = _parts(info.name)
            if not (info.isfile() or info.isdir()):
                raise Wrong(f"the member {info.name!r}, which is neither a file nor a folder")
            if info.isfile() and not parts:
                raise Wrong(f"a file named {info.name!r}")
            yield Member(parts, None if info.isdir() else _File(archive, info))
            archive.members.clear()  # it would keep them all
        _check_end(archive.fileobj)


class _File:
    """A member of a tar: as many bytes as its header says, or an error."""

    def __init__(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        self.stream = archive.extractfile(info)

    def read(self, size: int, /) -> bytes:
        with _reading():
            return self.stream.read(size) if self.stream else b""


def _check_end(stream: Readable | None) -> None:
    """After its last member a tar has blocks of zeros and nothing else: a damaged header looks like the last."""
    count = 0
    while stream is not None:
        with _reading():
            found = stream.read(CHUNK)
        if not found:
            break
        if found.strip(b"\0"):
            raise Wrong("something that is no member in the middle of it")
        count += len(found)
    if count < BLOCK:
        raise Wrong("no end to it")
