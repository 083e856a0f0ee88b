"""A folder of results by key: written to a temporary file, synced, then linked into place, never overwritten.

::

    objects/ab/<key>.json               the record: what it is, what it pins, its summary, its own digest
    objects/ab/<key>.<digest>.safetensors   its arrays; the digest of their bytes is in the record
    trajectories/<name>/<step>-<key>    which states of a trajectory there are
    superseded/                         realisations set aside on request
    tmp/                                files being written

A key names a mathematical value, a record one realisation of it: the first stands, a second never
overwrites it. Each record pins the digests of everything that it descends from (``ancestry``).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isthmus.errors import BadInput, Conflict, Damaged, IsthmusError
from isthmus.hashing import digest_bytes

__all__ = ["Record", "Store", "join_ancestries"]


@dataclass(frozen=True)
class Record:
    """One realisation of a value.

    Attributes:
        key: the name of the value.
        kind: the kind of node.
        label: a few words.
        node: the description that the key hashes.
        digest: the digest of the value itself (a state's tensors, a measurement's arrays, a choice).
        parents: digests of the values it was computed from, by key.
        ancestry: digests of every state that it descends from, by key, parents included.
        summary: the numbers that tables need, as JSON values.
        made: by what: versions, device, threads, seconds (its share, if ``together`` with so many), date.
        blob: the file with its arrays, the digest and number of its bytes; None without arrays.
    """

    key: str
    kind: str
    label: str
    node: Mapping[str, Any]
    digest: str
    parents: Mapping[str, str] = field(default_factory=dict)
    ancestry: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)
    blob: Mapping[str, Any] | None = None


class Store:
    """Results by key in a folder; made where it is not there yet.

    Raises:
        BadInput: the folder cannot be made or is no folder.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        try:
            for name in ("objects", "trajectories", "tmp"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"The store {self.root} cannot be used as a folder: {error.strerror}.") from None

    def _record_path(self, key: str) -> Path:
        return self.root / "objects" / key[:2] / f"{key}.json"

    def has(self, key: str) -> bool:
        """Whether a value of this name is there."""
        return self._record_path(key).exists()

    def record(self, key: str) -> Record | None:
        """The record of a value, or None.

        Raises:
            Damaged: the record cannot be read.
        """
        path = self._record_path(key)
        try:
            return _decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise IsthmusError(f"The record {path} cannot be read: {error.strerror}.") from None
        except (ValueError, TypeError, AttributeError):
            raise Damaged(f"The record {path} is damaged; delete it and the result is computed again.") from None

    def get(self, key: str) -> Record:
        """The record of a value that must be there."""
        found = self.record(key)
        if found is None:
            raise BadInput(f"The store {self.root} has no result {key}.")
        return found

    def find(self, prefix: str) -> Record:
        """The record whose key begins so.

        Raises:
            BadInput: none does, or several do.
        """
        found = [key for key in self.keys() if key.startswith(prefix)] if len(prefix) >= 4 else []
        if len(found) != 1:
            several = f"{len(found)} of them" if found else "none"
            raise BadInput(
                f"Expected one result in {self.root} whose key begins with {prefix!r} (at least 4 digits),"
                f" found {several}."
            )
        return self.get(found[0])

    def keys(self) -> Iterator[str]:
        """Every key, in order."""
        for folder in sorted((self.root / "objects").iterdir()):
            yield from sorted(path.stem for path in folder.glob("*.json"))

    def blob(self, record: Record) -> bytes:
        """The bytes of a value's arrays, checked against their digest.

        Raises:
            Damaged: they are not what was written.
        """
        path = self.blob_path(record)
        written = record.blob or {}
        try:
            data = path.read_bytes()
        except OSError as error:
            raise self._damaged(record, f"cannot be read ({error.strerror})") from None
        if digest_bytes(data) != written["sha256"]:
            raise self._damaged(record, f"has {len(data)} bytes that are not the {written['bytes']} written")
        return data

    def _damaged(self, record: Record, how: str) -> Damaged:
        return Damaged(
            f"The file {self.blob_path(record)} ({record.label}) {how}; delete {self._record_path(record.key)} and the"
            " result is computed again."
        )

    def blob_path(self, record: Record) -> Path:
        """Where a value's arrays are."""
        if record.blob is None:
            raise BadInput(f"The result {record.key} ({record.label}) has no arrays.")
        return self.root / "objects" / record.key[:2] / str(record.blob["file"])

    def put(self, record: Record, data: bytes | None = None) -> Record:
        """Keep a value; returns the record that stands, which is an earlier one if there was one.

        Raises:
            IsthmusError: the disk is full or cannot be written; nothing is left half-written.
        """
        folder = self._record_path(record.key).parent
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            if data is not None:
                sha256 = digest_bytes(data)
                name = f"{record.key}.{sha256[:16]}.safetensors"
                self._place(data, folder / name, replace=not _holds(folder / name, sha256))
                blob = {"file": name, "sha256": sha256, "bytes": len(data)}
                record = Record(**{**vars(record), "blob": blob})
            self._place(_encode(record), self._record_path(record.key))
        stands = self.get(record.key)
        if data is not None and stands.blob != record.blob:
            with contextlib.suppress(OSError):
                (folder / str((record.blob or {})["file"])).unlink()
        return stands

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """What the operating system refuses, as one sentence."""
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            todo = "make room" if full else "make it writable"
            raise IsthmusError(
                f"The store {self.root} cannot be written: {error.strerror}; what it holds is whole, {todo} and run"
                " the same command again."
            ) from None

    def _place(self, data: bytes, path: Path, *, replace: bool = False) -> None:
        """Write a file whole, synced; one that is there already stays unless it is to be replaced."""
        temporary = self.root / "tmp" / f"{os.getpid()}-{uuid.uuid4().hex}"
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.replace(temporary, path)
            else:
                with contextlib.suppress(FileExistsError):
                    _link(temporary, path)
            _sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        """Forget a value, damaged or not: its record first, then its arrays."""
        with self._writing():
            self._record_path(key).unlink(missing_ok=True)
            for path in self._record_path(key).parent.glob(f"{key}.*.safetensors"):
                path.unlink(missing_ok=True)

    def set_aside(self, key: str) -> None:
        """Take a value out of use without losing it: its files go to the folder ``superseded``."""
        record = self.get(key)
        folder = self.root / "superseded" / f"{key[:16]}-{record.digest[:16]}"
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            os.replace(self._record_path(key), folder / self._record_path(key).name)
            if record.blob is not None and self.blob_path(record).exists():
                os.replace(self.blob_path(record), folder / str(record.blob["file"]))

    def agrees(self, record: Record) -> bool:
        """Whether every ancestor of a value that is there still has the digest which the value descends from."""
        for key, digest in record.ancestry.items():
            ancestor = self.record(key)
            if ancestor is not None and ancestor.digest != digest:
                return False
        return True

    def verify(self) -> list[str]:
        """One sentence for each result whose bytes are not what was written."""
        problems = []
        for key in self.keys():
            try:
                record = self.get(key)
                if record.blob is not None:
                    self.blob(record)
            except Damaged as error:
                problems.append(str(error))
        return problems

    def note_state(self, trajectory: str, step: int, key: str) -> None:
        """Remember that a trajectory has a state at a step."""
        folder = self.root / "trajectories" / trajectory
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{step:012d}-{key}").touch()

    def states(self, trajectory: str, up_to: int) -> list[tuple[int, str]]:
        """(step, key) of the states of a trajectory up to a step that are still there, the last first."""
        folder = self.root / "trajectories" / trajectory
        names = sorted((path.name for path in folder.iterdir()), reverse=True) if folder.is_dir() else []
        pairs = [(int(step), key) for step, _, key in (name.partition("-") for name in names) if step.isdecimal()]
        return [(step, key) for step, key in pairs if step <= up_to and self.has(key)]


