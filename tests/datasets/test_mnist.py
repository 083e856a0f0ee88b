from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archive_writers import drawn, idx, mnist_arrays, write_mnist
from hypothesis import given
from hypothesis import strategies as st

from isthmus import datasets
from isthmus.datasets.idx import parse
from isthmus.errors import BadData, MissingData


def assert_holds(data: datasets.DataSet) -> None:
    arrays = mnist_arrays()
    for part, split in (("train", data.train), ("t10k", data.test)):
        assert np.array_equal(split.inputs[:, 0], arrays[f"{part}-images-idx3"])
        assert np.array_equal(split.labels, arrays[f"{part}-labels-idx1"])
    assert data.input_shape == (1, 6, 9)


@pytest.mark.parametrize("folder", ["MNIST/raw", "mnist", "."])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
def test_idx_files_in_each_place_and_form(tmp_path: Path, folder: str, zipped: bool, dotted: bool) -> None:
    write_mnist(tmp_path / folder, zipped=zipped, dotted=dotted)
    data = datasets.load("mnist", tmp_path)
    assert_holds(data)
    assert data.notes == (f"These are not the published MNIST data: their digest is {data.digest[:16]}.",)


def write_npz(path: Path, **changes: object) -> None:
    arrays = mnist_arrays()
    by_name: dict[str, object] = {
        "x_train": arrays["train-images-idx3"],
        "y_train": arrays["train-labels-idx1"],
        "x_test": arrays["t10k-images-idx3"],
        "y_test": arrays["t10k-labels-idx1"],
    }
    kept = {name: array for name, array in (by_name | changes).items() if array is not None}
    np.savez(path, **kept)  # type: ignore[arg-type]


def test_the_npz_file(tmp_path: Path) -> None:
    write_npz(tmp_path / "mnist.npz")
    assert_holds(datasets.load("mnist", tmp_path))


@pytest.mark.parametrize("absent", sorted(mnist_arrays()))
def test_one_absent_file_is_named(tmp_path: Path, absent: str) -> None:
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / f"{absent}-ubyte").unlink()
    with pytest.raises(MissingData, match=f"is at none of {tmp_path}/mnist/{absent}-ubyte, .*{absent}-ubyte.gz: fetch"):
        datasets.load("mnist", tmp_path)


@pytest.mark.parametrize(
    ("stem", "damage", "expected"),
    [
        ("train-images-idx3", lambda data: data[:-1], "expected 394 bytes for the shape (7, 6, 9), found 393"),
        ("t10k-labels-idx1", lambda data: data + b"\0", "expected 13 bytes for the shape (5,), found 14"),
        ("train-labels-idx1", lambda data: data[:6], "expected an idx header of 8 bytes, found only 6"),
        ("train-labels-idx1", lambda data: b"", "begins with 00 00 08 01, found an empty file"),
        ("train-images-idx3", lambda data: idx(drawn(5, 7)), "begins with 00 00 08 03, found 00 00 08 01"),
        ("t10k-images-idx3", lambda data: b"\0\0\x0d" + data[3:], "begins with 00 00 08 03, found 00 00 0d 03"),
        ("train-labels-idx1", lambda data: data[:-2] + b"\x0a\x03", "expected labels 0 to 9, found 10 at index 5."),
        (
            "train-labels-idx1",
            lambda data: idx(drawn(5, 6, high=10)),
            "expected a label for each of 7 images, found 6.",
        ),
    ],
)
def test_a_damaged_idx_file_is_named(
    tmp_path: Path, stem: str, damage: Callable[[bytes], bytes], expected: str
) -> None:
    write_mnist(tmp_path)
    path = tmp_path / f"{stem}-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadData) as caught:
        datasets.load("mnist", tmp_path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"no" + data[2:], lambda data: data[:10] + b"\xff" * 9 + data[19:]]
)
def test_a_damaged_gzip_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_mnist(tmp_path, zipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadData, match=f"^{path}: expected a whole gzip file, found .*: fetch it again.$"):
        datasets.load("mnist", tmp_path)


@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=4), data=st.data())
def test_every_cut_of_an_idx_file_is_refused(shape: list[int], data: st.DataObject) -> None:
    array = drawn(6, *shape)
    whole = idx(array)
    assert np.array_equal(parse(whole, array.ndim, "file"), array)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BadData, match=r"^file: expected"):
        parse(whole[:cut], array.ndim, "file")


def test_an_idx_file_may_claim_more_than_there_is_memory_for() -> None:
    with pytest.raises(BadData, match=r"for the shape \(4294967295, 4294967295, 4294967295\), found 16"):
        parse(b"\0\0\x08\x03" + b"\xff" * 12, 3, "file")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"y_test": None}, "expected a whole npz file with x_train, y_train, x_test, y_test, found"),
        ({"x_train": np.ones((7, 54), np.uint8)}, "expected x_train as bytes, found uint8 of shape (7, 54)."),
        ({"y_train": np.ones(7, np.float32)}, "expected y_train as bytes, found float32 of shape (7,)."),
        (
            {"y_train": np.array([1, 2, 3, 4, 5, 6, 11], np.uint8)},
            "y_train: expected labels 0 to 9, found 11 at index 6.",
        ),
        ({"y_train": np.array([{}] * 7, object)}, "Object arrays cannot be loaded when allow_pickle=False"),
    ],
)
def test_a_damaged_npz_file_is_named(tmp_path: Path, changes: dict[str, object], expected: str) -> None:
    write_npz(tmp_path / "mnist.npz", **changes)
    with pytest.raises(BadData) as caught:
        datasets.load("mnist", tmp_path)
    assert expected in str(caught.value)
    assert str(tmp_path / "mnist.npz") in str(caught.value)


@pytest.mark.parametrize("keep", [0, 1, 100, 700, -1, -30])
def test_a_cut_npz_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "mnist.npz"
    write_npz(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadData, match=f"^{path}: expected a whole npz file"):
        datasets.load("mnist", tmp_path)


def test_another_file_under_the_name_of_the_npz_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    with path.open("wb") as file:
        np.save(file, drawn(5, 7, 3))
    with pytest.raises(BadData, match=f"^{path}: expected a whole npz file"):
        datasets.load("mnist", tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(BadData, match=r"train-images-idx3-ubyte: cannot be read \(Permission denied\)"):
        datasets.load("mnist", tmp_path)


@pytest.mark.data
@pytest.mark.skipif("ISTHMUS_DATA" not in os.environ, reason="ISTHMUS_DATA is not set")
def test_the_published_mnist() -> None:
    data = datasets.load("mnist")
    assert data.notes == ()
    assert (len(data.train), len(data.test), data.input_shape) == (60_000, 10_000, (1, 28, 28))
    assert data.mean == (round(float(data.train.inputs.mean()) / 255, 4),)
    assert data.std == (round(float(data.train.inputs.std()) / 255, 4),)
