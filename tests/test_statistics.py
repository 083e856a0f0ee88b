"""Intervals against published t quantiles, verdicts against the rules written out."""

from __future__ import annotations

import math
import statistics as reference

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import BadInput
from isthmus.statistics import Interval, interval, judge_count, judge_mean

# two-sided 95 % points of Student's t (any printed table)
T975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 29: 2.045}
numbers = st.floats(-100, 100)


@pytest.mark.parametrize(("degrees", "quantile"), sorted(T975.items()))
def test_the_interval_is_students(degrees: int, quantile: float) -> None:
    values = [0.3 + 1.7 * math.sin(3 * i + 1) for i in range(degrees + 1)]
    found = interval(values)
    half = quantile * reference.stdev(values) / math.sqrt(len(values))
    assert found.mean == pytest.approx(reference.fmean(values), abs=1e-14)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=5e-4)  # the table has three decimals
    assert found.seeds == degrees + 1


def test_another_level() -> None:
    values = [1.25, 2.5, 4.0]
    half = 9.925 * reference.stdev(values) / math.sqrt(3)  # 99 %, two degrees of freedom
    assert interval(values, level=0.99).high == pytest.approx(reference.fmean(values) + half, rel=1e-4)


@given(st.lists(numbers, min_size=2, max_size=12), numbers)
def test_the_interval_moves_with_its_values_and_holds_the_mean(values: list[float], by: float) -> None:
    found, moved = interval(values), interval([value + by for value in values])
    assert found.low <= found.mean <= found.high
    assert moved.mean == pytest.approx(found.mean + by, abs=1e-10)
    assert moved.high - moved.low == pytest.approx(found.high - found.low, abs=1e-9)
    flipped = interval([-value for value in values])
    assert (flipped.low, flipped.high) == pytest.approx((-found.high, -found.low), abs=1e-12)


def test_few_values_and_missing_values() -> None:
    assert repr(interval([])) == repr(Interval(math.nan, math.nan, math.nan, 0))
    assert repr(interval([2.5])) == repr(Interval(2.5, math.nan, math.nan, 1))
    assert repr(interval([1.0, math.nan, 3.0])) == repr(Interval(math.nan, math.nan, math.nan, 3))
    infinite = interval([1.0, math.inf, 3.0])
    assert infinite.mean == math.inf
    assert math.isnan(infinite.low)
    assert interval([0.75, 0.75, 0.75]) == Interval(0.75, 0.75, 0.75, 3)


def test_a_table_of_numbers_is_refused() -> None:
    with pytest.raises(BadInput, match=r"found shape \(1, 2\)"):
        interval([[1.0, 2.0]])  # type: ignore[list-item]


@given(st.lists(numbers, min_size=3, max_size=10), numbers)
def test_a_rule_about_a_mean(values: list[float], threshold: float) -> None:
    found = interval(values)
    below, above = judge_mean(values, "<=", threshold), judge_mean(values, ">=", threshold)
    if found.high < threshold:
        assert (below, above) == ("held", "failed")
    elif found.low > threshold:
        assert (below, above) == ("failed", "held")
    elif found.low < threshold < found.high:
        assert (below, above) == ("undecided", "undecided")
    mirrored = judge_mean([-value for value in values], ">=", -threshold)
    assert mirrored == below


def test_a_limit_on_the_threshold_holds() -> None:
    assert judge_mean([0.5, 0.5, 0.5], "<=", 0.5) == "held"
    assert judge_mean([0.5, 0.5, 0.5], ">=", 0.5) == "held"


def test_fewer_than_three_seeds_are_counted() -> None:
    assert judge_mean([0.1, 0.2], "<=", 0.2) == "held"
    assert judge_mean([0.1, 0.3], "<=", 0.2) == "undecided"
    assert judge_mean([0.4, 0.3], "<=", 0.2) == "failed"
    assert judge_mean([0.1], ">=", 0.2) == "failed"
    assert judge_mean([], ">=", 0.2) == "undecided"
    assert judge_mean([math.nan], "<=", 0.2) == judge_mean([math.nan], ">=", 0.2) == "failed"


def test_a_mean_that_is_nan_never_holds() -> None:
    for side in ("<=", ">="):
        assert judge_mean([0.1, math.nan, 0.2], side, 0.5) == "failed"
        assert judge_mean([0.1, math.inf, 0.2], side, 0.5) != "held"


@given(st.lists(st.booleans(), max_size=10), st.integers(1, 12), st.integers(0, 6))
def test_a_rule_written_as_a_count(right: list[bool], needed: int, missing: int) -> None:
    """Held exactly when whatever the missing seeds say could not change it; failed when they could not make it hold
    and most of all seeds are on the wrong side, whatever the missing ones say."""
    of = max(len(right) + missing, needed)
    outcomes = [sum(right) + more for more in range(of - len(right) + 1)]
    if all(count >= needed for count in outcomes):
        expected = "held"
    else:
        expected = "failed" if all(count < needed and count < of / 2 for count in outcomes) else "undecided"
    assert judge_count(right, needed, of) == expected


@pytest.mark.parametrize(
    ("needed", "of", "verdicts"),
    [(2, 2, "fuh"), (3, 3, "ffuh"), (2, 3, "ffhh"), (3, 4, "ffuhh"), (9, 10, "fffffuuuuhh"), (1, 3, "fhhh")],
)
def test_between_enough_and_most_on_the_wrong_side_a_count_is_undecided(needed: int, of: int, verdicts: str) -> None:
    found = [judge_count([True] * right + [False] * (of - right), needed) for right in range(of + 1)]
    assert found == [{"f": "failed", "u": "undecided", "h": "held"}[letter] for letter in verdicts]


def test_a_count_by_default_asks_for_all_that_are_there() -> None:
    assert judge_count([True] * 3) == "held"
    assert judge_count([True, False, True]) == "undecided"
    assert judge_count([False, False, True]) == "failed"
    assert judge_count([]) == "undecided"
    assert judge_count([True] * 9 + [False], needed=9) == "held"
    assert judge_count([True] * 8 + [False] * 2, needed=9) == "undecided"
    assert judge_count([True] * 4 + [False] * 6, needed=9) == "failed"
