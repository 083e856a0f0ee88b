"""Made-up tables of a Shapira23 row: worlds in which the claims are true or not, and the barriers written out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.tables import Table

K1, EPOCHS = (0, 1, 2, 5, 7), 10
NAMES = ("chord", "signed", "mean", "signed_mean", "midpoint", "rise")


@dataclass(frozen=True)
class World:
    """What the claims are about, as functions of (repeat, k1, k2); by default a world in which all of them hold."""

    height: Callable[..., float] = lambda r, k1, k2: -0.002 - 0.0001 * k1
    train_height: Callable[..., float] = lambda r, k1, k2: -0.003 - 0.0001 * k1
    error_height: Callable[..., float] = lambda r, k1, k2: 0.03 if k1 == 0 else 0.001
    top: Callable[..., float] = lambda r, k1, k2: 0.5
    l2: Callable[..., float] = lambda r, k1, k2: 2.0 - 0.2 * k1 + 0.3 * k2 + 0.01 * r
    predictions: Callable[..., float] = lambda r, k1, k2: 0.1 + 0.02 * k2
    accuracy: Callable[..., float] = lambda r, k: 0.98 - 0.85 * math.exp(-k) + 0.0005 * r


def barriers(alphas: Any, values: Any) -> dict[str, float]:
    """Every named barrier of a curve, written out."""
    x, y = np.asarray(alphas), np.asarray(values)
    if not np.isfinite(y).all():
        return dict.fromkeys(NAMES, float(np.max(y)))
    gap = y - ((1 - x) * y[0] + x * y[-1])
    off = y - (y[0] + y[-1]) / 2
    inner = gap[1:-1]
    return {
        "chord": max(0.0, gap.max()),
        "signed": inner[np.abs(inner).argmax()],
        "mean": off.max(),
        "signed_mean": off.max() if off.max() >= -off.min() - 1e-12 else off.min(),
        "midpoint": gap[np.flatnonzero(x == 0.5)[0]],
        "rise": np.triu(y - y[:, None]).max(),  # row i, column j: y[j] - y[i] for i <= j
    }


def tables(
    world: World,
    repeats: int = 2,
    k1s: tuple[int, ...] = K1,
    splits: Any = ("train", "test"),
    epochs: int = EPOCHS,
    variant: str = "",
) -> Any:
    """The tables of a row, or of a variant of it, in a world: curves with a kink at ``top``, pairs from the curves."""
    alphas = np.linspace(0, 1, 25)
    pairs, points, networks = [], [], []
    named = {"variant": variant} if variant else {}
    for r in range(repeats):
        for k1 in k1s:
            for split in splits:
                at = {"repeat": r, **named, "k1": k1, "split": split}
                networks.append({**at, "k2": 0, "accuracy": world.accuracy(r, k1)})
                for k2 in range(1, epochs + 1 - k1):
                    height = (world.height if split == "test" else world.train_height)(r, k1, k2)
                    top = world.top(r, k1, k2)
                    bump = np.minimum(alphas / top, (1 - alphas) / (1 - top))
                    end = 1 - world.accuracy(r, k1 + k2)
                    curves = {
                        "loss": 0.4 / (k1 + k2) + 0.01 * alphas + _times(height, bump),
                        "error": end + 0.002 * alphas + world.error_height(r, k1, k2) * bump,
                    }
                    points += [
                        {**at, "k2": k2, "alpha": float(a), "loss": float(loss), "error": float(error)}
                        for a, loss, error in zip(alphas, curves["loss"], curves["error"], strict=True)
                    ]
                    more: dict[str, Any] = {"examples": 10_000, "norm_stats": "none", "l2": world.l2(r, k1, k2)}
                    more["prediction_cross_entropy"] = world.predictions(r, k1, k2)
                    for metric, curve in curves.items():
                        ends = {"metric": metric, "start": float(curve[0]), "end": float(curve[-1])}
                        found = {name: float(value) for name, value in barriers(alphas, curve).items()}
                        pairs.append({**at, "k2": k2, **ends, **found, **more})
    table1 = {**named, "training_examples": 60_000}
    whole = {"pairs": pairs, "curves": points, "networks": networks, "table1": [table1]}
    return {name: Table.of(rows) for name, rows in whole.items()}


def together(*parts: Any) -> Any:
    """The tables of several variants as one each."""
    return {name: Table.of(row for part in parts for row in part[name]) for name in parts[0]}


def _times(height: float, bump: Any) -> Any:
    """0 at the ends for any height, infinite ones as well."""
    return np.array([height * share if share else 0.0 for share in bump])


def at(k1: int, k2: int, there: float, elsewhere: Callable[..., float]) -> Callable[..., float]:
    """A quantity that is otherwise in one place."""
    return lambda r, a, b: there if (a, b) == (k1, k2) else elsewhere(r, a, b)


PLAIN = World()
