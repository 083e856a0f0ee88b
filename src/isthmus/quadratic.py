"""The noisy quadratic: what averaging networks does where the loss is a parabola and gradients are noisy.

One direction of weights x has the loss h x^2 / 2; a step of SGD at learning rate e is ``x <- r x - e g`` with
``r = 1 - e h`` and noise g of mean 0 and variance q. Every quantity below follows from that recursion, and is tested
against it. Directions with several curvatures simply add up (a spectrum).

What it leaves out, and what therefore is not to be expected of its numbers: training still goes downhill (means are 0
here); the loss is no parabola, its curvature differs from place to place and turns with training; the noise depends on
where the network is and on the batch, and is the same in every direction only here; momentum (absorbed in a rate that
is fitted, as long as a direction takes many steps to decay); weight decay against normalised weights, by which the
effective learning rate drifts; normalisation statistics that are measured anew; children of the trunk are taken to
differ by noise alone. Accuracy is no part of it: a gain is one of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadInput

__all__ = ["Fit", "course", "decay", "fit", "of_mean", "retrained", "spread", "squared_distance", "stationary"]

Floats = npt.NDArray[np.float64]


def decay(h: npt.ArrayLike, lr: npt.ArrayLike) -> Floats:
    """``r = 1 - lr h``, by which a step multiplies the distance from the minimum, noise apart.

    Raises:
        BadInput: ``lr h`` is not between 0 and 2, where SGD settles.
    """
    product = np.asarray(lr, dtype=np.float64) * np.asarray(h, dtype=np.float64)
    if not np.all((product > 0) & (product < 2)):
        raise BadInput(f"The learning rate times the curvature must be above 0 and below 2, found {product}.")
    return np.asarray(1.0 - product)


def stationary(h: npt.ArrayLike, lr: npt.ArrayLike, q: npt.ArrayLike) -> Floats:
    """The variance that x settles at: ``v = lr q / (h (2 - lr h))``.

    >>> float(stationary(2.0, 0.5, 3.0))
    0.75
    """
    decay(h, lr)
    h, lr, q = (np.asarray(value, dtype=np.float64) for value in (h, lr, q))
    return np.asarray(lr * q / (h * (2.0 - lr * h)))


def spread(v0: npt.ArrayLike, steps: npt.ArrayLike, h: npt.ArrayLike, lr: npt.ArrayLike, q: npt.ArrayLike) -> Floats:
    """The variance after so many steps from a variance ``v0``: ``r^(2s) v0 + v (1 - r^(2s))``.

    With ``v0`` that of a merge and another ``lr`` it is that of training on from the merge at that rate.
    """
    left = decay(h, lr) ** (2 * np.asarray(steps))
    return np.asarray(left * np.asarray(v0) + stationary(h, lr, q) * (1.0 - left))


def of_mean(
    v0: npt.ArrayLike, steps: npt.ArrayLike, n: int, h: npt.ArrayLike, lr: npt.ArrayLike, q: npt.ArrayLike
) -> Floats:
    """The variance of the mean of n children of one trunk: ``r^(2s) v0 + v (1 - r^(2s)) / n``.

    ``v0`` is that of the trunk, ``steps`` are those since the children left it: what they share is not averaged out.
    """
    left = decay(h, lr) ** (2 * np.asarray(steps))
    return np.asarray(left * np.asarray(v0) + stationary(h, lr, q) * (1.0 - left) / n)


def squared_distance(steps: npt.ArrayLike, h: npt.ArrayLike, lr: npt.ArrayLike, q: npt.ArrayLike) -> Floats:
    """The mean squared distance of two children after so many steps: ``2 v (1 - r^(2s))``, whatever their trunk."""
    return np.asarray(2.0 * stationary(h, lr, q) * (1.0 - decay(h, lr) ** (2 * np.asarray(steps))))


def retrained(n: int, steps: npt.ArrayLike, h: npt.ArrayLike, lr: npt.ArrayLike, q: npt.ArrayLike) -> Floats:
    """The variance after training on from the mean of n settled, independent networks: ``v (1 - r^(2t) (1 - 1/n))``."""
    return spread(stationary(h, lr, q) / n, steps, h, lr, q)


@dataclass(frozen=True)
class Fit:
    """Directions found in the distances of children over s: ``D^2(s) = sum_i size_i (1 - r_i^(2s))``.

    Attributes:
        decays: r_i of a step, one a direction (or group of them), the slowest first.
        sizes: twice their stationary variance, in squared units of weights.
        error: the root mean square of what the fit misses, as a share of that of the squared distances.
        at_limit: "slow" where the distances grow as if nothing held them back, so that the decay is an upper limit of
            what it may be; "fast" where they had settled before the first of them was measured; else empty.
    """

    decays: tuple[float, ...]
    sizes: tuple[float, ...]
    error: float
    at_limit: str = ""

    def squared_distance(self, steps: npt.ArrayLike) -> Floats:
        """The fitted squared distance after so many steps."""
        left = np.asarray(self.decays)[:, None] ** (2.0 * np.atleast_1d(np.asarray(steps, dtype=np.float64)))
        return np.asarray((np.asarray(self.sizes)[:, None] * (1.0 - left)).sum(0))


_SLOW, _FAST = 1e-3, 4.0
"""Rates looked at: from _SLOW / (last s) a step, a straight line, to _FAST / (first s), settled by then."""


def fit(steps: npt.ArrayLike, squared: npt.ArrayLike, *, spectrum: bool = False) -> Fit:
    """The decay per step that squared distances of children after so many steps speak for, by least squares.

    One curvature by default: ``D^2 = size (1 - r^(2s))``, in which a single decay has to say how soon distances
    settle. With ``spectrum`` as many as the distances ask for, of a grid of them, with sizes that are not negative:
    distances of real networks keep growing, and a single curvature cannot both grow on and have a fast part. What
    settles before the first distance is measured cannot be told apart; it is given the fastest decay looked at.

    Raises:
        BadInput: fewer than three different numbers of steps, or distances that are not above 0.
    """
    s, d = np.asarray(steps, dtype=np.float64), np.asarray(squared, dtype=np.float64)
    if s.ndim != 1 or s.shape != d.shape or len(set(s.tolist())) < 3:
        count = len(set(s.ravel().tolist()))
        raise BadInput(f"A decay is told by distances after at least three lengths of training, found {count}.")
    if not (np.all(s > 0) and np.all(d > 0) and np.isfinite(d).all()):
        raise BadInput("A decay is told by finite distances above 0 after at least one step; found others.")
    slow, fast = _SLOW / s.max(), _FAST / s.min()
    if spectrum:
        return _spectrum(s, d, slow, fast)
    low, high = np.log(slow), np.log(fast)
    for _ in range(6):  # each round looks 30 times as closely around the best of the one before
        grid = np.linspace(low, high, 61)
        best = int(np.argmin([_missed(s, d, float(np.exp(rate)))[1] for rate in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 60)]
    rate = float(np.exp((low + high) / 2))
    size, missed = _missed(s, d, rate)
    limit = "slow" if rate < 2 * slow else "fast" if rate > fast / 2 else ""
    return Fit((float(np.exp(-rate)),), (size,), float(np.sqrt(missed / (d**2).sum())), limit)


def _missed(s: Floats, d: Floats, rate: float) -> tuple[float, float]:
    """(size, sum of squares that are missed) at the best size for a rate."""
    shape = -np.expm1(-2.0 * rate * s)
    size = float(shape @ d / (shape @ shape))
    return size, float(((d - size * shape) ** 2).sum())


def _spectrum(s: Floats, d: Floats, slow: float, fast: float) -> Fit:
    from scipy.optimize import nnls

    rates = np.exp(np.linspace(np.log(slow * 10), np.log(fast), 40))
    shapes = -np.expm1(-2.0 * s[:, None] * rates)
    norms = np.sqrt((shapes**2).sum(0))
    sizes = nnls(shapes / norms, d)[0] / norms
    there = sizes > 1e-9 * sizes.max()
    missed = ((d - shapes @ sizes) ** 2).sum() / (d**2).sum()
    decays = tuple(np.exp(-rates[there]).tolist())
    return Fit(decays, tuple(sizes[there].tolist()), float(np.sqrt(missed)))


def course(found: Fit, s: int, after: npt.ArrayLike, *, factor: float = 1.0, n: int = 2) -> Floats:
    """The gain in loss of a merge of n children after training on for so many steps, as a share of the gain at once.

    The gain is the children's loss minus the merge's, the children going on at the learning rate that they had.
    At the same rate (``factor`` 1) it is ``r^(2t)`` for one curvature; at ``factor`` times that rate noise settles
    lower, so that the gain stays, or grows; there the trunk is taken to have settled. Several curvatures count by
    what they add to the loss, which is their curvature times their variance: slow directions make most of the
    distance and little of the gain.

    Args:
        found: from :func:`fit`.
        s: steps for which the children were trained apart.
        after: steps since the merge.
        factor: the learning rate after the merge, as a multiple of that before it.
        n: how many children were merged.
    """
    if factor <= 0 or n < 2:
        raise BadInput(f"Expected a factor above 0 and at least two children, found {factor} and {n}.")
    t = np.atleast_1d(np.asarray(after, dtype=np.float64))
    r, size = np.asarray(found.decays)[:, None], np.asarray(found.sizes)[:, None]
    pull = 1.0 - r  # learning rate times curvature
    settled = size / 2
    merged = settled * (1.0 - (1.0 - 1.0 / n) * (1.0 - r ** (2 * s)))
    lower = settled * factor * (2.0 - pull) / (2.0 - factor * pull)
    left = np.abs(1.0 - factor * pull) ** (2 * t)
    gain = (pull * (settled - left * merged - lower * (1.0 - left))).sum(0)
    return np.asarray(gain / (pull * (settled - merged)).sum())
