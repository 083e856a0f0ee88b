"""One block from weights that know random labels by heart, all others initial; figures 5 and A13."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from isthmus.claims import ABOVE, DIRECTION, EVERY, Claim, Tables, per_seed
from isthmus.errors import BadInput
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import conditions, draw, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.rivals import beyond
from isthmus.papers.vlaar22.setups import LESS, NONE, USUAL
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Study, from_mapping

__all__ = ["ROW", "study"]

DECAYS = (NONE, LESS, USUAL)
STAGES = (1, 2, 3, 4)

Statistic = Callable[[Tables], float]


def scratch(decay: str) -> str:
    """The name of the variant from initial weights."""
    return f"decay {decay}: scratch"


def random(decay: str, index: int) -> str:
    """The name of the variant in which this block comes from random labels."""
    return f"decay {decay}: block {index}"


def study(scale: Scale = "paper") -> Study:
    """At each weight decay one of the four stages at a time from training on random labels; others are initial.

    At small scale the decays are none and that of the base. That training is the one of row ``f2b``,
    without weight decay whatever that of the row is; the other blocks are drawn afresh.
    """
    content = setups.base(scale, "f5")
    variants: dict[str, Any] = {}
    for name in DECAYS:
        if scale == "paper" or name != LESS:
            own = {"recipe": {"optimizer": {"weight_decay": setups.DECAYS[scale][name]}}}
            variants[scratch(name)] = own
            for index in STAGES:
                start = {"pretrain": setups.random_labels(scale), "only": [f"stage{index}"]}
                variants[random(name, index)] = {**own, "start": start}
    return from_mapping(content | {"variants": variants}, where=f"vlaar22 f5 at {scale} scale")


def _accuracy(name: str) -> Statistic:
    """The accuracy of a network, if the start of its block knows its random labels."""
    return _knowing(q.accuracy(name), name)


def _rise(name: str) -> Statistic:
    """The rise of its path, likewise."""
    return _knowing(q.rise(name), name)


def _knowing(of: Statistic, *names: str) -> Statistic:
    return conditions.knowing(of, *(name for name in names if not name.endswith("scratch")))


def _labelled(label: str, decay: str) -> Statistic:
    """How many of the networks with block 1, 2 or 3 from random labels have this label."""
    names = [random(decay, index) for index in STAGES[:3]]
    return _knowing(lambda found: sum(q.is_shape(name, label)(found) for name in names), *names)


def _beside_a_barrier(name: str) -> Statistic:
    """The rise of a path, in seeds in which that of an early block has a barrier: else nothing is small beside it."""
    early = q.largest(*(_rise(random(NONE, index)) for index in STAGES[:3]))

    def value(found: Tables) -> float:
        if (highest := early(found)) < q.BARRIER:
            raise BadInput(f"no path of blocks 1 to 3 has a barrier (largest rise {highest:.3g})")
        return _rise(name)(found)

    return value


PAPER = "Vlaar & Frankle 2022, F5 and A13"
WHOLE = "the path of the whole network"


def _early(decay: str) -> Claim:
    return Claim(
        id=f"early-block-hurts-at-{decay}",
        text=f"An early block that knows random labels makes the network less accurate (weight decay {decay}).",
        source=PAPER,
        statistic="test accuracy with that one of blocks 1 and 2 from random labels which is the less accurate on"
        f" average minus that from scratch, at weight decay {decay} (points)",
        side="<=",
        threshold=-0.3,
        why="a third of a point: more than the spread over seeds",
        values=beyond(_accuracy, [random(decay, 1), random(decay, 2)], [scratch(decay)]),
        published="early blocks hurt",
    )


CLAIMS = (
    _early(NONE),
    _early(USUAL),
    Claim(
        id="block-4-smallest-rise-at-0",
        text="Without weight decay the network whose fourth block knows random labels has the smallest barrier.",
        source=PAPER,
        statistic=f"rise of the test loss on {WHOLE}: block 4 from random labels minus the one of blocks 1 to 3 with"
        " the smallest mean, at weight decay 0 (nats)",
        side="<=",
        threshold=0.0,
        why="the smallest of the four, of runs in which one of the others rises by .05",
        values=beyond(_beside_a_barrier, [random(NONE, 4)], [random(NONE, index) for index in STAGES[:3]]),
        published="block 4 monotone, others with barriers",
    ),
    Claim(
        id="block-4-monotone-at-0",
        text="... it falls monotonically",
        source=PAPER,
        statistic=f"rise of the test loss on {WHOLE}, block 4 from random labels, at weight decay 0 (nats)",
        side="<=",
        threshold=0.02,
        why="less than half of the least rise that is called a barrier",
        values=per_seed(_rise(random(NONE, 4))),
        published="monotone",
    ),
    Claim(
        id="others-with-barriers-at-0",
        text="... while those with an earlier block from random labels have barriers.",
        source=PAPER,
        statistic=f"number of the networks with block 1, 2 or 3 from random labels for which {WHOLE} is labelled B, at"
        " weight decay 0",
        side=">=",
        threshold=2.0,
        why="two of three are most; by the label, as rises that it calls no barrier are common to all networks",
        values=per_seed(_labelled("B", NONE)),
        published="barriers",
    ),
    Claim(
        id="block-4-helps",
        text="A fourth block that knows random labels helps slightly.",
        source=PAPER,
        statistic="test accuracy with block 4 from random labels minus that from scratch, weight decay: base (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=per_seed(q.difference(_accuracy(random(USUAL, 4)), _accuracy(scratch(USUAL)))),
        published="slightly better",
    ),
    Claim(
        id="block-4-with-barrier-at-base",
        text="With the base recipe's weight decay it is the network of the fourth block that has a barrier",
        source=PAPER,
        statistic=f"1 where the label of {WHOLE} is B, else 0: block 4 from random labels, at the base's weight decay",
        side=">=",
        threshold=1.0,
        why="the label itself, in every seed: networks from scratch rise by .05 here and are labelled P",
        values=per_seed(_knowing(q.is_shape(random(USUAL, 4), "B"), random(USUAL, 4))),
        count=EVERY,
        published="barrier",
    ),
    Claim(
        id="others-plateau-at-base",
        text="... and those of the others have plateaus.",
        source=PAPER,
        statistic=f"number of the networks with block 1, 2 or 3 from random labels for which {WHOLE} is labelled P, at"
        " the weight decay of the base",
        side=">=",
        threshold=2.0,
        why="two of three are most",
        values=per_seed(_labelled("P", USUAL)),
        published="plateau",
    ),
)


def figures(found: Tables, folder: Path) -> list[Path]:
    """A figure for each weight decay that was run."""
    files: list[Path] = []
    for decay in DECAYS:
        names = {scratch(decay): "scratch"} | {random(decay, index): f"block {index}" for index in STAGES}
        look = draw.Look(
            f"One block from random labels, weight decay {decay}",
            names=names,
            variants=tuple(names),
            metrics=("loss", "accuracy"),
        )
        if look.shown(found):
            files += draw.draw(f"F5-decay-{decay}", look, found, folder)
    return files


ROW = Row(
    name="f5",
    paper="vlaar22",
    title="ResNet-18 on CIFAR-10: one block from training on random labels, three weight decays (F5, A13)",
    shows=("F5", "A13"),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=figures,
)
