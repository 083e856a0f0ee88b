"""Schedules against the learning rate computed step by step, as a paper's text says it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from isthmus import schedules
from isthmus.recipe import Schedule

PER_EPOCH = 7


def schedule(**fields: Any) -> Schedule:
    return Schedule.model_validate(fields)


def factor(step: int, fields: dict[str, Any]) -> float:
    """One step's factor in plain arithmetic; durations are in iterations here."""
    at = {name: int(value[:-2]) for name, value in fields.items() if isinstance(value, str)}
    found = 1.0
    since = step - at.get("warmup_start", 0)
    if at.get("warmup") and 0 <= since < at["warmup"]:
        found *= (since + 1) / at["warmup"]
    for milestone in fields.get("milestones", ()):
        if step >= int(milestone[:-2]):
            found *= fields.get("factor", 0.1)
    if "cosine" in at:
        found *= (1 + math.cos(math.pi * step / at["cosine"])) / 2 if step < at["cosine"] else 0.0
    if "drop" in fields and step >= at["drop_start"]:
        found *= fields["drop"]
    return found


steps = st.integers(0, 60).map("{}it".format)
schedules_of_all_kinds = st.fixed_dictionaries(
    {},
    optional={
        "warmup": steps,
        "milestones": st.lists(steps, max_size=3),
        "factor": st.floats(0.01, 3.0),
        "cosine": st.integers(1, 60).map("{}it".format),
    },
).flatmap(
    lambda fields: st.fixed_dictionaries(
        {name: st.just(value) for name, value in fields.items()}
        | ({"warmup_start": steps} if "warmup" in fields else {})
        | ({"drop": st.floats(0.01, 1.0), "drop_start": steps} if "factor" in fields else {})
    )
)


@given(schedules_of_all_kinds, st.integers(0, 70), st.integers(0, 70))
def test_against_the_factor_of_each_step(fields: dict[str, Any], start: int, stop: int) -> None:
    start, stop = sorted((start, stop))
    found = schedule(**fields).factors(start, stop, PER_EPOCH)
    # 1e-13: a few roundings of factors of order 1; powers and repeated products differ in the last bit
    expected = [factor(step, fields) for step in range(start, stop)]
    assert found.tolist() == pytest.approx(expected, rel=1e-13, abs=1e-15)


@given(schedules_of_all_kinds, st.integers(0, 30), st.integers(31, 70))
def test_a_schedule_is_a_function_of_the_global_step(fields: dict[str, Any], cut: int, stop: int) -> None:
    made = schedule(**fields)
    pieces = [made.factors(0, cut, PER_EPOCH), made.factors(cut, stop, PER_EPOCH)]
    assert np.array_equal(np.concatenate(pieces), made.factors(0, stop, PER_EPOCH))


def test_constant_unless_something_is_set() -> None:
    assert schedule().factors(3, 9, PER_EPOCH).tolist() == [1.0] * 6


def test_epochs_count_in_steps_of_the_data() -> None:
    assert schedule(milestones=["1ep", "2ep"]).factors(6, 15, 7).tolist() == pytest.approx([1] + [0.1] * 7 + [0.01])
    assert schedule(drop=0.25, drop_start="0.5ep").factors(0, 5, 6).tolist() == [1, 1, 1, 0.25, 0.25]


def test_milestones_in_any_order_and_twice() -> None:
    ordered = schedules.milestones(np.arange(8), [2, 5, 5], 0.5)
    assert ordered.tolist() == [1, 1, 0.5, 0.5, 0.5, 0.125, 0.125, 0.125]
    assert schedules.milestones(np.arange(8), [5, 2, 5], 0.5).tolist() == ordered.tolist()


def test_warm_up_as_published() -> None:
    """Iyer 2024: i / t times the rate at the i-th of t steps; the last of them is at the full rate."""
    assert schedules.warmup(np.arange(6), 4).tolist() == [0.25, 0.5, 0.75, 1, 1, 1]
    assert schedules.warmup(np.arange(6), 2, start=3).tolist() == [1, 1, 1, 0.5, 1, 1]
    assert schedules.warmup(np.arange(3), 0).tolist() == [1, 1, 1]


def test_cosine_ends_at_zero_and_stays() -> None:
    found = schedules.cosine(np.arange(7), 4)
    assert found.tolist() == pytest.approx([1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0, 0, 0], abs=1e-16)
    assert found[4:].tolist() == [0, 0, 0]
    assert schedules.cosine(np.arange(2), 0).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"warmup_start": "3it"}, "warmup_start needs a warmup"),
        ({"drop": 0.5}, "drop and drop_start go together"),
        ({"drop_start": "3it"}, "drop and drop_start go together"),
        ({"cosine": "0ep"}, "cosine needs a horizon above 0"),
        ({"factor": 0.0}, "greater than 0"),
        ({"drop": -1, "drop_start": "1it"}, "greater than 0"),
        ({"factor": math.inf}, "finite"),
        ({"steps": ["1it"]}, "Extra inputs"),
    ],
)
def test_schedules_that_are_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        schedule(**fields)
