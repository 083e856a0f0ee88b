from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from archive_writers import drawn

from isthmus import datasets
from isthmus.errors import BadData, BadInput, MissingData

Array = npt.NDArray[Any]


def arrays(**changes: Any) -> dict[str, Any]:
    made = {
        "x_train": drawn(1, 7, 5, 4, 3),
        "y_train": np.array([2, 0, 1, 2, 0, 1, 1], dtype=np.uint8),
        "x_test": drawn(2, 3, 5, 4, 3),
        "y_test": np.array([1, 1, 2], dtype=np.int16),
    }
    return {name: array for name, array in (made | changes).items() if array is not None}


def test_pictures_with_channels_last_and_first_are_the_same(tmp_path: Path) -> None:
    last = arrays()
    first = {name: np.moveaxis(x, 3, 1) if x.ndim == 4 else x[:, None] for name, x in last.items()}
    np.savez(tmp_path / "data.npz", **last)
    np.savez_compressed(tmp_path / "first.npz", **first)
    data = datasets.load("npz", tmp_path)
    assert np.array_equal(data.train.inputs[4, :, 3, 2], last["x_train"][4, 3, 2])
    assert (data.input_shape, data.classes, data.class_names) == ((3, 5, 4), 3, ())
    assert data.test.labels.tolist() == [1, 1, 2]
    assert data.digest == datasets.load("npz", tmp_path, path="first.npz", layout="NCHW").digest
    assert data.digest == datasets.load("npz", path=str(tmp_path / "data.npz")).digest


def test_constants_are_those_of_the_training_split(tmp_path: Path) -> None:
    x = drawn(5, 700, 5, 4, 3)  # more than are counted at once
    x[..., 1] = 51
    np.savez(tmp_path / "data.npz", **arrays(x_train=x, y_train=np.arange(700) % 3))
    data = datasets.load("npz", tmp_path)
    scaled = x / 255
    assert data.mean == tuple(round(float(scaled[..., channel].mean()), 4) for channel in range(3))
    assert data.std[::2] == tuple(round(float(scaled[..., channel].std()), 4) for channel in (0, 2))
    assert data.std[1] == 1.0  # what does not vary can be divided by it


def test_grey_pictures_and_points(tmp_path: Path) -> None:
    np.savez(tmp_path / "grey.npz", **arrays(x_train=drawn(1, 7, 5, 4), x_test=drawn(2, 3, 5, 4)))
    assert datasets.load("npz", tmp_path, path="grey.npz").input_shape == (1, 5, 4)
    points = {name: drawn(3, count, 6).astype(np.float32) / 7 for name, count in (("x_train", 7), ("x_test", 3))}
    np.savez(tmp_path / "points.npz", **arrays(**points))
    data = datasets.load("npz", tmp_path, path="points.npz")
    assert (data.input_shape, data.mean, data.std) == ((6,), (), ())
    assert np.array_equal(data.test.inputs, points["x_test"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"y_test": None}, "expected a whole npz file with x_train, y_train, x_test, y_test, found "),
        ({"x_train": np.array([{}, 1], dtype=object)}, "found Object arrays cannot be loaded when allow_pickle=False."),
        ({"x_train": np.ones((7, 6))}, "x_train: expected pictures of type uint8 or points of type float32 (N, d)"),
        ({"x_test": drawn(1, 3, 4)}, "x_test: expected pictures of type uint8 or points of type float32 (N, d), found"),
        ({"y_train": np.ones(7)}, "y_train: expected an integer for each of 7 inputs, at least one, found float64"),
        ({"y_test": np.ones(4, int)}, "y_test: expected an integer for each of 3 inputs, at least one, found int64"),
        ({"y_train": np.ones((7, 2), int)}, "found int64 of shape (7, 2)."),
        ({"x_test": drawn(1, 0, 5, 4, 3), "y_test": np.ones(0, int)}, "each of 0 inputs, at least one"),
        ({"y_train": np.array([0, 1, 3, 3, 1, 0, 0])}, "y_train: expected labels from 0 with an example of each, fou"),
        ({"y_train": np.array([0, 1, 2, 2, -1, 0, 0])}, "y_train: expected labels from 0 with an example of each, fo"),
        ({"y_test": np.array([0, 3, 1])}, "y_test: expected labels 0 to 2, found 3 at index 1."),
        (
            {"y_test": np.array([0, 2**63, 1], dtype=np.uint64)},
            "y_test: expected labels 0 to 2, found 9223372036854775",
        ),
        (
            {"x_test": drawn(1, 3, 5, 4)},
            "expected training and test inputs of one shape, found (3, 5, 4) and (1, 5, 4)",
        ),
    ],
)
def test_malformed_arrays_get_a_sentence(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays(**changes))
    with pytest.raises(BadData) as caught:
        datasets.load("npz", tmp_path)
    assert expected in str(caught.value)
    assert str(tmp_path / "data.npz") in str(caught.value) or "Data set npz" in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_cut_file_is_refused(tmp_path: Path, share: float) -> None:
    np.savez(tmp_path / "data.npz", **arrays())
    whole = (tmp_path / "data.npz").read_bytes()
    (tmp_path / "data.npz").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadData, match=r"data.npz: expected a whole npz file"):
        datasets.load("npz", tmp_path)


def test_what_is_absent_or_unknown_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=f"^Data set npz is at none of {tmp_path / 'mine.npz'}: fetch your arrays"):
        datasets.load("npz", path=str(tmp_path / "mine.npz"))
    with pytest.raises(BadInput, match=r"argument layout cannot be 'NWHC'; did you mean \"NHWC\"\?"):
        datasets.load("npz", tmp_path, layout="NWHC")
