"""Beyond the paper: F1's merge beside what the same training buys otherwise, and what the noisy quadratic predicts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from isthmus.claims import Claim, Tables, per_seed
from isthmus.errors import BadInput
from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw_beside, rivals
from isthmus.papers.iyer24.setups import gains, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Results, Study
from isthmus.study.overlay import laid_over
from isthmus.tables import Table

__all__ = ["ROW", "study", "tables"]

PLAIN, LOW = "lr .1", "lr .01"
FACTORS = {PLAIN: 1.0, LOW: 0.1}
"""The learning rate after the merge, as a multiple of that before it."""

LONGER = "longer, lr x 0.1"
_WITHIN = 1e-9  # times are whole steps as numbers of epochs


def study(scale: Scale = "paper") -> Study:
    """F1's copies and merge, what they are compared with, and F12's merge at a tenth of the learning rate.

    The networks of F1 and F12 are these as well. New is the one that is trained as long as both copies, at a tenth of
    the rate (at full rate, as at paper scale too, it is F1's first copy gone on). Moving averages need the copies on
    their way, every quarter of an epoch: a store that has F1 alone kept none of these, and they are trained again.
    """
    beside = {
        "ensemble": True,
        "ema": {"every": "0.25ep", "half_life": "1ep"},
        "longer": {"factor": [0.1] if scale == "small" else [1.0, 0.1]},
    }
    on = {"factor": FACTORS[LOW], "children_go_on": False} | ({"after": "1ep"} if scale == "small" else {})
    low = laid_over(gains(scale, last=True), {"merge": on})
    return of("beside", scale, gains(scale), variants={PLAIN: {"baselines": beside}, LOW: low})


def tables(results: Results) -> dict[str, Table]:
    """Those of every row, and ``baselines``, ``distances`` and ``course`` (see :mod:`~isthmus.papers.iyer24.rivals`).

    Distances are fitted with several curvatures. Copies keep moving apart over all of s, which a single curvature can
    only tell by one that is slow; and most of a gain in loss lies along the steep directions, which such a curvature
    knows nothing of. That was decided before anything was run.
    """
    found = tabulate(results)
    raw = {name: results.tables[name] for name in ("pairs", "networks") if name in results.tables}
    per_epoch = results.expansion.grounds[PLAIN].steps_per_epoch
    made = {
        "baselines": rivals.baselines(found["networks"], PLAIN) if "networks" in found else Table.of([]),
        "distances": rivals.distances(raw, PLAIN, per_epoch),
        "course": rivals.course(raw, FACTORS, per_epoch),
    }
    return found | {name: table for name, table in made.items() if len(table)}


# --- what the claims compute, of one seed -------------------------------------------------------------------------


def _kind(found: Tables, kind: str) -> Mapping[str, Any]:
    """The row of a kind on the test set, of a longer network that where it has cost as much as the merge."""
    rows = found["baselines"].where(variant=PLAIN, split="test")
    costs = rows.where(kind="merge")["epochs"] if kind == LONGER else rows["epochs"]
    own = rows.where(lambda row: row["epochs"] in costs, kind=kind).rows
    if not own:
        raise BadInput(f"there is no {kind!r} on the test set in {PLAIN!r}")
    return own[0]


def _over_merge(kind: str) -> Callable[[Tables], float]:
    return lambda found: float(_kind(found, kind)["over_merge"])


def _average_against_half(found: Tables) -> float:
    return float(_kind(found, "ema")["gain"] - _kind(found, "merge")["gain"] / 2)


def _shares(found: Tables, variant: str, first: float, last: float) -> list[tuple[float, float]]:
    """The share of the gain in loss that is left, measured and predicted, at times after the merge up to the last."""
    rows = found["course"].where(lambda row: first < row["after"] <= last + _WITHIN, variant=variant).rows
    if not rows or abs(rows[-1]["after"] - last) > _WITHIN:
        raise BadInput(f"there is no course of the gain in {variant!r} up to {last:g} epoch after the merge")
    if any(row["measured"] is None for row in rows):
        raise BadInput(f"there is no gain in loss at the merge in {variant!r}, of which a share could be left")
    if any(row["children_at"] != row["after_steps"] for row in rows):
        raise BadInput(f"there are no copies that went on to compare the merge in {variant!r} with")
    return [(row["measured"], row["predicted"]) for row in rows]


def _missed(found: Tables) -> float:
    return float(np.mean([abs(measured - predicted) for measured, predicted in _shares(found, PLAIN, 0.0, 1.0)]))


def _kept(found: Tables) -> float:
    return float(_shares(found, LOW, 1.0 - _WITHIN, 1.0)[-1][0])


# --- claims -------------------------------------------------------------------------------------------------------

_BASELINES = "beyond the paper: baselines at an equal cost of training, beside F1"
_QUADRATIC = "beyond the paper: the noisy quadratic, beside F1 and F12"

CLAIMS = (
    Claim(
        id="ensemble-at-least-as-good",
        text="The ensemble of the two copies, at twice the cost of a prediction, is at least as accurate as the merge.",
        source=_BASELINES,
        statistic="test accuracy of the ensemble minus that of the merge (points)",
        side=">=",
        threshold=0.0,
        why="the claim is about the order: averaging weights is the cheaper stand-in for averaging predictions",
        values=per_seed(_over_merge("ensemble")),
    ),
    Claim(
        id="average-along-the-way-gains",
        text="A moving average along one copy's way gains at least half as much as the merge of two copies.",
        source=_BASELINES,
        statistic="test accuracy of the moving average minus that of the copies, in the mean over both copies, minus"
        " G0 / 2 (points)",
        side=">=",
        threshold=0.0,
        why="half: noise that averaging cancels is there along one way as well, at half the training",
        values=per_seed(_average_against_half),
    ),
    Claim(
        id="longer-at-low-rate-at-least-as-good",
        text="One network trained as long as both copies, at a tenth of the rate, is no less accurate than the merge.",
        source=_BASELINES,
        statistic="test accuracy of one network trained for 2 s at lr / 10 minus that of the merge (points)",
        side=">=",
        threshold=0.0,
        why="the claim is about the order: a lower rate takes the noise away that the merge averages out",
        values=per_seed(_over_merge(LONGER)),
    ),
    Claim(
        id="course-as-predicted",
        text="How fast training on loses the gain in loss follows from how fast copies move apart.",
        source=_QUADRATIC,
        statistic="|measured minus predicted| share of the gain in test loss that is left, in the mean over the first"
        " epoch after the merge at the same learning rate",
        side="<=",
        threshold=0.25,
        why="what guessing a half would miss on average, were shares spread evenly from 0 to 1",
        values=per_seed(_missed),
    ),
    Claim(
        id="low-rate-keeps",
        text="At a tenth of the learning rate all of the gain in loss is still there an epoch after the merge.",
        source=_QUADRATIC,
        statistic="share of the gain in test loss that is left one epoch after the merge at lr / 10; copies go on at"
        " their rate",
        side=">=",
        threshold=1.0,
        why="the model predicts a gain that is kept and grows",
        values=per_seed(_kept),
    ),
)

ROW = Row(
    name="beside",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10: the merge of F1 beside what the same training buys otherwise,"
    " and the noisy quadratic",
    shows=("beside F1",),
    study=study,
    tables=tables,
    claims=CLAIMS,
    figures=functools.partial(draw_beside.figure, PLAIN, LOW),
)
