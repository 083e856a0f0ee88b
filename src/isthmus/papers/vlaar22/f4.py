"""One block of a trained or of a pre-trained network drawn anew, then trained on; figure 4 and the paper's slides."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from isthmus.claims import ABOVE, DIRECTION, Claim, Tables, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import bars, draw, f2a, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.rivals import beyond
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Results, Study, from_mapping
from isthmus.tables import Table

__all__ = ["ROW", "study", "substitute"]

SCRATCH, PRETRAINED = "scratch", "P"
STAGES = (1, 2, 3, 4)
T = {index: f"T, block {index} new" for index in STAGES}
P = {index: f"P, block {index} new" for index in STAGES}
PUBLISHED: dict[str, tuple[float, float | None]] = {
    SCRATCH: (92.2, 0.2),
    T[1]: (91.79, None),
    T[2]: (91.83, None),
    T[3]: (92.35, None),
    T[4]: (90.97, None),
}
"""Test accuracies from the paper's slides, in points; that from scratch from its Table 2."""


def study(scale: Scale = "paper") -> Study:
    """Networks from initial weights (T) and from ImageNet's (P), each with one stage drawn anew and trained on.

    T is the network of the base set-up and is trained on by the same recipe; P is that of row ``f2a``, with the lower
    learning rate of pre-trained networks. At small scale P is pre-trained on Tiny ImageNet.
    """
    if scale == "small":
        return substitute(scale)
    return _study(scale, {"file": "weights/resnet18.pth", "new": ["conv1.*", "fc"]})


def substitute(scale: Scale) -> Study:
    """The same with pre-training on Tiny ImageNet in place of ImageNet's weights."""
    return _study(scale, {"pretrain": f2a.pretraining(scale), "new": ["fc"]})


def _study(scale: Scale, start: dict[str, Any]) -> Study:
    content = setups.base(scale, "f4") | {"seeds": setups.seeds(scale, small=5)}
    trained = {"pretrain": {"to": f"{setups.epochs(scale)}ep"}}
    tuned = f2a.fine_tuning(scale)
    content["variants"] = {
        SCRATCH: {},
        **{name: {"start": {**trained, "new": [f"stage{index}"]}} for index, name in T.items()},
        PRETRAINED: {"recipe": tuned, "start": start},
        **{
            name: {"recipe": tuned, "start": {**start, "new": [*start["new"], f"stage{index}"]}}
            for index, name in P.items()
        },
    }
    return from_mapping(content, where=f"vlaar22 f4 at {scale} scale")


def tables(results: Results) -> dict[str, Table]:
    """Those of every row, and ``compared``: the accuracies beside those of the slides."""
    found = tabulate(results)
    against = dict.fromkeys((SCRATCH, *T.values(), PRETRAINED, *P.values()), SCRATCH)
    return {**found, "compared": bars.compared(found["accuracy"], against, PUBLISHED)}


def _worse(found: Tables) -> float:
    """The share of the eight networks with a new block that are less accurate than one from scratch."""
    scratch = q.accuracy(SCRATCH)(found)
    accuracies = [q.accuracy(name)(found) for name in (*T.values(), *P.values())]
    if any(map(math.isnan, (scratch, *accuracies))):
        return math.nan
    return sum(accuracy < scratch for accuracy in accuracies) / len(accuracies)


def _barriers(found: Tables) -> float:
    """How many of the eight have a barrier on the path of the whole network."""
    return sum(q.is_shape(name, "B")(found) for name in (*T.values(), *P.values()))


PAPER = "Vlaar & Frankle 2022, F4"
SLIDES = "slides of Vlaar & Frankle 2022"
THIRD = "a third of a point: more than the spread over seeds"

CLAIMS = (
    Claim(
        id="trained-block-4-lowest",
        text="Of a trained network the fourth block is the one that it costs most to draw anew.",
        source=f"{PAPER} and {SLIDES}",
        statistic="test accuracy with block 4 of T new minus that with the one of blocks 1 to 3 new that is the least"
        " accurate on average (points)",
        side="<=",
        threshold=-ABOVE,
        why=DIRECTION,
        values=beyond(q.accuracy, [T[4]], [T[1], T[2], T[3]]),
        published="90.97 against 91.79, 91.83, 92.35",
    ),
    Claim(
        id="trained-block-4-costs",
        text="With it drawn anew the trained network becomes less accurate than one from scratch.",
        source=f"{PAPER} and {SLIDES}",
        statistic="test accuracy with block 4 of T new minus that from scratch (points)",
        side="<=",
        threshold=-0.3,
        why=THIRD,
        values=per_seed(q.gain(T[4], SCRATCH)),
        published="90.97 against 92.2",
    ),
    Claim(
        id="pretrained-block-4-costs-nothing",
        text="A pre-trained network loses nothing of the kind.",
        source=PAPER,
        statistic="test accuracy with block 4 of P new minus that with no block of P new (points)",
        side=">=",
        threshold=-0.3,
        why=THIRD,
        values=per_seed(q.gain(P[4], PRETRAINED)),
        published="no loss",
    ),
    Claim(
        id="pretrained-block-4-not-below-scratch",
        text="... nor does it become less accurate than one from scratch.",
        source=PAPER,
        statistic="test accuracy with block 4 of P new minus that from scratch (points)",
        side=">=",
        threshold=-0.3,
        why=THIRD,
        values=per_seed(q.gain(P[4], SCRATCH)),
        published="no loss",
    ),
    Claim(
        id="often-worse",
        text="Networks with a new block often become less accurate than those from scratch.",
        source=f"{PAPER} and Table 1",
        statistic="share of the eight networks (T and P, blocks 1 to 4) that are less accurate than that from scratch",
        side=">=",
        threshold=0.5,
        why="often is half of the time",
        values=per_seed(_worse),
        published="often worse",
    ),
    Claim(
        id="sometimes-barriers",
        text="Some of them have a barrier on the way from their start.",
        source=f"{PAPER} and Table 1",
        statistic="number of the eight networks whose path of the whole network is labelled B",
        side=">=",
        threshold=1.0,
        why="one of them is some",
        values=per_seed(_barriers),
        published="B, NB and P",
    ),
)


def figures(found: Tables, folder: Path) -> list[Path]:
    """F4 for the trained and for the pre-trained networks, and the accuracies of the slides as bars."""
    files: list[Path] = []
    for end, title, names in (("T", "A trained network", T), ("P", "A pre-trained network", P)):
        whole = () if end == "T" else (PRETRAINED,)
        look = draw.Look(
            f"{title} with one block new",
            names={PRETRAINED: "no block new"} | {name: f"block {index} new" for index, name in names.items()},
            variants=(SCRATCH, *whole, *names.values()),
        )
        files += draw.draw(f"F4-{end}", look, found, folder)
    groups = {
        "Trained": {SCRATCH: "from scratch", **{name: f"block {index} new" for index, name in T.items()}},
        "Pre-trained": {
            SCRATCH: "from scratch",
            PRETRAINED: "no block new",
            **{name: f"block {index} new" for index, name in P.items()},
        },
    }
    note = "A block is drawn anew, then the whole network is trained on."
    return files + bars.draw("F4-accuracy", "Accuracy with one block new", note, groups, found["compared"], folder)


ROW = Row(
    name="f4",
    paper="vlaar22",
    title="ResNet-18 on CIFAR-10: one block of a trained or pre-trained network drawn anew (F4, slides)",
    shows=("F4", "slides"),
    study=study,
    tables=tables,
    claims=CLAIMS,
    figures=figures,
    substitute=substitute,
)
