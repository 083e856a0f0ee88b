"""Merges against arithmetic in float64, and what becomes of the optimiser's buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import isthmus
from isthmus import merge, weights
from isthmus.errors import BadInput, BadWeights
from isthmus.networks import NetworkState
from isthmus.noise import Noise
from small_networks import make
from small_training import OPTIMIZERS, recipe, run, same

SHARES: dict[str, tuple[list[float] | None, list[float]]] = {
    "two, the mean": (None, [0.5, 0.5]),
    "two, unequal": ([0.3, 0.7], [0.3, 0.7]),
    "two, beyond": ([1.5, -0.5], [1.5, -0.5]),
    "three, the mean": (None, [1 / 3, 1 / 3, 1 / 3]),
    "three, unequal": ([0.5, 0.2, 0.3], [0.5, 0.2, 0.3]),
    "five": ([0.1, 0.4, 0.2, 0.05, 0.25], [0.1, 0.4, 0.2, 0.05, 0.25]),
}
AT = 7
"""The step of a merge: in single precision three thirds of 7 do not add up to 7."""

ROUNDING = 1e-6
"""Float32: five products of order 1 and their sum."""


def children(count: int, optimizer: str = "momentum, decay", network: str = "convolutional") -> list[NetworkState]:
    how = recipe(optimizer=OPTIMIZERS[optimizer])
    trunk, _ = run(network, 2, how=how)
    return [run(network, AT, state=trunk, noise=Noise.of(seed), how=how)[0] for seed in range(count)]


def mean(tensors: list[torch.Tensor], shares: list[float]) -> Any:
    return sum(share * tensor.double().numpy() for share, tensor in zip(shares, tensors))


@pytest.mark.parametrize("kind", SHARES)
def test_a_merge_is_the_weighted_mean(kind: str) -> None:
    given, shares = SHARES[kind]
    states = children(len(shares))
    merged = merge(states, given)
    assert merged.step == AT
    for name, tensor in merged.weights.items():
        each = [state.weights[name] for state in states]
        if tensor.is_floating_point():
            np.testing.assert_allclose(tensor, mean(each, shares), rtol=ROUNDING, atol=ROUNDING)
        else:
            assert tensor == each[int(np.argmax(shares))]
    assert merged.weights.kinds == states[0].weights.kinds


def test_two_networks_merge_into_their_interpolant_bit_for_bit() -> None:
    a, b = children(2)
    assert weights.digest(merge([a, b]).weights) == weights.digest(weights.lerp(a.weights, b.weights, 0.5))
    assert weights.digest(merge([a, b], [0.75, 0.25]).weights) == weights.digest(
        isthmus.paths.line(a.weights, b.weights).at(0.25)
    )
    for shares, end in (([1.0, 0.0], a), ([0, 1], b)):
        assert weights.digest(merge([a, b], shares).weights) == weights.digest(end.weights)


# --- buffers


@pytest.mark.parametrize("optimizer", ["sgd", "momentum, decay", "adam"])
@pytest.mark.parametrize("kind", ["two, unequal", "three, the mean"])
def test_reset_keep_and_average(optimizer: str, kind: str) -> None:
    given, shares = SHARES[kind]
    states = children(len(shares), optimizer)
    assert merge(states, given).optimizer == merge(states, given, buffers="reset").optimizer == {}
    kept, averaged = (merge(states, given, buffers=how) for how in ("keep", "average"))
    assert same(NetworkState(states[0].weights, kept.optimizer, AT), states[0])
    assert averaged.optimizer.keys() == states[0].optimizer.keys()
    for name, slots in averaged.optimizer.items():
        assert slots.keys() == states[0].optimizer[name].keys()
        for slot, tensor in slots.items():
            each = [state.optimizer[name][slot] for state in states]
            if slot == "step":
                assert torch.equal(tensor, torch.tensor(float(AT)))
            else:
                np.testing.assert_allclose(tensor, mean(each, shares), rtol=ROUNDING, atol=ROUNDING)


def test_a_merge_shares_no_memory_with_its_networks() -> None:
    states = children(2)
    digests = [state.digest() for state in states]
    for how in ("keep", "average"):
        merged = merge(states, [0.0, 1.0], buffers=how)
        for tensor in [*merged.weights.values(), *(t for s in merged.optimizer.values() for t in s.values())]:
            tensor.zero_()
    assert [state.digest() for state in states] == digests


@pytest.mark.parametrize("how", ["reset", "keep", "average"])
def test_training_goes_on_from_a_merge_at_its_step(how: Any) -> None:
    """The schedule goes on from the global step, and the buffers matter."""
    states = children(2)
    dropping = recipe(optimizer=OPTIMIZERS["momentum, decay"], schedule={"milestones": [f"{AT}it"]})
    merged = merge(states, buffers=how)
    after, _ = run("convolutional", 9, state=merged, how=dropping)
    assert after.step == 9
    slow = recipe(optimizer=OPTIMIZERS["momentum, decay"] | {"lr": 0.03 * 0.1})
    assert same(run("convolutional", 9, state=merged, how=slow)[0], after)
    reset, _ = run("convolutional", 9, state=merged.without_buffers(), how=dropping)
    assert same(after, reset) == (how == "reset")


def test_the_buffers_of_networks_reset_at_different_steps_are_averaged_too() -> None:
    a, b = children(2, "adam", "plain")
    how = recipe(optimizer=OPTIMIZERS["adam"])
    late, _ = run("plain", 10, state=b.without_buffers(), how=how)
    early, _ = run("plain", 10, state=a, how=how)
    merged = merge([early, late], buffers="average")
    assert merged.optimizer["1.weight"]["step"] == (10 + 3) / 2
    assert run("plain", 12, state=merged, how=how)[0].step == 12


# --- what is refused


@pytest.mark.parametrize("count", [0, 1])
def test_one_network_is_no_merge(count: int) -> None:
    with pytest.raises(BadInput, match=f"at least two networks, found {count}"):
        merge(children(2)[:count])


@pytest.mark.parametrize("shares", [[1.0], [0.5, 0.4], [0.5, 0.5, 0.0], [float("nan"), 0.5], [float("inf"), 0.5], []])
def test_coefficients_that_are_no_mean(shares: list[float]) -> None:
    with pytest.raises(BadInput, match="one coefficient a network, adding up to 1"):
        merge(children(2), shares)


def test_networks_that_do_not_go_together() -> None:
    a, b = children(2)
    with pytest.raises(BadInput, match=r"at the same step, found \[7, 9\]"):
        merge([a, run("convolutional", 9, state=b)[0]])
    with pytest.raises(BadInput, match="same optimiser"):
        merge([a, b.without_buffers()], buffers="average")
    assert merge([a, b.without_buffers()], buffers="keep").optimizer.keys() == a.optimizer.keys()
    with pytest.raises(BadInput, match="one of keep, reset, average, found 'drop'"):
        merge([a, b], buffers="drop")  # type: ignore[arg-type]
    with pytest.raises(BadWeights, match="in the first weights but not in the second"):
        merge([a, NetworkState(NetworkState.of(make("plain", 1)).weights, {}, AT)])
    for wrong in (make("plain", 1), a.weights):
        with pytest.raises(BadInput, match=rf"found {type(wrong).__name__}: NetworkState.of\(model\)"):
            merge([a, wrong])  # type: ignore[list-item]
