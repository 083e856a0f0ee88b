"""Names of values: sha256 over typed, framed, canonical bytes.

Three things are hashed: a *description* (a JSON value whose kind is named, so that two kinds never
collide), *arrays* (name, type, shape and bytes, each framed by its length), and short *fields* from
which noise and seeds are derived. Every pre-image is framed: no two different values share one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadInput

__all__ = ["Field", "canonical", "digest", "digest_arrays", "digest_bytes", "digest_fields"]

Field = int | str | bytes | bool
"""What noise and seeds are derived from."""


def canonical(value: Any) -> bytes:
    """The canonical JSON of a value: sorted keys, no spaces, ASCII, floats in their shortest exact form.

    Raises:
        BadInput: for NaN, infinity, a key that is no string, or a type that JSON does not have.

    >>> canonical({"b": 1.0, "a": [True, None]})
    b'{"a":[true,null],"b":1.0}'
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    """The value in JSON's own types: any mapping is an object, a tuple is a list."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise BadInput(f"A description needs string keys, found {key!r}.")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"A description cannot hold {value!r}: NaN and infinity name nothing.")
    if not isinstance(value, str | int | float | bool | None):
        raise BadInput(f"A description holds JSON values only, found {type(value).__name__}.")
    return value


def digest(kind: str, description: Mapping[str, Any]) -> str:
    """The name of the value of this kind with this description: 64 hexadecimal digits."""
    return hashlib.sha256(b"isthmus/1\0" + canonical([kind, description])).hexdigest()


def digest_fields(*fields: Field) -> bytes:
    """The 32-byte sha256 of fields, each typed and framed by its length.

    >>> digest_fields("a", "bc") == digest_fields("ab", "c"), digest_fields(1) == digest_fields("1")
    (False, False)
    """
    state = hashlib.sha256(b"isthmus-fields/1\0")
    for field in fields:
        tag, data = _field_bytes(field)
        state.update(tag + len(data).to_bytes(8, "little") + data)
    return state.digest()


def _field_bytes(field: Field) -> tuple[bytes, bytes]:
    if isinstance(field, bool):
        return b"o", bytes([field])
    if isinstance(field, int | np.integer):
        return b"i", str(int(field)).encode()
    if isinstance(field, str):
        return b"s", field.encode()
    if isinstance(field, bytes):
        return b"b", field
    raise BadInput(f"A field is an int, str, bytes or bool, found {type(field).__name__}.")


def digest_arrays(arrays: Iterable[tuple[str, str, tuple[int, ...], npt.NDArray[Any]]]) -> str:
    """The digest of named arrays, given as (name, type name, shape, array), in the order of their names.

    Bytes are taken in C order; the type name is given apart because numpy has no name for every
    type that a tensor can have (bfloat16 comes as its 16-bit pattern).
    """
    state = hashlib.sha256(b"isthmus-arrays/1\0")
    for name, dtype, shape, array in sorted(arrays, key=lambda item: item[0]):
        head = canonical([name, dtype, list(shape)])
        state.update(len(head).to_bytes(8, "little") + head + array.nbytes.to_bytes(8, "little"))
        state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def digest_bytes(data: bytes | memoryview) -> str:
    """The sha256 of bytes as they are, as a file's checksum is published."""
    return hashlib.sha256(data).hexdigest()
