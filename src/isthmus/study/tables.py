"""Tidy tables from stored results; no network is run and torch is not loaded."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from isthmus import curves
from isthmus.errors import Damaged
from isthmus.nodes import Choose, PathMeasure
from isthmus.statistics import interval
from isthmus.store import Store
from isthmus.study.chosen import chosen_tables
from isthmus.study.requests import Expansion, Request, labelled
from isthmus.tables import Table

__all__ = ["curve_table", "network_table", "path_table", "seeds_table", "start_table", "tables"]

_PAIR = {
    "cross_entropy_ab": "prediction_cross_entropy",
    "cross_entropy_ba": "prediction_cross_entropy_reverse",
    "disagreement": "disagreement",
}


def tables(expansion: Expansion, store: Store) -> dict[str, Table]:
    """Every table of a study by name: ``pairs`` or ``paths``, ``curves``, ``networks``, and ``seeds`` over seeds.

    Where a study chooses anything, ``chosen`` (blocks), ``splits`` and ``scores`` (examples) as well; ``starts`` where
    networks do not start at freshly initialised weights.
    """
    if expansion.variants:
        return _of_variants({name: tables(one, store) for name, one in expansion.variants.items()})
    found: dict[str, Table] = {}
    for name in ("pairs", "paths"):
        requests = [request for request in expansion.requests if request.table == name]
        if requests:
            found[name] = path_table(requests, store, shapes=name == "paths")
            found["curves"] = curve_table(requests, store)
    networks = [request for request in expansion.requests if request.table == "networks"]
    if networks:
        found["networks"] = network_table(networks, store)
    labels = {"pairs": ("k", "s", "pair", "split", "metric"), "paths": ("path", "block", "split", "metric")}
    labels["networks"] = ("k", "s", "network", "weights", "after_steps", "split")
    summaries = [seeds_table(found[name], by) for name, by in labels.items() if name in found]
    rows = [row for summary in summaries for row in summary]
    found |= chosen_tables(expansion, store)
    found["seeds"] = Table.of(rows)
    if expansion.sources:
        found["starts"] = start_table(expansion, store)
    return found


def _of_variants(found: Mapping[str, Mapping[str, Table]]) -> dict[str, Table]:
    """The tables of variants as one each, with a column ``variant``."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for variant, whole in found.items():
        for name, table in whole.items():
            rows.setdefault(name, []).extend(labelled(row, variant) for row in table)
    return {name: Table.of(each) for name, each in rows.items()}


def start_table(expansion: Expansion, store: Store) -> Table:
    """A row per seed: where its networks start, and how far a pre-training went.

    ``at`` is the place on the line from initial weights; where that is the top of a barrier ``rise`` is its rise, seen
    on the part ``split`` of the data. ``lr``, ``weight_decay``, ``steps`` and ``epochs`` are those of the pre-training,
    ``until`` is the accuracy that it was to reach, ``reached`` whether it did.
    """
    rows = []
    for labels, source in expansion.sources:
        before, row = source.pretraining, dict(labels)
        row["start"] = "file" if before is None else "pretrain"
        at = source.at
        row["at"] = at if isinstance(at, float) else _summary(store, at.key).get("value")
        if isinstance(at, Choose):
            assert isinstance(at.source, PathMeasure)
            seen = _summary(store, at.source.key)
            row["split"] = str(at.source.part)
            row["rise"] = curves.barrier(seen["alphas"], seen["loss"], "rise") if seen else None
        if before is not None:
            summary = _summary(store, source.weights.key)
            steps = summary.get("step")
            optimizer = before.recipe.optimizer
            row |= {"data": before.data.name, "lr": optimizer.lr, "weight_decay": optimizer.weight_decay}
            row["steps"] = steps
            row["epochs"] = None if steps is None else steps / before.per_epoch
            goal = before.until
            row |= {"until": None if goal is None else goal.accuracy, "reached": summary.get("reached")}
        rows.append(row)
    return Table.of(rows)


def _summary(store: Store, key: str) -> Mapping[str, Any]:
    """What a record says, as far as it is there: the tables do not rest on these."""
    with contextlib.suppress(Damaged):
        record = store.record(key)
        return {} if record is None else record.summary
    return {}


