"""The lines of Table 1: what is changed, what the paper found, and which variants of which rows show it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.papers import Scale
from isthmus.papers.vlaar22 import a17, a19, f2a, f2b, f3, f4, f5, f6, f7, f8, f9, f10, networks, setups
from isthmus.papers.vlaar22.gathering import parts
from isthmus.papers.vlaar22.setups import Content
from isthmus.study import Study

__all__ = ["BASE", "LINES", "Intervention", "Line", "interventions"]

Source = tuple[str, str]
"""A row and a variant of it."""

BASE: Source = ("f9", f9.named(networks.RESNET18, f9.BASE))


@dataclass(frozen=True)
class Line:
    """A line of Table 1, or of ours beside it.

    Attributes:
        name: what is changed.
        group: what kind of change that is.
        of: the variants that make the change, and by each that against which it stands.
        shapes: the published labels of the path; empty where the paper gives none.
        blocks: "higher" or "lower" where the paper says so of the blocks' barriers.
        accuracy: what the paper says of the accuracy; empty for lines that are ours.
        needs_barrier: whether it is about runs alone of which that against which they stand has a barrier.
        same_accuracy: whether training stops at a set test accuracy, so that changes of it tell nothing.
    """

    name: str
    group: str
    of: Mapping[Source, Source]
    shapes: tuple[str, ...] = ()
    blocks: str = ""
    accuracy: str = ""
    needs_barrier: bool = False
    same_accuracy: bool = False


def _all(row: str, variants: Iterator[str] | tuple[str, ...], against: Source = BASE) -> dict[Source, Source]:
    return {(row, variant): against for variant in variants}


def _partial_labels() -> dict[Source, Source]:
    found: dict[Source, Source] = {}
    for decay in f5.DECAYS:
        found |= _all("f5", tuple(f5.random(decay, index) for index in f5.STAGES), ("f5", f5.scratch(decay)))
    return found


def _by_network(*whats: str) -> dict[Source, Source]:
    found: dict[Source, Source] = {}
    for network in networks.NETWORKS:
        found |= _all("f9", tuple(f9.named(network, what) for what in whats), ("f9", f9.named(network, f9.BASE)))
    return found


START, DATA, OPTIMISER, ARCHITECTURE = "start", "data", "optimiser", "architecture"
_VGG11 = ("a19", a19.BASE)
_NO_DECAY = f9.named(networks.VGG11, f9.NO_DECAY)

LINES = (
    Line(
        "pre-trained",
        START,
        _all("f2a", (f2a.PRETRAINED,)) | {("f2a", f2a.DEEP_PRETRAINED): ("f2a", f2a.DEEP_SCRATCH)},
        ("NB",),
        "",
        "better",
    ),
    Line("random labels", START, _all("f2b", (f2b.RANDOM,), ("f2b", f2b.SCRATCH)), (), "higher", "worse"),
    Line(
        "start at the barrier",
        START,
        _all("f3", tuple(f3.OFFSETS), ("f3", f3.SCRATCH)),
        ("NB",),
        "",
        "better",
        needs_barrier=True,
    ),
    Line(
        "partial (pre-)training",
        START,
        _all("f4", (*f4.T.values(), *f4.P.values())),
        ("B", "NB", "P"),
        "",
        "often worse",
    ),
    Line("partial random labels", START, _partial_labels(), ("B", "NB"), "", "often worse"),
    Line("less data", DATA, _all("f6", (f6.HALF, f6.FIFTH)), ("NB",), "lower", "worse"),
    Line("no augmentation", DATA, _all("f6", (f6.PLAIN,)), (), "lower", "worse"),
    Line("half the data, no augmentation", DATA, _all("f6", (f6.BOTH,))),
    Line("more brightness", DATA, _all("f6", (f6.BRIGHT,))),
    Line(
        "less decay",
        OPTIMISER,
        _all("f7", (setups.NONE, setups.LESS)) | {("f9", _NO_DECAY): ("f9", f9.named(networks.VGG11, f9.BASE))},
        ("NB", "B"),
        "",
        "worse",
    ),
    Line("more decay", OPTIMISER, _all("f7", (setups.MORE,)), ("P",), "", "worse"),
    Line("fixed rate 0.01", OPTIMISER, _all("f8", ("0.01",)), ("P",), "", "better"),
    Line("other fixed rates", OPTIMISER, _all("f8", ("0.1", "0.001")), ("NB",), "", "worse"),
    Line("lower rate on barrier blocks", OPTIMISER, _by_network(f9.SLOW_BARRIER), ("NB",), "", "worse"),
    Line("lower rate elsewhere", OPTIMISER, _by_network(f9.SLOW_OTHERS, f9.SLOW)),
    Line("decay on some blocks", OPTIMISER, _by_network(f9.DECAY_BARRIER, f9.DECAY_OTHERS)),
    Line("deeper", ARCHITECTURE, _all("f10", (f10.DEEPER, f10.DEEPEST)), (), "higher", "better"),
    Line("no normalisation", ARCHITECTURE, _all("a19", (a19.PLAIN, a19.PLAIN_SLOW), _VGG11), ("NB",), "", "worse"),
    Line(
        "wider MLPs",
        ARCHITECTURE,
        _all("a17", (a17.WIDE, a17.SIX, a17.EIGHT), ("a17", a17.NARROW)),
        ("NB",),
        "",
        "often better",
        same_accuracy=True,
    ),
    Line("narrower layers", ARCHITECTURE, _all("a19", tuple(a19.NARROWED), _VGG11)),
)
"""Table 1 of the paper in its order, and between its lines those changes of other figures that it does not list.

