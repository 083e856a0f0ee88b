"""Cases whose answers are known in closed form, from networks to numbers through what users call.

The statistics of a merge's first normalisation layer are in ``test_normalisation``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

import isthmus
from isthmus import NetworkState, Noise, Recipe, evaluate_path, importance, merge, paths, predict, train, weights

GRID = np.linspace(0, 1, 9)
FLOAT32 = 2.0**-23
"""Losses of examples are kept in single precision: a gap is off by at most three roundings of the largest."""


def generic(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def along(model: nn.Module, ends: list[dict[str, Tensor]], inputs: Tensor, targets: Tensor, loss: Any) -> Any:
    return evaluate_path(model, paths.line(*ends), (inputs, targets), alphas=9, loss=loss)


def random_ends(model: nn.Module, scale: float = 1.0) -> list[dict[str, Tensor]]:
    return [
        {name: scale * generic(91 * side + index, *tensor.shape) for index, (name, tensor) in enumerate(named)}
        for side, named in enumerate([list(model.state_dict().items())] * 2)
    ]


def tolerance(result: isthmus.PathResult) -> float:
    return 2 * FLOAT32 * float(np.abs(result.per_example_loss).max())


class Point(nn.Module):
    """Its weights, whatever the input."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.w = nn.Parameter(generic(1, size))

    def forward(self, x: Tensor) -> Tensor:
        return self.w.expand(len(x), -1)


# --- gaps along a line


@pytest.mark.parametrize("sign", [1, -1])
def test_a_quadratic_loss(sign: int) -> None:
    """gap = -alpha (1 - alpha) d'Hd / 2, of either sign."""
    root, g = generic(5, 4, 4), generic(6, 4)
    H, model = sign * (root @ root.T), Point(4)
    a, b = random_ends(model)
    found = along(model, [a, b], generic(7, 3, 1), generic(8, 3), lambda w, _: ((w @ H) * w).sum(1) / 2 + w @ g + 2)
    d = b["w"] - a["w"]
    expected = -GRID * (1 - GRID) * float(d @ H @ d) / 2
    np.testing.assert_allclose(found.gap(), expected, rtol=0, atol=tolerance(found))
    assert found.barrier("midpoint") == pytest.approx(expected[4], abs=tolerance(found))
    assert found.barrier("chord") == pytest.approx(max(expected.max(), 0), abs=tolerance(found))
    assert math.copysign(1, found.barrier("signed")) == -sign


def test_mean_squared_error_of_a_linear_model() -> None:
    """gap = -alpha (1 - alpha) ||X d||^2 / n, whatever the targets."""
    model, x, y = nn.Linear(3, 2, bias=False).double(), generic(1, 11, 3), generic(2, 11, 2)
    a, b = random_ends(model)
    found = along(model, [a, b], x, y, lambda outputs, targets: ((outputs - targets) ** 2).sum(1))
    moved = x @ (b["weight"] - a["weight"]).T
    expected = -GRID * (1 - GRID) * float((moved**2).sum()) / 11
    np.testing.assert_allclose(found.gap(), expected, rtol=0, atol=tolerance(found))


@pytest.mark.parametrize("scale", [0.3, 3.0, 20.0])
def test_softmax_regression_has_no_barrier(scale: float) -> None:
    model, x, labels = nn.Linear(3, 4).double(), generic(3, 13, 3), torch.arange(13) % 4
    found = along(model, random_ends(model, scale), x, labels, None)
    assert found.gap().max() <= tolerance(found)
    assert found.barrier("midpoint") < 0


def test_a_loss_that_is_linear_along_the_path() -> None:
    model = Point(3)
    a, b = random_ends(model)
    found = along(model, [a, b], generic(4, 5, 1), generic(4, 5), lambda w, _: w.sum(1))
    ends = float(a["w"].sum()), float(b["w"].sum())
    assert found.barrier("chord") <= tolerance(found)
    for definition in ("mean", "signed_mean"):
        size = abs(ends[1] - ends[0]) / 2
        assert abs(found.barrier(definition)) == pytest.approx(size, abs=tolerance(found))
    assert found.barrier("rise") == pytest.approx(max(ends[1] - ends[0], 0), abs=tolerance(found))


def two_layers(hidden: int, activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, hidden, bias=False), activation, nn.Linear(hidden, 1, bias=False)).double()


