"""What holds on a CPU holds on an accelerator; skipped where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from isthmus import capture, paths, training
from isthmus.evaluation import evaluate_path
from isthmus.networks import NetworkState
from small_networks import NETWORKS, make, pictures
from small_training import EXAMPLES, raw, recipe, run, same

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

MANNERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "adam": {"how": recipe(optimizer={"name": "adam", "lr": 0.01})},
    "bf16": {"how": recipe(precision="bf16")},
    "tf32": {"how": recipe(precision="tf32")},
    "augmentation": {
        "how": recipe(augment={"crop": 2, "flip": True, "brightness": 0.3}),
        "data": raw(channels_last=True),
    },
}


@pytest.mark.filterwarnings("ignore:.*deterministic")
@pytest.mark.parametrize("network", NETWORKS)
def test_twice_cut_and_not_recorded_it_gives_the_same_bits(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = run(network, 26, device="cuda")
    assert same(found, run(network, 26, device="cuda")[0])
    halfway, _ = run(network, 9, device="cuda")
    assert same(found, run(network, 26, state=halfway, device="cuda")[0])
    monkeypatch.setattr(training, "recorder_for", lambda device: None)
    assert same(found, run(network, 26, device="cuda")[0])


@pytest.mark.parametrize("manner", MANNERS)
def test_recordings_are_made_and_used(manner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[capture.Gradients] = []

    class Gradients(capture.Gradients):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(training, "Gradients", Gradients)
    found, _ = run("convolutional", 26, device="cuda", **MANNERS[manner])
    assert [sorted(gradients.recorded) for gradients in made] == [[3, 4]]
    monkeypatch.setattr(training, "recorder_for", lambda device: None)
    assert same(found, run("convolutional", 26, device="cuda", **MANNERS[manner])[0])


def test_it_trains_as_on_a_cpu() -> None:
    """Near it: sums are taken in another order."""
    here, there = run("functional", 12)[0], run("functional", 12, device="cuda")[0]
    for name, tensor in here.weights.items():
        torch.testing.assert_close(there.weights[name], tensor, rtol=1e-3, atol=1e-4)


def test_settings_of_the_caller_come_back() -> None:
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cuda.matmul.allow_tf32
    run("functional", 3, device="cuda", how=recipe(precision="tf32"))
    assert (torch.are_deterministic_algorithms_enabled(), torch.backends.cuda.matmul.allow_tf32) == before


@pytest.mark.filterwarnings("ignore:.*deterministic")
@pytest.mark.parametrize("network", NETWORKS)
def test_a_path_is_that_of_the_cpu(network: str) -> None:
    a, b = (NetworkState.of(make(network, seed)).weights for seed in (5, 6))
    options: dict[str, Any] = {"alphas": 5, "norm_stats": "recompute", "stats_data": pictures(29, seed=4)}
    here = evaluate_path(make(network, 5), paths.line(a, b), pictures(EXAMPLES), **options)
    there = evaluate_path(make(network, 5).cuda(), paths.line(a, b), pictures(EXAMPLES), **options)
    np.testing.assert_allclose(there.per_example_loss, here.per_example_loss, rtol=1e-3, atol=1e-4)
