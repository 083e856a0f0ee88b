"""All interventions of the paper in one table: how the path looks, and what that has to do with accuracy (Table 1)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from isthmus.claims import Tables, Values
from isthmus.correlation import Correlation, clustered
from isthmus.errors import BadInput
from isthmus.papers.vlaar22 import conditions
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.lines import LINES, Intervention
from isthmus.statistics import Interval, interval
from isthmus.tables import Table

__all__ = ["ACCURACIES", "BLOCKS", "RISES", "SHAPES", "WHOLE", "beside", "correlations", "counted", "runs", "unrelated"]

RISES = ("rise", "largest_block_rise")
"""The columns of :func:`runs` that accuracy is compared with."""

WHOLE = "all"
"""The group that holds every intervention."""

SHAPES, ACCURACIES = ("B", "P", "NB", "F"), ("better", "neither", "worse")
BLOCKS = ("blocks higher", "blocks lower")

_RUNS: tuple[str, ...] = ("line", "group", "intervention", "against", "seed", "accuracy", "change")
_RUNS += ("rise", "largest_block_rise", "block_change", "shape")
_GROUPS = ("rise_of", "group", "correlation", "low", "high", "runs", "interventions", "left_out")
_BESIDE: tuple[str, ...] = ("line", "intervention", "against", "seeds", "published_shape", "labels", "mean_curve")
_BESIDE += ("published_blocks", "blocks", "published_accuracy", "verdict", "change", "low", "high")


def runs(found: Tables, interventions: Iterable[Intervention]) -> Table:
    """A row an intervention and seed: its accuracy, the change against its base of the same seed, and its rises.

    Accuracies are in points, rises in nats; ``largest_block_rise`` is that over blocks that move alone,
    ``block_change`` that minus the base's, ``shape`` the label of the path of the whole network. A number of which
    only one side was run is NaN, and so is the change of a run that the intervention does not tell of: of networks
    that have learnt nothing, of starts at a barrier where there is none, where training stops at a set accuracy.
    """
    return Table.of((row for one in interventions for row in _runs(found, one)), _RUNS)


def _runs(found: Tables, one: Intervention) -> Iterator[dict[str, Any]]:
    names = {one.name, one.against}
    own = {name: found[name].where(lambda row: row["variant"] in names) for name in ("paths", "accuracy")}
    for seed in sorted(set(own["accuracy"].where(variant=one.name)["seed"])):
        tables = {name: table.where(seed=seed) for name, table in own.items()}
        accuracy, blocks = q.accuracy(one.name)(tables), q.largest_rise(one.name)(tables)
        there = len(tables["accuracy"].where(variant=one.against)) > 0
        telling = there and _telling(tables, one, accuracy)
        yield {
            "line": one.line.name,
            "group": one.line.group,
            "intervention": one.name,
            "against": one.against,
            "seed": seed,
            "accuracy": accuracy,
            "change": accuracy - q.accuracy(one.against)(tables) if telling else math.nan,
            "rise": q.rise(one.name)(tables),
            "largest_block_rise": blocks,
            "block_change": blocks - q.largest_rise(one.against)(tables) if there else math.nan,
            "shape": q.path(tables, one.name)["shape"],
        }


def _telling(tables: Tables, one: Intervention, accuracy: float) -> bool:
    """Whether a run says what its intervention does to the accuracy."""
    if one.line.same_accuracy or accuracy < conditions.LEARNT:  # of two classes it always has
        return False
    return not one.line.needs_barrier or q.rise(one.against)(tables) >= q.BARRIER


def correlations(table: Table) -> Table:
    """Spearman's correlation of each rise with the change of accuracy, over all interventions and in each group.

    Intervals are over draws of whole interventions; runs without a number are left out and counted.
    """
    rows = []
    for rise in RISES:
        for group in (WHOLE, *dict.fromkeys(table["group"])):
            own = table if group == WHOLE else table.where(group=group)
            found, left_out = _correlation(own, rise)
            numbers = (None if math.isnan(value) else value for value in (found.value, found.low, found.high))
            counts = {"runs": found.points, "interventions": found.clusters, "left_out": left_out}
            named = dict(zip(("correlation", "low", "high"), numbers, strict=True))
            rows.append({"rise_of": rise, "group": group, **named, **counts})
    return Table.of(rows, _GROUPS)


def _correlation(table: Table, rise: str) -> tuple[Correlation, int]:
    there = table.where(lambda row: not any(map(_missing, (row[rise], row["change"]))))
    return clustered(there[rise], there["change"], there["intervention"]), len(table) - len(there)


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def unrelated(rise: str) -> Callable[[Tables], Values]:
    """How far the interval of a correlation lies from 0: 0 where it holds 0, or where groups differ in its sign.

    A group has a sign where its own interval does not hold 0.
    """

    def values(tables: Tables) -> Values:
        found = tables["correlations"].where(rise_of=rise)
        (whole,) = found.where(group=WHOLE).rows or ({"low": None, "high": None, "interventions": 0},)
        if whole["low"] is None or whole["high"] is None:
            raise BadInput(f"{whole['interventions']} interventions have numbers, too few for an interval")
        signs = {_sign(row["low"], row["high"]) for row in found if row["group"] != WHOLE} - {0}
        return {WHOLE: 0.0 if len(signs) > 1 else max(whole["low"], -whole["high"], 0.0)}

    return values


def _sign(low: float | None, high: float | None) -> int:
    """The sign of a correlation that its interval tells from none, else 0."""
    return 0 if low is None or high is None else (low > 0) - (high < 0)


def beside(table: Table, shapes: Table) -> Table:
    """Table 1: a row an intervention, what the paper says of its line and what was found.

    ``labels`` are those of the path of the whole network seed by seed, ``mean_curve`` that of the mean; ``blocks``
    says whether the largest block rise is higher or lower than that of its base by the 95 % interval over seeds, or
    neither, and ``verdict`` whether the accuracy is better or worse by such, or neither.
    """
    by_name = {line.name: line for line in LINES}
    curves = {row["variant"]: row for row in shapes.where(path=q.MAIN, block="all")}
    rows = []
    for (name,), own in table.groups("intervention").items():
        line, change = by_name[own["line"][0]], interval(own["change"])
        rows.append(
            {
                "line": line.name,
                "intervention": name,
                "against": own["against"][0],
                "seeds": len(own),
                "published_shape": "/".join(line.shapes),
                "labels": "; ".join(f"{row['seed']}: {row['shape']}" for row in own),
                "mean_curve": curves[name]["mean_curve"] if name in curves else None,
                "published_blocks": line.blocks,
                "blocks": _direction(interval(own["block_change"])),
                "published_accuracy": line.accuracy,
                "verdict": None if math.isnan(change.mean) else _verdict(change.low, change.high),
                "change": change.mean,
                "low": change.low,
                "high": change.high,
            }
        )
    return Table.of(rows, _BESIDE)


def _verdict(low: float, high: float) -> str:
    return "better" if low > 0 else "worse" if high < 0 else "neither"


def _direction(change: Interval) -> str | None:
    if math.isnan(change.mean):
        return None
    return "higher" if change.low > 0 else "lower" if change.high < 0 else "neither"


def counted(table1: Table) -> Table:
    """How often a shape goes with a change of accuracy: here over interventions, in the paper over lines of Table 1.

    A line counts once for each label that the paper gives it; rises of blocks against the base are counted apart.
    """
    found: Counter[tuple[str, str, str]] = Counter()
    for row in table1:
        if row["verdict"] is not None:
            found["here", row["mean_curve"], row["verdict"]] += 1
            found["here", f"blocks {row['blocks']}", row["verdict"]] += 1
    for line in LINES:
        accuracy = line.accuracy.removeprefix("often ")
        for shape in (*line.shapes, *([f"blocks {line.blocks}"] if line.blocks else [])):
            found["paper", shape, accuracy] += 1
    return Table.of(
        {"source": source, "shape": shape, "accuracy": accuracy, "count": found[source, shape, accuracy]}
        for source in ("here", "paper")
        for shape in (*SHAPES, *BLOCKS)
        for accuracy in ACCURACIES
    )
