"""Training that takes milliseconds, for the tests of training and what builds on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from isthmus.examples import Examples
from isthmus.networks import NetworkState
from isthmus.noise import Noise
from isthmus.recipe import Recipe
from isthmus.training import Log, train
from small_networks import make, pictures

EXAMPLES, STOP = 23, 15
"""In batches of 4: six steps an epoch, the last batch of 3 (five steps without it); 15 steps end inside an epoch."""
NOISE = Noise(3, 14, 15)

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.03},
    "momentum, decay": {"lr": 0.03, "momentum": 0.9, "weight_decay": 0.01},
    "nesterov": {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.02},
    "adam": {"name": "adam", "lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6},
    "adam, decay": {"name": "adam", "lr": 0.01, "weight_decay": 0.1},
    "adamw": {"name": "adamw", "lr": 0.01, "weight_decay": 0.3},
}


def recipe(**fields: Any) -> Recipe:
    return Recipe.model_validate({"batch_size": 4, "optimizer": {"lr": 0.02, "momentum": 0.9}, **fields})


def raw(**options: Any) -> Examples:
    """Pictures as bytes."""
    inputs, labels = pictures(EXAMPLES, seed=2)
    constants: dict[str, Any] = {"mean": (0.4, 0.6), "std": (0.2, 0.3), "pixels": True}
    return Examples.of(((inputs * 40 + 120).clamp(0, 255).to(torch.uint8), labels), **constants, **options)


def run(
    network: str | nn.Module,
    stop: int = STOP,
    *,
    state: NetworkState | None = None,
    data: Any = None,
    noise: Noise = NOISE,
    how: Recipe | None = None,
    **options: Any,
) -> tuple[NetworkState, Log]:
    """Train a small network from its own weights, or from a state."""
    model = make(network, 5) if isinstance(network, str) else network
    state = NetworkState.of(model) if state is None else state
    data = pictures(EXAMPLES) if data is None else data
    return train(state, how or recipe(), data, noise, state.step, stop, model=model, **options)


def same(a: NetworkState, b: NetworkState) -> bool:
    return (a.digest(), a.step) == (b.digest(), b.step)
