"""Learning-rate schedules: pure functions of the global step, as factors that multiply.

Each takes an array of global steps (0 is the first step of training) and returns one factor a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["cosine", "drop", "milestones", "warmup"]

Steps = npt.NDArray[np.int64]
Factors = npt.NDArray[np.float64]


def milestones(steps: Steps, at: Sequence[int], factor: float) -> Factors:
    """``factor`` to the power of the number of milestones reached; a milestone acts from its own step on.

    >>> milestones(np.arange(4), [1, 3], 0.1).round(3).tolist()
    [1.0, 0.1, 0.1, 0.01]
    """
    reached = np.searchsorted(np.sort(np.asarray(at, dtype=np.int64)), steps, side="right")
    result: Factors = np.power(factor, reached.astype(np.float64))
    return result


def warmup(steps: Steps, length: int, start: int = 0) -> Factors:
    """Linear warm-up ``i / length`` for the i-th step (i = 1, 2, ...) from ``start``; 1 before it and after it."""
    if length <= 0:
        return np.ones(len(steps))
    ramp = (steps - start + 1) / length
    result: Factors = np.where(steps < start, 1.0, np.minimum(ramp, 1.0))
    return result


def cosine(steps: Steps, horizon: int) -> Factors:
    """``(1 + cos(pi t / horizon)) / 2``, and 0 from the horizon on."""
    if horizon <= 0:
        return np.zeros(len(steps))
    result: Factors = (1 + np.cos(np.pi * np.minimum(steps / horizon, 1.0))) / 2
    return result


def drop(steps: Steps, factor: float, start: int) -> Factors:
    """``factor`` from ``start`` on, 1 before: a drop now."""
    result: Factors = np.where(steps < start, 1.0, factor)
    return result
