"""Writers of small data sets in the formats that are found in the wild, independent of the readers."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zlib
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


def cifar100_arrays(rows: int = 6) -> dict[str, tuple[Bytes, Bytes, Bytes]]:
    """Pixels, fine labels and coarse labels by part."""
    return {
        part: (drawn(30 + i, rows + i, 3072), drawn(40 + i, rows + i, high=100), drawn(50 + i, rows + i, high=20))
        for i, part in enumerate(("train", "test"))
    }


CIFAR100_NAMES = {"fine": [f"fine_{i}" for i in range(100)], "coarse": [f"coarse_{i}" for i in range(20)]}


def cifar100_pickles() -> dict[str, bytes]:
    files = {
        part: python2_pickle({"data": x, "fine_labels": fine.tolist(), "coarse_labels": coarse.tolist()})
        for part, (x, fine, coarse) in cifar100_arrays().items()
    }
    names = {f"{kind}_label_names": [name.encode() for name in names] for kind, names in CIFAR100_NAMES.items()}
    return files | {"meta": python2_pickle(names)}


def cifar100_binaries() -> dict[str, bytes]:
    files = {
        f"{part}.bin": np.column_stack([coarse, fine, pixels]).tobytes()
        for part, (pixels, fine, coarse) in cifar100_arrays().items()
    }
    return files | {f"{kind}_label_names.txt": "\n".join(names).encode() for kind, names in CIFAR100_NAMES.items()}


def png(pixels: Bytes) -> bytes:
    """A picture of (H, W), (H, W, 3) or (H, W, 4) bytes, as the specification of PNG has it."""
    height, width, *channels = pixels.shape
    colour = {(): 0, (3,): 2, (4,): 6}[tuple(channels)]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    checked = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(checked)


def write_pictures(base: Path, pictures: dict[str, Bytes]) -> None:
    """Each picture under its path below ``base``."""
    for name, pixels in pictures.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(png(pixels))
