"""Verdicts against the rule written out: intervals from closed forms of Student's t, counts by enumeration."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics as reference
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.claims import COLUMNS, Claim, Tables, Values, judge, per_seed, sentence
from isthmus.errors import BadInput
from isthmus.tables import Table

# the 97.5 % point of Student's t where it has a closed form, by degrees of freedom
A = 4 * 0.975 * 0.025
T975 = {
    1: math.tan(math.pi * 0.475),
    2: 0.95 * math.sqrt(2 / A),
    4: 2 * math.sqrt(math.cos(math.acos(math.sqrt(A)) / 3) / math.sqrt(A) - 1),
}
numbers = st.floats(-50, 50).map(lambda value: round(value, 3))
MISSING = "there is no pair with k1 = 7"


def claim(**changes: Any) -> Claim:
    plain = Claim("small", "It is small.", "us, F9", "how large it is (nats)", "<=", 0.5, "half", lambda tables: {})
    return dataclasses.replace(plain, **changes)


def judged(values: Values | Sequence[float | str], **changes: Any) -> Mapping[str, Any]:
    found = values if isinstance(values, Mapping) else dict(enumerate(values))
    (row,) = judge([claim(values=lambda tables: found, **changes)], {})
    return row


def limits(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % t-interval of the mean."""
    half = T975[len(values) - 1] * reference.stdev(values) / math.sqrt(len(values))
    return reference.fmean(values) - half, reference.fmean(values) + half


def close(a: float, b: float) -> bool:
    """Too near to a threshold for two ways of rounding to agree."""
    return abs(a - b) <= 1e-9 * (1 + abs(a) + abs(b))


# --- rules about a mean --------------------------------------------------------------------------


@given(st.sampled_from([3, 5]).flatmap(lambda n: st.lists(numbers, min_size=n, max_size=n)), numbers)
def test_the_interval_on_one_side_decides(values: list[float], threshold: float) -> None:
    low, high = limits(values)
    if close(low, threshold) or close(high, threshold):
        return
    below, above = (judged(values, side=side, threshold=threshold)["verdict"] for side in ("<=", ">="))
    if high < threshold:
        assert (below, above) == ("held", "failed")
    elif low > threshold:
        assert (below, above) == ("failed", "held")
    else:
        assert (below, above) == ("undecided", "undecided")


@given(st.lists(numbers, min_size=3, max_size=3), numbers, st.floats(0.5, 40))
def test_within_two_thresholds(values: list[float], bottom: float, width: float) -> None:
    low, high = limits(values)
    top = bottom + width
    if any(close(end, bound) for end in (low, high) for bound in (bottom, top)):
        return
    outside = high < bottom or low > top
    expected = "held" if bottom < low and high < top else "failed" if outside else "undecided"
    assert judged(values, side="within", threshold=(bottom, top))["verdict"] == expected


def test_the_same_mean_holds_or_is_undecided_by_its_spread() -> None:
    """Mean 0.4, threshold 0.5: with three seeds at 0.4 - d, 0.4, 0.4 + d the interval is 0.4 +- t d / sqrt(3)."""
    edge = 0.1 * math.sqrt(3) / T975[2]
    assert judged([0.4 - 0.99 * edge, 0.4, 0.4 + 0.99 * edge])["verdict"] == "held"
    wide = judged([0.4 - 1.01 * edge, 0.4, 0.4 + 1.01 * edge])
    assert (wide["verdict"], wide["reason"]) == ("undecided", "the interval straddles the threshold")
    assert wide["right"] == "3/3"  # every seed is on the right side, and still three do not suffice


def test_a_row_says_what_it_rests_on() -> None:
    values = [0.125, 0.25, 0.75]
    row = judged(values, threshold=0.0625)
    low, high = limits(values)
    assert tuple(row) == COLUMNS
    assert row["mean"] == pytest.approx(0.375, abs=1e-15)
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-12)
    assert row["interval"] == f"[{low:.4g}, {high:.4g}]"
    assert (row["values"], row["seeds"], row["right"], row["rule"]) == ("0: 0.125; 1: 0.25; 2: 0.75", 3, "0/3", "mean")
    assert (row["claim"], row["text"], row["source"], row["why"]) == ("small", "It is small.", "us, F9", "half")
    assert row["threshold"] == "<= 0.0625"
    within = judged(values, side="within", threshold=(0.25, 0.5))
    assert (within["threshold"], within["right"]) == (">= 0.25 and <= 0.5", "1/3")
    two = judged([0.25, 0.75])
    assert (two["low"], two["high"]) == pytest.approx(limits([0.25, 0.75]), abs=1e-12)


def test_a_limit_belongs_to_the_right_side() -> None:
    assert judged([0.5, 0.5, 0.5])["verdict"] == judged([0.5])["verdict"] == "held"
    assert judged([0.5] * 3, side="within", threshold=(0.25, 0.5))["verdict"] == "held"


