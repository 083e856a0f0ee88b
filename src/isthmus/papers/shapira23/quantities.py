"""What the claims compute from the tables of one repeat; every number is about one split, by default the test set.

Each is computed in every repeat, and of a study with variants in one of them: see :func:`repeat`. "At the end" means
the pair with the largest k2 of its k1, both networks at the last step of training. A function raises
:class:`BadInput` where a pair that it needs was not run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from isthmus import curves
from isthmus.claims import Tables, Values, per_seed
from isthmus.errors import BadInput
from isthmus.tables import Table

__all__ = [
    "above",
    "against_first",
    "at_end",
    "by_k1",
    "change_over_k2",
    "change_with_k1",
    "drift_at_end",
    "ending",
    "fall_with_k1",
    "final_accuracy",
    "growth",
    "headroom",
    "largest",
    "late_rise",
    "main_accuracy",
    "of_variant",
    "off_centre",
    "repeat",
    "smallest_step",
    "split_accuracies",
    "train_against_test",
]

Row = Mapping[str, Any]


def of_variant(tables: Tables, variant: str) -> dict[str, Table]:
    """The tables of one variant; those without variants whole."""
    return {
        name: table.where(variant=variant) if "variant" in table.columns else table for name, table in tables.items()
    }


def repeat(statistic: Callable[[Tables], float], variant: str = "") -> Callable[[Tables], Values]:
    """The ``values`` of a claim: the statistic in each repeat, of a study with variants in this one."""
    found = per_seed(statistic, by="repeat")
    return (lambda tables: found(of_variant(tables, variant))) if variant else found


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


def main_accuracy(row: Row) -> float:
    """The accuracy of the main branch at k1 + k2, from a row about the error.

    Where the path was evaluated with other normalisation statistics than those of training, it is that with its own.
    """
    own = row.get("start_own_stats")
    return float(1.0 - (row["start"] if own is None else own))


def split_accuracies(tables: Tables, split: str = "test") -> dict[tuple[Any, float], float]:
    """The accuracy of the main branch at each split, by (repeat, k1), with its own normalisation statistics if known.

    They are known of every step at which some pair ends.
    """
    trunk = tables["networks"].where(split=split, k2=0)
    pairs = tables["pairs"].where(split=split, metric="error")
    later = {(row["repeat"], row["k1"] + row["k2"]): main_accuracy(row) for row in pairs}
    found = {(row["repeat"], row["k1"]): row["accuracy"] for row in trunk}
    own = "start_own_stats" in pairs.columns
    return {at: later.get(at, accuracy) if own else accuracy for at, accuracy in found.items()}


def final_accuracy(tables: Tables) -> float:
    """The accuracy of the main branch at the end of training."""
    ends = at_end(tables, metric="error").values()
    return main_accuracy(max(ends, key=lambda row: row["k1"] + row["k2"]))


def ending(quantity: str, *, k1: float | None = None, metric: str = "loss") -> Callable[[Tables], float]:
    """A quantity of the pair at the end that shares so many epochs, by default as many as any."""

    def value(tables: Tables) -> float:
        ends = at_end(tables, metric=metric)
        return float(_of(max(ends) if k1 is None else k1, ends)[quantity])

    return value


def against_first(*, k1: float, share: float) -> Callable[[Tables], float]:
    """The chord barrier at the end minus so large a share of that of the pair that shares nothing."""
    return lambda tables: ending("chord", k1=k1)(tables) - share * ending("chord", k1=0)(tables)


def above(first: str, second: str) -> Callable[[Tables], float]:
    """The chord barrier at the end in one variant minus that in another, the mean over every k1."""

    def value(tables: Tables) -> float:
        one, other = (at_end({"pairs": tables["pairs"].where(variant=name)}) for name in (first, second))
        return float(np.mean([row["chord"] - _of(k1, other)["chord"] for k1, row in one.items()]))

    return value


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


def change_with_k1(quantity: str, among: Sequence[float] | None = None) -> Callable[[Tables], float]:
    """The largest change from one k1 to the next at the end (of all, or of these); below 0 where it always falls."""

    def value(tables: Tables) -> float:
        ends = at_end(tables)
        values = [_of(k1, ends)[quantity] for k1 in (ends if among is None else among)]
        if len(values) < 2:
            raise BadInput("there are not two k1 to compare")
        return float(np.max(np.diff(values)))

    return value


def fall_with_k1(quantity: str, among: Sequence[float], *, negligible: float) -> Callable[[Tables], float]:
    """The same over these k1, where a change begins at what is negligible at least: what is below may move there.

    Where the first is not twice what is negligible there is nothing that could fall.
    """

    def value(tables: Tables) -> float:
        ends = at_end(tables)
        values = np.array([_of(k1, ends)[quantity] for k1 in among], dtype=np.float64)
        if values[0] < 2 * negligible:
            raise BadInput(f"there is hardly a barrier at k1 = {among[0]:g} ({values[0]:.3g}), nothing that could fall")
        return float(np.max(values[1:] - np.maximum(values[:-1], negligible)))

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


def growth(quantity: str, *, k1: float, at: Sequence[float]) -> Callable[[Tables], float]:
    """The smallest change from one of these k2 to the next, for one k1; above 0 where it grows all the way."""

    def value(tables: Tables) -> float:
        rows = {row["k2"]: row for row in _of(k1, by_k1(tables))}
        if missing := [k2 for k2 in at if k2 not in rows]:
            raise BadInput(f"there is no pair with k1 = {k1} and k2 = {missing[0]}")
        return float(np.min(np.diff([rows[k2][quantity] for k2 in at])))

    return value


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


def off_centre(*, k1: float, only: bool = False) -> Callable[[Tables], float]:
    """How far from 1/2 the alpha of the largest gap (by magnitude) lies at the end, for one k1 (``only``) or at most.

    At most means over this k1 and every larger one.
    """

    def value(tables: Tables) -> float:
        ends = {k1: _of(k1, at_end(tables))} if only else _from(k1, at_end(tables))
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
        trunk = {k1: accuracy for (_, k1), accuracy in split_accuracies(tables).items()}
        if any(np.isnan(row["chord"]) for row in ends.values()):
            return float("nan")
        apart = [k1 for k1, row in ends.items() if row["chord"] >= limit]
        connected = [k1 for k1 in ends if not apart or k1 > max(apart)]
        if not connected:
            return float("-inf")
        return float(final_accuracy(tables) - _of(connected[0], trunk))

    return value
