"""Evaluating a line of 25 networks: ``evaluate_path`` against the loop that people write.

The loop copies the interpolated state dict into the model at each alpha and runs the whole test set, in its own
best batch size of those tried. Both run in this process in turn, several times; the ratio is printed with its
spread, after a check that the two agree on every per-example loss.

    python benchmarks/paths.py [--model lenet5] [--examples 4000] [--repeats 5] [--threads 1]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from isthmus import models, paths
from isthmus.evaluation import evaluate_path

SHAPES = {"lenet5": (1, 28, 28), "resnet20": (3, 32, 32), "mlp": (1, 28, 28)}


def loop(model: nn.Module, a: dict[str, Tensor], b: dict[str, Tensor], x: Tensor, y: Tensor, batch: int) -> Tensor:
    """The straightforward way: shape (25, examples)."""
    model = copy.deepcopy(model).eval()
    rows = []
    with torch.no_grad():
        for index in range(25):
            alpha = index / 24
            mixed = {
                name: (1 - alpha) * a[name] + alpha * b[name] if a[name].is_floating_point() else a[name] for name in a
            }
            model.load_state_dict(mixed)
            losses = [
                nn.functional.cross_entropy(model(x[i : i + batch]), y[i : i + batch], reduction="none")
                for i in range(0, len(x), batch)
            ]
            rows.append(torch.cat(losses))
    return torch.stack(rows)


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    """Print one line a repeat and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="lenet5", choices=sorted(SHAPES))
    parser.add_argument("--examples", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    shape = SHAPES[wanted.model]
    model = models.initialise(wanted.model, 0, input_shape=shape)
    a, b = (models.initialise(wanted.model, seed, input_shape=shape).state_dict() for seed in (1, 2))
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(wanted.examples, *shape, generator=generator)
    y = torch.randint(0, 10, (wanted.examples,), generator=generator)

    def ours() -> Tensor:
        found = evaluate_path(model, paths.line(a, b), (x, y), norm_stats="interpolate")
        return torch.from_numpy(found.per_example_loss)

    torch.testing.assert_close(ours(), loop(model, a, b, x, y, 512), rtol=1e-4, atol=1e-5)
    best = min((128, 256, 512, 1024, 2048), key=lambda size: seconds(lambda: loop(model, a, b, x, y, size)))
    print(f"{wanted.model}, {wanted.examples} examples, 25 alphas, {wanted.threads} thread(s); values agree;", end=" ")
    print(f"the loop's best batch is {best}")
    ratios = []
    for _ in range(wanted.repeats):
        theirs, mine = seconds(lambda: loop(model, a, b, x, y, best)), seconds(ours)
        ratios.append(theirs / mine)
        print(f"  loop {theirs:.2f} s, evaluate_path {mine:.2f} s, ratio {ratios[-1]:.2f}")
    print(f"ratio: median {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
