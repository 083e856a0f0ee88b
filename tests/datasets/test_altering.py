"""Fewer training examples, and random labels: of any data set, by options that all of them take."""

from __future__ import annotations

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


def test_pinned_digests() -> None:
    """Stored results are named by them: they change only if what is chosen has been wrong."""
    altered: tuple[dict[str, Any], ...] = ({"examples": 300}, {"per_class": 20}, {"random_labels": 1})
    found = [datasets.load("digits", **options).digest[:12] for options in altered]
    assert found == ["403f08a54065", "f2b23adbe80b", "d6c09c86e58e"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"examples": 29}, "Data set marked: examples must be at most 28, found 29."),
        ({"per_class": 6}, "Data set marked: per_class must be at most 5, the number of examples of class 1, found 6."),
        ({"examples": 3, "per_class": 2}, "Data set marked takes examples or per_class, found both: leave one out."),
    ],
)
def test_what_cannot_be_had(options: dict[str, int], told: str) -> None:
    with pytest.raises(BadInput) as caught:
        alter(marked(), **options)
    assert str(caught.value) == told


def test_options_that_no_set_takes() -> None:
    with pytest.raises(BadInput, match=r"takes no argument 'exmaples'; did you mean \"examples\"\? Known: examples, "):
        datasets.load("digits", exmaples=3)
    with pytest.raises(BadInput, match=r"Data set digits: argument examples: .*greater than or equal to 1, found 0"):
        datasets.load("digits", examples=0)
    with pytest.raises(BadInput, match=r"argument random_labels: .*valid integer, found True"):
        datasets.load("digits", random_labels=True)