def path_table(requests: Iterable[Request], store: Store, *, shapes: bool = False) -> Table:
    """A row per (labels, metric): the ends, every named barrier, distances, how differently the ends predict.

    Distances are over parameters; where a block moves alone they are those of its own parameters. With ``shapes``, the
    shape label of the loss and the numbers behind it as well.
    """
    rows = []
    for request in requests:
        summary = store.get(request.measure.key).summary
        apart = _distances(request, store)
        for metric in ("loss", "error"):
            values = summary[metric]
            row: dict[str, Any] = {**request.labels, "metric": metric, "start": values[0], "end": values[-1]}
            row |= {name: curves.barrier(summary["alphas"], values, name) for name in curves.DEFINITIONS}
            row |= apart | {new: summary["pair"].get(old) for old, new in _PAIR.items()}
            if shapes and metric == "loss":
                row |= _shape(summary["alphas"], values, request.measure.data.classes)
            row |= _stored(summary, metric)
            row |= {"examples": summary["examples"], "points": len(values), "norm_stats": _norm(summary)}
            row |= _augmented(request)
            rows.append(row)
    return Table.of(rows)


def _augmented(request: Request) -> dict[str, bool]:
    return {"augmented": True} if request.measure.part.augment is not None else {}


def _distances(request: Request, store: Store) -> dict[str, Any]:
    if request.distance is None:
        return {}
    summary = store.get(request.distance.key).summary
    if request.measure.path.form == "blocks":
        block = request.labels["block"]
        return {"l2": summary["blocks"][block], "relative_distance": summary["relative_blocks"][block]}
    return {"l2": summary["l2"], "relative_distance": summary["relative"]}


def _shape(alphas: Sequence[float], losses: Sequence[float], classes: int) -> dict[str, Any]:
    label = curves.shape(alphas, losses, classes)
    return {"shape": str(label), **{f"shape_{name}": value for name, value in label.numbers.items()}}


def _stored(summary: Mapping[str, Any], metric: str) -> dict[str, Any]:
    index = 0 if metric == "loss" else 1
    ends = summary["stored_ends"]
    return {f"{name}_own_stats": ends[end][index] for end, name in (("a", "start"), ("b", "end")) if end in ends}


def _norm(summary: Mapping[str, Any]) -> str:
    stats = summary["norm_stats"]
    extra = ", ".join(f"{name} {value}" for name, value in stats.items() if name != "mode")
    return f"{stats['mode']} ({extra})" if extra else str(stats["mode"])


def curve_table(requests: Iterable[Request], store: Store) -> Table:
    """A row per (labels, alpha): loss and error."""
    rows = []
    for request in requests:
        summary = store.get(request.measure.key).summary
        rows += [
            {**request.labels, "alpha": alpha, "loss": loss, "error": error}
            for alpha, loss, error in zip(summary["alphas"], summary["loss"], summary["error"], strict=True)
        ]
    return Table.of(rows)


def network_table(requests: Iterable[Request], store: Store) -> Table:
    """A row per single network: loss, error, accuracy."""
    rows = []
    for request in requests:
        summary = store.get(request.measure.key).summary
        loss, error = summary["loss"][0], summary["error"][0]
        numbers = {"loss": loss, "error": error, "accuracy": 1.0 - error}
        seen = {"examples": summary["examples"], "norm_stats": _norm(summary), **_augmented(request)}
        rows.append({**request.labels, **numbers, **seen})
    return Table.of(rows)


def seeds_table(table: Table, by: Sequence[str]) -> Table:
    """Mean and 95 % t-interval over seeds of every number, a row per (labels, quantity).

    Several rows of one seed under the same labels (pairs of children that share a trunk) count as one.
    """
    skip = {"seed", "k_steps", "s_steps", "after_steps", "examples", "points", "alpha", *by}
    by = [name for name in by if name in table.columns and name != "pair"]
    numbers = [
        name for name in table.columns if name not in skip and any(isinstance(value, float) for value in table[name])
    ]
    rows = []
    for key, group in table.groups(*by).items():
        for name in numbers:
            seeds = [_mean(part[name]) for part in group.groups("seed").values()]
            values = [value for value in seeds if value is not None]
            if values:
                found = interval(values)
                labels = dict(zip(by, key, strict=True))
                rows.append(
                    {
                        **labels,
                        "quantity": name,
                        "mean": found.mean,
                        "low": found.low,
                        "high": found.high,
                        "seeds": found.seeds,
                    }
                )
    return Table.of(rows)


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    if not all(map(math.isfinite, present)):
        return sum(present)  # infinities of both signs make NaN, which fsum refuses
    return math.fsum(present) / len(present) if present else None
