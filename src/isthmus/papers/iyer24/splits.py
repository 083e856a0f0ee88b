"""What rows about splits by EL2N share (F5 and Table 1, F7): their study, Table 1, what the claims compute from it.

A split is named by the study: ``train/1`` holds the easiest quarter of the training examples, ``train/4`` the hardest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from isthmus.claims import ABOVE, DIRECTION, Claim, Tables, per_seed
from isthmus.errors import BadInput
from isthmus.papers import Scale
from isthmus.papers.iyer24.merges import Cell, cells
from isthmus.papers.iyer24.setups import branch, continued, epochs, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Results, Study
from isthmus.tables import Table

__all__ = ["CHANGES", "PUBLISHED", "SPLITS", "claims", "study", "table_1", "tables"]

SPLITS = ("train/1", "train/2", "train/3", "train/4")
CHANGES = ("by the merge", "over the next epoch")

PUBLISHED: Mapping[tuple[str, str], tuple[float, float]] = {
    ("train/1", CHANGES[0]): (0.00285, -0.98367),
    ("train/2", CHANGES[0]): (0.03166, -0.94480),
    ("train/3", CHANGES[0]): (0.13364, -0.7386),
    ("train/4", CHANGES[0]): (0.18621, -0.14679),
    ("train/1", CHANGES[1]): (-0.0049, float("inf")),
    ("train/2", CHANGES[1]): (-0.04067, 27.21314),
    ("train/3", CHANGES[1]): (-0.14097, 3.6074),
    ("train/4", CHANGES[1]): (-0.17065, 0.19244),
}
"""Table 1 of the paper: relative changes of accuracy and of error on the splits."""


def study(row: str, scale: Scale, *parts: Mapping[str, Any], variant: str) -> Study:
    """k = s = 5 epochs, merged and trained on for 5, every network on four splits by EL2N at epoch 10; five runs.

    At small scale 20,000 examples, s = 3, one epoch after the merge, EL2N over three runs at epoch 5; three runs.
    """
    small = scale == "small"
    s = epochs(range(1, 4 if small else 6))
    scores = {"score": "el2n", "splits": 4, "runs": 3 if small else 10, "at": "5ep" if small else "10ep"}
    fields: dict[str, Any] = {"evaluate": {"scores": scores}}
    if small:
        fields |= {"data": {"examples": 20_000}, "evaluate": {"scores": scores, "alphas": 3}}
    else:
        fields["seeds"] = [0, 1, 2, 3, 4]
    on = continued("1ep" if small else "5ep", at=s[-1:], children_go_on=not small)
    return of(row, scale, fields, branch(["5ep"], s), on, *parts, variants={variant: {}})


def tables(results: Results, variant: str, published: bool = False) -> dict[str, Table]:
    """The tables of a study, ``table1`` and which scores the ``splits`` hold."""
    found = tabulate(results)
    if "splits" in results.tables:
        kept = ("split", "examples", "mean", "min", "max")
        found["splits"] = Table.of({name: row[name] for name in kept} for row in results["splits"])
    return found | {"table1": table_1(found, variant, published)}


def table_1(found: Tables, variant: str, published: bool = False) -> Table:
    """Table 1: a row a seed, split and change: accuracy before and after, and its change in points and relative to it.

    ``relative_error`` is that of the error; it is infinite where there were no errors before.
    """
    return Table.of(_rows(found, variant, published), _COLUMNS if published else _COLUMNS[:-2])


_COLUMNS: tuple[str, ...] = (
    "seed",
    "split",
    "change",
    "before",
    "after",
    "points",
    "relative_accuracy",
    "relative_error",
)
_COLUMNS += ("published_accuracy", "published_error")


def _rows(found: Tables, variant: str, published: bool) -> Iterator[dict[str, Any]]:
    seeds = sorted({row["seed"] for row in found.get("gains", ())})
    for seed in seeds:
        own = {name: found[name].where(seed=seed) for name in ("gains", "networks") if name in found}
        for split in SPLITS:
            try:
                cell = cells(own, variant, split)[0]
            except (BadInput, KeyError):
                continue  # what was not measured has no row
            for change, (before, after) in zip(CHANGES, _levels(cell), strict=False):
                row = {"seed": seed, "split": split, "change": change, **_changes(before, after)}
                if published:
                    row |= dict(zip(_COLUMNS[-2:], PUBLISHED[split, change], strict=True))
                yield row


def _levels(cell: Cell) -> Iterator[tuple[float, float]]:
    """Accuracy as a share before and after: from the copies to the merge, from there to an epoch later."""
    merge = cell.merge[0][1] / 100
    yield float(np.mean([copy[0][1] for copy in cell.children])) / 100, merge
    yield from ((merge, accuracy / 100) for after, accuracy in cell.merge if abs(after - 1) < 1e-9)


def _changes(before: float, after: float) -> dict[str, float]:
    relative = {"relative_accuracy": _relative(before, after), "relative_error": _relative(1 - before, 1 - after)}
    return {"before": before, "after": after, "points": 100 * (after - before), **relative}


def _relative(before: float, after: float) -> float:
    """The change of a share relative to it: from nothing to something infinite, from nothing to nothing no number."""
    least = 1e-9  # far less than one example: what a rounding leaves
    if before < least:
        return float("inf") if after >= least else float("nan")
    return (after - before) / before


# --- what the claims compute ----------------------------------------------------------------------------------


def _column(found: Tables, change: str, column: str) -> list[float]:
    """A number of each split, the easiest first."""
    rows = {row["split"]: row[column] for row in found["table1"].where(change=change)}
    if missing := [split for split in SPLITS if split not in rows]:
        raise BadInput(f"there is no change {change} on {', '.join(missing)}")
    return [float(rows[split]) for split in SPLITS]


def _ordered(found: Tables) -> float:
    return float(np.min(np.diff(_column(found, CHANGES[0], "relative_accuracy"))))


def _share(change: str, sign: int) -> Callable[[Tables], float]:
    """The share of the harder half in what splits gain (``sign`` 1) or lose; the others have no part in it."""

    def value(found: Tables) -> float:
        points = np.maximum(sign * np.array(_column(found, change, "points")), 0.0)
        if (total := float(points.sum())) <= 0:
            raise BadInput(f"no split {'gains' if sign > 0 else 'loses'} anything {change}")
        return float(points[2:].sum()) / total

    return value


def _of(split: str, change: str) -> Callable[[Tables], float]:
    return lambda found: _column(found, change, "relative_accuracy")[SPLITS.index(split)]


def claims(source: str, *, published: bool = False) -> tuple[Claim, ...]:
    """What the paper says about the splits; with ``published``, that Table 1 comes out at paper scale."""
    told = {"order": ".186 > .134 > .032 > .003", "gain": "about .86", "drop": "about .83", "easy": "0.00285"}

    def claim(id: str, text: str, statistic: str, said: str, **fields: Any) -> Claim:
        values = per_seed(fields.pop("of"))
        paper = told[said] if published else ""
        return Claim(id=id, text=text, source=source, statistic=statistic, values=values, published=paper, **fields)

    found = (
        claim(
            "harder-gain-more",
            "The harder the examples, the larger the relative gain in accuracy by the merge.",
            "smallest step of the relative gain in accuracy from one split to the next harder one (above 0: 4 > 3 > 2"
            " > 1)",
            "order",
            side=">=",
            threshold=ABOVE,
            why=DIRECTION,
            count=(2, 3),
            of=_ordered,
        ),
        claim(
            "gain-in-the-hard-half",
            "Most of the gain is on the harder half of the training set.",
            "share of splits 3 and 4 in the gain in accuracy by the merge, in points, of the splits that gain",
            "gain",
            side=">=",
            threshold=0.7,
            why="the prediction; half would be theirs if difficulty did not matter",
            of=_share(CHANGES[0], 1),
        ),
        claim(
            "drop-in-the-hard-half",
            "So is most of what the next epoch loses.",
            "share of splits 3 and 4 in the drop in accuracy over the next epoch, in points, of the splits that drop",
            "drop",
            side=">=",
            threshold=0.7,
            why="the prediction; half would be theirs if difficulty did not matter",
            of=_share(CHANGES[1], -1),
        ),
        claim(
            "easiest-hardly-gain",
            "The easiest quarter hardly gains.",
            "relative gain in accuracy by the merge on split 1",
            "easy",
            side="<=",
            threshold=0.02,
            why="the prediction: nearly all of it is right before",
            of=_of(SPLITS[0], CHANGES[0]),
        ),
    )
    return found + (tuple(_gates()) if published else ())


def _gates() -> Iterator[Claim]:
    for (split, change), (number, _) in PUBLISHED.items():
        if split == SPLITS[0]:
            continue
        place = split.rpartition("/")[2]
        low, high = sorted((0.7 * number, 1.3 * number))
        yield Claim(
            id=f"table-1-split-{place}-{'merge' if change == CHANGES[0] else 'after'}",
            text=f"Accuracy on split {place} changes {change} as in Table 1.",
            source="Iyer 2024, Table 1",
            statistic=f"relative change of accuracy {change} on split {place}",
            side="within",
            threshold=(low, high),
            why="within 30 % of the published number",
            values=per_seed(_of(split, change)),
            published=f"{number:g}",
            scales=("paper",),
        )
