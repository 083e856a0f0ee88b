"""Barriers, gaps and shape labels against their definitions written out as loops, and their algebra."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from isthmus import curves
from isthmus.curves import DEFINITIONS, barrier, gap, shape
from isthmus.errors import BadInput

Curve = tuple[list[float], list[float]]
values = st.floats(-50, 50).map(lambda value: round(value, 6))


@st.composite
def curves_(draw: st.DrawFn, lowest: float = -50.0, highest: float = 50.0) -> Curve:
    inner = draw(st.lists(st.integers(1, 999), unique=True, max_size=9).map(sorted))
    alphas = [0.0, *(i / 1000 for i in inner), 1.0]
    losses = st.floats(lowest, highest).map(lambda value: round(value, 6))
    return alphas, draw(st.lists(losses, min_size=len(alphas), max_size=len(alphas)))


def chord_at(alpha: float, y: Sequence[float]) -> float:
    return (1 - alpha) * y[0] + alpha * y[-1]


def by_magnitude(found: Sequence[float]) -> float:
    return max(found, key=abs)


def naive_midpoint(x: Sequence[float], y: Sequence[float]) -> float:
    for i in range(len(x) - 1):
        if x[i] <= 0.5 <= x[i + 1]:
            t = (0.5 - x[i]) / (x[i + 1] - x[i])
            return (1 - t) * y[i] + t * y[i + 1] - (y[0] + y[-1]) / 2
    raise AssertionError


ORACLES: dict[str, Callable[[Sequence[float], Sequence[float]], float]] = {
    "chord": lambda x, y: max(0.0, *(b - chord_at(a, y) for a, b in zip(x, y))),
    "signed": lambda x, y: by_magnitude([b - chord_at(a, y) for a, b in zip(x[1:-1], y[1:-1])] or [0.0]),
    "mean": lambda _, y: max(y) - (y[0] + y[-1]) / 2,
    "signed_mean": lambda _, y: by_magnitude([b - (y[0] + y[-1]) / 2 for b in y]),
    "midpoint": naive_midpoint,
    "rise": lambda _, y: max(0.0, *(y[j] - y[i] for i in range(len(y)) for j in range(i + 1, len(y)))),
}
CLOSE = 1e-12  # a few roundings of numbers up to 100: 4 * 100 * 2**-53 is 5e-14


def test_every_definition_has_an_oracle_and_the_published_names() -> None:
    assert set(DEFINITIONS) == set(ORACLES) == {"chord", "signed", "mean", "signed_mean", "midpoint", "rise"}


@pytest.mark.parametrize("definition", sorted(set(ORACLES) - {"signed", "signed_mean"}))
@given(curve=curves_())
def test_against_the_definition(definition: str, curve: Curve) -> None:
    found = barrier(*curve, definition)
    assert type(found) is float
    assert found == pytest.approx(ORACLES[definition](*curve), abs=CLOSE)


@pytest.mark.parametrize("definition", ["signed", "signed_mean"])
@given(curve=curves_())
def test_the_signed_ones_against_the_definition(definition: str, curve: Curve) -> None:
    """Magnitudes agree always; signs wherever the two largest magnitudes do not tie."""
    found, expected = barrier(*curve, definition), ORACLES[definition](*curve)
    assert abs(found) == pytest.approx(abs(expected), abs=CLOSE)
    x, y = curve
    center = [chord_at(a, y) for a in x] if definition == "signed" else [(y[0] + y[-1]) / 2] * len(x)
    inside = slice(1, -1) if definition == "signed" else slice(None)
    deviations = [b - c for b, c in zip(y, center)][inside] or [0.0]
    if abs(max(deviations) + min(deviations)) > 1e-9:
        assert found == pytest.approx(expected, abs=CLOSE)


def test_hand_computed_curve() -> None:
    """L = 2, 1, 4, 3.5, 1.5 over 0, .25, .5, .8, 1; the chord is 2, 1.875, 1.75, 1.6, 1.5."""
    x, y = [0, 0.25, 0.5, 0.8, 1], [2.0, 1.0, 4.0, 3.5, 1.5]
    expected = {"chord": 2.25, "signed": 2.25, "mean": 2.25, "signed_mean": 2.25, "midpoint": 2.25, "rise": 3.0}
    assert gap(x, y).tolist() == pytest.approx([0, -0.875, 2.25, 1.9, 0], abs=1e-15)
    assert {name: barrier(x, y, name) for name in DEFINITIONS} == pytest.approx(expected, abs=1e-15)


def test_a_dip_is_negative_by_the_signed_names_only() -> None:
    x, y = [0.0, 0.3, 0.6, 1.0], [3.0, 0.5, 1.0, 2.0]
    found = {name: barrier(x, y, name) for name in DEFINITIONS}
    # chord at .3 is 2.7, at .6 is 2.4, at 1/2 is 2.5; L(1/2) on the way from .5 to 1.0 is .8333
    expected = {
        "chord": 0.0,
        "signed": -2.2,
        "mean": 0.5,
        "signed_mean": -2.0,
        "midpoint": 0.5 + 0.5 * (0.2 / 0.3) - 2.5,
        "rise": 1.5,
    }
    assert found == pytest.approx(expected, abs=1e-12)


@given(curves_())
def test_the_gap_by_its_formula_and_exactly_zero_at_the_ends(curve: Curve) -> None:
    found = gap(*curve)
    assert found.tolist() == pytest.approx([b - chord_at(a, curve[1]) for a, b in zip(*curve)], abs=CLOSE)
    assert (found[0], found[-1]) == (0.0, 0.0)


@given(curves_())
def test_the_chord_barrier_is_never_negative_and_signed_never_larger_in_size(curve: Curve) -> None:
    assert barrier(*curve, "chord") >= 0.0
    assert barrier(*curve, "rise") >= 0.0
    assert barrier(*curve, "mean") >= abs(curve[1][0] - curve[1][-1]) / 2 - CLOSE
    assert barrier(*curve, "signed") <= barrier(*curve, "chord")
    assert abs(barrier(*curve, "signed")) >= abs(barrier(*curve, "midpoint")) - CLOSE


@given(curves_(), values, values)
def test_adding_a_linear_function_changes_no_gap(curve: Curve, slope: float, level: float) -> None:
    x, y = curve
    tilted = [b + level + slope * a for a, b in zip(x, y)]
    assert gap(x, tilted).tolist() == pytest.approx(gap(x, y).tolist(), abs=CLOSE)
    for name in ("chord", "midpoint"):
        assert barrier(x, tilted, name) == pytest.approx(barrier(x, y, name), abs=CLOSE)


@given(curves_(), values)
def test_adding_a_constant_changes_no_barrier(curve: Curve, level: float) -> None:
    x, y = curve
    for name in ("chord", "mean", "midpoint", "rise"):
        assert barrier(x, [b + level for b in y], name) == pytest.approx(barrier(x, y, name), abs=CLOSE)


@given(curves_(), st.integers(-20, 20))
def test_scaling_the_loss_by_a_power_of_two_scales_every_barrier_exactly(curve: Curve, exponent: int) -> None:
    x, y = curve
    for name in DEFINITIONS:
        assert barrier(x, [math.ldexp(b, exponent) for b in y], name) == math.ldexp(barrier(x, y, name), exponent)


@given(curves_())
def test_walking_the_path_backwards_changes_all_but_the_rise(curve: Curve) -> None:
    x, y = curve
    back = [1 - a for a in reversed(x)], y[::-1]
    assert gap(*back).tolist() == pytest.approx(gap(x, y)[::-1].tolist(), abs=CLOSE)
    for name in ("chord", "mean", "midpoint"):
        assert barrier(*back, name) == pytest.approx(barrier(x, y, name), abs=CLOSE)
    for name in ("signed", "signed_mean"):
        assert abs(barrier(*back, name)) == pytest.approx(abs(barrier(x, y, name)), abs=CLOSE)
    fall = max(0.0, *(y[i] - y[j] for i in range(len(y)) for j in range(i + 1, len(y))))
    assert barrier(*back, "rise") == pytest.approx(fall, abs=CLOSE)


@given(curves_())
def test_the_rise_is_zero_exactly_where_the_curve_never_climbs(curve: Curve) -> None:
    x, y = curve
    monotone = all(later <= earlier for earlier, later in pairwise(y))
    assert (barrier(x, y, "rise") == 0.0) == monotone
    assert barrier(x, sorted(y, reverse=True), "rise") == 0.0
    assert barrier(x, sorted(y), "rise") == max(y) - min(y)
    assert curves.rise(x, y) == barrier(x, y, "rise")


def test_a_climb_that_begins_at_the_last_interior_point_counts() -> None:
    assert barrier([0, 0.4, 0.9, 1], [3.0, 2.0, 1.0, 1.75], "rise") == 0.75


@given(curves_(), st.integers(1, 999))
def test_refining_a_piecewise_linear_curve_changes_no_barrier(curve: Curve, at: int) -> None:
    x, y = curve
    extra = at / 1000
    assume(extra not in x)
    finer = sorted([*x, extra])
    refined = np.interp(finer, x, y).tolist()
    for name in ("chord", "mean", "rise", "midpoint"):
        assert barrier(finer, refined, name) == pytest.approx(barrier(x, y, name), abs=CLOSE)


@given(st.lists(st.integers(1, 999), unique=True, max_size=9), values, values)
def test_a_loss_linear_along_the_path(inner: list[int], start: float, end: float) -> None:
    x = [0.0, *(i / 1000 for i in sorted(inner)), 1.0]
    y = [start, *(chord_at(a, [start, end]) for a in x[1:-1]), end]
    assert barrier(x, y, "chord") == pytest.approx(0.0, abs=CLOSE)
    assert barrier(x, y, "midpoint") == pytest.approx(0.0, abs=CLOSE)
    assert barrier(x, y, "mean") == pytest.approx(abs(end - start) / 2, abs=CLOSE)
    assert barrier(x, y, "rise") == pytest.approx(max(0.0, end - start), abs=CLOSE)


@given(values, values)
def test_of_two_equal_magnitudes_the_positive_one_whatever_the_rounding(start: float, end: float) -> None:
    """The two ends deviate from their mean by opposite amounts: without an excess inside, that is a tie."""
    for y in ([start, end], [start, start, end], [start, end, end]):
        x = np.linspace(0, 1, len(y))
        assert barrier(x, y, "signed_mean") == abs(end - start) / 2


def test_a_tie_between_gaps_goes_to_the_positive_one() -> None:
    assert barrier([0, 0.25, 0.75, 1], [0.0, -2.0, 2.0, 0.0], "signed") == 2.0
    assert barrier([0, 0.25, 0.75, 1], [0.0, 2.0, -2.0, 0.0], "signed") == 2.0


def test_a_quadratic_has_the_midpoint_gap_of_its_curvature() -> None:
    """L = c alpha^2 + linear: gap = -c alpha (1 - alpha), so c = -4 gives alpha (1 - alpha) * 4 and a chord of 1."""
    x = np.linspace(0, 1, 25)
    y = -4 * x**2 + 2.5 * x + 7
    assert gap(x, y).tolist() == pytest.approx((4 * x * (1 - x)).tolist(), abs=CLOSE)
    assert barrier(x, y, "chord") == pytest.approx(1.0, abs=CLOSE)
    assert barrier(x, -y, "signed") == pytest.approx(-1.0, abs=CLOSE)


def test_the_midpoint_is_interpolated_where_it_is_not_on_the_grid() -> None:
    # between .4 (loss 3) and .8 (loss 5): L(1/2) = 3.5, less the mean of 1 and 2
    assert barrier([0, 0.4, 0.8, 1], [1.0, 3.0, 5.0, 2.0], "midpoint") == pytest.approx(2.0, abs=1e-15)
    assert barrier([0, 1], [1.0, 7.0], "midpoint") == 0.0


@pytest.mark.parametrize("definition", sorted(DEFINITIONS))
@pytest.mark.parametrize("where", [0, 1, 2, 3])
def test_nan_in_nan_out(definition: str, where: int) -> None:
    losses = [1.0, 2.0, 0.5, 0.75]
    losses[where] = math.nan
    assert math.isnan(barrier([0, 0.4, 0.5, 1], losses, definition))


def test_infinity_is_kept() -> None:
    x = [0, 0.5, 1]
    inside = [1.0, math.inf, 2.0]
    assert {name: barrier(x, inside, name) for name in DEFINITIONS} == dict.fromkeys(DEFINITIONS, math.inf)
    assert barrier(x, [math.inf, 1.0, 3.0], "rise") == 2.0  # falls from infinity, then climbs by 2
    assert math.isnan(barrier(x, [math.inf, 1.0, 3.0], "chord"))  # a chord through infinity is undefined
    assert gap(x, [1.0, math.nan, 2.0])[::2].tolist() == [0.0, 0.0]
    assert gap(x, [1.0, 2.0, math.inf])[0] == 0.0


@pytest.mark.parametrize(
    ("alphas", "losses", "says"),
    [
        ([0, 0.5], [1.0, 2.0], "rise from 0 to 1"),
        ([0.1, 1], [1.0, 2.0], "rise from 0 to 1"),
        ([0, 0.5, 0.5, 1], [1.0, 2.0, 3.0, 4.0], "rise from 0 to 1"),
        ([0, 0.7, 0.3, 1], [1.0, 2.0, 3.0, 4.0], "rise from 0 to 1"),
        ([1, 0], [1.0, 2.0], "rise from 0 to 1"),
        ([-0.5, 0, 1, 1.5], [1.0, 2.0, 3.0, 4.0], "rise from 0 to 1"),
        ([0, math.nan, 1], [1.0, 2.0, 3.0], "rise from 0 to 1"),
        ([0], [1.0], "rise from 0 to 1"),
        ([], [], "rise from 0 to 1"),
        ([0, 0.5, 1], [1.0, 2.0], r"one length, found shapes \(3,\) and \(2,\)"),
        ([[0, 1]], [[1.0, 2.0]], r"found shapes \(1, 2\) and \(1, 2\)"),
        ([0, 1], 3.0, r"found shapes \(2,\) and \(\)"),
    ],
)
def test_bad_curves_are_refused(alphas: Any, losses: Any, says: str) -> None:
    calls: list[Callable[..., object]] = [barrier, gap, shape, curves.rise]
    for call in calls:
        with pytest.raises(ValueError, match=says) as caught:
            call(alphas, losses)
        assert isinstance(caught.value, BadInput)


def test_an_unknown_definition_offers_the_nearest() -> None:
    with pytest.raises(BadInput, match="no barrier definition 'cord'; did you mean \"chord\""):
        barrier([0, 1], [1.0, 2.0], "cord")


def test_inputs_are_left_as_they_were_and_may_be_integers() -> None:
    x, y = np.array([0, 1]), np.array([3, 5])
    before = x.copy(), y.copy()
    assert gap(x, y).dtype == np.float64
    for name in DEFINITIONS:
        barrier(x, y, name)
    shape(x, y)
    assert (x == before[0]).all()
    assert (y == before[1]).all()


# --- the shape label ---------------------------------------------------------------------------


def naive_shape(x: Sequence[float], y: Sequence[float], classes: int | None) -> str:
    climb = ORACLES["rise"](x, y)
    bound = min(y[0], math.log(classes)) if classes else y[0]
    if climb >= max(0.05, 0.1 * bound):
        return "B"
    if all(b >= 0.9 * y[0] for a, b in zip(x, y) if a <= 0.8) and y[-1] <= 0.5 * y[0]:
        return "P"
    return "F" if y[-1] > 0.5 * y[0] else "NB"


@st.composite
def descents(draw: st.DrawFn) -> Curve:
    """Curves that mostly fall, with small climbs: all four labels are common among them."""
    x, _ = draw(curves_())
    start = draw(st.floats(0.3, 6).map(lambda v: round(v, 4)))
    until = draw(st.floats(0, 1))
    end = draw(st.floats(0, 1))
    bumps = draw(st.lists(st.floats(-0.2, 0.2), min_size=len(x), max_size=len(x)))
    y = [start * (1.0 if a <= until else 1 - (1 - end) * a) * (1 + b * 0.4 * (a > 0)) for a, b in zip(x, bumps)]
    return x, y


@given(descents(), st.none() | st.integers(2, 1000))
def test_the_label_against_its_definition(curve: Curve, classes: int | None) -> None:
    x, y = curve
    found = shape(x, y, classes)
    assert found == naive_shape(x, y, classes)
    assert type(str(found)) is str
    assert found.numbers == {
        "rise": barrier(x, y, "rise"),
        "threshold": max(0.05, 0.1 * min(y[0], math.log(classes) if classes else math.inf)),
        "plateau": pytest.approx(min(b / y[0] for a, b in zip(x, y) if a <= 0.8)),
        "descent": pytest.approx(y[-1] / y[0]),
    }


LN10 = math.log(10)
GRID = [0, 0.2, 0.4, 0.6, 0.8, 1]


@pytest.mark.parametrize(
    ("losses", "label"),
    [
        ([2.3, 2.3, 2.35, 2.3, 2.2, 0.1], "P"),  # the base set-up: stands a little above chance, then drops
        ([2.3, 2.3, 2.4, 2.6, 2.2, 0.1], "B"),
        ([2.3, 1.7, 1.2, 0.8, 0.4, 0.1], "NB"),
        ([2.3, 2.3, 2.29, 2.2, 2.1, 1.9], "F"),
        ([2.3, 1.7, 1.2, 0.8, 0.4, 0.7], "B"),  # a climb at the end counts
        ([2.0, 2.0, 1.9, 1.8, 1.8, 1.0], "P"),  # exactly 0.9 and exactly 0.5
        ([2.0, 2.0, 1.9, 1.8, 1.799, 1.0], "NB"),
        ([2.0, 2.0, 1.9, 1.8, 1.8, 1.001], "F"),
        ([0.4, 0.3, 0.351, 0.2, 0.1, 0.0], "B"),  # small losses: a climb of .05 is enough
        ([0.4, 0.3, 0.34, 0.2, 0.1, 0.0], "NB"),
    ],
)
def test_labels_by_example(losses: list[float], label: str) -> None:
    assert shape(GRID, losses, classes=10) == label


def test_the_threshold_is_bounded_by_chance() -> None:
    """An initial loss of 8 would ask for a climb of .8; ln 10 caps it at .23."""
    losses = [8.0, 6.0, 6.5, 5.0, 3.0, 0.2]
    assert shape(GRID, losses) == "NB"
    assert shape(GRID, losses).threshold == pytest.approx(0.8)
    assert shape(GRID, losses, classes=10) == "B"
    assert shape(GRID, losses, classes=10).threshold == 0.1 * LN10


def test_a_climb_of_exactly_the_threshold_is_a_barrier() -> None:
    assert shape([0, 0.5, 1], [0.25, 0.125, 0.125 + 0.0625], 10) == "B"
    assert barrier([0, 0.5, 1], [10.0, 4.0, 5.0], "rise") == shape([0, 0.5, 1], [10.0, 4.0, 5.0]).threshold == 1.0
    assert shape([0, 0.5, 1], [10.0, 4.0, 5.0]) == "B"


@pytest.mark.parametrize("points", [6, 11, 21, 26, 51, 101])
def test_the_plateau_reaches_point_eight_however_the_grid_rounds_it(points: int) -> None:
    x = np.linspace(0, 1, points)
    at = int(np.argmin(np.abs(x - 0.8)))
    y = np.where(np.arange(points) < at, 2.0, np.where(np.arange(points) == at, 1.7, 0.1))
    assert shape(x, y) == "NB"  # it has left the plateau at .8
    x[at] = np.nextafter(0.8, 1.0)  # 0.8 as another way of making the grid rounds it
    assert shape(x, y) == "NB"
    y[at] = 1.9
    assert shape(x, y) == "P"


def test_a_curve_with_nan_has_no_shape() -> None:
    for where in range(3):
        losses = [2.0, 1.0, 0.5]
        losses[where] = math.nan
        found = shape([0, 0.5, 1], losses, 10)
        assert found == "NaN"
        assert math.isnan(found.rise)


def test_a_loss_of_zero_at_the_start_raises_no_warning() -> None:
    assert shape([0, 0.5, 1], [0.0, 0.0, 0.0], 10) == "P"
    assert shape([0, 0.5, 1], [0.0, 0.2, 0.1], 10) == "B"


@pytest.mark.parametrize("classes", [1, 0, -3])
def test_classes_must_make_sense(classes: int) -> None:
    with pytest.raises(BadInput, match=f"at least 2, found {classes}"):
        shape([0, 1], [2.0, 1.0], classes)


def test_a_label_survives_copies_and_json() -> None:
    found = shape(GRID, [2.3, 2.3, 2.4, 2.6, 2.2, 0.1], 10)
    for other in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert other == found == "B"
        assert other.numbers == found.numbers
    assert json.dumps(found) == '"B"'
    assert {"B": 1}[found] == 1
