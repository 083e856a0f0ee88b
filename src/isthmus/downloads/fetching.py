"""A data set, fetched: its files received, unpacked and read where nobody looks, then moved into place as a whole.

Nothing of the user's is overwritten or removed. What is there and can be read is the data set; what is there and
cannot be read has to be moved away first. One process at a time fetches a data set into a folder, the others wait.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from isthmus import __version__, datasets
from isthmus.datasets import DataSet, Source
from isthmus.downloads import manifest
from isthmus.downloads.disk import digests, move, remove, workplace, write, writing
from isthmus.downloads.manifest import File, Manifest
from isthmus.downloads.progress import Progress
from isthmus.downloads.remote import Received, addresses, receive
from isthmus.downloads.unpack import unpack
from isthmus.errors import BadData, BadInput, FetchFailed, MissingData

__all__ = ["fetch", "fetchable"]


def fetchable(name: str) -> tuple[str, tuple[Source, ...]]:
    """(the name as its file has it, the files that are fetched for it).

    Raises:
        UnknownName: no data set has this name.
        BadInput: nothing can be fetched for it.
    """
    known, entry = datasets.entry(name)
    if not entry.sources:
        raise BadInput(f"Data set {known} is not fetched. {entry.where}")
    return known, entry.sources


def fetch(name: str, root: Path, progress: Progress, mirrors: Sequence[str] = ()) -> tuple[DataSet, bool]:
    """(the data set, whether it was fetched): already there under ``root``, or else put there.

    ``mirrors`` are folders by their addresses, which are asked for its files instead of where they are published.

    Raises:
        BadInput: nothing can be fetched for it, or a mirror is no address.
        BadData: something is there that is not whole, and has to be moved away.
        FetchFailed: no address gave a file as it is published, or what was fetched is no data set.
        IsthmusError: the disk is full or cannot be written.
    """
    known, sources = fetchable(name)
    urls = {source.name: addresses(source, mirrors) for source in sources}
    work = workplace(root, known)
    found = _there(known, root)  # without a lock, as in a folder that others share and nobody may write to
    if found is not None and not (work.exists() and os.access(root, os.W_OK)):
        return found, False
    with _alone(root, known, progress):
        found = _there(known, root)
        if found is not None:
            remove(work)  # of a command that was stopped at the very end
            return found, False
        staged = work / "unpacking"
        remove(staged)  # of a command that was stopped
        for source in sources:
            _refuse_what_is_there(known, source, root)
        take = {True: _archive, False: _file}
        files = [take[source.unpack](source, urls[source.name], root, work, progress) for source in sources]
        packed = [source for source in sources if source.unpack]
        found = _read(known, staged if packed else root, work, progress)
        manifest.save(root, _manifest(known, found, [file for file in files if file is not None]))
        for source in packed:
            move(staged / source.place, root / source.place)
        remove(work)
    return found, True


@contextmanager
def _alone(root: Path, name: str, progress: Progress) -> Iterator[None]:
    """Within, no other process fetches this data set into this folder."""
    from filelock import FileLock, Timeout

    path = workplace(root, name).with_suffix(".lock")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.say(f"{name}: another process is fetching it into {root}; waiting for it.")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _there(name: str, root: Path) -> DataSet | None:
    """The data set that is there already."""
    try:
        return datasets.load(name, root)
    except MissingData:
        return None
    except BadData as error:
        raise BadData(f"{error} Nothing that is there is overwritten: move it away, then fetch again.") from None


def _refuse_what_is_there(name: str, source: Source, root: Path) -> None:
    """A folder of which something is absent is not filled up: nobody knows what the rest of it is."""
    place = root / source.place
    if source.unpack and place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise BadData(
            f"{place}: expected nothing or the whole of {name}, found a part of it or something else: move it away,"
            " then fetch again."
        )


def _file(source: Source, urls: Sequence[str], root: Path, work: Path, progress: Progress) -> File | None:
    """What was received in its place; None for a file of the user's that is not the published one."""
    place = root / source.place
    if not place.exists():
        received = receive(source, urls, _part(source, work), progress)
        move(_part(source, work), place)
        return _record(source, received)
    own = _own(place, source, progress)
    if own is None:
        progress.say(f"{place} is there and not known to be the published file; it is left as it is.")
        return None
    return _record(source, own)


def _archive(source: Source, urls: Sequence[str], root: Path, work: Path, progress: Progress) -> File:
    """What was unpacked, of the user's own archive, the one that was received before, or one that is received now."""
    archive, note = work / source.name, work / f"{source.name}.json"
    own = _own(root / source.name, source, progress)
    if own is not None:
        return _unpacked(source, root / source.name, own, work, progress)
    before = _received(archive, note)
    if before is not None:
        return _unpacked(source, archive, before, work, progress)
    received = receive(source, urls, _part(source, work), progress)
    write(note, json.dumps({"url": received.url, "sha256": received.digests.sha256}).encode())
    move(_part(source, work), archive)
    return _unpacked(source, archive, received, work, progress)


def _own(path: Path, source: Source, progress: Progress) -> Received | None:
    """The user's own file, if it is the published one."""
    if not path.is_file():
        return None
    with suppress(OSError):
        found = digests(path)
        if source.checksum == found.of(source.checksum):
            progress.say(f"{path} is the published file; it is not fetched again.")
            return Received(path.resolve().as_uri(), found)
    return None


def _received(archive: Path, note: Path) -> Received | None:
    """The archive of a command that was stopped while it unpacked."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        told, found = json.loads(note.read_text(encoding="utf-8")), digests(archive)
        if told["sha256"] == found.sha256:
            return Received(str(told["url"]), found)
    return None


def _part(source: Source, work: Path) -> Path:
    return work / f"{source.name}.part"


def _record(source: Source, received: Received, folders: dict[str, str] | None = None) -> File:
    found = received.digests
    return File(
        name=source.name,
        url=received.url,
        place=source.place,
        bytes=found.bytes,
        published=source.checksum,
        md5=found.md5,
        sha256=found.sha256,
        folders=folders,
    )


def _unpacked(source: Source, archive: Path, received: Received, work: Path, progress: Progress) -> File:
    """What is unpacked at its place below ``unpacking``; a folder of that name around all of it is not doubled."""
    contents, place = work / "contents", work / "unpacking" / source.place
    remove(contents)
    progress.begin(f"unpacking {source.name}", 0, received.digests.bytes)
    try:
        found = unpack(archive, contents, progress.advance)
    except BadData as error:
        remove(work)
        raise FetchFailed(str(error)) from None
    finally:
        progress.end()
    prefix = f"{source.place}/"
    around = all(path.startswith(prefix) for path in found)
    move(contents / source.place if around else contents, place)
    inside = {path.removeprefix(prefix): sha256 for path, sha256 in found.items()} if around else found
    return _record(source, received, manifest.folders(inside))


def _read(name: str, root: Path, work: Path, progress: Progress) -> DataSet:
    """The data set, read from the place where it lies now."""
    progress.say(f"{name}: reading it ...")
    try:
        return datasets.load(name, root)
    except BadData as error:
        remove(work)
        raise FetchFailed(f"What was fetched of {name} is not the data set: {error}") from None


def _manifest(name: str, found: DataSet, files: Sequence[File]) -> Manifest:
    import PIL

    return Manifest(data_set=name, digest=found.digest, pillow=PIL.__version__, isthmus=__version__, files=tuple(files))