# --- rules that are counted ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "verdict", "right"),
    [
        ([0.1], "held", "1/1"),
        ([0.6], "failed", "0/1"),
        ([0.1, 0.4], "held", "2/2"),
        ([0.1, 0.6], "undecided", "1/2"),
        ([0.7, 0.6], "failed", "0/2"),
    ],
)
def test_fewer_than_three_seeds_are_counted(values: list[float], verdict: str, right: str) -> None:
    row = judged(values)
    assert (row["rule"], row["verdict"], row["right"], row["seeds"]) == ("count", verdict, right, len(values))


def outcomes(values: Sequence[float | None], needed: int, of: int) -> str:
    """The verdict by trying everything that the seeds without a number, and those not run, might have said."""
    unknown = sum(value is None for value in values) + max(0, of - len(values))
    right = sum(value is not None and value <= 0.5 for value in values)
    possible = {
        "held" if right + more >= needed else "failed" if right + more < of / 2 else "undecided"
        for more in range(unknown + 1)
    }
    return possible.pop() if len(possible) == 1 else "undecided"


@given(
    st.lists(st.sampled_from([0.25, 0.75, None]), min_size=1, max_size=12),
    st.sampled_from([(2, 2), (3, 3), (9, 10), (2, 3)]),
)
def test_a_count_is_decided_when_what_is_missing_cannot_change_it(
    values: list[float | None], count: tuple[int, int]
) -> None:
    row = judged([MISSING if value is None else value for value in values], count=count)
    needed, of = count
    if len(values) > of:  # the same share of more seeds, rounded up
        needed, of = -(-needed * len(values) // of), len(values)
    assert row["verdict"] == outcomes(values, needed, of)
    assert row["rule"] == "count"


@pytest.mark.parametrize(
    ("count", "seeds", "needed"),
    [((2, 3), 4, (3, 4)), ((9, 10), 11, (10, 11)), ((9, 10), 20, (18, 20)), ((9, 10), 4, (9, 10)), (None, 4, (4, 4))],
)
def test_the_same_share_of_more_seeds(count: tuple[int, int] | None, seeds: int, needed: tuple[int, int]) -> None:
    assert claim(count=count).needed(seeds) == needed


def test_too_few_seeds_for_a_count() -> None:
    assert judged([0.25], count=(2, 2))["reason"] == "1 seed, the rule asks for 2 of 2"
    assert judged([0.25] * 4, count=(9, 10))["reason"] == "4 seeds, the rule asks for 9 of 10"
    assert judged([0.25] * 4 + [0.75] * 2, count=(9, 10))["reason"] == "6 seeds, the rule asks for 9 of 10"
    assert judged([0.75] * 6, count=(9, 10))["verdict"] == "failed"  # whatever the other four would have said


def test_too_many_seeds_on_the_wrong_side_to_hold_and_too_few_to_fail() -> None:
    row = judged([0.25, 0.25, 0.75], count=(3, 3))
    assert (row["verdict"], row["right"]) == ("undecided", "2/3")
    assert row["reason"] == "the rule asks for 3 of 3, and most on the wrong side to fail"


# --- seeds without a number --------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [MISSING, math.nan])
@pytest.mark.parametrize(
    ("others", "count", "verdict"),
    [
        ([0.1], None, "undecided"),
        ([0.9], None, "undecided"),
        ([0.9, 0.8], (3, 3), "failed"),
        ([], None, "undecided"),
        ([0.1, 0.1001, 0.1002], None, "undecided"),  # a mean of four that holds for three says nothing
        ([0.1, 0.2, 0.3], (3, 4), "held"),
        ([0.9, 0.9, 0.8], (3, 4), "failed"),
        ([0.1, 0.9, 0.8], (3, 4), "undecided"),
        ([0.1, 0.2, 0.8], (3, 4), "undecided"),
    ],
)
def test_a_seed_without_a_number(
    gone: str | float, others: list[float], count: tuple[int, int] | None, verdict: str
) -> None:
    row = judged([*others, gone], count=count)
    assert row["verdict"] == verdict
    assert f"seed {len(others)}: {'not a number' if gone != MISSING else MISSING}" == row["reason"]
    assert row["seeds"] == len(others) + (gone != MISSING)


def test_nothing_at_all() -> None:
    row = judged({})
    assert (row["verdict"], row["seeds"], row["mean"], row["interval"]) == ("undecided", 0, None, None)
    assert row["reason"] == "there are no numbers"
    lost = judged([MISSING] * 3)
    assert (lost["verdict"], lost["mean"], lost["values"]) == ("undecided", None, "")
    assert lost["reason"].count(MISSING) == 3


def test_an_infinite_number_has_no_interval() -> None:
    row = judged([0.1, 0.2, math.inf])
    assert (row["verdict"], row["mean"]) == ("undecided", math.inf)
    assert row["reason"] == "a number is infinite, so there is no interval"
    assert judged([-math.inf, 0.2])["verdict"] == "held"
    assert judged([math.inf, math.inf])["verdict"] == "failed"


# --- in words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (judged([0.1, 0.3]), "mean 0.2, threshold <= 0.5, 2 of 2 seeds on the right side."),
        (judged([0.6]), "mean 0.6, threshold <= 0.5, 0 of 1 seed on the right side."),
        (judged([0.25] * 5), "mean 0.25, threshold <= 0.5, over 5 seeds, 95 % interval [0.25, 0.25]."),
        (judged([MISSING]), f"no number, threshold <= 0.5, 0 of 0 seeds on the right side (seed 0: {MISSING})."),
        (judged([0.1, 0.2, MISSING]), f"over 2 seeds, 95 % interval [-0.4853, 0.7853] (seed 2: {MISSING})."),
    ],
)
def test_the_sentence_says_how_many_seeds(row: Mapping[str, Any], words: str) -> None:
    found = sentence(row)
    assert found.startswith("small: how large it is (nats): ")
    assert found.endswith(words)


