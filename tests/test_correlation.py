"""Rank correlations and their intervals against scipy's, and against what clusters owe."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from isthmus.correlation import clustered, spearman
from isthmus.errors import BadInput

values = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=20)


def cloud(points: int = 40, seed: int = 5) -> tuple[list[float], list[float]]:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=points)
    return x.tolist(), (0.6 * x + draw.normal(size=points)).tolist()


@given(values)
def test_the_correlation_is_scipys_with_and_without_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = (list(side) for side in zip(*pairs, strict=True))
    found = spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(found)
        return
    assert found == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert spearman(y, x) == found
    assert spearman(np.exp(x), y) == found  # ranks alone count
    assert spearman([-value for value in x], y) == -found


def test_the_interval_of_points_by_themselves_is_scipys() -> None:
    """Each point its own cluster: the plain percentile bootstrap, up to the draws."""
    x, y = cloud()
    found = clustered(x, y, range(40), resamples=4000)
    of_pairs = stats.bootstrap(
        (x, y),
        lambda a, b: stats.spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=1500,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert (found.points, found.clusters) == (40, 40)
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    # the ends of an interval of .45 vary by .008 over the draws of 1500 resamples
    assert (found.low, found.high) == pytest.approx((of_pairs.low, of_pairs.high), abs=0.03)


def test_points_told_three_times_make_no_interval_narrower() -> None:
    """Copies of a point in its cluster say nothing new; taken for points of their own they seem to."""
    x, y = cloud(24)
    once = clustered(x, y, range(24))
    again_x, again_y = ([value for value in side for _ in range(3)] for side in (x, y))
    thrice = clustered(again_x, again_y, [index // 3 for index in range(72)])
    naive = clustered(again_x, again_y, range(72))
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx((once.value, once.low, once.high), abs=1e-12)
    assert thrice.clusters == 24
    assert naive.high - naive.low < 0.75 * (once.high - once.low)


def test_another_seed_draws_others_and_the_same_the_same() -> None:
    x, y = cloud(12)
    first, second, other = (clustered(x, y, range(12), resamples=200, seed=seed) for seed in (3, 3, 4))
    assert first == second
    assert (first.low, first.high) != (other.low, other.high)
    wide, narrow = (clustered(x, y, range(12), level=level) for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_how_far_an_interval_is_from_0() -> None:
    up = clustered([1.0, 2.0, 3.0, 4.5], [2.0, 3.0, 5.0, 9.0], "abcd")
    assert (up.value, up.low, up.high, up.from_zero) == (1.0, 1.0, 1.0, 1.0)
    down = clustered([1.0, 2.0, 3.0, 4.5], [-2.0, -3.0, -5.0, -9.0], "abcd")
    assert (down.value, down.from_zero) == (-1.0, 1.0)
    none = clustered(range(40), [(17 * i) % 41 for i in range(40)], range(40))
    assert none.low < 0 < none.high
    assert none.from_zero == 0.0


def test_what_has_no_interval() -> None:
    two = clustered([1.0, 2.0, 3.0, 5.0], [4.0, 3.0, 9.0, 8.0], "aabb")
    assert two.value == pytest.approx(0.6)
    assert math.isnan(two.low)
    assert math.isnan(two.from_zero)
    assert math.isnan(clustered([1.0, math.nan, 2.0], [1.0, 2.0, 3.0], "abc").value)
    assert math.isnan(spearman([1.0], [2.0]))
    with pytest.raises(BadInput, match=r"found shapes \(2,\) and \(3,\)"):
        spearman([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(BadInput, match="expected 2 of them, found 3"):
        clustered([1.0, 2.0], [1.0, 2.0], "abc")
