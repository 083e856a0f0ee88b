"""Writers of small data sets in the formats that are found in the wild, independent of the readers."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
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


TINY_WNIDS = ("n07654321", "n01234567", "n04444444")


def tiny_files() -> dict[str, bytes]:
    """A small Tiny ImageNet by path: three classes of two pictures, and four for test."""
    base = "tiny-imagenet-200"
    rows = [(number, TINY_WNIDS[label]) for number, label in ((3, 2), (0, 1), (2, 0), (1, 2))]
    files = {
        f"{base}/train/{wnid}/images/{wnid}_{number}.JPEG": png(drawn(10 * label + number, 64, 64, 3))
        for label, wnid in enumerate(TINY_WNIDS)
        for number in range(2)
    }
    files |= {f"{base}/val/images/val_{number}.JPEG": png(drawn(90 + number, 64, 64, 3)) for number, _ in rows}
    notes = "".join(f"val_{number}.JPEG\t{wnid}\t0\t32\t44\t62\n" for number, wnid in rows)
    return files | {
        f"{base}/val/val_annotations.txt": notes.encode(),
        f"{base}/wnids.txt": "\n".join(TINY_WNIDS).encode(),
        f"{base}/words.txt": f"{TINY_WNIDS[1]}\tred fox, Vulpes vulpes\n".encode(),
    }


def cinic_files() -> dict[str, bytes]:
    """A small CINIC-10 by path, in no folder of its own: two pictures a class in each part."""
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    names = [f"{part}/{name}/{n}.png" for part in ("test", "train", "valid") for name in classes for n in "ab"]
    return {"README": b"CINIC-10"} | {name: png(drawn(i, 32, 32, 3)) for i, name in enumerate(names)}


def tar_gz(files: dict[str, bytes]) -> bytes:
    """With a member for each folder, as tar makes it of a folder."""
    stream = io.BytesIO()
    folders = {str(parent) for name in files for parent in Path(name).parents}
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for name in sorted(folders | set(files)):
            member = tarfile.TarInfo(f"./{name}" if name != "." else ".")
            member.type = tarfile.DIRTYPE if name in folders else tarfile.REGTYPE
            member.size = len(files.get(name, b""))
            archive.addfile(member, io.BytesIO(files.get(name, b"")))
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def write_pictures(base: Path, pictures: dict[str, Bytes]) -> None:
    """Each picture under its path below ``base``."""
    for name, pixels in pictures.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(png(pixels))
