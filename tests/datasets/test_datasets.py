"""What every data set owes, and the two that need no files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from isthmus import datasets, noise
from isthmus.datasets import DataSet, Split
from isthmus.errors import BadData, BadInput, MissingData, UnknownName

DIGITS = "6d7e2b019abea563291a45f3b11337e89b8dfd34ae9d10fb721fd4b8a0ad3989"
SPIRAL = "2ccba2618606c13ce2530889ebaea515f8a9831d98207898c3994162324e4477"
EVERY = pytest.mark.parametrize("name", datasets.names())
WITHOUT_FILES = [name for name in datasets.names() if not datasets._entries()[name].needs_files]
WITH_FILES = [name for name in datasets.names() if datasets._entries()[name].needs_files]


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)


@EVERY
def test_an_option_that_is_not_taken_gets_one_sentence(name: str) -> None:
    with pytest.raises(BadInput, match=f"^Data set {name} takes no argument 'trian'"):
        datasets.load(name, trian=3)


@EVERY
def test_any_spelling_of_a_name_is_understood(name: str) -> None:
    assert datasets.describe(name.upper().replace("R1", "R-1")) == datasets.describe(name)


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_loads_the_same_bits_each_time_and_read_only(name: str) -> None:
    first, again = datasets.load(name), datasets.load(name)
    assert first.name == name
    assert first.digest == again.digest
    for split in (first.train, first.test):
        assert set(np.unique(split.labels)) == set(range(first.classes))
        for array in (split.inputs, split.labels):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1


@pytest.mark.parametrize("name", WITH_FILES)
def test_missing_files_are_explained(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        MissingData, match=r"no data folder is named: fetch .*--data or the environment variable ISTHMUS"
    ):
        datasets.load(name)
    with pytest.raises(MissingData) as caught:
        datasets.load(name, tmp_path / "given")
    assert str(tmp_path / "given") in str(caught.value)
    assert "http" in str(caught.value)
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path / "named"))
    with pytest.raises(MissingData, match=str(tmp_path / "named")):
        datasets.load(name)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        UnknownName,
        match=r"no data set named 'mnits'; did you mean \"mnist\"\? Known: cifar10, cifar100, cinic10, digits",
    ):
        datasets.load("mnits")


def test_the_digest_of_digits_is_golden() -> None:
    """If this fails, results on the digits have another meaning than before: never update it lightly."""
    assert datasets.load("digits").digest == DIGITS


def test_the_digest_of_the_spiral_is_golden() -> None:
    """If this fails, results on the spiral have another meaning than before: never update it lightly."""
    assert datasets.load("spiral").digest == SPIRAL


def test_digits_are_the_source_shuffled_and_scaled() -> None:
    data = datasets.load("digits")
    assert (len(data.train), len(data.test), data.input_shape, data.classes) == (1437, 360, (1, 8, 8), 10)
    pictures = np.concatenate([data.train.inputs, data.test.inputs])
    labels = np.concatenate([data.train.labels, data.test.labels])
    assert sorted(np.unique(pictures)) == [count * 255 // 16 for count in range(17)]
    # examples by class as UCI's documentation counts them in its test set
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # the first example of the source, a zero whose first row of counts is 0 0 5 13 9 1 0 0
    first = int(np.flatnonzero(noise.order(1797, "digits", "split") == 0)[0])
    assert labels[first] == 0
    assert pictures[first, 0, 0].tolist() == [0, 0, 79, 207, 143, 15, 0, 0]


def test_digits_constants_are_those_of_the_training_split() -> None:
    data = datasets.load("digits")
    pixels = data.train.inputs / 255
    assert data.mean == (round(float(pixels.mean()), 4),)
    assert data.std == (round(float(pixels.std()), 4),)


def test_the_spiral_follows_its_formula() -> None:
    """Without noise the angle is 4 pi times the radius, plus pi for the second class."""
    data = datasets.load("spiral", train=4001, test=1000, seed=3)
    radius = np.hypot(*data.train.inputs.T.astype(np.float64))
    angle = np.arctan2(*data.train.inputs.T[::-1].astype(np.float64))
    far = radius > 0.5
    residual = (angle - 4 * np.pi * radius - np.pi * data.train.labels + np.pi) % (2 * np.pi) - np.pi
    # noise of 0.02 across the radius, and along it times the winding 4 pi, at a radius above 0.5
    expected = 0.02 * np.sqrt(np.mean(1 / radius[far] ** 2) + (4 * np.pi) ** 2)
    assert abs(np.sqrt(np.mean(residual[far] ** 2)) / expected - 1) < 0.05
    # (radius / 2)^2 is t, uniform: mean 1/2, within 4.5 standard errors
    assert abs(np.mean((radius / 2) ** 2) - 0.5) < 4.5 / np.sqrt(12 * 4001) + 0.001
    assert np.bincount(data.train.labels).tolist() == [2001, 2000]
    assert radius.max() < 2.1


def test_spiral_seeds_and_splits_are_apart() -> None:
    data, other = (datasets.load("spiral", train=50, test=50, seed=seed) for seed in (3, 4))
    assert data.digest != other.digest
    assert not np.isin(data.train.inputs, data.test.inputs).any()
    assert not np.isin(data.train.inputs, other.train.inputs).any()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"train": 0}, "argument train: input should be greater than or equal to 1, found 0."),
        ({"seed": 1.5}, "argument seed: input should be a valid integer, found 1.5."),
        ({"tets": 4}, "takes no argument 'tets'; did you mean \"test\"? Known: examples, part, per_class,"),
    ],
)
def test_bad_spiral_options(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        datasets.load("spiral", **options)
    assert expected in str(caught.value)


def points(n: int = 4, d: int = 3) -> npt.NDArray[Any]:
    return (np.arange(n * d).reshape(n, d) / 7).astype(np.float32)


def test_a_split_does_not_freeze_the_callers_arrays() -> None:
    inputs, labels = points(), np.array([0, 1, 2, 1])
    split = Split(inputs, labels)
    inputs[0, 0] = 5
    labels[0] = 1
    assert len(split) == 4
    assert not split.inputs.flags.writeable


@pytest.mark.parametrize(
    ("inputs", "labels", "expected"),
    [
        (points().astype(np.float64), np.arange(4), "found float64 of shape (4, 3)"),
        (np.ones((4, 5, 6), np.uint8), np.arange(4), "found uint8 of shape (4, 5, 6)"),
        (points(), np.arange(4, dtype=np.int32), "found int32 of shape (4,) for 4 inputs"),
        (points(), np.arange(3), "found int64 of shape (3,) for 4 inputs"),
        (points(0), np.arange(0), "found int64 of shape (0,) for 0 inputs"),
    ],
)
def test_a_split_is_checked(inputs: npt.NDArray[Any], labels: npt.NDArray[Any], expected: str) -> None:
    with pytest.raises(BadData) as caught:
        Split(inputs, labels)
    assert expected in str(caught.value)


def made(**changes: object) -> DataSet:
    fields: dict[str, object] = {
        "name": "mine",
        "train": Split(points(), np.array([0, 1, 2, 1])),
        "test": Split(points(2), np.array([2, 0])),
        "classes": 3,
        "mean": (),
        "std": (),
    }
    return DataSet(**fields | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"classes": 2}, "Data set mine, training labels: expected labels 0 to 1, found 2 at index 2."),
        ({"test": Split(points(2), np.array([2, -1]))}, "test labels: expected labels 0 to 2, found -1 at index 1."),
        ({"test": Split(points(2, 5), np.array([2, 0]))}, "inputs of one shape, found (3,) and (5,)."),
        (
            {"test": Split(np.full_like(points(2), np.nan), np.array([2, 0]))},
            "found NaN or infinity",
        ),
        ({"mean": (0.5,), "std": (0.5,)}, "for each of 0 channels, found 1 and 1."),
        ({"class_names": ("a", "b")}, "expected 3 class names or none, found 2."),
    ],
)
def test_a_data_set_is_checked(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(BadData) as caught:
        made(**changes)
    assert expected in str(caught.value)


def test_a_picture_set_needs_constants_for_every_channel() -> None:
    split = Split(np.full((2, 3, 4, 5), 7, np.uint8), np.array([0, 1]))
    with pytest.raises(BadData, match="for each of 3 channels, found 3 and 2"):
        DataSet("mine", split, split, 2, mean=(0.1, 0.2, 0.3), std=(0.1, 0.2))
    assert DataSet("mine", split, split, 2, mean=(0.1, 0.2, 0.3), std=(0.1, 0.2, 0.3)).input_shape == (3, 4, 5)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("index", [0, 1])
def test_the_digest_depends_on_every_array_and_on_nothing_else(place: int, index: int) -> None:
    arrays = [points(), np.array([0, 1, 2, 1]), points(2), np.array([2, 0])]
    before = made(name="other", notes=("a",), class_names=("a", "b", "c")).digest
    assert before == made().digest
    arrays[place].flat[index] += 1
    changed = made(train=Split(*arrays[:2]), test=Split(*arrays[2:]), classes=4)
    assert changed.digest != before


def test_a_data_set_survives_the_way_to_another_process() -> None:
    data = datasets.load("spiral", train=5, test=4)
    assert pickle.loads(pickle.dumps(data)).digest == data.digest
