"""Measurements of states, and choices taken from measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from isthmus.importance import SCORES
from isthmus.nodes.base import Measure, Node, State
from isthmus.nodes.parts import DataRef, NormSpec, Part

__all__ = ["Choose", "Distance", "PathMeasure", "PathSpec", "Scores", "Selection"]


@dataclass(frozen=True, eq=False)
class PathSpec:
    """A path between states, as a description.

    ``point`` is one network; ``line`` runs from ``ends[0]`` to ``ends[1]``; ``blocks`` moves the tensors
    that the globs in ``patterns`` match and leaves the rest at ``rest``. ``ensemble`` is no path but stands where one
    does: the mean of the probabilities that all the ends predict, evaluated at alpha = 0 alone.
    """

    form: Literal["point", "line", "blocks", "ensemble"]
    ends: tuple[State, ...]
    patterns: tuple[str, ...] = ()
    rest: Literal["a", "b"] = "b"

    @property
    def still(self) -> bool:
        """Whether there is nothing to go along: it is evaluated at alpha = 0 alone."""
        return self.form in ("point", "ensemble")

    def describe(self) -> dict[str, Any]:
        """What names it."""
        found: dict[str, Any] = {"form": self.form, "ends": [end.key for end in self.ends]}
        return found | ({"patterns": list(self.patterns), "rest": self.rest} if self.form == "blocks" else {})


@dataclass(frozen=True, eq=False)
class PathMeasure(Measure):
    """Per-example loss and error along a path, on one part of a data set."""

    path: PathSpec
    data: DataRef
    part: Part
    alphas: tuple[float, ...]
    norm: NormSpec = field(default_factory=NormSpec)
    loss: str = "cross_entropy"
    precision: str = "float32"
    batch_size: int | None = None
    kind: ClassVar[str] = "path"

    def parents(self) -> tuple[Node, ...]:
        """The ends."""
        return self.path.ends

    def describe(self) -> dict[str, Any]:
        """Path, data, part, points, statistics, loss, precision, batch size."""
        found: dict[str, Any] = {
            "path": self.path.describe(),
            "data": self.data.describe(),
            "part": self.part.describe(),
            "alphas": list(self.alphas),
            "norm": self.norm.describe(),
            "loss": self.loss,
        }
        optional = {"precision": (self.precision, "float32"), "batch_size": (self.batch_size, None)}
        return found | {name: value for name, (value, frozen) in optional.items() if value != frozen}

    @property
    def label(self) -> str:
        """A few words."""
        seen = ", augmented" if self.part.augment is not None else ""
        if self.path.form == "ensemble":
            return f"ensemble of {len(self.path.ends)} on {self.part}{seen}"
        return f"{self.path.form} on {self.part}{seen}, {len(self.alphas)} points"

    @property
    def cost(self) -> float:
        """Every example at every point, and the examples read for statistics."""
        extra = min(self.norm.examples, self.data.train) if self.norm.mode == "recompute" else 0
        passes = len(self.path.ends) if self.path.form == "ensemble" else len(self.alphas)
        return float(passes * (self.part.count(self.data) + extra))


@dataclass(frozen=True, eq=False)
class Selection(Measure):
    """What the measurement of a path says of some of its examples: no network is run again.

    ``choice`` has the rule "splits" and is about the examples that ``whole`` is on; ``index`` is the part of them.
    """

    whole: PathMeasure
    choice: Choose
    index: int
    kind: ClassVar[str] = "selection"

    def parents(self) -> tuple[Node, ...]:
        """The measurement and the choice."""
        return (self.whole, self.choice)

    def describe(self) -> dict[str, Any]:
        """The measurement, the choice and the part."""
        return {"whole": self.whole.key, "choice": self.choice.key, "index": self.index}

    @property
    def path(self) -> PathSpec:
        """The path that was measured."""
        return self.whole.path

    @property
    def data(self) -> DataRef:
        """The data on which it was."""
        return self.whole.data

    @property
    def part(self) -> Part:
        """The part of them of which these are some."""
        return self.whole.part

    @property
    def label(self) -> str:
        """A few words."""
        return f"{self.whole.label}, part {self.index + 1}"


@dataclass(frozen=True, eq=False)
class Distance(Measure):
    """L2 and relative distance of two networks, whole and by block (tensor-name globs by block name)."""

    a: State
    b: State
    blocks: Mapping[str, tuple[str, ...]] | None = None
    kind: ClassVar[str] = "distance"

    def parents(self) -> tuple[Node, ...]:
        """Both networks."""
        return (self.a, self.b)

    def describe(self) -> dict[str, Any]:
        """Both networks and the blocks."""
        found: dict[str, Any] = {"a": self.a.key, "b": self.b.key}
        return found | ({"blocks": {k: list(v) for k, v in self.blocks.items()}} if self.blocks else {})

    @property
    def label(self) -> str:
        """A few words."""
        return "distance"


@dataclass(frozen=True, eq=False)
class Scores(Measure):
    """How much each example matters, by a score of :mod:`isthmus.importance`.

    ``networks`` are those of one run after another; of a score that follows training each run has ``looks`` of them,
    the earliest first. ``loss`` names the loss whose gradients are taken, where a score takes gradients.
    """

    networks: tuple[State, ...]
    data: DataRef
    part: Part
    score: str = "el2n"
    looks: int = 1
    loss: str = "cross_entropy"
    kind: ClassVar[str] = "scores"

    def parents(self) -> tuple[Node, ...]:
        """The networks."""
        return self.networks

    def describe(self) -> dict[str, Any]:
        """Networks, data, part, which score, looks, loss."""
        found: dict[str, Any] = {
            "networks": [network.key for network in self.networks],
            "data": self.data.describe(),
            "part": self.part.describe(),
            "score": self.score,
        }
        optional = {"looks": (self.looks, 1), "loss": (self.loss, "cross_entropy")}
        return found | {name: value for name, (value, frozen) in optional.items() if value != frozen}

    @property
    def label(self) -> str:
        """A few words."""
        return f"{self.score} over {len(self.networks)} networks"

    @property
    def cost(self) -> float:
        """Every example once a network, three times where gradients are taken."""
        passes = SCORES[self.score].passes if self.score in SCORES else 1
        return float(passes * len(self.networks) * self.part.count(self.data))


@dataclass(frozen=True, eq=False)
class Choose(Node):
    """An argument taken from a measurement, or from several, by a rule of :mod:`isthmus.choices`."""

    source: Measure
    rule: str
    arguments: Mapping[str, Any]
    others: tuple[Measure, ...] = ()
    kind: ClassVar[str] = "choose"

    @property
    def sources(self) -> tuple[Measure, ...]:
        """The measurements, in the order in which the rule takes their numbers."""
        return (self.source, *self.others)

    def parents(self) -> tuple[Node, ...]:
        """The measurements."""
        return self.sources

    def describe(self) -> dict[str, Any]:
        """Measurements, rule, arguments."""
        found = {"source": self.source.key, "rule": self.rule, "arguments": dict(self.arguments)}
        return found | ({"others": [other.key for other in self.others]} if self.others else {})

    @property
    def label(self) -> str:
        """A few words."""
        return f"choose {self.rule}"