Row ``f9``'s lower rate on the blocks that its own run chose is not among them: which these are depends on how many
seeds there are. Nor are networks of which only another aspect is looked at (rows ``f1a``, ``a18``).
"""


@dataclass(frozen=True)
class Intervention:
    """A variant of the summary: the line that it belongs to and the variant against which it stands."""

    line: Line
    name: str
    against: str


@dataclass(frozen=True)
class _Named:
    """Contents by name, each once: the first name of equal ones stands for all."""

    contents: dict[str, Content] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, source: Source, content: Content) -> str:
        text = json.dumps(content, sort_keys=True)
        name = self.names.setdefault(text, f"{source[0]} {source[1]}")
        self.contents.setdefault(name, content)
        return name


def interventions(scale: Scale, *, substitute: bool = False) -> tuple[dict[str, Content], list[Intervention]]:
    """The studies of all interventions and of what they stand against, by name, and which is which.

    At small scale they have three seeds. Of a variant that a row has at one scale alone only that scale is given.
    ``substitute`` takes the rows' studies on other data where they have such.
    """
    found = {name: parts(study) for name, study in _studies(scale, substitute).items()}
    named = _Named()

    def add(source: Source) -> str:
        return named.add(source, _lean(found[source[0]][source[1]], scale))

    there = [(line, *pair) for line in LINES for pair in line.of.items() if pair[0][1] in found[pair[0][0]]]
    names = [add(source) for _, source, _ in there]  # before what they stand against, so that these names go first
    return named.contents, [
        Intervention(line, name, add(base)) for (line, _, base), name in zip(there, names, strict=True)
    ]


def _studies(scale: Scale, substitute: bool) -> dict[str, Study]:
    of_files = {"f2a": f2a, "f4": f4}
    rows = {"f2b": f2b, "f3": f3, "f5": f5, "f6": f6, "f7": f7, "f8": f8, "f9": f9, "f10": f10, "a17": a17, "a19": a19}
    first = {name: (row.substitute if substitute else row.study)(scale) for name, row in of_files.items()}
    return first | {name: row.study(scale) for name, row in rows.items()}


def _lean(content: Content, scale: Scale) -> Content:
    """What the summary needs of a study: the path from initial to final weights, and the accuracy on the test set."""
    seeds = content["seeds"] if scale == "paper" else content["seeds"][: len(setups.seeds(scale))]
    train: dict[str, Any] = {key: value for key, value in content["train"].items() if key != "blocks_on"}
    return {
        **content,
        "seeds": seeds,
        "train": {**train, "paths": ["initial->final"]},
        "evaluate": {**content["evaluate"], "networks_on": ["test"]},
    }
