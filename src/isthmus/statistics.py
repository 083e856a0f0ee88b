"""Means, intervals and verdicts over seeds.

A rule about a mean is *held* or *failed* when the 95 % t-interval over seeds lies on one side of its
threshold and *undecided* when it straddles it. A rule written as a count, and any rule with fewer
than three seeds, is counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from isthmus.errors import BadInput

__all__ = ["Interval", "Verdict", "interval", "judge_count", "judge_mean"]

Verdict = Literal["held", "failed", "undecided"]
Side = Literal["<=", ">="]


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % t-interval; ``low`` and ``high`` are NaN for a single seed."""

    mean: float
    low: float
    high: float
    seeds: int


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean and the t-interval of values, one a seed.

    NaN in, NaN out. With one value there is no interval, with none there is no mean.

    >>> interval([1.0, 2.0, 3.0]).mean
    2.0
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise BadInput(f"An interval is taken over a list of numbers, found shape {x.shape}.")
    if len(x) == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    with np.errstate(invalid="ignore"):
        mean = float(x.mean())
        spread = float(x.std(ddof=1)) if len(x) > 1 else math.nan
    if len(x) == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = _t_quantile(0.5 + level / 2, len(x) - 1) * spread / math.sqrt(len(x))
    return Interval(mean, mean - half, mean + half, len(x))


def _t_quantile(probability: float, degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def judge_mean(values: Sequence[float], side: Side, threshold: float) -> Verdict:
    """Held, failed or undecided, for a rule about the mean; counted where there are fewer than three seeds.

    >>> judge_mean([0.1, 0.11, 0.12], "<=", 0.5), judge_mean([0.1, 0.9, 0.5], "<=", 0.5)
    ('held', 'undecided')
    """
    if len(values) < 3:
        return judge_count([_within(value, side, threshold) for value in values])
    found = interval(values)
    if math.isnan(found.mean):
        return "failed"
    if side == "<=":
        return "held" if found.high <= threshold else "failed" if found.low > threshold else "undecided"
    return "held" if found.low >= threshold else "failed" if found.high < threshold else "undecided"


def judge_count(right: Sequence[bool], needed: int | None = None, of: int | None = None) -> Verdict:
    """The verdict of a rule written as a count: ``needed`` of ``of`` seeds (default: all of those given).

    Held when at least ``needed`` seeds are on the right side. Failed when that can no longer happen and more than half
    of ``of`` are on the wrong side. Undecided between the two, as a mean is whose interval straddles its threshold.

    >>> judge_count([True, True]), judge_count([True, False]), judge_count([False, False])
    ('held', 'undecided', 'failed')
    >>> judge_count([True] * 9 + [False], needed=9), judge_count([True] * 4 + [False] * 6, needed=9)
    ('held', 'failed')
    >>> judge_count([True, True], needed=3, of=3)
    'undecided'
    """
    of = len(right) if of is None else of
    needed = of if needed is None else needed
    held = sum(right)
    if right and held >= needed:
        return "held"
    wrong = len(right) - held
    return "failed" if wrong > of - needed and 2 * wrong > of else "undecided"


def _within(value: float, side: Side, threshold: float) -> bool:
    return value <= threshold if side == "<=" else value >= threshold
