"""Writers of small data sets in the formats that are found in the wild, independent of the readers."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def drawn(seed: int, *shape: int, high: int = 256) -> Bytes:
    return np.random.default_rng(seed).integers(0, high, shape, dtype=np.uint8)


def idx(array: Bytes) -> bytes:
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist_arrays(train: int = 7, test: int = 5) -> dict[str, Bytes]:
    """The four arrays by the stem of their idx files, 6x9 pixels."""
    return {
        "train-images-idx3": drawn(1, train, 6, 9),
        "train-labels-idx1": drawn(2, train, high=10),
        "t10k-images-idx3": drawn(3, test, 6, 9),
        "t10k-labels-idx1": drawn(4, test, high=10),
    }


def write_mnist(folder: Path, *, zipped: bool = False, dotted: bool = False) -> dict[str, Bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = mnist_arrays()
    for stem, array in arrays.items():
        name = f"{stem.replace('-idx', '.idx') if dotted else stem}-ubyte"
        data = idx(array)
        path = folder / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(data) if zipped else data)
    return arrays


def cifar_batches(rows: int = 4) -> dict[str, tuple[Bytes, list[int]]]:
    """Pixels and labels by file name; each batch has a number of rows of its own."""
    names = [*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"]
    return {
        name: (drawn(10 + i, rows + i, 3072), [int(label) for label in drawn(20 + i, rows + i, high=10)])
        for i, name in enumerate(names)
    }


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, and numpy's functions under their old module."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_bytes(self, data: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)  # type: ignore[attr-defined]
        self.memoize(data)  # type: ignore[attr-defined]

    dispatch[bytes] = save_bytes  # type: ignore[assignment]


def python2_pickle(content: dict[str, Any]) -> bytes:
    """As the published batches: protocol 2, every string a byte string."""
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump({key.encode(): value for key, value in content.items()})
    return file.getvalue().replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")


def cifar_pickles() -> dict[str, bytes]:
    return {name: python2_pickle({"data": x, "labels": y}) for name, (x, y) in cifar_batches().items()}


def cifar_binaries() -> dict[str, bytes]:
    return {
        f"{name}.bin": np.column_stack([np.array(labels, dtype=np.uint8), pixels]).tobytes()
        for name, (pixels, labels) in cifar_batches().items()
    }


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def write_archive(path: Path, folder: str, files: dict[str, bytes]) -> None:
    """A tar.gz whose members come in another order than they are read in, as in the published one."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, data in reversed(files.items()):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
