"""EL2N against its definition and closed forms, forgetting, and splits by rank."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import BadInput, UnknownName
from isthmus.importance import average, el2n, forgetting, right, score, splits

seeds = st.integers(0, 10**6)


@given(seeds, st.integers(1, 4), st.integers(1, 9), st.integers(2, 7))
def test_the_mean_over_runs_of_a_norm(seed: int, runs: int, examples: int, classes: int) -> None:
    generator = np.random.default_rng(seed)
    logits, labels = generator.normal(0, 6, (runs, examples, classes)), generator.integers(0, classes, examples)
    expected = []
    for example in range(examples):
        norms = []
        for run in range(runs):
            weights = [math.exp(value) for value in logits[run, example]]
            parts = [w / sum(weights) - (index == labels[example]) for index, w in enumerate(weights)]
            norms.append(math.sqrt(sum(part**2 for part in parts)))
        expected.append(sum(norms) / runs)
    assert el2n(logits, labels).tolist() == pytest.approx(expected, rel=1e-12, abs=1e-14)  # float64
    assert el2n(logits[0], labels).tolist() == el2n(logits[:1], labels).tolist()


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
@pytest.mark.parametrize("level", [0.0, -3.5, 900.0])
def test_a_uniform_softmax(classes: int, level: float) -> None:
    found = el2n(np.full((2, classes), level), [0, classes - 1])
    assert found.tolist() == pytest.approx([math.sqrt(1 - 1 / classes)] * 2, rel=1e-14)


@given(st.floats(0.001, 0.999), st.integers(2, 20))
def test_p_on_the_true_class_and_the_rest_equal(p: float, classes: int) -> None:
    logits = np.log(np.full((1, classes), (1 - p) / (classes - 1)))
    logits[0, 1] = math.log(p)
    assert el2n(logits, [1])[0] == pytest.approx((1 - p) * math.sqrt(classes / (classes - 1)), rel=1e-12)


def test_certain_answers_and_their_order() -> None:
    found = el2n([[800.0, 0.0, -5.0], [0.0, 800.0, -5.0], [2.0, 1.0, 0.0]], [0, 0, 0])
    assert found[:2].tolist() == pytest.approx([0.0, math.sqrt(2)])
    assert found[0] < found[2] < found[1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int32])
def test_tensors_of_all_types(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1.0, -2.0, 3.0], [0.0, 4.0, 1.0]]).to(dtype)
    assert el2n(logits, torch.tensor([2, 0])).tolist() == el2n(logits.tolist(), [2, 0]).tolist()
    if dtype.is_floating_point:
        assert el2n(logits.requires_grad_(), [2, 0]).shape == (2,)


def test_nan_and_infinity_reach_the_score_of_their_example_only() -> None:
    found = el2n([[1.0, math.nan], [math.inf, 0.0], [1.0, 2.0]], [0, 0, 1])
    assert np.isnan(found).tolist() == [True, True, False]


def test_arguments_are_left_as_they_were() -> None:
    logits, labels, scores = np.array([[1.0, 2.0], [3.0, 0.5]]), np.array([0, 1]), np.array([0.7, 0.2])
    kept = [array.copy() for array in (logits, labels, scores)]
    el2n(logits, labels)
    splits(scores, 2)
    assert all(np.array_equal(now, then) for now, then in zip((logits, labels, scores), kept))


@pytest.mark.parametrize(
    ("logits", "labels", "sentence"),
    [
        ([1.0, 2.0], [0], r"\(examples, classes\) or \(runs, examples, classes\)"),
        (np.zeros((2, 3, 4, 5)), [0, 1], r"found shapes \(2, 3, 4, 5\) and \(2,\)"),
        (np.zeros((3, 4)), [0, 1], r"found shapes \(3, 4\) and \(2,\)"),
        (np.zeros((2, 4)), [0.0, 1.0], "one integer label an example"),
        (np.zeros((2, 4)), [[0], [1]], r"found shapes \(2, 4\) and \(2, 1\)"),
        (np.zeros((2, 4)), [0, 4], r"in 0\.\.3, found 0\.\.4"),
        (np.zeros((2, 4)), [-1, 2], r"in 0\.\.3, found -1\.\.2"),
        ([[1.0, 2.0], [3.0]], [0, 1], "Expected an array of numbers, found list"),
        ("scores", [0], "Expected an array of numbers, found str"),
    ],
)
def test_what_has_no_score(logits: Any, labels: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        el2n(logits, labels)


# --- splits


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.data())
def test_parts_of_equal_size_by_rank_with_ties_in_order(scores: list[int], data: st.DataObject) -> None:
    parts = data.draw(st.integers(1, len(scores)))
    found = splits(scores, parts)
    sizes = [len(part) for part in found]
    assert len(found) == parts
    assert max(sizes) - min(sizes) <= 1
    ranked = sorted(range(len(scores)), key=lambda index: (scores[index], index))
    for part in found:
        assert part.dtype == np.int64
        assert part.tolist() == sorted(ranked[: len(part)])
        ranked = ranked[len(part) :]
    assert not ranked


def test_examples_without_a_score_are_the_hardest() -> None:
    assert [part.tolist() for part in splits([0.5, math.nan, 0.1, math.inf], 2)] == [[0, 2], [1, 3]]
    assert [part.tolist() for part in splits(torch.tensor([0.5, 0.25, 0.75]), 3)] == [[1], [0], [2]]


@pytest.mark.parametrize(
    ("scores", "parts"), [([1.0, 2.0], 0), ([1.0, 2.0], 3), ([], 1), (3.0, 1), ([[1.0], [2.0]], 1), ([1.0, 2.0], 1.5)]
)
def test_splits_that_there_are_none_of(scores: Any, parts: Any) -> None:
    with pytest.raises(BadInput, match="from 1 to the number of scores"):
        splits(scores, parts)


# --- what follows training


@given(seeds, st.integers(1, 4), st.integers(1, 7), st.integers(1, 9))
def test_forgetting_counts_what_is_lost_between_looks(seed: int, runs: int, looks: int, examples: int) -> None:
    seen = np.random.default_rng(seed).integers(0, 2, (runs, looks, examples))
    expected = []
    for example in range(examples):
        counts = []
        for run in range(runs):
            own = seen[run, :, example].tolist()
            lost = sum(1 for now, then in pairwise(own) if now and not then)
            counts.append(lost if any(own) else looks)
        expected.append(sum(counts) / runs)
    assert forgetting(seen).tolist() == pytest.approx(expected, rel=1e-15)  # a sum of small integers, divided


def test_what_was_never_right_ranks_hardest() -> None:
    flickering, lost, kept, never, learnt = [1, 0, 1, 0, 1, 0], [1] * 5 + [0], [1] * 6, [0] * 6, [0] * 5 + [1]
    seen = np.array([flickering, lost, kept, never, learnt]).T[None]
    assert forgetting(seen).tolist() == [3.0, 1.0, 0.0, 6.0, 0.0]
    assert average(seen).tolist() == [0.0, 0.0, 1.0, 0.0, 1.0]  # at the last look


def test_right_is_the_first_of_the_largest_logits() -> None:
    logits = [[0.5, 2.0, 1.0], [3.0, 3.0, 1.0], [math.nan, 9.0, 1.0], [-1.0, -2.0, math.inf]]
    assert right(logits, [1, 0, 1, 2]).tolist() == [1.0, 1.0, 0.0, 1.0]
    assert right(logits, [2, 1, 0, 0]).tolist() == [0.0] * 4
    assert right(torch.tensor(logits), torch.tensor([1, 0, 1, 2])).tolist() == [1.0, 1.0, 0.0, 1.0]


def test_readings_that_are_none() -> None:
    with pytest.raises(BadInput, match=r"logits of shape \(examples, classes\) .* found shapes \(2,\) and \(2,\)"):
        right([1.0, 2.0], [0, 1])
    for wrong in (np.zeros((2, 3)), np.zeros((0, 2, 3)), np.zeros((2, 0, 3))):
        with pytest.raises(BadInput, match=r"readings of shape \(runs, looks, examples\), at least one look, found"):
            forgetting(wrong)
    with pytest.raises(UnknownName, match=r"^There is no score named 'eln2'; did you mean \"el2n\"\? Known: el2n, "):
        score("eln2")
