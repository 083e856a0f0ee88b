"""Evaluating 25 networks on a path: ``evaluate_path`` against the loop that people write.

The path is the whole line, and then one on which a single block moves, for each block. The loop copies the interpolated
state dict into the model at each alpha and runs the whole test set, in its own best batch size of those tried. Both
run in this process in turn, several times; the ratio is printed with its spread, after a check that the two agree on
every per-example loss.

    python benchmarks/paths.py [--model lenet5] [--examples 4000] [--repeats 5] [--threads 1]
"""

from __future__ import annotations

import argparse
import copy
import functools
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from isthmus import models, paths, weights
from isthmus.evaluation import evaluate_path

SHAPES = {"lenet5": (1, 28, 28), "resnet20": (3, 32, 32), "mlp": (1, 28, 28)}


def loop(model: nn.Module, a: dict[str, Tensor], b: dict[str, Tensor], x: Tensor, y: Tensor, batch: int) -> Tensor:
    """The straightforward way: shape (25, examples). A tensor that does not move is the same in ``a`` and ``b``."""
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

    best = min((128, 256, 512, 1024, 2048), key=lambda size: seconds(lambda: loop(model, a, b, x, y, size)))
    print(f"{wanted.model}, {wanted.examples} examples, 25 alphas, {wanted.threads} thread(s);", end=" ")
    print(f"the loop's best batch is {best}")
    for block, globs in {"line": ("*",), **models.blocks(wanted.model, model)}.items():
        moving = weights.select(a, globs)
        start = {name: a[name] if name in moving else b[name] for name in a}
        path = paths.line(a, b) if block == "line" else paths.blocks(a, b, globs)
        theirs = functools.partial(loop, model, start, b, x, y, best)
        ours = functools.partial(evaluate_path, model, path, (x, y), norm_stats="interpolate")
        torch.testing.assert_close(torch.from_numpy(ours().per_example_loss), theirs(), rtol=1e-4, atol=1e-5)
        ratios = [seconds(theirs) / seconds(ours) for _ in range(wanted.repeats)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"  {block}: values agree; ratio median {statistics.median(ratios):.2f}, from {spread}")


if __name__ == "__main__":
    main()
