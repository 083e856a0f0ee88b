"""What the noisy quadratic predicts for the gain of a merge and its loss in further training, beside what is measured.

The distances between children over s give the decay of a step (:func:`isthmus.quadratic.fit`); nothing of the gain is
fitted. What the model leaves out stands in :mod:`isthmus.quadratic`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus import plots, quadratic
from isthmus.errors import BadInput
from isthmus.quadratic import Fit
from isthmus.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["distances", "draw_distances", "draw_gains", "gains"]


def distances(pairs: Table, *, spectrum: bool = False) -> Table:
    """A row a seed and s: the mean squared L2 distance of the children, that of the fit, and the fit.

    Args:
        pairs: rows of a table ``pairs`` at one k, with ``seed``, ``s_steps`` and ``l2``; further columns and several
            rows a pair (splits, metrics) do not matter.
        spectrum: several curvatures, as in :func:`isthmus.quadratic.fit`.

    Returns:
        Columns ``seed``, ``s_steps``, ``squared``, ``fitted``, ``decay`` (of a step; the slowest of several),
        ``half_life`` (steps after which half of what that direction gained is lost), ``curvatures`` (how many),
        ``fit_error``, ``at_limit``.

    Raises:
        BadInput: several k, or distances at fewer than three s.
    """
    rows = []
    for seed, (found, measured) in _fits(pairs, spectrum).items():
        fitted = found.squared_distance(list(measured)).tolist()
        for (s, squared), value in zip(measured.items(), fitted, strict=True):
            rows.append({"seed": seed, "s_steps": s, "squared": squared, "fitted": value, **_described(found)})
    return Table.of(rows)


def _described(found: Fit) -> dict[str, Any]:
    slowest = max(found.decays)
    half_life = math.log(0.5) / (2 * math.log(slowest))
    return {
        "decay": slowest,
        "half_life": half_life,
        "curvatures": len(found.decays),
        "fit_error": found.error,
        "at_limit": found.at_limit,
    }


def _fits(pairs: Table, spectrum: bool) -> dict[Any, tuple[Fit, dict[int, float]]]:
    """By seed: the fit and what it is a fit to, squared distances by s."""
    _one(pairs, "k_steps")
    found = {}
    for (seed,), own in pairs.where(lambda row: row["l2"] is not None).groups("seed").items():
        squared = {
            s: float(np.mean([value**2 for value in set(rows["l2"])])) for (s,), rows in own.groups("s_steps").items()
        }
        measured = dict(sorted(squared.items()))
        found[seed] = (quadratic.fit(list(measured), list(measured.values()), spectrum=spectrum), measured)
    return found


def _one(table: Table, *columns: str) -> list[Any]:
    """The single value of each column."""
    for column in columns:
        if len(values := sorted(set(table[column]))) != 1:
            told = ", ".join(map(str, values)) or "none"
            raise BadInput(f"Expected rows of one {column}, found {told}: cut the table down with where().")
    return [table[column][0] for column in columns]


def gains(
    pairs: Table, networks: Mapping[float, Table], *, split: str = "test", spectrum: bool = False, children: int = 2
) -> Table:
    """A row a seed, learning rate after the merge and time after it: the gain measured and the share predicted.

    Args:
        pairs: as for :func:`distances`.
        networks: rows of tables ``networks`` at one k and s, by the factor of the learning rate after the merge (1.0:
            the same), with ``seed``, ``network``, ``after_steps``, ``split``, ``loss`` and ``accuracy``. The
            children's loss at a time is taken from the same rows, else from those at factor 1, else at the merge.
        split: on which part of the data.
        spectrum: as for :func:`distances`.
        children: how many were merged.

    Returns:
        Columns ``seed``, ``factor``, ``after_steps``, ``gain`` (nats: the children's mean loss minus the merge's),
        ``gain_accuracy`` (share), ``measured`` (``gain`` as a share of that at the merge), ``predicted``,
        ``children_at`` (the time after the merge at which the children were looked at), and the fit as in
        :func:`distances`. ``measured`` is missing where there was no gain at the merge to be a share of.

    Raises:
        BadInput: several k or s, no distances for a seed, no merge.
    """
    fits = _fits(pairs, spectrum)
    rows = []
    for factor, whole in networks.items():
        own = whole.where(split=split)
        (s,) = _one(own.where(network="merge"), "s_steps")
        _one(own.where(network="merge"), "k_steps")
        for (seed,), found in own.groups("seed").items():
            if seed not in fits:
                raise BadInput(f"Seed {seed}: expected distances of its children, found none in the table pairs.")
            siblings = _children(found)
            if 1.0 in networks:
                siblings = _children(networks[1.0].where(split=split, seed=seed)) | siblings
            rows += _course(seed, factor, found.where(network="merge"), siblings, fits[seed][0], s, children)
    return Table.of(rows)


def _children(networks: Table) -> dict[int, tuple[float, float]]:
    """Mean loss and accuracy of the children by the time after the merge."""
    own = networks.where(lambda row: row["network"] == "trunk" or row["network"].startswith("child"))
    return {
        after: (float(np.mean(rows["loss"])), float(np.mean(rows["accuracy"])))
        for (after,), rows in own.groups("after_steps").items()
    }


def _course(
    seed: Any, factor: float, merged: Table, siblings: Mapping[int, tuple[float, float]], found: Fit, s: int, n: int
) -> list[dict[str, Any]]:
    if 0 not in siblings or 0 not in merged["after_steps"]:
        raise BadInput(
            f"Seed {seed}: expected the merge and its children at the merge, found them at other times only."
        )
    rows, first = [], None
    for row in sorted(merged, key=lambda one: int(one["after_steps"])):
        after = int(row["after_steps"])
        at = after if after in siblings else 0
        gain = siblings[at][0] - row["loss"]
        first = gain if first is None else first
        predicted = float(quadratic.course(found, s, after, factor=factor, n=n)[0])
        numbers = {"gain": gain, "gain_accuracy": row["accuracy"] - siblings[at][1]}
        numbers |= {"measured": gain / first if first > 0 else None, "predicted": predicted}
        labels = {"seed": seed, "factor": factor, "after_steps": after}
        rows.append({**labels, **numbers, "children_at": at, **_described(found)})
    return rows


_MARKED = 12  # so many markers on a line


def _over(table: Table, at: str, value: str, per_epoch: int) -> tuple[list[float], list[list[float]]]:
    """Times in epochs, and of each seed the values there, NaN where it has none."""
    steps = sorted(set(table[at]))
    found = [dict(zip(own[at], own[value], strict=True)) for own in table.groups("seed").values()]
    values = [[math.nan if own.get(step) is None else own[step] for step in steps] for own in found]
    return [step / per_epoch for step in steps], values


def draw_distances(axes: Axes, table: Table, per_epoch: int) -> None:
    """The squared distances over s, measured and fitted, in a panel."""
    looks: dict[str, dict[str, Any]] = {
        "squared": {"color": plots.CATEGORICAL[0], "marker": plots.MARKERS[0], "label": "measured"},
        "fitted": {"color": plots.CATEGORICAL[1], "ls": "--", "label": "noisy quadratic, fitted"},
    }
    for name, look in looks.items():
        plots.band(axes, *_over(table, "s_steps", name, per_epoch), **look)
    plots.label(axes, "", "epochs apart (s)", "squared L2 distance")
    plots.legend(axes)


def draw_gains(axes: Axes, table: Table, per_epoch: int) -> None:
    """The gain over time after the merge as a share of that at the merge, measured and predicted, in a panel."""
    for index, ((factor,), own) in enumerate(table.groups("factor").items()):
        colour, marker = plots.CATEGORICAL[index], plots.MARKERS[index]
        for name, look in (("measured", {"marker": marker}), ("predicted", {"ls": "--"})):
            found = _over(own, "after_steps", name, per_epoch)
            every = -(-len(found[0]) // _MARKED)
            plots.band(axes, *found, color=colour, label=f"lr x {factor:g}, {name}", markevery=every, **look)
    plots.threshold(axes, 0.0)
    plots.label(axes, "", "epochs after the merge", "gain / gain at the merge")
    plots.legend(axes)
