"""Fewer training examples, random labels, random parts, other sizes: options that all data sets take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import datasets
from isthmus.datasets import DataSet, Split
from isthmus.datasets.altering import alter
from isthmus.errors import BadInput

COUNTS = (9, 5, 14)
PARTS = ({"part": [2, 3]}, {"part": [2, 3], "split_seed": 7})


def marked() -> DataSet:
    """Three classes of unlike sizes; the input of each example is its number, which names it."""
    labels = np.repeat(np.arange(3), COUNTS)
    inputs = np.arange(len(labels), dtype=np.float32)[:, None] * [1.0, -1.0]
    return DataSet(
        "marked", Split(inputs.astype(np.float32), labels), Split(inputs[:4].astype(np.float32), labels[:4]), 3, (), ()
    )


def members(found: DataSet) -> list[int]:
    return [int(number) for number in found.train.inputs[:, 0]]


@given(st.integers(1, 28), st.integers(1, 28))
def test_subsets_are_nested_and_keep_their_labels(few: int, many: int) -> None:
    few, many = sorted((few, many))
    small, large = members(alter(marked(), examples=few)), members(alter(marked(), examples=many))
    assert large[:few] == small
    assert len(set(large)) == many
    assert alter(marked(), examples=many).train.labels.tolist() == marked().train.labels[large].tolist()


def test_a_subset_is_mixed_and_the_test_split_whole() -> None:
    found = alter(marked(), examples=10)
    assert members(found) != sorted(members(found))
    assert set(found.train.labels.tolist()) == {0, 1, 2}
    assert np.array_equal(found.test.inputs, marked().test.inputs)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_so_many_of_each_class(count: int) -> None:
    found = alter(marked(), per_class=count)
    assert np.bincount(found.train.labels).tolist() == [count] * 3
    whole = members(alter(marked(), examples=28))
    for label in range(3):
        of_class = [number for number in whole if marked().train.labels[number] == label]
        assert [n for n in members(found) if marked().train.labels[n] == label] == of_class[:count]


def test_random_labels_are_fixed_by_their_seed_and_spread_over_the_classes() -> None:
    digits = datasets.load("digits")
    first, again, other = (datasets.load("digits", random_labels=seed) for seed in (3, 3, 4))
    assert first.digest == again.digest
    assert len({digits.digest, first.digest, other.digest}) == 3
    assert np.array_equal(first.train.inputs, digits.train.inputs)
    assert np.array_equal(first.test.labels, digits.test.labels)
    # 1,437 draws from ten classes: each about 144, deviation 11; agreement with the true labels about a tenth
    assert (abs(np.bincount(first.train.labels, minlength=10) - 143.7) < 5 * 11.4).all()
    assert abs((first.train.labels == digits.train.labels).mean() - 0.1) < 5 * 0.008
    assert first.notes == (*digits.notes, "All training labels are random (seed 3).")


def test_a_random_label_belongs_to_its_example_whatever_else_is_left_out() -> None:
    whole, few = alter(marked(), random_labels=5), alter(marked(), examples=11, random_labels=5)
    assert few.train.labels.tolist() == whole.train.labels[members(few)].tolist()


@given(st.integers(1, 28), st.integers(0, 2**63))
def test_parts_have_nothing_in_common_and_are_the_whole_together(parts: int, seed: int) -> None:
    found = [alter(marked(), part=(index + 1, parts), split_seed=seed) for index in range(parts)]
    together = [number for part in found for number in members(part)]
    assert sorted(together) == list(range(28))
    sizes = {len(part.train) for part in found}
    assert sizes <= {28 // parts, -(-28 // parts)}
    for part in found:
        assert members(part) == sorted(members(part))  # in the order of the set
        assert part.train.labels.tolist() == marked().train.labels[members(part)].tolist()
        assert np.array_equal(part.test.inputs, marked().test.inputs)


def test_parts_are_drawn_by_their_seed() -> None:
    halves = {tuple(members(alter(marked(), part=(1, 2), split_seed=seed))) for seed in range(9)}
    assert len(halves) == 9
    assert members(alter(marked(), part=(1, 2))) == members(alter(marked(), part=(1, 2), split_seed=0))
    assert datasets.load("digits", part=[1, 1]).digest == datasets.load("digits").digest
    note = "The training examples are part 2 of 3 (split seed 7)."
    assert datasets.load("digits", part=[2, 3], split_seed=7).notes == (note,)


def test_an_example_is_as_likely_in_one_half_as_in_the_other() -> None:
    """1,437 digits in 40 splits: a share of 1/2, deviation below 0.08; pairs are split as often as chance has it."""
    numbered = datasets.load("digits").train.inputs.reshape(1437, -1)
    first = np.zeros((40, 1437))
    for seed in range(40):
        chosen = {row.tobytes() for row in datasets.load("digits", part=[1, 2], split_seed=seed).train.inputs}
        first[seed] = [row.tobytes() in chosen for row in numbered]
    assert abs(first.mean() - 0.5) < 0.001
    assert abs(first.mean(0) - 0.5).max() < 5 * 0.08
    neighbours = (first[:, 1:] == first[:, :-1]).mean()
    assert abs(neighbours - 0.5) < 5 * 0.5 / np.sqrt(40 * 1436)


def test_options_act_in_one_order_however_they_are_written() -> None:
    options: dict[str, Any] = {"size": 5, "per_class": 2, "part": [2, 3], "random_labels": 4, "split_seed": 6}
    found = datasets.load("digits", **options)
    assert found.digest == datasets.load("digits", **dict(reversed(options.items()))).digest
    part = datasets.load("digits", part=[2, 3], split_seed=6)
    labels = datasets.load("digits", part=[2, 3], split_seed=6, random_labels=4)
    assert np.array_equal(labels.train.inputs, part.train.inputs)
    whole, random = datasets.load("digits"), datasets.load("digits", random_labels=4)
    of = {picture.tobytes(): label for picture, label in zip(whole.train.inputs, random.train.labels)}
    assert labels.train.labels.tolist() == [of[picture.tobytes()] for picture in labels.train.inputs]
    few = datasets.load("digits", part=[2, 3], split_seed=6, per_class=2)  # of the true classes, in the part
    assert np.bincount(few.train.labels).tolist() == [2] * 10
    assert found.train.labels.tolist() == [of[picture.tobytes()] for picture in few.train.inputs]
    assert found.input_shape == (1, 5, 5)
    assert (found.mean, found.std) == (whole.mean, whole.std)


def test_a_function_that_has_such_an_option_itself_is_given_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sets_of_mine.py").write_text(
        "import numpy as np\n"
        "def make(size=3):\n"
        "    x = np.arange(4 * size, dtype=np.float32).reshape(4, size)\n"
        "    y = np.array([0, 1, 0, 1])\n"
        "    return {'x_train': x, 'y_train': y, 'x_test': x, 'y_test': y}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = datasets.load("sets_of_mine:make", size=6, part=[1, 2])
    assert (found.input_shape, len(found.train)) == ((6,), 2)


def test_pinned_digests() -> None:
    """Stored results are named by them: they change only if what is chosen has been wrong."""
    altered: tuple[dict[str, Any], ...] = ({"examples": 300}, {"per_class": 20}, {"random_labels": 1}, *PARTS)
    found = [datasets.load("digits", **options).digest[:12] for options in altered]
    assert found == ["403f08a54065", "f2b23adbe80b", "d6c09c86e58e", "34690eb5d11f", "ccc7a23755b3"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"examples": 29}, "Data set marked: examples must be at most 28, found 29."),
        ({"per_class": 6}, "Data set marked: per_class must be at most 5, the number of examples of class 1, found 6."),
        ({"examples": 3, "per_class": 2}, "Data set marked takes examples or per_class, found both: leave one out."),
        ({"part": (3, 2)}, "Data set marked: expected part = [i, n] with i at most n and n at most 28, found [3, 2]."),
        (
            {"part": (1, 29)},
            "expected part = [i, n] with i at most n and n at most 28, found [1, 29].",
        ),
        ({"split_seed": 0}, "Data set marked: split_seed needs part = [i, n], found none: leave it out."),
        ({"part": (2, 3), "examples": 10}, "Data set marked: examples must be at most 9, found 10."),
        ({"size": 5}, "Data set marked: size is for pictures, found points: leave it out."),
    ],
)
def test_what_cannot_be_had(options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput) as caught:
        alter(marked(), **options)
    assert str(caught.value).endswith(told)


def test_options_that_no_set_takes() -> None:
    with pytest.raises(BadInput, match=r"takes no argument 'exmaples'; did you mean \"examples\"\? Known: examples, "):
        datasets.load("digits", exmaples=3)
    with pytest.raises(BadInput, match=r"Data set digits: argument examples: .*greater than or equal to 1, found 0"):
        datasets.load("digits", examples=0)
    with pytest.raises(BadInput, match=r"Data set digits: argument part: .*greater than or equal to 1, found \[0, 2\]"):
        datasets.load("digits", part=[0, 2])
    with pytest.raises(BadInput, match=r"argument random_labels: .*valid integer, found True"):
        datasets.load("digits", random_labels=True)
