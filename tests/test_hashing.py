"""Names of values: canonical bytes, framing, and digests pinned against the outside definition."""

from __future__ import annotations

import hashlib
import json
import math
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import hashing
from isthmus.errors import BadInput

PINNED = (
    "A pinned digest moved. Every key in every store is made of these: updating it here is right only in a release"
    " that means to orphan all stored results, together with the version in the pre-image (isthmus/1)."
)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
fields = st.lists(st.integers() | st.booleans() | st.binary() | st.text(st.characters(codec="utf-8")), max_size=5)


def typed(value: Any) -> Any:
    """Equal only where type and value are: True is not 1, 1 is not 1.0, -0.0 is not 0.0."""
    if isinstance(value, dict):
        return frozenset((key, typed(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(typed(item) for item in value)
    return type(value).__name__, repr(value)


def test_pinned_canonical_bytes() -> None:
    value = {"b": [1, 1.0, -0.0, 1e-7, True, None, "é"], "a": {"z": (1, 2)}}
    expected = rb'{"a":{"z":[1,2]},"b":[1,1.0,-0.0,1e-07,true,null,"\u00e9"]}'
    assert hashing.canonical(value) == expected, PINNED


def test_pinned_digest() -> None:
    found = hashing.digest("train", {"lr": 0.1, "steps": [1, 2], "name": "é"})
    pre_image = b"isthmus/1\0" + rb'["train",{"lr":0.1,"name":"\u00e9","steps":[1,2]}]'
    assert found == hashlib.sha256(pre_image).hexdigest()
    assert found == "850050d4c8205277b75412f3f6b73be0bc435dfe59263dad72d694c058f8a342", PINNED


def test_pinned_digest_of_fields() -> None:
    found = hashing.digest_fields("order", 3, True, b"\x00\xff", -7)
    framed = [(b"s", b"order"), (b"i", b"3"), (b"o", b"\x01"), (b"b", b"\x00\xff"), (b"i", b"-7")]
    pre_image = b"isthmus-fields/1\0" + b"".join(t + len(d).to_bytes(8, "little") + d for t, d in framed)
    assert found == hashlib.sha256(pre_image).digest()
    assert found.hex() == "e5bdfc425dd84e02ea4ce01625c6d15a2ed55ba629505670595f5138580bb906", PINNED


def test_pinned_digest_of_arrays() -> None:
    w = np.arange(6, dtype="<f4").reshape(2, 3) / np.float32(7)
    n = np.array([[1, -2]], dtype="<i8")
    named = [("w", "float32", (2, 3), w), ("n", "int64", (1, 2), n), ("e", "float32", (0,), np.zeros(0, "<f4"))]
    pre_image = b"isthmus-arrays/1\0"
    for name, dtype, shape, array in [named[2], named[1], named[0]]:
        head = json.dumps([name, dtype, list(shape)], separators=(",", ":")).encode()
        data = array.tobytes()
        pre_image += len(head).to_bytes(8, "little") + head + len(data).to_bytes(8, "little") + data
    found = hashing.digest_arrays(named)
    assert found == hashlib.sha256(pre_image).hexdigest()
    assert found == "85d5cee48b1ae941d7f4407a0ba86c65a2dac3145fdfa8539e0ce845cd65bf59", PINNED


def test_digest_bytes_is_the_published_sha256() -> None:
    # FIPS 180-2, appendix B.1
    assert hashing.digest_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hashing.digest_bytes(memoryview(b"abc")) == hashing.digest_bytes(b"abc")


@given(values)
def test_canonical_is_json_that_reads_back_exactly(value: Any) -> None:
    text = hashing.canonical(value)
    assert text.isascii()
    assert typed(json.loads(text)) == typed(value)


@given(values, values)
def test_canonical_bytes_are_equal_only_for_equal_values(a: Any, b: Any) -> None:
    assert (hashing.canonical(a) == hashing.canonical(b)) == (typed(a) == typed(b))


@given(st.dictionaries(st.text(), scalars, min_size=2, max_size=5))
def test_the_order_of_keys_is_no_part_of_a_description(value: dict[str, Any]) -> None:
    backwards = dict(reversed(value.items()))
    assert hashing.digest("kind", value) == hashing.digest("kind", backwards)
    assert hashing.digest("kind", value) == hashing.digest("kind", MappingProxyType(value))
    assert hashing.digest("kind", value) != hashing.digest("Kind", value)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, {1, 2}, b"bytes", 1j, np.int64(3), np.float32(0.5)])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"a": ({"b": v},)}])
