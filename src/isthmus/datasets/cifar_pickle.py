"""Reading the pickles of CIFAR without running anything of theirs.

A pickle is a program that may call whatever it names. Here it gets none of what it names: the few
names that CIFAR's pickles use stand for the harmless classes of this file, which only hold what they are
given and are judged afterwards, and any other name ends the reading.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadData

__all__ = ["Batch", "parse_pickle"]


class Batch(NamedTuple):
    """The examples of one file.

    Attributes:
        pixels: uint8 of shape (N, 3072), each row red, green and blue in turn, each of those row by row.
        labels: int64 of shape (N,).
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


def parse_pickle(data: bytes, source: str, labels: str = "labels") -> Batch:
    """The examples of one file of the Python version, written by Python 2 or 3, in any pickle protocol.

    ``labels`` names the entry that holds them.

    Raises:
        BadData: one sentence with the source: not a whole pickle, one that asks for anything else
            than arrays of bytes, or one that does not hold ``data`` and ``labels`` of the right types.
    """
    content = _dictionary(data, source, f"data and {labels}")
    pixels, found = content.get("data"), content.get(labels)
    if not isinstance(pixels, _Array):
        raise BadData(f"{source}: expected an array of bytes under 'data', found {type(pixels).__name__}.")
    if not isinstance(found, list) or not all(type(label) is int for label in found):
        raise BadData(f"{source}: expected a list of integers under '{labels}', found something else.")
    if not all(-(2**63) <= label < 2**63 for label in found):
        raise BadData(f"{source}: expected labels under '{labels}', found an integer of more than 64 bits.")
    return Batch(pixels.value(source), np.array(found, dtype=np.int64))


def parse_names(data: bytes, source: str, key: str) -> tuple[str, ...]:
    """The names that a pickle of the Python version holds under ``key``.

    Raises:
        BadData: as :func:`parse_pickle` does.
    """
    names = _dictionary(data, source, key).get(key)
    if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
        raise BadData(f"{source}: expected a list of names under '{key}', found something else.")
    return tuple(_text(name) for name in names)


def _dictionary(data: bytes, source: str, what: str) -> dict[Any, Any]:
    content = _unpickle(data, source)
    if not isinstance(content, Mapping):
        raise BadData(f"{source}: expected a dictionary with {what}, found {type(content).__name__}.")
    return {_text(key): value for key, value in content.items()}


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value


def _unpickle(data: bytes, source: str) -> Any:
    try:
        return _Reader(io.BytesIO(data), source).load()
    except BadData:
        raise
    except Exception as error:  # a malformed pickle may raise anything
        found = f"{type(error).__name__} ({error})"
        raise BadData(f"{source}: expected a whole CIFAR pickle, reading it gave {found}: fetch it again.") from error


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, source: str) -> None:
        super().__init__(file, encoding="bytes")
        self.source = source

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise BadData(
                f"{self.source}: expected a pickle of arrays, found one that asks for {module}.{name}: "
                "it is no CIFAR file and nothing of it was run."
            )
        return _STAND_INS[module, name]


class _Type:
    """Stands for ``numpy.dtype``: holds the code of the type."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like, which bytes do not have."""


class _Array:
    """Stands for ``numpy.ndarray``: holds the state (version, shape, type, Fortran order, bytes)."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def value(self, source: str) -> npt.NDArray[np.uint8]:
        """The array, if it is one of bytes whose number fits its shape."""
        match self.state:
            case (_, tuple(shape), _Type(code="u1" | b"u1"), bool() | int() as fortran, bytes() | bytearray() as data):
                if all(type(size) is int and size >= 0 for size in shape) and math.prod(shape) == len(data):
                    return np.frombuffer(data, dtype=np.uint8).reshape(shape, order="F" if fortran else "C")
        raise BadData(f"{source}: expected under 'data' an array of bytes whose number fits its shape, found another.")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.state = (1, shape, dtype, order == "F", buffer)
    return array


def _encode(text: str, encoding: str) -> bytes:
    """Bytes as Python 3 writes them in the protocols of Python 2."""
    if encoding != "latin1":
        raise ValueError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
}
