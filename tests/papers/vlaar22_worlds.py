"""Made-up tables of the rows of Vlaar22: curves of each shape, and what lies on them, written out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isthmus.tables import Table

ALPHAS = [index / 25 for index in range(26)]
START, END = 2.3, 0.6
MAIN = "initial->final"
BLOCKS = ("all", "stem", "stage1", "stage2", "stage3", "stage4", "stage4.0", "fc")

Curve = list[float]
Runs = Callable[[int], Curve]
"""The curve of each seed."""


def slope(start: float = START, end: float = END) -> Runs:
    """Down all the way; seeds differ in height."""
    return lambda seed: [start + (end - start) * alpha + 0.001 * seed for alpha in ALPHAS]


def plateau(start: float = START, end: float = END) -> Runs:
    """Level up to 0.8, then down."""
    return lambda seed: [start + (end - start) * max(0.0, alpha - 0.8) / 0.2 + 0.001 * seed for alpha in ALPHAS]


def barrier(height: float, start: float = START, end: float = END) -> Runs:
    """Up to ``height`` above the start at 0.4, then down; seeds differ by hundredths of the height."""

    def run(seed: int) -> Curve:
        top = start + height * (1 + 0.01 * seed)
        return [
            start + (top - start) * alpha / 0.4 if alpha <= 0.4 else top + (end - top) * (alpha - 0.4) / 0.6
            for alpha in ALPHAS
        ]

    return run


def among(odd: Runs, even: Runs) -> Runs:
    """One for odd seeds, another for even ones."""
    return lambda seed: (odd if seed % 2 else even)(seed)


@dataclass(frozen=True)
class World:
    """What a row found: curves by (variant, block, route), test accuracy in points and relative distance by variant.

    ``reached`` names variants whose start was trained until it knew something, and says whether it does.
    """

    curves: Mapping[tuple[str, str, str], Runs]
    accuracy: Mapping[tuple[str, str], float]
    distance: Mapping[str, float] = field(default_factory=dict)
    reached: Mapping[str, bool] = field(default_factory=dict)
    classes: int = 10
    seeds: Sequence[int] = (0, 1, 2)
    jitter: Callable[[int], float] = lambda seed: 0.01 * seed

    def but(self, **changes: Any) -> World:
        """Another world: ``curves`` and the like are laid over those of this one."""
        found: dict[str, Any] = {
            name: {**old, **changes[name]} if name in changes and isinstance(old, Mapping) else changes.get(name, old)
            for name, old in vars(self).items()
        }
        return World(**found)


def world(variants: Mapping[str, float], blocks: Sequence[str] = BLOCKS, **more: Any) -> World:
    """Plateaus of whole networks, slopes of blocks; ``variants`` by their test accuracy in points."""
    curves = {
        (variant, block, MAIN): plateau() if block == "all" else slope(1.0) for variant in variants for block in blocks
    }
    return World(curves, {(name, "test"): points for name, points in variants.items()}, **more)


def tables(of: World) -> dict[str, Table]:
    """The tables of a row in a world, as its rows' ``tables`` make them."""
    paths, points = [], []
    for (variant, block, route), runs in of.curves.items():
        for seed in of.seeds:
            place = {"seed": seed, "variant": variant, "path": route, "block": block}
            losses = runs(seed)
            points += [
                {**place, "alpha": a, "loss": loss, "error": loss / 3} for a, loss in zip(ALPHAS, losses, strict=True)
            ]
            for metric, values in (("loss", losses), ("error", [loss / 3 for loss in losses])):
                row = {**place, "split": "test:2500", "metric": metric, "classes": of.classes}
                row |= {"start": values[0], "end": values[-1], "top": max(values), "rise": climb(values)}
                row["shape"] = label(values, of.classes) if metric == "loss" and route.endswith("final") else None
                row["relative_distance"] = of.distance.get(variant)
                paths.append({**row, "examples": 2500, "points": 26, "norm_stats": "interpolate"})
    accuracy = [
        {
            "seed": seed,
            "variant": variant,
            "split": split,
            "accuracy": (value + of.jitter(seed)) / 100,
            "examples": 10_000,
        }
        for (variant, split), value in of.accuracy.items()
        for seed in of.seeds
    ]
    setup = [{"variant": variant} for variant in dict.fromkeys(key[0] for key in of.curves)]
    found: dict[str, list[dict[str, Any]]] = {"setup": setup, "paths": paths, "curves": points, "accuracy": accuracy}
    starts = [{"seed": s, "variant": name, "reached": known} for name, known in of.reached.items() for s in of.seeds]
    found |= {"starts": starts} if starts else {}
    return {name: Table.of(rows) for name, rows in found.items()}


def climb(values: Curve) -> float:
    """The greatest climb, pair by pair."""
    return max((b - a for i, a in enumerate(values) for b in values[i:]), default=0.0)


def label(losses: Curve, classes: int, alphas: Sequence[float] = ALPHAS) -> str:
    """The shape of a path to final weights, written out."""
    if any(map(math.isnan, losses)):
        return "NaN"
    if climb(losses) >= max(0.05, 0.1 * min(losses[0], math.log(classes))):
        return "B"
    if losses[-1] > 0.5 * losses[0]:
        return "F"
    early = [loss for alpha, loss in zip(alphas, losses, strict=True) if alpha <= 0.8]
    return "P" if all(loss >= 0.9 * losses[0] for loss in early) else "NB"
