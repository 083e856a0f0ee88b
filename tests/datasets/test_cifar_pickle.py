"""Pickles from strangers: every form of CIFAR's is read, and nothing in any other is run."""

from __future__ import annotations

import builtins
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_writers import drawn, python2_pickle
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.datasets.cifar_pickle import parse_pickle
from isthmus.errors import BadData

PIXELS = drawn(7, 3, 3072)
CONTENT: dict[str, Any] = {"batch_label": "one", "data": PIXELS, "labels": [3, 0, 9], "filenames": ["a", "b", "c"]}


def old_numpy(data: bytes) -> bytes:
    """The pickle as a numpy before 2.0 names its functions."""
    for new, old in (
        (b"numpy._core.multiarray", b"numpy.core.multiarray"),
        (b"numpy._core.numeric", b"numpy.core.numeric"),
    ):
        data = data.replace(b"\x8c" + bytes([len(new)]) + new, b"\x8c" + bytes([len(old)]) + old)
        data = data.replace(b"c" + new + b"\n", b"c" + old + b"\n")
    return data


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("old", [True, False])
def test_every_protocol_order_and_numpy(protocol: int, order: str, old: bool) -> None:
    content = CONTENT | {"data": np.array(PIXELS, order="F" if order == "F" else "C")}
    stream = io.BytesIO()
    # frames (protocol 4 and 5) hold lengths that replacing a name would falsify, so they are left out
    pickler = pickle._Pickler(stream, protocol)
    pickler.framer.start_framing = lambda: None  # type: ignore[attr-defined]
    pickler.dump(content)
    data = old_numpy(stream.getvalue()) if old else stream.getvalue()
    assert (b"numpy._core" in data) is not old
    pixels, labels = parse_pickle(data, "file")
    assert np.array_equal(pixels, PIXELS)
    assert labels.tolist() == [3, 0, 9]
    assert labels.dtype == np.int64


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_as_python_writes_it(protocol: int) -> None:
    by_bytes = {key.encode(): value for key, value in CONTENT.items()}
    for content in (CONTENT, by_bytes):
        assert np.array_equal(parse_pickle(pickle.dumps(content, protocol), "file").pixels, PIXELS)


def test_as_python_2_wrote_it() -> None:
    data = python2_pickle({"data": PIXELS, "labels": [3, 0, 9]})
    assert b"cnumpy.core.multiarray\n_reconstruct" in data
    pixels, labels = parse_pickle(data, "file")
    assert np.array_equal(pixels, PIXELS)
    assert labels.tolist() == [3, 0, 9]


