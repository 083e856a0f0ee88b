"""What CIFAR-10 and CIFAR-100 share: each comes in two versions, read from a folder or from its archive in memory."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from isthmus.datasets.cifar_pickle import Batch
from isthmus.datasets.dataset import Split, check_labels
from isthmus.datasets.files import missing, read
from isthmus.datasets.sources import Source
from isthmus.errors import BadData

__all__ = ["Family", "File", "Version", "join", "parse_binary"]

PIXELS = 3 * 32 * 32


class File(NamedTuple):
    """A file of the set: the name that errors give it, and its bytes."""

    source: str
    data: bytes


@dataclass(frozen=True)
class Version:
    """One of the two versions: its folder, its archive, and the files in it."""

    folder: str
    archive: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """One of the two sets.

    Attributes:
        name: the set's, as in :func:`isthmus.datasets.load`.
        title: the set's, as people write it.
        versions: in the order in which they are looked for.
        published: the MD5 sums of archives and files by their name, as far as they are known.
        size: the bytes of the first version's archive.
    """

    name: str
    title: str
    versions: tuple[Version, ...]
    published: Mapping[str, str]
    size: int

    @property
    def source(self) -> Source:
        """The archive of the first version, which is the one that is fetched."""
        version = self.versions[0]
        sums = {name: f"md5:{digits}" for name, digits in self.published.items()}
        return Source(
            version.archive,
            (f"https://www.cs.toronto.edu/~kriz/{version.archive}",),
            sums[version.archive],
            version.folder,
            size=self.size,
            unpack=True,
            members={name: sums[name] for name in version.files if name in sums},
        )

    @property
    def where(self) -> str:
        """What is to be fetched, and from where."""
        return f"the Python or binary version of {self.title} (https://www.cs.toronto.edu/~kriz/cifar.html)"

    @property
    def places(self) -> tuple[str, ...]:
        """The folders and archives in which it is looked for."""
        return tuple(place for version in self.versions for place in (version.folder, version.archive))

    def read(self, root: Path | None) -> tuple[Version, list[File], tuple[str, ...]]:
        """The version that is there, its files in their order, and notes.

        The first of the folders and archives (never unpacked to disk) that is under ``root``.

        Raises:
            MissingData: when there is none, or a file of the folder is not there.
            BadData: when one cannot be read, or an archive lacks a file.
        """
        if root is not None:
            for version in self.versions:
                if (root / version.folder).is_dir():
                    return version, *self._read_folder(root, version)
            for version in self.versions:
                if (root / version.archive).is_file():
                    return version, *self._read_archive(root / version.archive, version)
        folders, archives = zip(*((version.folder, version.archive) for version in self.versions))
        raise missing(self.name, root, (*folders, *archives), self.where)

    def _read_folder(self, root: Path, version: Version) -> tuple[list[File], tuple[str, ...]]:
        for name in version.files:
            if not (root / version.folder / name).is_file():
                raise missing(self.name, root, [f"{version.folder}/{name}"], self.where)
        paths = [root / version.folder / name for name in version.files]
        data = {path: read(path) for path in paths}
        return [File(str(path), data[path]) for path in paths], self._notes({path.name: data[path] for path in paths})

    def _read_archive(self, path: Path, version: Version) -> tuple[list[File], tuple[str, ...]]:
        wanted = [f"{version.folder}/{name}" for name in version.files]
        found: dict[str, bytes] = {}
        try:
            with tarfile.open(path, "r:gz") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    content = archive.extractfile(member) if name in wanted and member.isfile() else None
                    if content is not None:
                        found[name] = content.read()
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise BadData(f"{path}: expected a whole tar.gz archive, found {error}: fetch it again.") from error
        absent = [name for name in wanted if name not in found]
        if absent:
            raise BadData(f"{path}: expected the file {absent[0]} in the archive, found none: fetch it again.")
        notes = self._notes({path.name: path.read_bytes()})
        return [File(f"{path}, {name}", found[name]) for name in wanted], notes

    def _notes(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        sums = {name: hashlib.md5(data, usedforsecurity=False).hexdigest() for name, data in files.items()}
        altered = [name for name, md5 in sums.items() if self.published.get(name, md5) != md5]
        note = f"These are not the published {self.title} files: {', '.join(altered)} differ in their MD5 sums."
        return (note,) if altered else ()


def parse_binary(file: File, label_bytes: int = 1, column: int = 0) -> Batch:
    """The examples of one file of a binary version: records of label bytes, of which one is taken, and 3,072 pixels."""
    size = label_bytes + PIXELS
    if not file.data or len(file.data) % size:
        raise BadData(f"{file.source}: expected whole records of {size} bytes, found {len(file.data)} in all.")
    records = np.frombuffer(file.data, dtype=np.uint8).reshape(-1, size)
    return Batch(records[:, label_bytes:], records[:, column].astype(np.int64))


def join(files: Sequence[File], batches: Sequence[Batch], classes: int) -> Split:
    """The examples of all batches, each checked against the number of its labels and of classes."""
    for file, batch in zip(files, batches):
        if batch.pixels.shape != (len(batch.labels), PIXELS) or not len(batch.labels):
            expected = f"{PIXELS} pixels for each of {len(batch.labels)} labels"
            raise BadData(f"{file.source}: expected {expected}, found an array of shape {batch.pixels.shape}.")
        check_labels(file.source, batch.labels, classes)
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*batches))
    return Split(pixels.reshape(-1, 3, 32, 32), labels)