def square(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().sum(1)


def test_a_permuted_pair() -> None:
    """relu(x) - relu(-x) and itself with units swapped: f = (1 - 2 alpha)^2 x."""
    model, x = two_layers(2, nn.ReLU()), generic(5, 37, 1)
    a = {"0.weight": torch.tensor([[1.0], [-1.0]]).double(), "2.weight": torch.tensor([[1.0, -1.0]]).double()}
    b = {"0.weight": a["0.weight"].flip(0), "2.weight": a["2.weight"].flip(1)}
    found = along(model, [a, b], x, x, square)
    power = float(x.square().mean())
    np.testing.assert_allclose(found.loss, 16 * GRID**2 * (1 - GRID) ** 2 * power, rtol=FLOAT32)
    for definition in isthmus.curves.DEFINITIONS:
        assert found.barrier(definition) == pytest.approx(power, rel=FLOAT32)


@pytest.mark.parametrize("c", [3.0, 0.2, -1.5])
def test_a_rescaled_pair(c: float) -> None:
    """w2 w1 x with (1, 1) and (c, 1/c): barrier (c + 1/c - 2)^2 / 16 E[x^2]."""
    model, x = two_layers(1, nn.Identity()), generic(6, 29, 1)
    a, b = (
        {"0.weight": torch.full((1, 1), w).double(), "2.weight": torch.full((1, 1), 1 / w).double()} for w in (1.0, c)
    )
    found = along(model, [a, b], x, x, square)
    expected = (c + 1 / c - 2) ** 2 / 16 * float(x.square().mean())
    assert found.barrier("midpoint") == pytest.approx(expected, rel=4 * FLOAT32)
    if c > 0:
        assert found.barrier() == found.barrier("midpoint")


# --- blocks and distances


def test_blocks_of_a_trained_network() -> None:
    """Each block alone ends at the final network, all together are the path, and squared distances add up."""
    model = isthmus.models.initialise("mlp", 3, input_shape=(2,), classes=3, hidden=(7, 6))
    blocks = isthmus.models.blocks("mlp", model)
    x, labels = generic(1, 40, 2).float(), torch.arange(40) % 3
    recipe = Recipe.model_validate({"optimizer": {"lr": 0.1}, "batch_size": 8})
    first = NetworkState.of(model)
    last, _ = train(first, recipe, (x, labels), Noise.of(2), 0, 30, model=model)
    i, f = first.weights, last.weights
    full = evaluate_path(model, paths.line(i, f), (x, labels), alphas=5).per_example_loss
    every = [pattern for patterns in blocks.values() for pattern in patterns]
    together = evaluate_path(model, paths.blocks(i, f, every), (x, labels), alphas=5).per_example_loss
    assert np.array_equal(together, full)
    moved = weights.distance_by_block(i, f, blocks)
    for name, patterns in blocks.items():
        path = paths.blocks(i, f, patterns)
        alone = evaluate_path(model, path, (x, labels), alphas=5).per_example_loss
        assert np.array_equal(alone[-1], full[-1])
        assert not np.array_equal(alone[0], full[0])
        assert weights.distance(path.at(0.0), f) == pytest.approx(moved[name], rel=1e-15)
    assert sum(d**2 for d in moved.values()) == pytest.approx(weights.distance(i, f) ** 2, rel=1e-14)


class Idle(nn.Linear):
    """Has weights that do not matter."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 0.0


@pytest.mark.parametrize(("name", "rate"), [("sgd", 0.05), ("adamw", 0.02)])
def test_decay_alone_moves_the_weights_by_their_own_shrinkage(name: str, rate: float) -> None:
    """theta_f = c theta_i with c = (1 - rate * decay)^steps, so the relative distance is 1 - c."""
    model = Idle(3, 2).double()
    recipe = Recipe.model_validate({"optimizer": {"name": name, "lr": rate, "weight_decay": 0.7}, "batch_size": 2})
    state = NetworkState.of(model)
    data = generic(1, 6, 3), torch.arange(6) % 2
    found, _ = train(state, recipe, data, Noise.of(1), 0, 11, model=model)
    c = (1 - rate * 0.7) ** 11
    assert weights.distance(state.weights, found.weights, relative=True) == pytest.approx(1 - c, rel=1e-13)
    assert weights.distance(found.weights, state.weights, relative=True) == pytest.approx(1 / c - 1, rel=1e-13)


# --- scores of predictions


@pytest.mark.parametrize("p", [0.2, 0.55, 0.999])
def test_el2n_of_a_network_that_gives_every_class_its_share(p: float) -> None:
    """p on the true class and the rest equal: (1 - p) sqrt(C / (C - 1)); uniform at p = 1/C."""
    model = nn.Linear(2, 5)
    shares = torch.tensor([(1 - p) / 4] * 2 + [p] + [(1 - p) / 4] * 2)
    model.load_state_dict({"weight": torch.zeros(5, 2), "bias": shares.log()})
    labels = np.full(6, 2)
    scores = importance.el2n(predict(model, (generic(1, 6, 2).float(), labels)), labels)
    # float32 logits: rounding of p is 1e-7, of 1 - p as well
    assert scores.tolist() == pytest.approx([(1 - p) * math.sqrt(5 / 4)] * 6, abs=1e-6)
    if p == 0.2:
        assert scores[0] == pytest.approx(math.sqrt(1 - 1 / 5), abs=1e-6)


# --- what a merge is worth


@pytest.mark.parametrize("parts", [2, 3])
def test_one_step_each_and_the_merge_is_one_step_on_all_batches(parts: int) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x, labels, size = generic(1, 5 * parts, 4), torch.arange(5 * parts) * 2 % 3, 5

    def step(where: slice, seed: int) -> NetworkState:
        batch = x[where], labels[where]
        recipe = Recipe.model_validate({"optimizer": {"lr": 0.3, "weight_decay": 0.1}, "batch_size": len(batch[0])})
        return train(NetworkState.of(model), recipe, batch, Noise.of(seed), 0, 1, model=model)[0]

    children = [step(slice(part * size, (part + 1) * size), part) for part in range(parts)]
    together = step(slice(None), 9)
    merged = merge(children)
    assert weights.distance(children[0].weights, together.weights, relative=True) > 1e-3
    # float64: sums of fifteen terms in another order
    assert weights.distance(merged.weights, together.weights, relative=True) < 1e-14


class Noisy(torch.autograd.Function):
    """Equal logits, whose gradient is the one given."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, gradient: Tensor, examples: int) -> Tensor:
        ctx.save_for_backward(gradient)
        return w.new_zeros(examples, 2)

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, None, None]:
        return ctx.saved_tensors[0], None, None