# --- from tables to numbers ------------------------------------------------------------------------------

TABLES = {
    "pairs": Table.of([{"seed": seed, "k": k, "chord": 10.0 * seed + k} for k in (1, 2) for seed in (3, 7)]),
    "networks": Table.of([{"seed": 7, "accuracy": 0.75}]),
    "setup": Table.of([{"network": "mlp"}]),
}


def test_each_seed_is_given_its_own_rows_of_the_tables_that_tell_seeds_apart() -> None:
    seen: list[dict[str, Any]] = []

    def look(tables: Tables) -> float:
        seen.append({name: table.rows for name, table in tables.items()})
        return math.fsum(tables["pairs"]["chord"])

    assert per_seed(look)(TABLES) == {3: 63.0, 7: 143.0}
    assert [sorted(found) for found in seen] == [["pairs"], ["networks", "pairs"]]
    assert [row["seed"] for found in seen for rows in found.values() for row in rows] == [3, 3, 7, 7, 7]


def test_what_is_not_there_is_a_reason_and_what_is_a_mistake_is_raised() -> None:
    accuracy = per_seed(lambda tables: tables["networks"]["accuracy"][0])
    assert accuracy(TABLES) == {3: "there is no table 'networks'", 7: 0.75}
    (row,) = judge([claim(values=accuracy, side=">=")], TABLES)
    assert (row["verdict"], row["reason"]) == ("undecided", "seed 3: there is no table 'networks'")
    (row,) = judge([claim(values=lambda tables: {0: tables["absent"]["x"][0]})], TABLES)
    assert (row["verdict"], row["reason"]) == ("undecided", "seed all: there is no table 'absent'")
    with pytest.raises(ZeroDivisionError):
        per_seed(lambda tables: 1 / 0)(TABLES)


def test_another_column_and_rows_of_no_seed() -> None:
    table = Table.of([{"repeat": None, "x": 9.0}, {"repeat": 1, "x": 0.25}, {"repeat": 0, "x": 0.75}])
    assert list(per_seed(lambda tables: tables["t"]["x"][0], by="repeat")({"t": table}).items()) == [
        (0, 0.75),
        (1, 0.25),
    ]


def test_a_verdict_does_not_depend_on_the_order_of_rows() -> None:
    rows = [{"seed": seed, "x": 0.1 * seed + 0.01 * k} for seed in range(4) for k in range(3)]
    mean = claim(values=per_seed(lambda tables: reference.fmean(tables["t"]["x"])), threshold=0.3)
    expected = judge([mean], {"t": Table.of(rows)})
    random.Random(5).shuffle(rows)
    assert judge([mean], {"t": Table.of(rows)}) == expected


def test_claims_are_judged_one_by_one_in_order() -> None:
    names = ["b", "a", "c"]
    claims = [claim(id=name, values=lambda tables, at=at: {0: at}) for at, name in enumerate(names)]
    table = judge(claims, {})
    assert (table["claim"], table["verdict"]) == (names, ["held", "failed", "failed"])
    assert judge([], {}).columns == COLUMNS


@pytest.mark.parametrize(
    "wrong",
    [
        {"side": "within"},
        {"threshold": (0.1, 0.2)},
        {"side": "within", "threshold": (0.2, 0.1)},
        {"side": "within", "threshold": (0.2, 0.2)},
        {"count": (3, 2)},
        {"count": (0, 2)},
    ],
)
def test_a_claim_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"Claim small: expected"):
        claim(**wrong)
