"""What the claims compute from the tables of one repeat; every number is about one split, by default the test set.

"At the end" means the pair with the largest k2 of its k1, both networks at the last step of training. A function
raises :class:`BadInput` where a pair that it needs was not run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from isthmus import curves
from isthmus.claims import Tables
from isthmus.errors import BadInput
from isthmus.tables import Table

__all__ = [
    "at_end",
    "by_k1",
    "change_over_k2",
    "change_with_k1",
    "chord",
    "drift_at_end",
    "final_accuracy",
    "headroom",
    "largest",
    "late_rise",
    "off_centre",
    "smallest_step",
    "train_against_test",
]

Row = Mapping[str, Any]


def by_k1(tables: Tables, split: str = "test", metric: str = "loss") -> dict[float, list[Row]]:
    """The pairs of each k1 in the order of k2."""
    found = tables["pairs"].where(split=split, metric=metric)
    if not len(found):
        raise BadInput(f"there are no pairs for the {metric} on the {split} split")
    groups = found.groups("k1").items()
    return {k1: sorted(rows, key=lambda row: row["k2"]) for (k1,), rows in sorted(groups)}


def at_end(tables: Tables, split: str = "test", metric: str = "loss") -> dict[float, Row]:
    """For each k1 the pair with the largest k2."""
    return {k1: rows[-1] for k1, rows in by_k1(tables, split, metric).items()}


def _from(k1: float, found: Mapping[float, Any]) -> dict[float, Any]:
    """What there is for so many shared epochs or more."""
    kept = {key: value for key, value in found.items() if key >= k1}
    if not kept:
        raise BadInput(f"there is no pair with k1 >= {k1}")
    return kept


def _of(k1: float, found: Mapping[float, Any]) -> Any:
    if k1 not in found:
        raise BadInput(f"there is no pair with k1 = {k1}")
    return found[k1]


def final_accuracy(tables: Tables) -> float:
    """The accuracy of the main branch at the end of training."""
    ends = at_end(tables, metric="error").values()
    return float(1.0 - max(ends, key=lambda row: row["k1"] + row["k2"])["start"])


def chord(k1: float) -> Callable[[Tables], float]:
    """The chord barrier at the end."""
    return lambda tables: float(_of(k1, at_end(tables))["chord"])


def largest(quantity: str, *, k1: float, only: bool = False) -> Callable[[Tables], float]:
    """The largest value over every k2, for one k1 (``only``) or for this k1 and every larger one."""

    def value(tables: Tables) -> float:
        found = by_k1(tables)
        kept = {k1: _of(k1, found)} if only else _from(k1, found)
        return float(np.max([row[quantity] for rows in kept.values() for row in rows]))

    return value


def train_against_test(tables: Tables) -> float:
    """The largest difference over k1 between the chord barriers of train and test at the end."""
    train, test = at_end(tables, "train"), at_end(tables, "test")
    return float(np.max([abs(_of(k1, train)["chord"] - row["chord"]) for k1, row in test.items()]))


def change_with_k1(quantity: str, upto: float | None = None) -> Callable[[Tables], float]:
    """The largest change from one k1 to the next at the end; below 0 where the quantity falls all the way."""

    def value(tables: Tables) -> float:
        ends = at_end(tables)
        if upto is not None:
            _of(0, ends), _of(upto, ends)
        values = [row[quantity] for k1, row in ends.items() if upto is None or k1 <= upto]
        if len(values) < 2:
            raise BadInput("there are not two k1 to compare")
        return float(np.max(np.diff(values)))

    return value


def _over_k2(tables: Tables, k1: float, change: Callable[[list[Row]], float]) -> list[float]:
    found = {key: rows for key, rows in _from(k1, by_k1(tables)).items() if len(rows) > 1}
    if not found:
        raise BadInput(f"there are no two k2 to compare for any k1 >= {k1}")
    return [change(rows) for rows in found.values()]


def smallest_step(quantity: str, *, k1: float) -> Callable[[Tables], float]:
    """The smallest change from one k2 to the next, over this k1 and larger; above 0 where it grows all the way."""
    return lambda tables: float(
        np.min(_over_k2(tables, k1, lambda rows: float(np.min(np.diff([row[quantity] for row in rows])))))
    )


def change_over_k2(quantity: str, *, k1: float, pick: Callable[[list[float]], Any]) -> Callable[[Tables], float]:
    """The change from the first k2 to the last, the smallest or largest over this k1 and larger.

    ``pick`` is ``np.min`` or ``np.max``, which unlike Python's own do not lose a NaN.
    """
    return lambda tables: float(pick(_over_k2(tables, k1, lambda rows: float(rows[-1][quantity] - rows[0][quantity]))))


def late_rise(*, k1: float) -> Callable[[Tables], float]:
    """How much the chord barrier at the last k2 exceeds that at the middle one, the largest over this k1 and larger."""
    return lambda tables: float(
        np.max(_over_k2(tables, k1, lambda rows: float(rows[-1]["chord"] - rows[(len(rows) - 1) // 2]["chord"])))
    )


def drift_at_end(quantity: str) -> Callable[[Tables], float]:
    """At the end: the pair that parted first (k1 = 0) minus the pair that parted last."""

    def value(tables: Tables) -> float:
        ends = at_end(tables)
        return float(_of(0, ends)[quantity] - ends[max(ends)][quantity])

    return value


def off_centre(*, k1: float) -> Callable[[Tables], float]:
    """How far from 1/2 the alpha of the largest gap (by magnitude) lies at the end, at most over this k1 and larger."""

    def value(tables: Tables) -> float:
        ends = _from(k1, at_end(tables))
        test: Table = tables["curves"].where(split="test")
        places = []
        for key, row in ends.items():
            points = sorted(test.where(k1=key, k2=row["k2"]), key=lambda point: point["alpha"])
            alphas = [point["alpha"] for point in points]
            gap = curves.gap(alphas, [point["loss"] for point in points])
            places.append(abs(alphas[int(np.argmax(np.abs(gap)))] - 0.5) if np.isfinite(gap).all() else np.nan)
        return float(np.max(places))

    return value


def headroom(limit: float) -> Callable[[Tables], float]:
    """Final accuracy minus that at the first split from which on every pair ends with an error chord below a limit."""

    def value(tables: Tables) -> float:
        ends = at_end(tables, metric="error")
        trunk = {row["k1"]: row["accuracy"] for row in tables["networks"].where(split="test", k2=0)}
        if any(np.isnan(row["chord"]) for row in ends.values()):
            return float("nan")
        apart = [k1 for k1, row in ends.items() if row["chord"] >= limit]
        connected = [k1 for k1 in ends if not apart or k1 > max(apart)]
        if not connected:
            return float("-inf")
        return float(final_accuracy(tables) - _of(connected[0], trunk))

    return value