def test_what_has_no_name_is_refused_however_deep(bad: object, wrap: Any) -> None:
    with pytest.raises(BadInput, match="A description"):
        hashing.canonical(wrap(bad))


def test_keys_must_be_strings() -> None:
    with pytest.raises(BadInput, match="needs string keys, found 3"):
        hashing.canonical({"a": [{3: "x"}]})


@given(fields, fields)
def test_fields_are_framed_and_typed(a: list[Any], b: list[Any]) -> None:
    assert (hashing.digest_fields(*a) == hashing.digest_fields(*b)) == (typed(a) == typed(b))


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(0, 20))
def test_moving_the_border_between_two_fields_changes_the_digest(text: str, cut: int) -> None:
    cut = cut % len(text)
    assert hashing.digest_fields(text[:cut], text[cut:]) != hashing.digest_fields(text)


def test_kinds_of_field_do_not_meet() -> None:
    alike: list[hashing.Field] = [1, True, "1", b"1", "True", b"\x01", 0, False, "", b"", "0"]
    assert len({hashing.digest_fields(field) for field in alike}) == len(alike)


def test_a_numpy_integer_is_the_integer_that_it_holds() -> None:
    assert hashing.digest_fields(np.int32(41)) == hashing.digest_fields(41)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [0.5, None, ("a",), np.float64(2.0), np.bool_(True)])
def test_other_fields_are_refused(bad: Any) -> None:
    with pytest.raises(BadInput, match=f"found {type(bad).__name__}"):
        hashing.digest_fields(bad)


def entry(array: npt.NDArray[Any], name: str = "w") -> tuple[str, str, tuple[int, ...], npt.NDArray[Any]]:
    return name, str(array.dtype), array.shape, array


def test_each_part_of_an_array_counts() -> None:
    base = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    flipped = base.copy()
    flipped.view(np.uint8)[1, -1] ^= 1
    variants = [
        [entry(base)],
        [entry(base, "v")],
        [entry(base.reshape(3, 2))],
        [entry(base.reshape(6))],
        [entry(base.view(np.int32))],
        [entry(base.astype(np.float64))],
        [entry(flipped)],
        [entry(base), entry(np.zeros(0, np.float32), "e")],
        [entry(base[:1], "a"), entry(base[1:], "b")],
        [],
    ]
    assert len({hashing.digest_arrays(variant) for variant in variants}) == len(variants)


def test_bits_count_not_values() -> None:
    plus, minus = np.array([0.0, 2.0]), np.array([-0.0, 2.0])
    assert hashing.digest_arrays([entry(plus)]) != hashing.digest_arrays([entry(minus)])
    nan = np.array([np.nan, 2.0])
    assert hashing.digest_arrays([entry(nan)]) == hashing.digest_arrays([entry(nan.copy())])


def test_memory_layout_and_order_do_not_count() -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    other = np.linspace(-1, 1, 5)
    expected = hashing.digest_arrays([entry(array, "a"), entry(other, "b")])
    assert hashing.digest_arrays([entry(other, "b"), entry(np.asfortranarray(array), "a")]) == expected
    strided = np.repeat(array, 2, axis=2)[:, :, ::2]
    assert hashing.digest_arrays(iter([entry(strided, "a"), entry(other, "b")])) == expected


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16", ">f4", ">i8", "complex64", "complex128"])
def test_every_numeric_type_has_a_digest(dtype: str) -> None:
    array = np.array([[0, 3, 1], [2, 5, 1]]).astype(dtype)
    found = hashing.digest_arrays([entry(array)])
    head = json.dumps(["w", str(array.dtype), [2, 3]], separators=(",", ":")).encode()
    data = array.tobytes()
    pre_image = len(head).to_bytes(8, "little") + head + len(data).to_bytes(8, "little") + data
    assert found == hashlib.sha256(b"isthmus-arrays/1\0" + pre_image).hexdigest()
