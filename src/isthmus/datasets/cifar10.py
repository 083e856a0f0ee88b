"""CIFAR-10 (Krizhevsky 2009): colour pictures of 32x32 pixels, 50,000 for training and 10,000 for test.

Read from the Python or the binary version, unpacked or in its archive (which is never unpacked to disk).
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from isthmus.datasets import DataSet, Entry, Split
from isthmus.datasets.cifar_pickle import Batch, parse_pickle
from isthmus.datasets.dataset import check_labels
from isthmus.datasets.files import missing, read
from isthmus.errors import BadData

__all__ = ["ENTRY", "load"]

PIXELS = 3 * 32 * 32
WHERE = "the Python or binary version of CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html)"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Per channel over all pixels of the training set, in the rounding that is common in public code."""

PUBLISHED = {
    "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
    "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""MD5 sums: of the archives as their page gives them, of the files in the Python one as torchvision does."""


def parse_binary(data: bytes, source: str) -> Batch:
    """The examples of one file of the binary version: records of a label byte and 3,072 pixels."""
    if not data or len(data) % (1 + PIXELS):
        raise BadData(f"{source}: expected whole records of {1 + PIXELS} bytes, found {len(data)} in all.")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, 1 + PIXELS)
    return Batch(records[:, 1:], records[:, 0].astype(np.int64))


@dataclass(frozen=True)
class Version:
    """One of the two versions: its folder, its archive, the ending of its files and how one is parsed."""

    folder: str
    archive: str
    ending: str
    parse: Callable[[bytes, str], Batch]

    @property
    def files(self) -> tuple[str, ...]:
        """The five training files, then the test file."""
        return (*(f"data_batch_{index}{self.ending}" for index in range(1, 6)), f"test_batch{self.ending}")


PYTHON = Version("cifar-10-batches-py", "cifar-10-python.tar.gz", "", parse_pickle)
BINARY = Version("cifar-10-batches-bin", "cifar-10-binary.tar.gz", ".bin", parse_binary)


def load(root: Path | None = None) -> DataSet:
    """CIFAR-10 from the first of the two folders and two archives that is under ``root``."""
    version, files, found = _files(root)
    *training, test = [_checked(version.parse(data, source), source) for source, data in files.items()]
    altered = [name for name, md5 in found.items() if PUBLISHED.get(name, md5) != md5]
    note = f"These are not the published CIFAR-10 files: {', '.join(altered)} differ in their MD5 sums."
    return DataSet(
        "cifar10", _split(training), _split([test]), 10, MEAN, STD, CLASS_NAMES, notes=(note,) if altered else ()
    )


def _files(root: Path | None) -> tuple[Version, Mapping[str, bytes], Mapping[str, str]]:
    """The version that is there, its files by the name that errors give them, and MD5 sums by file name."""
    if root is not None:
        for version in (PYTHON, BINARY):
            if (root / version.folder).is_dir():
                return version, *_read_folder(root, version)
        for version in (PYTHON, BINARY):
            if (root / version.archive).is_file():
                return version, *_read_archive(root / version.archive, version)
    raise missing("cifar10", root, (PYTHON.folder, BINARY.folder, PYTHON.archive, BINARY.archive), WHERE)


def _read_folder(root: Path, version: Version) -> tuple[dict[str, bytes], dict[str, str]]:
    for name in version.files:
        if not (root / version.folder / name).is_file():
            raise missing("cifar10", root, [f"{version.folder}/{name}"], WHERE)
    data = {name: read(root / version.folder / name) for name in version.files}
    return {str(root / version.folder / name): data[name] for name in data}, {name: _md5(data[name]) for name in data}


def _read_archive(path: Path, version: Version) -> tuple[dict[str, bytes], dict[str, str]]:
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
    return {f"{path}, {name}": found[name] for name in wanted}, {path.name: _md5(path.read_bytes())}


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _checked(batch: Batch, source: str) -> Batch:
    if batch.pixels.shape != (len(batch.labels), PIXELS) or not len(batch.labels):
        expected = f"{PIXELS} pixels for each of {len(batch.labels)} labels"
        raise BadData(f"{source}: expected {expected}, found an array of shape {batch.pixels.shape}.")
    check_labels(source, batch.labels, 10)
    return batch


def _split(batches: Iterable[Batch]) -> Split:
    pixels: list[npt.NDArray[np.uint8]] = []
    labels: list[npt.NDArray[np.int64]] = []
    for batch in batches:
        pixels.append(batch.pixels)
        labels.append(batch.labels)
    return Split(np.concatenate(pixels).reshape(-1, 3, 32, 32), np.concatenate(labels))


ENTRY = Entry(
    load, "CIFAR-10: colour pictures of 32x32 pixels, 10 classes.", needs_files=True, where=f"Files: {WHERE}."
)
