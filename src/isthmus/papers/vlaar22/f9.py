"""A lower learning rate, or no weight decay, for the blocks with barriers or for the others; F9, A16 and Table 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from isthmus.claims import ABOVE, DIRECTION, EVERY, Claim, Tables, Values, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import bars, conditions, draw, networks
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.gathering import changed, gathered
from isthmus.papers.vlaar22.networks import NETWORKS, RESNET18, VGG11, Network
from isthmus.papers.vlaar22.setups import Content
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Results, Study, from_mapping
from isthmus.tables import Table

__all__ = ["ROW", "study"]

BASE = "base"
SLOW_BARRIER, SLOW_OTHERS, SLOW = "0.01 on B", "0.01 on NB", "0.01"
DECAY_BARRIER, DECAY_OTHERS, NO_DECAY = "decay on B", "decay on NB", "no decay"
SLOW_CHOSEN = "0.01 on chosen B"
RATES = (BASE, SLOW_OTHERS, SLOW_BARRIER, SLOW_CHOSEN, SLOW)
DECAYS = (BASE, DECAY_BARRIER, DECAY_OTHERS, NO_DECAY)

PUBLISHED: dict[tuple[Network, str], tuple[float, float | None]] = {
    (RESNET18, BASE): (92.2, 0.2),
    (RESNET18, SLOW_OTHERS): (91.8, 0.2),
    (RESNET18, SLOW_BARRIER): (90.1, 0.2),
    (RESNET18, SLOW): (90.3, 0.3),
    (RESNET18, DECAY_BARRIER): (91.5, None),
    (RESNET18, DECAY_OTHERS): (90.1, None),
    (RESNET18, NO_DECAY): (90.1, None),
    (VGG11, BASE): (91.9, 0.2),
    (VGG11, SLOW_OTHERS): (92.0, 0.1),
    (VGG11, SLOW_BARRIER): (90.4, 0.1),
    (VGG11, SLOW): (90.9, 0.1),
    (VGG11, DECAY_BARRIER): (91.8, None),
    (VGG11, DECAY_OTHERS): (90.2, None),
    (VGG11, NO_DECAY): (90.4, None),
}
"""Table 2 of the paper: test accuracy and its spread, in points."""

WORDS = {
    BASE: "0.1 everywhere, decay everywhere",
    SLOW_OTHERS: "0.1 on B, 0.01 on NB",
    SLOW_BARRIER: "0.01 on B, 0.1 on NB",
    SLOW_CHOSEN: "0.01 on the blocks that showed a barrier here",
    SLOW: "0.01 everywhere",
    DECAY_BARRIER: "decay on B only",
    DECAY_OTHERS: "decay on NB only",
    NO_DECAY: "no decay",
}


def named(network: Network, what: str) -> str:
    """The name of a variant."""
    return f"{network.name}: {what}"


def interventions(scale: Scale, network: Network) -> dict[str, Content]:
    """The studies of one network by what they change."""
    content = networks.base(scale, network)
    slow = {"recipe.optimizer.lr": 0.01}
    changes: dict[str, Content] = {
        BASE: {},
        SLOW_OTHERS: networks.slower(network.others),
        SLOW_BARRIER: networks.slower(network.barrier),
        SLOW: slow,
        DECAY_BARRIER: networks.undecayed(network.others),
        DECAY_OTHERS: networks.undecayed(network.barrier),
        NO_DECAY: {"recipe.optimizer.weight_decay": 0.0},
    }
    if scale == "small" and network is RESNET18:
        candidates = [*network.others, *network.barrier]
        changes[SLOW_CHOSEN] = networks.slower("barrier") | {"choose": {"threshold": q.BARRIER, "blocks": candidates}}
    return {what: changed(content, change) for what, change in changes.items()}


def study(scale: Scale = "paper") -> Study:
    """Both networks with each rule, on the published sets of blocks.

    At small scale ResNet-18 also has the lower rate on those blocks that show a barrier in its own base run, as the
    published sets were read from networks of full width.
    """
    found = {
        named(network, what): content for network in NETWORKS for what, content in interventions(scale, network).items()
    }
    return from_mapping(gathered("f9", found), where=f"vlaar22 f9 at {scale} scale")


def tables(results: Results) -> dict[str, Table]:
    """Those of every row, and ``t2``: the accuracies beside those of Table 2."""
    found = tabulate(results)
    ran = set(found["accuracy"]["variant"])
    published = {named(*key): value for key, value in PUBLISHED.items()}
    against = {named(network, what): named(network, BASE) for network in NETWORKS for what in WORDS}
    against = {name: base for name, base in against.items() if name in ran or name in published}
    return {**found, "t2": bars.compared(found["accuracy"], against, published)}


def _removed(network: Network) -> Callable[[Tables], Values]:
    """The largest rise that a lower rate leaves, of those runs whose base run has a barrier: three at least."""
    before, after = (q.largest_rise(named(network, what), *network.barrier) for what in (BASE, SLOW_BARRIER))
    return conditions.among(after, keep=before, least=q.BARRIER, needed=3)


HALF = "half a point: the standard deviations of Table 2 are at most .3"


def _claims(network: Network) -> tuple[Claim, ...]:
    def of(what: str) -> str:
        return named(network, what)

    def published(a: str, b: str) -> str:
        return f"{PUBLISHED[network, a][0] - PUBLISHED[network, b][0]:+.1f}"

    source, title = "Vlaar & Frankle 2022, T2", network.title
    return (
        Claim(
            id=f"{network.name}-rate",
            text=f"{title}: a lower learning rate costs more accuracy on the blocks with barriers than on the others.",
            source=f"{source}, F9" if network is RESNET18 else f"{source}, A16",
            statistic="test accuracy with 0.01 on NB minus that with 0.01 on B (points)",
            side=">=",
            threshold=0.5,
            why=HALF,
            values=per_seed(q.gain(of(SLOW_OTHERS), over=of(SLOW_BARRIER))),
            published=published(SLOW_OTHERS, SLOW_BARRIER),
        ),
        Claim(
            id=f"{network.name}-rate-on-barrier",
            text=f"{title}: a lower learning rate on the blocks with barriers costs accuracy.",
            source=source,
            statistic="test accuracy of the base set-up minus that with 0.01 on B (points)",
            side=">=",
            threshold=0.5,
            why=HALF,
            values=per_seed(q.gain(of(BASE), over=of(SLOW_BARRIER))),
            published=published(BASE, SLOW_BARRIER),
        ),
        Claim(
            id=f"{network.name}-rate-elsewhere",
            text=f"{title}: on the other blocks a lower learning rate hardly matters.",
            source=source,
            statistic="test accuracy with 0.01 on NB minus that of the base set-up (points)",
            side="within",
            threshold=(-0.5, 0.5),
            why=HALF,
            values=per_seed(q.gain(of(SLOW_OTHERS), over=of(BASE))),
            published=published(SLOW_OTHERS, BASE),
        ),
        Claim(
            id=f"{network.name}-removed",
            text=f"{title}: a lower learning rate on the blocks with barriers removes the barriers.",
            source="Vlaar & Frankle 2022, F9" if network is RESNET18 else "Vlaar & Frankle 2022, A16",
            statistic="largest rise of the test loss among the blocks of B, each moving alone, with 0.01 on B (nats;"
            " runs whose base run rises by .05 or more, 3 of them at least)",
            side="<=",
            threshold=q.BARRIER,
            why="the least rise that is called a barrier, in every run: a mean of mostly 0 hangs on one of them",
            values=_removed(network),
            count=EVERY,
            published="no barriers",
        ),
        Claim(
            id=f"{network.name}-decay",
            text=f"{title}: so it is with weight decay, which is needed by the blocks with barriers.",
            source=source,
            statistic="test accuracy with weight decay on B only minus that with weight decay on NB only (points)",
            side=">=",
            threshold=ABOVE,
            why=DIRECTION,
            values=per_seed(q.gain(of(DECAY_BARRIER), over=of(DECAY_OTHERS))),
            published=published(DECAY_BARRIER, DECAY_OTHERS),
        ),
    )


def figures(found: Tables, folder: Path) -> list[Path]:
    """F9 (ResNet-18) and A16 (VGG-11) by learning rate and by weight decay, and Table 2 as bars."""
    files: list[Path] = []
    for name, network in (("F9", RESNET18), ("A16", VGG11)):
        for end, what, whats in (("", "learning rate", RATES), ("-decay", "weight decay", DECAYS)):
            names = {named(network, which): WORDS[which] for which in whats}
            look = draw.Look(f"{network.title}, {what} by block", names=names, variants=tuple(names))
            files += draw.draw(f"{name}{end}", look, found, folder)
    groups = {network.title: {named(network, what): words for what, words in WORDS.items()} for network in NETWORKS}
    note = "B: blocks with barriers (ResNet-18: 2, 3 and 4.0; VGG-11: convolutions 3 to 7); NB: the others."
    return files + bars.draw(
        "T2", "Accuracy by learning rate and weight decay of blocks", note, groups, found["t2"], folder
    )


ROW = Row(
    name="f9",
    paper="vlaar22",
    title="Learning rate and weight decay of blocks with and without barriers, ResNet-18 and VGG-11 (F9, T2, A16)",
    shows=("F9", "T2", "A16"),
    study=study,
    tables=tables,
    claims=(*_claims(RESNET18), *_claims(VGG11)),
    figures=figures,
)
