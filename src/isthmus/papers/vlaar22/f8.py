"""ResNet-18 on CIFAR-10 at fixed learning rates; figure 8."""

from __future__ import annotations

import functools

from isthmus.claims import ABOVE, DIRECTION, EVERY, Claim, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import draw, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.statistics import interval
from isthmus.study import Results, Study, from_mapping
from isthmus.tables import Table

__all__ = ["ROW", "study"]

RATES = {"0.1": 0.1, "0.01": 0.01, "0.001": 0.001}
BASE = "base"


def study(scale: Scale = "paper") -> Study:
    """The base set-up at learning rates of 0.1, 0.01 and 0.001 that never fall, beside the base set-up itself."""
    content = setups.base(scale, "f8")
    fixed = {name: {"recipe.optimizer.lr": rate, "recipe.schedule": {}} for name, rate in RATES.items()}
    content["variants"] = {BASE: {}, **fixed}
    return from_mapping(content, where=f"vlaar22 f8 at {scale} scale")


PAPER = "Vlaar & Frankle 2022, F8"

CLAIMS = (
    Claim(
        id="distance-falls-with-rate",
        text="The lower the learning rate, the closer the final weights are to the initial ones.",
        source=f"{PAPER} and equation 4",
        statistic="the smaller of two differences of relative distance |f - i| / |i|: at 0.1 minus at 0.01, and at 0.01"
        " minus at 0.001",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=per_seed(
            q.smallest(
                q.difference(q.distance("0.1"), q.distance("0.01")),
                q.difference(q.distance("0.01"), q.distance("0.001")),
            )
        ),
        count=EVERY,
        published="1.03, 0.88, 0.22",
    ),
    Claim(
        id="best-at-0.01",
        text="Of the fixed learning rates 0.01 gives the most accurate networks.",
        source=PAPER,
        statistic="test accuracy at 0.01 minus that at the other fixed rate which is best on average (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=q.lead("0.01", "0.1", "0.001"),
        published="0.01 best",
    ),
    Claim(
        id="only-0.01-non-monotone",
        text="Of the fixed learning rates only 0.01 gives a path on which the loss rises.",
        source=f"{PAPER} and Table 1, which calls it a plateau",
        statistic="rise of the test loss on the path of the whole network at 0.01 minus the larger of those at 0.1 and"
        " 0.001 (nats)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=per_seed(q.difference(q.rise("0.01"), q.largest(q.rise("0.1"), q.rise("0.001")))),
        published="only 0.01 non-monotone",
    ),
)

PUBLISHED = {"0.1": 1.03, "0.01": 0.88, "0.001": 0.22}
"""Relative distances of the paper, by the fixed learning rate."""


def tables(results: Results) -> dict[str, Table]:
    """Those of every row, and ``distances``: how far networks move, by equation 4, beside the published numbers."""
    found = tabulate(results)
    return {**found, "distances": distances(found["paths"])}


def distances(paths: Table) -> Table:
    """A row a variant: its relative distance, the mean over seeds with its interval, and the paper's."""
    whole = paths.where(path=q.MAIN, block="all", metric="loss")
    rows = []
    for (name,), own in whole.groups("variant").items():
        over = interval([row["relative_distance"] for row in own])
        low, high = (over.low, over.high) if over.seeds > 1 else (None, None)
        numbers = {"relative_distance": over.mean, "low": low, "high": high, "seeds": over.seeds}
        rows.append({"variant": name, **numbers, "published": PUBLISHED.get(name)})
    return Table.of(rows, ("variant", "relative_distance", "low", "high", "seeds", "published"))


LOOK = draw.Look(
    "Fixed learning rates",
    names={BASE: "base (0.1, two drops)", **{name: f"fixed {name}" for name in RATES}},
    metrics=("loss", "accuracy"),
)

ROW = Row(
    name="f8",
    paper="vlaar22",
    title="ResNet-18 on CIFAR-10 at fixed learning rates of 0.1, 0.01, 0.001 (F8)",
    shows=("F8",),
    study=study,
    tables=tables,
    claims=CLAIMS,
    figures=functools.partial(draw.draw, "F8", LOOK),
)
