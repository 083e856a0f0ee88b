"""A demonstration on data that ships with the package: two small studies and what they say, in plain words."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from isthmus import figures
from isthmus.display import duration, for_stream
from isthmus.execute import cores
from isthmus.redraw import draw_if_changed
from isthmus.study import Results, Study, from_mapping
from isthmus.study import run as run_study

__all__ = ["branching", "from_initial", "run"]

_MODEL = {"name": "resnet20", "width": 8, "input_shape": [1, 8, 8]}
_RECIPE = {
    "batch_size": 64,
    "augment": {"crop": 1},
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
}
_SEEDS = [0, 1]


def branching() -> Study:
    """Copies of a small ResNet-20 that part at the start, or after six epochs; merged, and trained on."""
    return from_mapping(
        {
            "name": "demo-branching",
            "family": "branch",
            "seeds": _SEEDS,
            "model": _MODEL,
            "data": {"name": "digits"},
            "recipe": _RECIPE,
            "branch": {"at": ["0ep", "6ep"], "lengths": ["6ep"]},
            "merge": {"after": "2ep", "every": "1ep"},
            "evaluate": {"alphas": 13, "on": ["test"], "norm_stats": "recompute", "stats_examples": 1024},
        }
    )


def from_initial() -> Study:
    """The same network from its initial to its final weights, whole and block by block."""
    return from_mapping(
        {
            "name": "demo-from-initial",
            "family": "init-to-final",
            "seeds": _SEEDS[:1],
            "model": _MODEL,
            "data": {"name": "digits"},
            "recipe": _RECIPE,
            "train": {"to": "12ep", "paths": ["initial->final"], "blocks": "all"},
            "evaluate": {"alphas": 21, "on": ["test"], "norm_stats": "interpolate"},
        }
    )


def run(out: Path, store: Path | None = None, workers: int | None = None) -> None:
    """Run both studies, print what they say, and write tables and figures into ``out``."""
    began = time.monotonic()
    workers = cores() if workers is None else workers
    print("A small ResNet on 8x8 pictures of handwritten digits (1,437 to learn from, 360 to test on).\n")
    files: list[Path] = []
    for study, tell in ((branching(), _tell_branching), (from_initial(), _tell_from_initial)):
        results = run_study(study, store or out / "store", workers=workers, display=for_stream())
        folder = out / study.name
        files += results.to_csv(folder)
        files += draw_if_changed(folder, results.tables, functools.partial(figures.draw, results, folder))
        tell(results)
    print(f"Tables and figures ({duration(time.monotonic() - began)}):")
    for path in files:
        print(f"  {path}")
    print("Next: isthmus run STUDY.toml with a study of your own (README.md), or isthmus reproduce --help.")


def _tell_branching(results: Results) -> None:
    pairs, networks = results["pairs"], results["networks"]
    print("\n1. Copies that share their first k epochs, then train for 6 on their own data order and augmentation.")
    print("   How much worse is the network halfway between two copies than the copies themselves?\n")
    rows = []
    for (k,), group in pairs.where(metric="error").groups("k").items():
        curves = results["curves"].where(k=k, alpha=0.5)
        ends = _mean(group["start"] + group["end"])
        middle = _mean(curves["error"])
        rows.append((k, _percent(1 - ends), _percent(1 - middle), f"{_mean(group['chord']) * 100:.1f} points"))
    _print(("k", "accuracy of the copies", "halfway between them", "error barrier (chord)"), rows)
    print("\n2. The halfway network is their merge. What does training do to it?  (copies | merge)\n")
    steps = sorted(set(networks["after_steps"]))
    per_epoch = results.expansion.steps_per_epoch
    rows = []
    for (k,), group in networks.groups("k").items():
        cells = [k]
        for step in steps:
            now = group.where(after_steps=step)
            copies = now.where(lambda row: row["network"] != "merge")
            cells.append(
                f"{_percent(_mean(copies['accuracy']))} | {_percent(_mean(now.where(network='merge')['accuracy']))}"
            )
        rows.append(tuple(cells))
    _print(("k", "at the merge", *(f"{step // per_epoch} ep later" for step in steps[1:])), rows)
    print(
        f"\n   Means over {len(_SEEDS)} seeds. What to look for: copies that part at the start (k = 0) are divided by a"
    )
    print("   barrier, and their merge is worse than they are; copies that shared a few epochs stay connected, their")
    print("   merge is better than either, and a little more training takes that gain away (Iyer 2024).")


def _tell_from_initial(results: Results) -> None:
    print("\n3. The straight line from the initial to the final weights: all of the network, then one block alone")
    print(
        "   (the rest at its final weights). Shapes: B barrier, P plateau, NB monotone decay, F hardly any descent.\n"
    )
    rows = [
        (row["block"], row["shape"], f"{row['start']:.2f}", f"{row['end']:.2f}", f"{row['rise']:.2f}")
        for row in results["paths"].where(metric="loss")
    ]
    _print(("what moves", "shape", "loss at its start", "loss at its end", "greatest climb (rise)"), rows)
    print()


def _print(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    table = [tuple(head), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for index, row in enumerate(table):
        print("   " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if index == 0:
            print("   " + "  ".join("-" * width for width in widths))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
