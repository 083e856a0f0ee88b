"""VGG-11 without normalisation, and with narrowed layers; figure A19 and table A4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from isthmus.claims import ABOVE, DIRECTION, Claim, Tables, Values, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import bars, conditions, draw, networks
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.networks import VGG11
from isthmus.papers.vlaar22.quantities import Statistic
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Results, Study, from_mapping
from isthmus.tables import Table

__all__ = ["ROW", "study"]

BASE, PLAIN, PLAIN_SLOW = "VGG-11", "no normalisation", "no normalisation, 0.01"
HALF_OTHERS, QUARTER_OTHERS = "NB at 1/2", "NB at 1/4"
HALF_BARRIER, QUARTER_BARRIER = "B at 1/2", "B at 1/4"
NARROWED = {HALF_OTHERS: 0.5, QUARTER_OTHERS: 0.25, HALF_BARRIER: 0.5, QUARTER_BARRIER: 0.25}
PUBLISHED: dict[str, tuple[float, float | None]] = {
    BASE: (91.93, None),
    HALF_OTHERS: (91.73, None),
    QUARTER_OTHERS: (91.53, None),
    HALF_BARRIER: (91.25, None),
    QUARTER_BARRIER: (91.15, None),
}
"""Table A4 of the paper, in our reading of it (see :func:`study`), in points."""


def study(scale: Scale = "paper") -> Study:
    """VGG-11 by the base recipe, without batch normalisation, and with fewer channels in some of its convolutions.

    Table A4 gives five accuracies, 91.93, 91.73, 91.53, 91.25 and 91.15. The first is that of the whole network in
    Table 2. We read the others as the convolutions without barriers at a half and a quarter of their channels, then
    those with barriers likewise: this is the order in which narrowing costs more and more, and what the paper
    concludes from the table. The last layer has as many outputs as there are classes and stays.

    Without normalisation a network of eight layers may not learn at all at a learning rate of 0.1 from the
    framework's initial weights; beside it stands one that starts at Kaiming-normal weights, as torchvision's, and
    learns at 0.01. Both have three seeds at small scale.
    """
    content = networks.base(scale, VGG11) | {"name": "vlaar22-a19"}
    few = {"seeds": content["seeds"][:3]} if scale == "small" else {}
    plain = {"model.norm": "none", **few}
    content["variants"] = {
        BASE: {},
        PLAIN: plain,
        PLAIN_SLOW: {**plain, "model.init": "fan-out", "recipe.optimizer.lr": 0.01},
        **{name: {"model.narrow": _narrow(name)} for name in NARROWED},
    }
    return from_mapping(content, where=f"vlaar22 a19 at {scale} scale")


def _narrow(name: str) -> dict[str, float]:
    blocks = VGG11.barrier if name in (HALF_BARRIER, QUARTER_BARRIER) else VGG11.others
    return {block: NARROWED[name] for block in blocks if block.startswith("conv")}


def tables(results: Results) -> dict[str, Table]:
    """Those of every row, and ``compared``: the accuracies beside those of Table A4."""
    found = tabulate(results)
    against = dict.fromkeys((BASE, PLAIN, PLAIN_SLOW, *NARROWED), BASE)
    return {**found, "compared": bars.compared(found["accuracy"], against, PUBLISHED)}


def _of_its_seeds(variant: str, statistic: Statistic) -> Callable[[Tables], Values]:
    """The values of a claim for the seeds that a variant has."""

    def values(found: Tables) -> Values:
        seeds = set(found["accuracy"].where(variant=variant)["seed"])
        return {seed: value for seed, value in per_seed(statistic)(found).items() if seed in seeds}

    return values


PAPER = "Vlaar & Frankle 2022, A19"
TABLE = "Vlaar & Frankle 2022, Table A4"
WHOLE = "rise of the test loss on the path of the whole network"


def _monotone(name: str, variant: str, text: str, what: str) -> Claim:
    return Claim(
        id=name,
        text=text,
        source=PAPER,
        statistic=f"{WHOLE} {what} (nats); a network that has not learnt has no number",
        side="<=",
        threshold=0.02,
        why="less than half of the least rise that is called a barrier",
        values=_of_its_seeds(variant, conditions.learnt(conditions.LEARNT, q.rise(variant), variant)),
        published="monotone",
    )


def _narrower(name: str, others: str, barrier: str, what: str) -> Claim:
    return Claim(
        id=name,
        text=f"Layers without barriers can be narrowed to {what} of their channels at a lower cost than those with.",
        source=TABLE,
        statistic=f"test accuracy with NB at {what} minus that with B at {what} (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=per_seed(q.gain(others, barrier)),
        published=f"{PUBLISHED[others][0]} against {PUBLISHED[barrier][0]} in our reading",
    )


CLAIMS = (
    _monotone(
        "plain-monotone",
        PLAIN,
        "Without batch normalisation the loss falls all the way.",
        "without normalisation",
    ),
    _monotone(
        "plain-monotone-at-0.01",
        PLAIN_SLOW,
        "... also from Kaiming-normal weights at a lower learning rate, by which it learns.",
        "without normalisation, from Kaiming-normal weights at a learning rate of 0.01",
    ),
    Claim(
        id="normalised-rises",
        text="With it the loss rises on the way.",
        source=PAPER,
        statistic=f"{WHOLE} with batch normalisation (nats)",
        side=">=",
        threshold=0.02,
        why="the same line that the network without has to stay below",
        values=per_seed(q.rise(BASE)),
        published="not monotone",
    ),
    _narrower("narrow-half", HALF_OTHERS, HALF_BARRIER, "1/2"),
    _narrower("narrow-quarter", QUARTER_OTHERS, QUARTER_BARRIER, "1/4"),
    Claim(
        id="narrow-barrier-costs",
        text="Narrowing the layers with barriers costs accuracy.",
        source=TABLE,
        statistic="test accuracy of the whole network minus that with B at 1/2 (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=per_seed(q.gain(BASE, HALF_BARRIER)),
        published=f"{PUBLISHED[BASE][0]} against {PUBLISHED[HALF_BARRIER][0]} in our reading",
    ),
)

WORDS = {
    BASE: "as it is",
    PLAIN: "no normalisation",
    PLAIN_SLOW: "no normalisation, Kaiming-normal, 0.01",
    HALF_OTHERS: "convolutions 1, 2, 8 (NB) at 1/2",
    QUARTER_OTHERS: "convolutions 1, 2, 8 (NB) at 1/4",
    HALF_BARRIER: "convolutions 3 to 7 (B) at 1/2",
    QUARTER_BARRIER: "convolutions 3 to 7 (B) at 1/4",
}


def figures(found: Tables, folder: Path) -> list[Path]:
    """A19: paths with and without normalisation; paths of narrowed networks; Table A4 as bars."""
    plain = draw.Look("VGG-11 without normalisation", names=WORDS, variants=(BASE, PLAIN, PLAIN_SLOW))
    narrow = draw.Look("VGG-11 with narrowed layers", names=WORDS, variants=(BASE, *NARROWED))
    note = "Which networks the published numbers belong to is our reading of Table A4."
    groups = {"VGG-11": {name: WORDS[name] for name in (BASE, *NARROWED, PLAIN, PLAIN_SLOW)}}
    return [
        *draw.draw("A19", plain, found, folder),
        *draw.draw("A19-narrow", narrow, found, folder),
        *bars.draw(
            "TA4", "Accuracy with narrowed layers and without normalisation", note, groups, found["compared"], folder
        ),
    ]


ROW = Row(
    name="a19",
    paper="vlaar22",
    title="VGG-11 on CIFAR-10 without normalisation and with narrowed layers (A19, TA4)",
    shows=("A19", "TA4"),
    study=study,
    tables=tables,
    claims=CLAIMS,
    figures=figures,
)
