"""Pictures of another size: by pillow's box filter, whichever way they come.

Each pixel is the mean of those that it covers, exact to rounding where the sizes divide each other; a picture that is
enlarged repeats its pixels. There is no other filter, so that ``size`` means the same for every data set, whether
pictures are resized while they are decoded or when they are all there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from isthmus.datasets import cache
from isthmus.hashing import digest, digest_arrays
from isthmus.registry import Count

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Size", "fit", "height_and_width", "resize"]

Array = npt.NDArray[np.uint8]
Size = Count | tuple[Count, Count]
"""One number, or (height, width)."""

RESIZING = 1  # to be raised when the same pictures would give others
AT_ONCE = 512
LARGE = 2**26  # bytes, from which on the result is kept in a cache


def height_and_width(size: Size) -> tuple[int, int]:
    """Both lengths."""
    return (size, size) if isinstance(size, int) else size


def fit(picture: Image, height: int, width: int) -> Image:
    """The picture in this size."""
    from PIL.Image import Resampling

    if picture.height % height or picture.width % width:
        return picture.resize((width, height), Resampling.BOX)
    if picture.size != (width, height):  # as the box filter, and rounded only once
        return picture.reduce((picture.width // width, picture.height // height))
    return picture


def resize(pictures: Array, size: Size) -> Array:
    """The pictures (N, C, H, W) in this size, read-only; large results are kept in the user's cache."""
    import PIL

    shape = (*pictures.shape[:2], *height_and_width(size))
    if shape == pictures.shape:
        return pictures
    large = max(pictures.nbytes, int(np.prod(shape, dtype=np.int64))) >= LARGE
    name = ""
    if large:
        what = digest_arrays([("pictures", "uint8", pictures.shape, pictures)])
        how = {"of": what, "size": shape[2:], "resizing": RESIZING, "pillow": PIL.__version__}
        name = f"{digest('resized', how)[:32]}.npy"
    return cache.kept([cache.of_user("resized")] if large else [], name, shape, partial(_resized, pictures, shape))


def _resized(pictures: Array, shape: tuple[int, ...]) -> Iterator[Array]:
    """Some at a time; pillow lets go of the interpreter while it resizes."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(pictures), AT_ONCE):
            yield np.stack(list(pool.map(partial(_one, height=shape[2], width=shape[3]), pictures[start:][:AT_ONCE])))


def _one(picture: Array, height: int, width: int) -> Array:
    """One picture (C, H, W), three channels together and others one by one, which gives the same."""
    from PIL import Image

    if len(picture) == 3:
        together = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
        return np.ascontiguousarray(np.asarray(fit(together, height, width)).transpose(2, 0, 1))
    return np.stack([np.asarray(fit(Image.fromarray(np.ascontiguousarray(one)), height, width)) for one in picture])
