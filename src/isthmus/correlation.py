"""Rank correlation, and its interval where observations come in clusters that are alike.

Seeds of one intervention are no independent observations of what interventions do: an interval that took them for
such would be too narrow. Here whole clusters are drawn again (the pairs cluster bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus import noise
from isthmus.errors import BadInput

__all__ = ["Correlation", "clustered", "spearman"]

Array = npt.NDArray[Any]
_FEWEST = 3  # clusters: below that there is nothing to draw again


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its interval; ``low`` and ``high`` are NaN where clusters are too few."""

    value: float
    low: float
    high: float
    points: int
    clusters: int

    @property
    def from_zero(self) -> float:
        """How far the interval lies from 0; 0 where it holds 0, NaN without an interval."""
        if math.isnan(self.low):
            return math.nan
        return max(self.low, -self.high, 0.0)


def spearman(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks.

    NaN with fewer than two points, where all values of one side are equal, or where any value is NaN.

    >>> spearman([0.1, 0.4, 0.3], [10.0, 12.0, 35.0])
    0.5
    """
    x, y = _paired(x, y)
    if np.isnan(x).any() or np.isnan(y).any():
        return math.nan
    return float(_weighted(x, y, np.ones((1, len(x)), np.int64))[0])


def clustered(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    clusters: Sequence[object],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Correlation:
    """:func:`spearman` of all points, with the percentile interval over draws of whole clusters with replacement.

    Args:
        x: shape (points,).
        y: shape (points,).
        clusters: to which cluster each point belongs.
        resamples: how many times clusters are drawn; draws without a correlation (all values equal) do not count.
        level: of the interval.
        seed: of the draws; the same seed gives the same interval everywhere.
    """
    x, y = _paired(x, y)
    names = list(dict.fromkeys(clusters))
    if len(clusters) != len(x):
        raise BadInput(f"Each point needs its cluster: expected {len(x)} of them, found {len(clusters)}.")
    value, count = spearman(x, y), len(names)
    if count < _FEWEST or math.isnan(value):
        return Correlation(value, math.nan, math.nan, len(x), count)
    places = {name: index for index, name in enumerate(names)}
    own = np.array([places[name] for name in clusters])
    drawn = (noise.uniform(resamples * count, seed, "clusters drawn again") * count).astype(np.int64)
    times = np.zeros((resamples, count), np.int64)  # how often a draw holds each cluster
    np.add.at(times, (np.repeat(np.arange(resamples), count), drawn), 1)
    found = _weighted(x, y, times[:, own])
    there = found[np.isfinite(found)]
    if not len(there):
        return Correlation(value, math.nan, math.nan, len(x), count)
    low, high = np.quantile(there, [(1 - level) / 2, (1 + level) / 2])
    return Correlation(value, float(low), float(high), len(x), count)


def _paired(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Array, Array]:
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise BadInput(f"A correlation is of two lists of one length, found shapes {first.shape} and {second.shape}.")
    return first, second


def _weighted(x: Array, y: Array, times: Array) -> Array:
    """The correlation of each row of ``times``, which says how often each point is there, shape (draws, points).

    From sums of integers, which are exact, so that it is the same on every machine; NaN where a side is constant.
    """
    ranks_x, ranks_y = _ranks(x, times), _ranks(y, times)
    count = times.sum(axis=1)

    def apart(a: Array, b: Array) -> Array:
        result: Array = count * (times * a * b).sum(axis=1) - (times * a).sum(axis=1) * (times * b).sum(axis=1)
        return result.astype(np.float64)

    with np.errstate(invalid="ignore"):
        found: Array = apart(ranks_x, ranks_y) / np.sqrt(apart(ranks_x, ranks_x) * apart(ranks_y, ranks_y))
    return found


def _ranks(values: Array, times: Array) -> Array:
    """Twice the mean rank of each point, an integer, among the points as often as they are there."""
    known, where = np.unique(values, return_inverse=True)
    of_value = times @ (where[:, None] == np.arange(len(known))).astype(np.int64)
    doubled: Array = (2 * np.cumsum(of_value, axis=1) - of_value + 1)[:, where]
    return doubled