class Calls:
    """Pickles as a call of ``function`` with ``arguments``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


HOSTILE: dict[str, Callable[[Path], Any]] = {
    "system": lambda mark: Calls(os.system, f"touch {mark}"),
    "eval": lambda mark: Calls(builtins.eval, f"open({str(mark)!r}, 'w')"),
    "open": lambda mark: Calls(open, str(mark), "w"),
    "getattr": lambda mark: Calls(getattr, bytes, "fromhex"),
    "numpy function": lambda mark: Calls(np.save, str(mark), 1),
    "numpy testing": lambda mark: Calls(np.memmap, str(mark), "uint8", "w+", 0, 8),
    "nested": lambda mark: {"data": [Calls(os.mkdir, str(mark))], "labels": Calls(list, Calls(os.mkdir, str(mark)))},
    "inside an admitted call": lambda mark: {"data": (PIXELS, Calls(os.mkdir, str(mark))), "labels": []},
}


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_is_run(tmp_path: Path, kind: str, protocol: int) -> None:
    mark = tmp_path / "mark.npy"
    data = pickle.dumps(CONTENT | {"extra": HOSTILE[kind](mark)}, protocol)
    with pytest.raises(
        BadData, match=r"^file: expected a pickle of arrays, found one that asks for .*nothing of it was run"
    ):
        parse_pickle(data, "file")
    assert not mark.exists()
    if kind in ("system", "numpy function"):  # the pickle is live: Python's own reader runs it
        pickle.loads(data)
        assert mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cnumpy\nndarray\n((I1\ntcnumpy\ndtype\n(S'O8'\ntRS'\\x41\\x41\\x41\\x41\\x41\\x41\\x41\\x41'\ntR.",
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        b"cnumpy\nndarray\n(cos\nsystem\nS'true'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(dS'state'\nI1\nsb.",
        b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.view\x93.",
        b"\x80\x02\x82\x01.",
        b"Pname\n.",
    ],
    ids=[
        "object array over given bytes",
        "another codec",
        "argument",
        "state",
        "dotted name",
        "extension",
        "persistent",
    ],
)
def test_admitted_names_do_nothing_but_hold(data: bytes) -> None:
    with pytest.raises(BadData, match=r"^file: expected "):
        parse_pickle(data, "file")


def test_only_the_codec_of_bytes_is_admitted() -> None:
    with pytest.raises(BadData, match=r"gave ValueError \(bytes in the encoding 'rot13'\)"):
        parse_pickle(b"c_codecs\nencode\n(Vabc\nVrot13\ntR.", "file")


def test_the_stand_ins_build_no_numpy_object() -> None:
    """An array of objects over given bytes would be pointers of the writer's choice."""
    objects = {"data": np.array([["a", 1]], dtype=object), "labels": [1]}
    with pytest.raises(BadData, match=r"under 'data' an array of bytes whose number fits its shape"):
        parse_pickle(pickle.dumps(objects), "file")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([1, 2], "expected a dictionary with data and labels, found list."),
        ({"labels": [1]}, "expected an array of bytes under 'data', found NoneType."),
        ({"data": b"123", "labels": [1]}, "expected an array of bytes under 'data', found bytes."),
        ({"data": PIXELS.astype(np.int16), "labels": [1]}, "an array of bytes whose number fits its shape"),
        ({"data": PIXELS.astype(np.int8), "labels": [1]}, "an array of bytes whose number fits its shape"),
        ({"data": PIXELS}, "expected a list of integers under 'labels'"),
        ({"data": PIXELS, "labels": [1, "2", 3]}, "expected a list of integers under 'labels'"),
        ({"data": PIXELS, "labels": [1, True, 3]}, "expected a list of integers under 'labels'"),
        ({"data": PIXELS, "labels": [1, [2], 3]}, "expected a list of integers under 'labels'"),
        ({"data": PIXELS, "labels": (1, 2, 3)}, "expected a list of integers under 'labels'"),
    ],
)
def test_wrong_content_gets_a_sentence(content: object, expected: str) -> None:
    with pytest.raises(BadData) as caught:
        parse_pickle(pickle.dumps(content, 2), "file")
    assert str(caught.value).startswith("file: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "shape", ["(I3\nI3071\nt", "(I-3\nI-3072\nt", "(I3\nF3072.0\nt", "I9216\n", "(I3\nI3072\nS'a'\nt"]
)
def test_a_shape_that_does_not_fit_its_bytes_is_refused(shape: str) -> None:
    state = (
        b"(I1\n"
        + shape.encode()
        + b"cnumpy\ndtype\n(S'u1'\ntRI00\n"
        + b"B"
        + (9216).to_bytes(4, "little")
        + bytes(9216)
        + b"t"
    )
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR" + state + b"b"
    with pytest.raises(BadData, match=r"whose number fits its shape"):
        parse_pickle(b"(dS'data'\n" + array + b"sS'labels'\n(lI1\naI2\naI3\nas.", "file")


@settings(max_examples=150)
@given(data=st.data(), protocol=st.sampled_from([0, 2, 4, 5]))
def test_every_cut_is_refused(data: st.DataObject, protocol: int) -> None:
    whole = pickle.dumps(CONTENT, protocol)
    ends = st.integers(0, 200) | st.integers(len(whole) - 200, len(whole) - 1) | st.integers(0, len(whole) - 1)
    with pytest.raises(BadData, match=r"^file: expected a whole CIFAR pickle, reading it gave "):
        parse_pickle(whole[: data.draw(ends)], "file")


@settings(max_examples=200)
@given(data=st.binary(max_size=60))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(BadData, match=r"^file: expected "):
        parse_pickle(b"\x80\x02" + data, "file")
