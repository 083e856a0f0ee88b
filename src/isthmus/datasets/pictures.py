"""Pictures in files: decoded once, by several threads, into one array on disk that is memory-mapped from then on.

The name of the cache is a digest of the pictures' names, sizes and times of change, of how they are decoded, and of
pillow's version. It lies in ``.isthmus-cache`` in the folder of the set or, where that cannot be written, in
``$XDG_CACHE_HOME/isthmus`` (``~/.cache/isthmus``); where neither can, pictures are decoded into memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.datasets import cache
from isthmus.datasets.dataset import Split
from isthmus.datasets.resizing import fit
from isthmus.errors import BadData
from isthmus.hashing import digest, digest_bytes

__all__ = [
    "CACHE",
    "Labelled",
    "Mode",
    "Picture",
    "constants",
    "decode",
    "folders",
    "pictures",
    "splits",
    "stay_inside",
]

Array = npt.NDArray[np.uint8]
Mode = Literal["RGB", "L"]
"""Three channels, or one of luminance (ITU-R 601)."""

CACHE = ".isthmus-cache"
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # the others may run programs
EIGHT_BITS = {"1", "CMYK", "L", "LA", "P", "PA", "RGB", "RGBA", "YCbCr"}
LARGEST = 2**26  # pixels
AT_ONCE = 512
DECODING = 1  # to be raised when the same files would give other pixels


class Picture(NamedTuple):
    """A picture's file: its path below the folder of the set, with ``/``, its size, and when it was changed."""

    path: str
    size: int
    changed_ns: int


Labelled = list[tuple[Picture, int]]
"""Pictures with their classes."""


def folders(base: Path, place: str) -> list[str]:
    """The names of the folders in ``base/place``, sorted; hidden ones do not count."""
    return [entry.name for entry in _entries(base, place) if entry.is_dir()]


def pictures(base: Path, place: str) -> list[Picture]:
    """The pictures in the folder ``base/place``, by their endings, sorted by name; hidden files do not count.

    Raises:
        BadData: when the folder, or a picture in it, is a link that leads out of ``base`` or nowhere.
    """
    found = []
    for entry in _entries(base, place):
        if os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            path = Path(entry.path)
            if entry.is_symlink():
                stay_inside(base, path)
                if not path.exists():
                    raise BadData(f"{path}: expected a picture, found a link that leads nowhere: replace it.")
            if entry.is_file():
                state = entry.stat()
                found.append(Picture(f"{place}/{entry.name}", state.st_size, state.st_mtime_ns))
    return found


def _entries(base: Path, place: str) -> list[os.DirEntry[str]]:
    stay_inside(base, base / place)
    try:
        with os.scandir(base / place) as entries:
            return sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        raise BadData(f"{base / place}: cannot be read ({error.strerror}): check the folder.") from error


def stay_inside(base: Path, path: Path) -> None:
    """Refuse a path that leads out of ``base`` by a link on its way.

    Raises:
        BadData: one sentence that names it.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(base)):
        raise BadData(f"{path}: expected nothing that lies outside {base}, found a link that leads there: replace it.")


def splits(
    base: Path, train: Labelled, test: Labelled, *, size: tuple[int, int] | None = None, mode: Mode = "RGB"
) -> tuple[Split, Split]:
    """Both splits, decoded as :func:`decode` does.

    Raises:
        BadData: when either has no pictures, and as :func:`decode` does.
    """
    for what, examples in (("training", train), ("test", test)):
        if not examples:
            raise BadData(f"{base}: expected pictures of its classes for {what}, found none.")
    inputs = decode(base, [file for file, _ in train + test], size=size, mode=mode)
    labels = np.array([label for _, label in train + test], dtype=np.int64)
    cut = len(train)
    return Split(inputs[:cut], labels[:cut]), Split(inputs[cut:], labels[cut:])


def decode(base: Path, files: Sequence[Picture], *, size: tuple[int, int] | None = None, mode: Mode = "RGB") -> Array:
    """The pictures, (N, C, H, W), read-only, from the cache where that holds them.

    One that is not of this ``size`` (H, W) is resized as in :mod:`isthmus.datasets.resizing`. Without a size all must
    have the same. Turns that a camera noted are not applied.

    Raises:
        BadData: one sentence about the first picture that cannot be read whole, or has another size.
    """
    import PIL

    how = {"size": size, "mode": mode, "decoding": DECODING, "pillow": PIL.__version__}
    name = f"{digest('pictures', {'files': [list(file) for file in files], **how})[:32]}.npy"
    shape = (len(files), len(mode), *(size or (None, None)))
    return cache.kept(_places(base), name, shape, partial(_decoded, base, files, size, mode))


def constants(inputs: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the deviation of each channel of pictures scaled to [0, 1], to four digits.

    A channel that is the same everywhere has a deviation of 1, by which it can be divided.
    """
    counts = np.zeros((inputs.shape[1], 256), dtype=np.int64)
    for start in range(0, len(inputs), AT_ONCE):
        for channel, row in enumerate(counts):
            row += np.bincount(inputs[start : start + AT_ONCE, channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    means = (counts * values).sum(1) / counts.sum(1)
    variances = (counts * (values - means[:, None]) ** 2).sum(1) / counts.sum(1)
    deviations = (round(float(np.sqrt(variance)), 4) or 1.0 for variance in variances)
    return tuple(round(float(mean), 4) for mean in means), tuple(deviations)


def _places(base: Path) -> list[Path]:
    """Where caches of the pictures in this folder may lie; never behind a link in the folder itself."""
    own = base / CACHE
    users = cache.of_user("pictures") / digest_bytes(os.fsencode(base.resolve()))[:16]
    return [users] if own.is_symlink() else [own, users]


# --- decoding -----------------------------------------------------------------------------------


def _decoded(base: Path, files: Sequence[Picture], size: tuple[int, int] | None, mode: Mode) -> Iterator[Array]:
    """The pictures in their order, some at a time; pillow lets go of the interpreter while it decodes."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        first: tuple[int, ...] | None = None
        for start in range(0, len(files), AT_ONCE):
            paths = [base / file.path for file in files[start : start + AT_ONCE]]
            chunk = list(pool.map(partial(_decode, size=size, mode=mode), paths))
            first = chunk[0].shape if first is None else first
            for path, picture in zip(paths, chunk):
                if picture.shape != first:
                    found = "{1}x{0} and {3}x{2} pixels".format(*first[:2], *picture.shape[:2])
                    raise BadData(f"{path}: expected pictures of one size, found {found}: give the option size.")
            yield np.ascontiguousarray(np.stack(chunk).transpose(0, 3, 1, 2))


def _decode(path: Path, size: tuple[int, int] | None, mode: Mode) -> Array:
    """One picture, (H, W, C)."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.mode not in EIGHT_BITS:
                raise ValueError(f"one of mode {picture.mode}, not of 8 bits a channel")
            if picture.width * picture.height > LARGEST:
                raise ValueError(f"one of {picture.width}x{picture.height} pixels")
            # a palette with transparent colours is converted by way of RGBA, or pillow warns
            plain = (picture.convert("RGBA") if picture.mode in ("P", "PA") else picture).convert(mode)
            height, width = size or (plain.height, plain.width)
            return np.array(fit(plain, height, width), dtype=np.uint8).reshape(height, width, len(mode))
    except Exception as error:  # a malformed picture may raise anything
        found = "something else" if isinstance(error, UnidentifiedImageError) else error
        raise BadData(f"{path}: expected a whole picture, found {found}: fetch it again or remove it.") from error
