"""The idx format of MNIST and its relatives: unsigned bytes in one array, as LeCun's page defines it.

Four header bytes (0, 0, 8 for unsigned bytes, the number of dimensions), each dimension as a big-endian
32-bit integer, then the bytes in C order and nothing after them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadData

__all__ = ["parse"]


def parse(data: bytes, dimensions: int, source: str) -> npt.NDArray[np.uint8]:
    """The array of ``dimensions`` dimensions that the bytes of an idx file hold.

    Raises:
        BadData: one sentence with the source, what was expected and what was found.
    """
    head = 4 + 4 * dimensions
    expected = bytes([0, 0, 8, dimensions])
    if data[:4] != expected:
        found = data[:4].hex(" ") or "an empty file"
        raise BadData(f"{source}: expected an idx file that begins with {expected.hex(' ')}, found {found}.")
    if len(data) < head:
        raise BadData(f"{source}: expected an idx header of {head} bytes, found only {len(data)}: fetch it again.")
    shape = tuple(int(size) for size in np.frombuffer(data[4:head], dtype=">u4"))
    if len(data) != head + math.prod(shape):
        expected_size = f"{head + math.prod(shape)} bytes for the shape {shape}"
        raise BadData(f"{source}: expected {expected_size}, found {len(data)}: fetch it again.")
    return np.frombuffer(data, dtype=np.uint8, offset=head).reshape(shape)