def _encode(record: Record) -> bytes:
    """A record as JSON, with the digest of all the rest of it."""
    content = json.loads(json.dumps(asdict(record)))
    return json.dumps(content | {"sha256": _check(content)}, indent=1, sort_keys=True).encode()


def _decode(data: bytes) -> Record:
    content = json.loads(data)
    if content.pop("sha256", None) != _check(content):
        raise ValueError("not what was written")
    return Record(**content)


def _check(content: Mapping[str, Any]) -> str:
    return digest_bytes(json.dumps(content, sort_keys=True).encode())


def _holds(path: Path, sha256: str) -> bool:
    try:
        return digest_bytes(path.read_bytes()) == sha256
    except OSError:
        return False


def _link(temporary: Path, path: Path) -> None:
    """Give a finished file its name unless the name is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if isinstance(error, FileExistsError) or error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        if path.exists():
            raise FileExistsError from None
        os.replace(temporary, path)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def join_ancestries(records: list[Record]) -> dict[str, str]:
    """The ancestry of a value computed from these states: theirs and their own.

    Raises:
        Conflict: two of them descend from different realisations of one ancestor.
    """
    joined: dict[str, tuple[str, Record]] = {}
    for record in records:
        for key, digest in {**record.ancestry, record.key: record.digest}.items():
            first, owner = joined.setdefault(key, (digest, record))
            if first != digest:
                raise Conflict(
                    f"{owner.label} ({owner.key[:12]}) and {record.label} ({record.key[:12]}) cannot be compared: they"
                    f" descend from two realisations of their shared ancestor {key[:12]} whose bits differ"
                    f" ({first[:8]} and {digest[:8]}), as when it was trained again on another device or number of"
                    " threads; run again with --recompute to train the cheaper side again."
                )
    return {key: digest for key, (digest, _) in joined.items()}
