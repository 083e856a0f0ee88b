"""What a study asks for: measurements and the labels of their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from isthmus import noise
from isthmus.errors import BadInput
from isthmus.nodes import (
    Choose,
    DataRef,
    Distance,
    Init,
    ModelRef,
    Node,
    Part,
    PathMeasure,
    PathSpec,
    Scores,
    Selection,
    State,
    advance,
)
from isthmus.noise import Noise
from isthmus.recipe import Recipe
from isthmus.spec import Duration
from isthmus.store import Store
from isthmus.study.model import Study
from isthmus.study.starting import Source, Starting

__all__ = ["Builder", "Expansion", "Ground", "Request", "labelled", "present", "split_names"]

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A measurement and the labels under which its numbers go into a table.

    ``table`` is "pairs" (two networks and the line between them), "paths" (initial to final) or "networks".
    """

    table: str
    labels: Mapping[str, Any]
    measure: PathMeasure | Selection
    distance: Distance | None = None

    @property
    def whole(self) -> PathMeasure:
        """The measurement, or that of all examples of which it takes some."""
        return self.measure.whole if isinstance(self.measure, Selection) else self.measure

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What has to be computed."""
        return (self.measure, self.distance) if self.distance is not None else (self.measure,)


def labelled(row: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """A row of a table, or labels, with the name of their variant behind the seed."""
    return ({"seed": row["seed"]} if "seed" in row else {}) | {"variant": variant} | dict(row)


@dataclass(frozen=True)
class Ground:
    """What the networks of a study, or of a variant of it, are trained on, and the steps of an epoch."""

    data: DataRef
    steps_per_epoch: int


@dataclass(frozen=True)
class Expansion:
    """A study as nodes.

    Attributes:
        requests: what is measured, of all variants.
        grounds: on what each variant is trained, by name; of a study without variants under "".
        sources: where networks start, with labels, where that is not at freshly initialised weights.
        variants: each variant by itself, by name; none of a study without them.
        chosen: which blocks show a barrier; None where no rule of the recipe asks, and with variants.
        splits: the parts of the training set by their scores; None where none are asked for, and with variants.
    """

    requests: tuple[Request, ...]
    grounds: Mapping[str, Ground]
    sources: tuple[tuple[Mapping[str, Any], Source], ...] = ()
    variants: Mapping[str, Expansion] = field(default_factory=dict)
    chosen: Choose | None = None
    splits: Choose | None = None

    @property
    def data(self) -> DataRef:
        """The data of the study; refused where its variants have different ones, which are in ``grounds``."""
        return self._common("data", [ground.data for ground in self.grounds.values()])

    @property
    def steps_per_epoch(self) -> int:
        """Steps an epoch; refused where variants have different ones, which are in ``grounds``."""
        return self._common("steps an epoch", [ground.steps_per_epoch for ground in self.grounds.values()])

    def _common(self, what: str, values: list[T]) -> T:
        if any(value != values[0] for value in values[1:]):
            raise BadInput(f"The variants of this study differ in their {what}: look at one of expansion.grounds.")
        return values[0]

    @property
    def targets(self) -> list[Node]:
        """Every node that is asked for."""
        if self.variants:
            return [node for one in self.variants.values() for node in one.targets]
        found = [node for request in self.requests for node in request.nodes]
        found += [self.chosen] if self.chosen else []
        return found + ([self.splits, self.splits.source] if self.splits else [])


def present(expansion: Expansion, store: Store) -> Expansion:
    """What of an expansion a store has: requests and choices of which every node is there."""
    return replace(
        expansion,
        requests=tuple(r for r in expansion.requests if all(store.has(node.key) for node in r.nodes)),
        variants={name: present(one, store) for name, one in expansion.variants.items()},
        chosen=_there(expansion.chosen, store),
        splits=_there(expansion.splits, store),
    )


def _there(choice: Choose | None, store: Store) -> Choose | None:
    nodes = () if choice is None else (choice, *choice.parents())
    return choice if all(store.has(node.key) for node in nodes) else None


def scored_part(choice: Choose) -> Part:
    """The examples that are split by their scores."""
    assert isinstance(choice.source, Scores)
    return choice.source.part


def split_names(choice: Choose) -> list[str]:
    """The splits as they are called in tables, the easiest first: "train/1" and so on."""
    return [f"{scored_part(choice)}/{index + 1}" for index in range(int(choice.arguments["parts"]))]


@dataclass
class Builder:
    """What both families build with: what every trained state rests on, and every part that is measured."""

    study: Study
    model: ModelRef
    data: DataRef
    recipe: Recipe
    per_epoch: int
    problems: list[str]
    choices: tuple[Choose, ...] = ()
    splits: Choose | None = None
    starting: Starting | None = None

    def start(self, seed: int) -> State:
        """Where the networks of a seed start."""
        return Init(self.model, seed) if self.starting is None else self.starting.source(seed).state

    def trunk_noise(self, seed: int) -> Noise:
        """The noise of training on from there."""
        return Noise.of(noise.derive(seed, "trunk")) if self.starting is None else self.starting.noise(seed)

    def steps(self, duration: Duration) -> int:
        """A duration in steps."""
        return duration.steps(self.per_epoch)

    def advance(self, start: State, stream: Noise, stop: int, *, recipe: Recipe | None = None, **options: Any) -> State:
        """Training on by the study's data, choices and recipe (or another)."""
        return advance(start, recipe or self.recipe, self.data, stream, stop, choices=self.choices, **options)

    def measure(self, path: PathSpec, part: Part, points: tuple[float, ...]) -> PathMeasure:
        """The measurement of a path on a part of the data, as the study evaluates."""
        evaluate = self.study.evaluate
        seen = evaluate.seen(part, self.recipe)
        return PathMeasure(
            path, self.data, seen, points, evaluate.norm, self.recipe.loss, evaluate.precision, evaluate.batch_size
        )

    def line(
        self,
        table: str,
        labels: Mapping[str, Any],
        path: PathSpec,
        *,
        distance: bool = True,
        blocks: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Iterator[Request]:
        """The measurements of a path on every part of the data; with the distance of its ends, of ``blocks`` too."""
        evaluate = self.study.evaluate
        apart = Distance(path.ends[0], path.ends[-1], blocks) if distance else None
        parts = evaluate.network_parts if path.still else evaluate.parts
        points = (0.0,) if path.still else evaluate.points
        for part in parts:
            yield Request(table, {**labels, "split": str(part)}, self.measure(path, part, points), apart)
        if self.splits is not None:
            whole = self.measure(path, scored_part(self.splits), points)
            for index, name in enumerate(split_names(self.splits)):
                yield Request(table, {**labels, "split": name}, Selection(whole, self.splits, index), apart)

    def network(self, labels: Mapping[str, Any], state: State) -> Iterator[Request]:
        """The measurements of one network."""
        return self.line("networks", labels, PathSpec("point", (state,)), distance=False)
