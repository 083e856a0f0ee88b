"""The tables of a row: the set-up, paths and their shapes, lean curves, and how accurate the networks became."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from isthmus import curves
from isthmus.errors import BadInput
from isthmus.papers.setup import setup
from isthmus.study import Results
from isthmus.tables import Table

__all__ = ["ALONE", "shapes", "tabulate"]

ALONE = "base"
"""What the only variant of a study without variants is called."""

Row = Mapping[str, Any]

_PATHS = (
    *("seed", "variant", "path", "block", "split", "metric", "classes", "start", "end", "top", "rise", "chord"),
    *("shape", "shape_threshold", "shape_plateau", "shape_descent", "l2", "relative_distance", "accuracy"),
    *("examples", "points", "norm_stats"),
)
_CURVES = ("seed", "variant", "path", "block", "alpha", "loss", "error")
_ACCURACY = ("seed", "variant", "split", "accuracy", "loss", "examples")
_SHAPES = ("variant", "path", "block", "seeds", "labels", "mean_curve", "rise", "threshold", "plateau", "descent")


def tabulate(results: Results) -> dict[str, Table]:
    """``setup``, ``paths``, ``curves``, ``accuracy``, ``shapes``, and ``starts`` or ``chosen`` where there are such.

    In ``paths`` a row is a metric of one path: ``top`` is the highest value on it, ``accuracy`` that of the network
    at its end, on the examples of the path. Shape labels are those of :func:`isthmus.curves.shape`, for the loss of
    paths that end at final weights. ``curves`` are those on the first part of the data. ``accuracy`` is that of the
    final networks, each on the largest part of a split on which it was evaluated.
    """
    classes = _classes(results)
    points = [_named(row) for row in results["curves"]]
    tops = _tops(points)
    paths = Table.of((_path(_named(row), tops, classes) for row in results["paths"]), _PATHS)
    lean = Table.of(_lean(points), _CURVES)
    networks = results.tables.get("networks", Table((), ()))
    found = {
        "setup": setup(results),
        "paths": paths,
        "curves": lean,
        "accuracy": Table.of(_accuracies(map(_named, networks), paths), _ACCURACY),
        "shapes": shapes(lean, classes),
    }
    for name in ("starts", "chosen"):
        if name in results.tables:
            found[name] = Table.of(map(_named, results[name]))
    return found


def _named(row: Row) -> dict[str, Any]:
    return {"variant": ALONE, **row}


def _classes(results: Results) -> dict[str, int]:
    """The number of classes by variant."""
    return {name or ALONE: ground.data.classes for name, ground in results.expansion.grounds.items()}


def _tops(points: Iterable[Row]) -> dict[tuple[Any, ...], float]:
    """The highest value of every curve; NaN where one of its values is."""
    found: dict[tuple[Any, ...], float] = {}
    for row in points:
        for metric in ("loss", "error"):
            key, value = (*_place(row), metric), float(row[metric])
            before = found.get(key, -math.inf)
            found[key] = math.nan if math.isnan(value) or math.isnan(before) else max(before, value)
    return found


def _place(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("seed", "variant", "path", "block", "split"))


def _path(row: dict[str, Any], tops: Mapping[tuple[Any, ...], float], classes: Mapping[str, int]) -> dict[str, Any]:
    row["top"], row["classes"] = tops[*_place(row), row["metric"]], classes[row["variant"]]
    row["accuracy"] = 1.0 - row["end"] if row["metric"] == "error" else None
    if not row["path"].endswith("->final"):
        row |= dict.fromkeys(("shape", "shape_threshold", "shape_plateau", "shape_descent"))
    return row


def _lean(points: Iterable[Row]) -> Iterator[Row]:
    """The curves on that part of the data which comes first in each variant; ``paths`` names it."""
    first: dict[str, str] = {}
    return (row for row in points if row["split"] == first.setdefault(row["variant"], row["split"]))


def _accuracies(networks: Iterable[Row], paths: Table) -> Iterator[Row]:
    """Of each final network and split what was measured on the most examples, by itself or as the end of a path."""
    ends = (
        {**row, "loss": loss["end"], "network": "final"}
        for loss, row in zip(paths.where(metric="loss"), paths.where(metric="error"), strict=True)
        if row["block"] == "all" and row["path"].endswith("->final")
    )
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in [*networks, *ends]:
        key = (row["seed"], row["variant"], row["split"].partition(":")[0])
        if row["network"] == "final" and (key not in best or row["examples"] > best[key]["examples"]):
            best[key] = {**row, "split": key[2]}
    return iter(best.values())


def shapes(points: Table, classes: Mapping[str, int]) -> Table:
    """A row a variant, path to final weights and block: the label of each run, and that of the mean curve.

    The numbers behind the latter stand beside it. Paths of which only the two ends were evaluated have no shape.
    """
    rows = []
    for (variant, path, block), group in points.groups("variant", "path", "block").items():
        if path.endswith("->final") and len(set(group["alpha"])) > 2:
            runs = {seed: (run["alpha"], run["loss"]) for (seed,), run in group.groups("seed").items()}
            found = {seed: curves.shape(*run, classes[variant]) for seed, run in runs.items()}
            alphas, mean = _mean(list(runs.values()), f"{variant}, {path}, {block}")
            label = curves.shape(alphas, mean, classes[variant])
            labels = "; ".join(f"{seed}: {run}" for seed, run in found.items())
            place = {"variant": variant, "path": path, "block": block}
            rows.append({**place, "seeds": len(runs), "labels": labels, "mean_curve": str(label), **label.numbers})
    return Table.of(rows, _SHAPES)


def _mean(runs: list[tuple[list[float], list[float]]], what: str) -> tuple[list[float], list[float]]:
    alphas = runs[0][0]
    if any(run[0] != alphas for run in runs):
        raise BadInput(f"{what}: expected the same alphas of every seed, found different ones; run them again alike.")
    return alphas, [sum(losses) / len(runs) for losses in zip(*(run[1] for run in runs), strict=True)]
