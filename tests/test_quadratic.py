"""The noisy quadratic: every closed form against the recursion it is of, step by step and with drawn noise."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import quadratic
from isthmus.errors import BadInput

Floats = npt.NDArray[np.float64]
WALKERS = 120_000
FIVE_SIGMA = 5 * math.sqrt(2 / WALKERS)  # of the variance of normal numbers, as a share of it


def walk(x: Floats, steps: int, h: float, lr: float, q: float, generator: np.random.Generator) -> Floats:
    for _ in range(steps):
        x = x - lr * (h * x + math.sqrt(q) * generator.standard_normal(x.shape))
    return x


@given(st.floats(0.05, 3), st.floats(0.02, 1.9), st.floats(0.1, 4), st.floats(0, 5), st.integers(0, 60))
def test_the_variance_step_by_step(h: float, share: float, q: float, v0: float, steps: int) -> None:
    lr = share / h
    variance = v0
    for _ in range(steps):
        variance = (1 - lr * h) ** 2 * variance + lr**2 * q
    assert float(quadratic.spread(v0, steps, h, lr, q)) == pytest.approx(variance, rel=1e-9, abs=1e-12)
    settled = float(quadratic.stationary(h, lr, q))
    assert (1 - lr * h) ** 2 * settled + lr**2 * q == pytest.approx(settled, rel=1e-12)  # a fixed point
    assert float(quadratic.decay(h, lr)) == 1 - lr * h


@pytest.mark.parametrize(("h", "lr", "q", "v0", "s", "n"), [(0.7, 0.11, 1.9, 2.3, 9, 2), (1.3, 0.9, 0.4, 0.6, 3, 3)])
def test_children_of_one_trunk_with_drawn_noise(h: float, lr: float, q: float, v0: float, s: int, n: int) -> None:
    generator = np.random.default_rng(7)
    trunk = generator.standard_normal(WALKERS) * math.sqrt(v0)
    children = np.stack([walk(trunk, s, h, lr, q, generator) for _ in range(n)])
    assert children[0].var() == pytest.approx(float(quadratic.spread(v0, s, h, lr, q)), rel=FIVE_SIGMA)
    mean = children.mean(0)
    assert mean.var() == pytest.approx(float(quadratic.of_mean(v0, s, n, h, lr, q)), rel=FIVE_SIGMA)
    apart = ((children[0] - children[1]) ** 2).mean()
    assert apart == pytest.approx(float(quadratic.squared_distance(s, h, lr, q)), rel=FIVE_SIGMA)
    for other in (lr, 0.2 * lr):  # training on from the merge, at the same rate and a lower one
        on = walk(mean, 6, h, other, q, generator)
        expected = quadratic.spread(quadratic.of_mean(v0, s, n, h, lr, q), 6, h, other, q)
        assert on.var() == pytest.approx(float(expected), rel=FIVE_SIGMA)


def test_training_on_from_the_mean_of_settled_networks() -> None:
    h, lr, q, t = 0.6, 0.4, 1.7, 4
    generator = np.random.default_rng(8)
    settled = float(quadratic.stationary(h, lr, q))
    many = walk(generator.standard_normal((2, WALKERS)) * math.sqrt(settled), 5, h, lr, q, generator)
    assert many.var() == pytest.approx(settled, rel=FIVE_SIGMA)
    on = walk(many.mean(0), t, h, lr, q, generator)
    r = 1 - 0.6 * 0.4
    assert float(quadratic.retrained(2, t, h, lr, q)) == pytest.approx(settled * (1 - r ** (2 * t) / 2), rel=1e-12)
    assert on.var() == pytest.approx(settled * (1 - r ** (2 * t) / 2), rel=FIVE_SIGMA)
    assert float(quadratic.retrained(3, t, h, lr, q)) == pytest.approx(settled * (1 - r ** (2 * t) * 2 / 3), rel=1e-12)


@pytest.mark.parametrize(("h", "lr"), [(0.0, 0.1), (2.0, 1.0), (1.0, -0.1)])
def test_what_does_not_settle(h: float, lr: float) -> None:
    with pytest.raises(BadInput, match="above 0 and below 2"):
        quadratic.stationary(h, lr, 1.0)


# --- the fit ----------------------------------------------------------------------------------------------------------

S = (390, 780, 1170, 1560, 1950)


@given(st.floats(2e-5, 4e-3), st.floats(1e-3, 1e4))
def test_a_decay_is_found_again(rate: float, size: float) -> None:
    decay = math.exp(-rate)
    squared = [size * (1 - decay ** (2 * s)) for s in S]
    found = quadratic.fit(S, squared)
    assert found.decays[0] == pytest.approx(decay, abs=1e-3 * rate)
    assert found.sizes[0] == pytest.approx(size, rel=1e-3)
    assert found.error < 1e-4
    assert found.squared_distance(S) == pytest.approx(squared, rel=1e-3)
    times = (0, 100, 700)
    shares = quadratic.course(found, S[-1], times)
    assert shares == pytest.approx([decay ** (2 * t) for t in times], rel=1e-3)


def test_what_distances_cannot_tell_is_said() -> None:
    straight = quadratic.fit(S, [0.3 * s for s in S])
    assert straight.at_limit == "slow"
    assert quadratic.course(straight, S[-1], 400)[0] > 0.99
    settled = quadratic.fit(S, [7.0] * 5)
    assert settled.at_limit == "fast"
    assert settled.sizes[0] == pytest.approx(7, rel=1e-2)
    assert quadratic.fit(S, [1 - 0.999 ** (2 * s) for s in S]).at_limit == ""
    for steps, squared in (((5, 9), (1.0, 2.0)), ((5, 9, 9), (1.0, 2.0, 2.1))):
        with pytest.raises(BadInput, match=r"at least three lengths of training, found 2\.$"):
            quadratic.fit(steps, squared)
    with pytest.raises(BadInput, match="finite distances above 0"):
        quadratic.fit((1, 2, 3), (1.0, math.nan, 2.0))


def several(s: npt.ArrayLike) -> Floats:
    """Three curvatures: settled at once, on the way, far from it."""
    return np.asarray(sum(size * (1 - r ** (2.0 * np.asarray(s))) for size, r in DIRECTIONS))


DIRECTIONS = ((2.0, 0.99), (5.0, 0.9992), (60.0, 0.99998))


def gain_of(s: int, t: float) -> float:
    """The share of the gain that is left, written out: curvature times variance, direction by direction."""
    at_once = [(1 - r) * size * (1 - r ** (2 * s)) for size, r in DIRECTIONS]
    return math.fsum(one * r ** (2 * t) for one, (_, r) in zip(at_once, DIRECTIONS, strict=True)) / math.fsum(at_once)


def test_distances_that_keep_growing_need_several_curvatures() -> None:
    single, found = (quadratic.fit(S, several(S), spectrum=spectrum) for spectrum in (False, True))
    assert found.error < 1e-3 < single.error
    assert list(found.decays) == sorted(found.decays, reverse=True)
    assert len(found.decays) > 1
    t = S[0]
    truth, one, many = gain_of(S[-1], t), *(quadratic.course(fit, S[-1], t)[0] for fit in (single, found))
    assert truth < 0.1
    assert abs(many - truth) < 0.1 < abs(one - truth)  # the single one keeps the gain far too long


def test_gain_and_its_loss_step_by_step() -> None:
    """Children of a settled trunk, their merge, further training: variances followed step by step, losses added up."""
    lr, q, s, n, times = 0.7, 1.3, 12, 3, (0, 2, 7)
    curvatures = (0.4, 1.1)
    sizes, gains = [], {(factor, t): 0.0 for factor in (1.0, 0.25) for t in times}
    for h in curvatures:
        settled = lr**2 * q / (1 - (1 - lr * h) ** 2)
        sizes.append(2 * settled)
        shared, own = settled, 0.0
        for _ in range(s):
            shared, own = (1 - lr * h) ** 2 * shared, (1 - lr * h) ** 2 * own + lr**2 * q
        assert shared + own == pytest.approx(settled, rel=1e-12)
        for factor, t in gains:
            variance = shared + own / n
            for _ in range(t):
                variance = (1 - factor * lr * h) ** 2 * variance + (factor * lr) ** 2 * q
            gains[factor, t] += h / 2 * (settled - variance)
    found = quadratic.Fit(tuple(1 - lr * h for h in curvatures), tuple(sizes), 0.0)
    for factor in (1.0, 0.25):
        predicted = quadratic.course(found, s, times, factor=factor, n=n)
        assert predicted == pytest.approx([gains[factor, t] / gains[factor, 0] for t in times], rel=1e-9)
    assert predicted[-1] > 1  # a lower rate does not lose the gain: noise settles lower


@given(st.floats(0.05, 0.999), st.integers(1, 500), st.integers(2, 5))
def test_at_the_same_rate_one_curvature_loses_its_gain_by_its_decay(r: float, s: int, n: int) -> None:
    found = quadratic.Fit((r,), (3.0,), 0.0)
    times = [0, 1, 5]
    assert quadratic.course(found, s, times, n=n) == pytest.approx([r ** (2 * t) for t in times], rel=1e-9, abs=1e-12)


def test_what_course_refuses() -> None:
    for options in ({"factor": 0.0}, {"n": 1}):
        with pytest.raises(BadInput, match="factor above 0 and at least two children"):
            quadratic.course(quadratic.Fit((0.9,), (1.0,), 0.0), 3, 1, **options)
