"""Replicas of one small network trained together against one after the other, in the same process.

Both sides train the same replicas (another initialisation and another noise each) for the same steps and must leave the
same bits: states and every loss are compared in each round. The two take turns; what is reported is how often faster
the stack is, the median over rounds with their range, and the time of a replica's step.

    python benchmarks/stacking.py [--network mnist spiral] [--replicas 1 2 5 10] [--rounds 5] [--threads 1]

With ``ISTHMUS_DATA`` on MNIST, else on made-up pictures of the same shape.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

import torch

from isthmus import datasets, models
from isthmus.examples import Examples
from isthmus.execute.pool import ALLOCATOR
from isthmus.networks import NetworkState
from isthmus.noise import Noise
from isthmus.recipe import Recipe
from isthmus.together import Replica, train_together
from isthmus.training import train

SETUPS: dict[str, dict[str, Any]] = {
    "mnist": {
        "model": {"hidden": [50, 50]},
        "recipe": {"batch_size": 128, "optimizer": {"name": "adam", "lr": 5e-4}},
        "steps": 200,
    },
    "spiral": {
        "model": {"input_shape": [2], "hidden": [50, 50], "outputs": 1},
        "recipe": {
            "batch_size": 128,
            "optimizer": {"name": "adam", "lr": 1e-3},
            "loss": "binary_cross_entropy",
        },
        "steps": 400,
    },
    "deep spiral": {
        "model": {"input_shape": [2], "hidden": [50] * 6, "outputs": 1},
        "recipe": {
            "batch_size": 128,
            "optimizer": {"name": "adam", "lr": 1e-3},
            "loss": "binary_cross_entropy",
        },
        "steps": 200,
    },
}


def data(network: str) -> Examples:
    """The training examples, normalised as a study does."""
    if network != "mnist":
        found = datasets.load("spiral", train=5000, test=100)
        return Examples.of(found.train)
    if os.environ.get("ISTHMUS_DATA"):
        found = datasets.load("mnist")
        return Examples.of(found.train, mean=found.mean, std=found.std, pixels=True, channels_last=True)
    draws = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (20000, 1, 28, 28), generator=draws).to(torch.uint8)
    return Examples.of(
        (pictures, torch.randint(0, 10, (20000,), generator=draws)),
        mean=(0.13,),
        std=(0.31,),
        pixels=True,
        channels_last=True,
    )


def compare(network: str, replicas: int, rounds: int) -> None:
    """Print how often faster the stack is."""
    setup, examples = SETUPS[network], data(network)
    recipe, steps = Recipe.model_validate(setup["recipe"]), setup["steps"]
    made = [models.initialise("mlp", seed, **setup["model"]) for seed in range(replicas)]
    starts = [(NetworkState.of(model), Noise.of(seed)) for seed, model in enumerate(made)]
    ratios, times = [], []
    for number in range(rounds + 1):  # the first warms up
        began = time.perf_counter()
        together = train_together([Replica(*start) for start in starts], recipe, examples, 0, steps, model=made[0])
        between = time.perf_counter()
        alone = [train(state, recipe, examples, noise, 0, steps, model=made[0]) for state, noise in starts]
        ended = time.perf_counter()
        for (state, log), (own, noted) in zip(together, alone, strict=True):
            if state.digest() != own.digest() or log.losses.tobytes() != noted.losses.tobytes():
                raise SystemExit(f"{network}: a replica in a stack of {replicas} has other bits than alone")
        if number:
            ratios.append((ended - between) / (between - began))
            times.append(((ended - between) / steps / replicas, (between - began) / steps / replicas))
    alone_us, together_us = (1e6 * statistics.median(side) for side in zip(*times, strict=True))
    print(
        f"{network}, {replicas} replicas: {statistics.median(ratios):.2f} times as fast"
        f" ({min(ratios):.2f} to {max(ratios):.2f}), a step of each {alone_us:.0f} and {together_us:.0f} us, same bits",
        flush=True,
    )


def main() -> None:
    """Compare for each network and number of replicas."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--network", nargs="+", default=list(SETUPS), choices=list(SETUPS))
    parser.add_argument("--replicas", nargs="+", type=int, default=[1, 2, 5, 10])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    for network in wanted.network:
        for replicas in wanted.replicas:
            compare(network, replicas, wanted.rounds)


if __name__ == "__main__":
    if any(name not in os.environ for name in ALLOCATOR):  # as in the processes of the executor
        import sys

        os.execve(sys.executable, [sys.executable, *sys.argv], {**ALLOCATOR, **os.environ})
    main()