class NoisyQuadratic(nn.Module):
    """As many noisy quadratics as it has weights; in eval mode the weights at the given indices."""

    def __init__(self, size: int, h: float, q: float, v0: float) -> None:
        super().__init__()
        self.w, self.h, self.q = nn.Parameter(generic(3, size) * math.sqrt(v0)), h, q

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.w[x][:, None]
        slope = self.h * self.w + math.sqrt(self.q) * torch.randn_like(self.w)
        return Noisy.apply(self.w, slope.detach(), len(x))  # type: ignore[no-any-return, no-untyped-call]


def test_the_noisy_quadratic_gains_at_the_merge_and_loses_it_again_unless_the_rate_is_lower() -> None:
    """Var(mean of two) = r^2s v0 + v_inf (1 - r^2s) / 2, then v_t = v_inf (1 - r^2t / 2)."""
    size, h, q, rate, v0 = 100_000, 1.3, 0.5, 0.2, 0.09
    model, indices = NoisyQuadratic(size, h, q, v0), torch.arange(size)
    labels = torch.arange(4) % 2
    within = 5 * math.sqrt(2 / size)  # five standard errors of a variance over so many weights

    def train_on(state: NetworkState, steps: int, seed: int, lr: float = rate) -> NetworkState:
        recipe = Recipe.model_validate({"optimizer": {"lr": lr}, "batch_size": 4})
        data = torch.arange(4), labels
        return train(state, recipe, data, Noise.of(seed), state.step, state.step + steps, model=model)[0]

    def limit(lr: float) -> float:
        return lr * q / (h * (2 - lr * h))

    def losses(a: NetworkState, b: NetworkState) -> npt.NDArray[np.float64]:
        path = paths.line(a.weights, b.weights)
        data = indices, torch.zeros(size)
        return evaluate_path(model, path, data, alphas=3, loss=lambda w, _: h / 2 * w[:, 0] ** 2).loss

    r, start = 1 - rate * h, NetworkState.of(model)
    for s in (1, 3, 20):
        a, b = (train_on(start, s, seed) for seed in (1, 2))
        child = r ** (2 * s) * v0 + limit(rate) * (1 - r ** (2 * s))
        between = r ** (2 * s) * v0 + limit(rate) * (1 - r ** (2 * s)) / 2
        assert losses(a, b) == pytest.approx([h / 2 * v for v in (child, between, child)], rel=within)
    merged = merge([a, b])  # after twenty steps nothing is left of where they started
    half = limit(rate) / 2
    for t in (1, 4, 20):
        again = train_on(merged, t, 3)
        expected = limit(rate) * (1 - r ** (2 * t) / 2)
        slow = 1 - rate / 20 * h
        kept = train_on(merged, t, 3, rate / 20)
        low = slow ** (2 * t) * half + limit(rate / 20) * (1 - slow ** (2 * t))
        assert losses(again, kept)[[0, 2]] == pytest.approx([h / 2 * expected, h / 2 * low], rel=within)
        assert low < half < expected
