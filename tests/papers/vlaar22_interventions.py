"""Made-up tables of Vlaar22 rows: networks with a given accuracy and given rises, seed by seed."""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isthmus import curves, papers
from isthmus.claims import judge
from isthmus.papers.vlaar22.tabulate import shapes
from isthmus.study import Study, expand
from isthmus.study.requests import Expansion
from isthmus.tables import Table

ALPHAS = np.linspace(0, 1, 26)
RESNET = ("stem", "stage1", "stage2", "stage3", "stage4", "stage4.0", "fc")
VGG = (*(f"conv{index}" for index in range(1, 9)), "fc")


def expanded(study: Study) -> Expansion:
    """A study as nodes, on data as they are published."""
    return expand(study, published="all")


@functools.cache
def small(row: str) -> Expansion:
    """A row of the paper at small scale as nodes."""
    return expanded(papers.row("vlaar22", row).study("small"))


@dataclass(frozen=True)
class Net:
    """The networks of a variant: accuracy in points, how the paths look, by what each seed adds to the accuracy.

    ``rises`` are by block, "all" the whole path; what is not named has none. ``flat`` names paths that stay high
    ("P"), all others fall evenly ("NB") but for a hill of that rise in the middle ("B").

    ``reached`` is whether a start knows what it was trained for; None where there is no such start.
    """

    accuracy: float = 90.0
    rises: Mapping[str, float] = field(default_factory=dict)
    flat: tuple[str, ...] = ()
    blocks: tuple[str, ...] = RESNET
    seeds: tuple[int, ...] = (0, 1, 2)
    spread: Callable[[int], float] = lambda seed: 0.02 * (seed % 3 - 1)
    classes: int = 10
    reached: bool | None = None


def line(rise: float, flat: bool, height: float = 2.4) -> Any:
    """Losses along a path from ``height`` down to .5 with this climb on the way."""
    if flat:
        return np.where(ALPHAS <= 0.81, height, 0.5)
    fall = height - (height - 0.5) * ALPHAS
    low, top = 10, 15  # grid points between which it climbs
    hill = np.interp(np.arange(26), [0, low, top, 25], [height, fall[low], fall[low] + rise, 0.5])
    return hill if rise else fall


def tables(nets: Mapping[str, Net]) -> dict[str, Table]:
    """Paths, curves, accuracies and shapes of variants by name."""
    paths, points, accuracies = [], [], []
    for variant, net in nets.items():
        for seed in net.seeds:
            share = (net.accuracy + net.spread(seed)) / 100
            test = {"split": "test", "examples": 10_000}
            accuracies.append({"seed": seed, "variant": variant, **test, "accuracy": share, "loss": 0.5})
            for block in ("all", *net.blocks):
                losses = line(net.rises.get(block, 0.0), block in net.flat)
                at = {"seed": seed, "variant": variant, "path": "initial->final", "block": block}
                label = curves.shape(ALPHAS, losses, net.classes) if np.isfinite(losses).all() else "NaN"
                same = {"classes": net.classes, "examples": 2500, "points": 26, "norm_stats": "interpolate"}
                numbers = {"start": losses[0], "end": losses[-1], "top": losses.max()}
                numbers |= {"rise": curves.rise(ALPHAS, losses), "chord": curves.barrier(ALPHAS, losses)}
                numbers = {name: float(value) for name, value in numbers.items()}
                errors = {"metric": "error", "start": 0.9, "end": 1 - share, "accuracy": share}
                paths.append({**at, "split": "test:2500", "metric": "loss", **numbers, "shape": str(label), **same})
                paths.append({**at, "split": "test:2500", **errors, **same})
                points += [
                    {**at, "alpha": float(a), "loss": float(loss), "error": float(0.9 - (share - 0.1) * a)}
                    for a, loss in zip(ALPHAS, losses, strict=True)
                ]
    found = {"paths": Table.of(paths), "curves": Table.of(points), "accuracy": Table.of(accuracies)}
    classes = {name: net.classes for name, net in nets.items()}
    starts = [
        {"seed": seed, "variant": name, "reached": net.reached}
        for name, net in nets.items()
        for seed in net.seeds
        if net.reached is not None
    ]
    found |= {"starts": Table.of(starts)} if starts else {}
    return {**found, "shapes": shapes(found["curves"], classes)}


def verdicts(row: papers.Row, found: Mapping[str, Table], scale: str = "small") -> dict[str, str]:
    """The verdict of every claim of a row."""
    return {judged["claim"]: judged["verdict"] for judged in judge(row.claims_at(scale), found)}


def numbers(row: papers.Row, found: Mapping[str, Table]) -> dict[str, float]:
    """The mean of every claim of a row that has one."""
    return {judged["claim"]: judged["mean"] for judged in judge(row.claims, found) if judged["mean"] is not None}


def without(found: Mapping[str, Table], name: str) -> dict[str, Table]:
    """The tables without a variant."""
    return {
        key: table.where(lambda row: row["variant"] != name) if "variant" in table.columns else table
        for key, table in found.items()
    }


def spoilt(found: Mapping[str, Table], keep: Iterable[str] = ("alpha",)) -> dict[str, Table]:
    """The tables with NaN for every number of seed 1."""
    kept = set(keep)

    def cell(row: Mapping[str, Any], name: str) -> Any:
        value = row[name]
        if row.get("seed") == 1 and name == "shape" and value is not None:
            return "NaN"
        return math.nan if row.get("seed") == 1 and isinstance(value, float) and name not in kept else value

    return {
        key: Table(table.columns, tuple({name: cell(row, name) for name in table.columns} for row in table))
        for key, table in found.items()
    }


def cells(table: Table) -> list[dict[str, str]]:
    """A table as it is read from its file."""
    return list(csv.DictReader(io.StringIO(table.to_csv())))
