"""Tables of what a merge is compared with: baselines with their costs, distances of copies, the course of its gain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from isthmus.errors import BadInput
from isthmus.papers import noisy_quadratic
from isthmus.tables import Table

__all__ = ["baselines", "course", "distances"]

Row = Mapping[str, Any]
Kind = tuple[str, float, int]

_COPIES = 2  # tabulate refuses others
_MEANS = {"copy": _COPIES, "ema": _COPIES}  # of so many networks is a row of these kinds the mean


def baselines(networks: Table, variant: str) -> Table:
    """A row a seed and kind, of a variant of a table ``networks`` of :func:`~.tabulate.tabulate`.

    ``kind`` is "copy" and "ema" (the mean of the two, as ``networks`` counts), "merge", "ensemble", or the name of a
    longer network, a row each time it was looked at until it has cost as much as both copies. ``gain`` is its accuracy
    minus the mean of the copies' and ``over_merge`` minus that of the merge, in points; ``epochs`` of training on the
    way to it from where the copies left the trunk; ``passes`` are the forward passes that a prediction takes.
    A kind that lacks one of its networks is left out, as is a seed without the merge or a copy.
    """
    own = networks.where(variant=variant)
    rows: list[Row] = []
    for (seed, k, s, split), found in own.groups("seed", "k", "s", "split").items():
        labels = {"variant": variant, "seed": seed, "k": k, "s": s, "split": split}
        rows += [{**labels, **row} for row in _kinds(found)]
    return Table.of(rows)


def _kinds(found: Table) -> Iterator[Row]:
    groups: dict[Kind, list[Row]] = {}
    for row in found:
        if (kind := _kind(row)) is not None:
            groups.setdefault(kind, []).append(row)
    whole = {kind: rows for kind, rows in groups.items() if len(rows) == _MEANS.get(kind[0], 1)}
    accuracy = {kind: 100 * float(np.mean([row["accuracy"] for row in rows])) for kind, rows in whole.items()}
    reference = {kind[0]: points for kind, points in accuracy.items()}
    if "copy" not in reference or "merge" not in reference:
        return
    for (name, epochs, passes), rows in whole.items():
        points = accuracy[name, epochs, passes]
        yield {
            "kind": name,
            "networks": len(rows),
            "accuracy": points / 100,
            "loss": float(np.mean([row["loss"] for row in rows])),
            "gain": points - reference["copy"],
            "over_merge": points - reference["merge"],
            "epochs": epochs,
            "passes": passes,
        }


def _kind(row: Row) -> Kind | None:
    """(kind, epochs of training, forward passes) of a network, None of one that has cost more than both copies."""
    name, s, after = row["network"], row["s_epochs"], row["after"]
    if name.startswith("longer"):
        return (name, _COPIES * s + after, 1) if after <= 0 else None
    if after:
        return None
    if name.startswith("child"):
        return "copy", s, 1
    if name.startswith("ema "):
        return "ema", s, 1
    return {"merge": ("merge", _COPIES * s, 1), "ensemble": ("ensemble", _COPIES * s, _COPIES)}.get(name)


def distances(raw: Mapping[str, Table], variant: str, per_epoch: int) -> Table:
    """What :func:`isthmus.papers.noisy_quadratic.distances` makes of the pairs of a variant, ``s_epochs`` beside it.

    Args:
        raw: the tables ``pairs`` and ``networks`` of a study; seeds whose distances cannot be fitted are left out.
        variant: which.
        per_epoch: steps an epoch.
    """
    rows: list[Row] = []
    for pairs in _seeds(raw, variant).values():
        try:
            fitted = noisy_quadratic.distances(pairs, spectrum=True)
        except BadInput:  # too few of its lines were measured
            continue
        rows += [{"variant": variant, "s_epochs": row["s_steps"] / per_epoch, **row} for row in fitted]
    return Table.of(rows)


def course(raw: Mapping[str, Table], factors: Mapping[str, float], per_epoch: int) -> Table:
    """What :func:`isthmus.papers.noisy_quadratic.gains` makes of variants, ``after`` (epochs) beside it.

    Args:
        raw: as for :func:`distances`.
        factors: the learning rate after the merge by variant; distances are those of the variant at factor 1.
        per_epoch: steps an epoch.
    """
    variants = {factor: name for name, factor in factors.items()}
    rows: list[Row] = []
    for seed, pairs in _seeds(raw, variants[1.0]).items():
        networks = _merged(raw, seed, variants)
        try:
            found = noisy_quadratic.gains(pairs, networks, spectrum=True)
        except BadInput:  # as above, or the copies at the merge were not measured
            continue
        rows += [{"variant": variants[row["factor"]], "after": row["after_steps"] / per_epoch, **row} for row in found]
    return Table.of(rows)


def _seeds(raw: Mapping[str, Table], variant: str) -> dict[Any, Table]:
    """The pairs of a variant by seed."""
    if "pairs" not in raw:
        return {}
    return {seed: rows for (seed,), rows in raw["pairs"].where(variant=variant).groups("seed").items()}


def _merged(raw: Mapping[str, Table], seed: Any, variants: Mapping[float, str]) -> dict[float, Table]:
    """The networks of a seed by factor, where the merge is among them."""
    if "networks" not in raw:
        return {}
    found = {factor: raw["networks"].where(seed=seed, variant=name) for factor, name in variants.items()}
    return {factor: rows for factor, rows in found.items() if len(rows.where(network="merge", after_steps=0))}
