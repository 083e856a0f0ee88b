"""What networks of several kinds make of one core: the table ``REFERENCES`` of ``isthmus.speed``.

``python benchmarks/speeds.py`` takes about a minute. It counts seconds of this process on its processor, so that other
programs disturb it less; both numbers of a row are shares of what ``isthmus.speed.probe`` measures at that time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from isthmus import models, paths, speed, training
from isthmus.evaluation import evaluate_path
from isthmus.examples import Examples
from isthmus.models.counting import multiply_accumulates
from isthmus.networks import NetworkState
from isthmus.noise import Noise
from isthmus.recipe import Recipe

SGD: Mapping[str, Any] = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
CROPS: Mapping[str, Any] = {"crop": 4, "flip": True}
NETWORKS: Mapping[str, tuple[str, Mapping[str, Any], tuple[int, ...], int, bool]] = {
    # name: model, arguments, shape of the inputs, batch, whether it is augmented
    "lenet5": ("lenet5", {}, (1, 28, 28), 1024, False),
    "mlp": ("mlp", {"hidden": [50, 50]}, (1, 28, 28), 128, False),
    "reducedvgg": ("reduced_vgg", {"form": "later"}, (3, 32, 32), 128, True),
    "resnet20": ("resnet20", {}, (3, 32, 32), 128, True),
    "resnet18:quarter": ("resnet18", {"stem": "3x3", "width": 16}, (3, 32, 32), 128, True),
    "vgg16:quarter": ("vgg16", {"width": 16}, (3, 32, 32), 128, True),
    "alexnet:quarter": ("alexnet", {"form": "64", "input_shape": [3, 64, 64], "width": 16}, (3, 64, 64), 64, False),
}
SECONDS = 2.0


def rate(run: Callable[[int], object], count: int) -> float:
    """Repetitions a second of this process; ``run`` does so many, first once to be warm."""
    run(1)
    found = []
    for _ in range(3):
        began = time.process_time()
        run(count)
        found.append(count / (time.process_time() - began))
        count = max(1, round(SECONDS / 3 * found[-1]))
    return statistics.median(found)


def measure(name: str) -> speed.Reference:
    """The row of the table."""
    kind, arguments, shape, batch, augmented = NETWORKS[name]
    generator = torch.Generator().manual_seed(5)
    pictures = torch.randint(0, 256, (2048, *shape), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (2048,), generator=generator)
    data = Examples(pictures, labels, (0.5,) * shape[0], (0.25,) * shape[0], pixels=True, channels_last=True)
    augment = CROPS if augmented else {}
    recipe = Recipe.model_validate({"batch_size": batch, "optimizer": SGD, "augment": augment, "drop_last": True})
    model = models.initialise(kind, 0, **arguments)
    state = NetworkState.of(model)
    steps = rate(lambda n: training.train(state, recipe, data, Noise.of(1), 0, n, model=model), 4)
    other = models.initialise(kind, 1, **arguments).state_dict()
    line = paths.line(model.state_dict(), other)
    lines = rate(lambda n: [evaluate_path(model, line, data, alphas=3, norm_stats="interpolate") for _ in range(n)], 1)
    macs = multiply_accumulates(kind, arguments, shape)
    probed = speed.probe(fresh=True)
    return speed.Reference(steps * batch * 6 * macs / probed, lines * 3 * 2048 * 2 * macs / probed)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"{speed.probe(fresh=True) / 1e9:.1f} GFLOP/s a core in products of matrices")
    for name in NETWORKS:
        found = measure(name)
        print(f'    "{name}": Reference({found.training:.2g}, {found.evaluation:.2g}),', flush=True)


if __name__ == "__main__":
    main()
