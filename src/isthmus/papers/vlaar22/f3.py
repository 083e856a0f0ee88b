"""ResNet-18 on CIFAR-10 started anew at the top of its own barrier, and near it; figures 3 and A12, table A3."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from isthmus.claims import ABOVE, DIRECTION, Claim, Tables
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import bars, conditions, draw, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Results, Study, from_mapping
from isthmus.tables import Table

__all__ = ["ROW", "study"]

SCRATCH, BEFORE, TOP, AFTER = "random init", "before the top", "top", "after the top"
OFFSETS = {BEFORE: -5, TOP: 0, AFTER: 5}
EARLY = " until the first drop"
POINTS = 51


def study(scale: Scale = "paper") -> Study:
    """Without weight decay: the network of which the barrier is, and three that start on it; five seeds.

    The top is that of the test loss on 51 points between the initial and the final weights, the other starts lie 5 of
    50 grid points before and after it, or at the end of the line where it has not so many, as for a run without a
    barrier. Training is seen at the first drop of the learning rate as well.
    """
    content = setups.base(scale, "f3")
    content["seeds"] = setups.seeds(scale, small=5, paper=5)
    content["recipe"]["optimizer"]["weight_decay"] = 0.0
    content["evaluate"]["networks_on"] = ["test", "train"]
    starts: dict[str, dict[str, Any]] = {SCRATCH: {}}
    for name, offset in OFFSETS.items():
        pretrain = {"to": f"{setups.epochs(scale)}ep"}
        aside = {"offset": offset, "clip": True} if offset else {}
        starts[name] = {"start": {"pretrain": pretrain, "at": "top", "alphas": POINTS, **aside}}
    early = {"train": {"to": setups.drops(scale)[0], "blocks": []}, "evaluate": {"alphas": 2}}
    content["variants"] = starts | {name + EARLY: {**starts[name], **early} for name in (SCRATCH, TOP)}
    return from_mapping(content, where=f"vlaar22 f3 at {scale} scale")


PAPER = "Vlaar & Frankle 2022, F3"
NEEDED = 3
PUBLISHED: dict[str, dict[str, tuple[float, float | None]]] = {
    "train": {SCRATCH: (99.44, None), BEFORE: (99.80, None), TOP: (99.86, None), AFTER: (99.88, None)},
    "test": {SCRATCH: (90.01, None), BEFORE: (91.05, None), TOP: (91.12, None), AFTER: (90.85, None)},
}
"""Table A3 of the paper: accuracies, in points."""


def tables(results: Results) -> dict[str, Table]:
    """Those of every row, and ``ta3``: the accuracies on both sets beside those of Table A3."""
    found = tabulate(results)
    return {**found, "ta3": table_a3(found["accuracy"])}


def table_a3(accuracy: Table) -> Table:
    """Table A3: a row a split and start; see :func:`bars.compared`."""
    against = dict.fromkeys((SCRATCH, BEFORE, TOP, AFTER), SCRATCH)
    beside = {name: bars.compared(accuracy, against, theirs, name) for name, theirs in PUBLISHED.items()}
    rows = [{"split": name, **row} for name, table in beside.items() for row in table]
    return Table.of(rows, ("split", *bars.COLUMNS))


WITH_BARRIER = f" (runs whose own path rises by .05 or more, {NEEDED} of them at least)"

with_barrier = functools.partial(conditions.among, keep=q.rise(SCRATCH), least=q.BARRIER, needed=NEEDED)

CLAIMS = (
    Claim(
        id="better",
        text="Networks that start on the barrier become more accurate than those from initial weights.",
        source=f"{PAPER} and Table A3",
        statistic="the smallest of the gains in test accuracy of the three starts (before, at and after the top) over"
        f" initial weights (points){WITH_BARRIER}",
        side=">=",
        threshold=0.3,
        why="a third of the published gains",
        values=with_barrier(q.smallest(*(q.gain(name, SCRATCH) for name in OFFSETS))),
        published="90.01 against 91.05, 91.12, 90.85",
    ),
    Claim(
        id="monotone",
        text="From there the loss falls all the way to the final weights.",
        source=f"{PAPER} and A12",
        statistic="the largest of the rises of the test loss from the three starts to their final weights (nats)"
        f"{WITH_BARRIER}",
        side="<=",
        threshold=0.02,
        why="less than half of the least rise that is called a barrier",
        values=with_barrier(q.largest(*(q.rise(name) for name in OFFSETS))),
        published="monotone",
    ),
    Claim(
        id="faster",
        text="They learn faster.",
        source=PAPER,
        statistic="test accuracy where the learning rate falls first: from the top minus from initial weights (points)"
        f"{WITH_BARRIER}",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=with_barrier(q.gain(TOP + EARLY, SCRATCH + EARLY)),
        published="faster",
    ),
    Claim(
        id="better-in-training",
        text="They fit the training set better as well.",
        source="Vlaar & Frankle 2022, Table A3",
        statistic="the smallest of the gains in training accuracy, without augmentation, of the three starts over"
        f" initial weights (points){WITH_BARRIER}",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=with_barrier(q.smallest(*(q.gain(name, SCRATCH, "train") for name in OFFSETS))),
        published="99.44 against 99.80, 99.86, 99.88",
    ),
)

LOOK = draw.Look("Starts on the barrier, without weight decay", variants=(SCRATCH, BEFORE, TOP, AFTER))


def figures(found: Tables, folder: Path) -> list[Path]:
    """F3, and the accuracies of Table A3 on both sets as bars."""
    names = {SCRATCH: "random init", BEFORE: "before the top", TOP: "at the top", AFTER: "after the top"}
    files, table = draw.draw("F3", LOOK, found, folder), table_a3(found["accuracy"])
    for split in PUBLISHED:
        rows = table.where(split=split)
        title, note = f"Starts on the barrier: {split} accuracy", "Without weight decay."
        files += bars.draw(f"TA3-{split}", title, note, {"Table A3": names}, rows, folder, split)
    return files


ROW = Row(
    name="f3",
    paper="vlaar22",
    title="ResNet-18 on CIFAR-10 started at the top of its own barrier, before and after it (F3, A12, TA3)",
    shows=("F3", "A12", "TA3"),
    study=study,
    tables=tables,
    claims=CLAIMS,
    figures=figures,
)
