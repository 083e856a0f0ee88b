"""What a study asks for: measurements and the labels of their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.nodes import Choose, DataRef, Distance, ModelRef, Node, Part, PathMeasure, PathSpec, State, advance
from isthmus.noise import Noise
from isthmus.recipe import Recipe
from isthmus.spec import Duration
from isthmus.study.model import Study

__all__ = ["Builder", "Expansion", "Request"]


@dataclass(frozen=True)
class Request:
    """A measurement and the labels under which its numbers go into a table.

    ``table`` is "pairs" (two networks and the line between them), "paths" (initial to final) or "networks".
    """

    table: str
    labels: Mapping[str, Any]
    measure: PathMeasure
    distance: Distance | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What has to be computed."""
        return (self.measure, self.distance) if self.distance is not None else (self.measure,)


@dataclass(frozen=True)
class Expansion:
    """A study as nodes.

    Attributes:
        requests: what is measured, with its labels.
        data: the data set.
        steps_per_epoch: optimiser steps in one pass over all training examples.
        chosen: which blocks show a barrier; None where no rule of the recipe asks.
        splits: the parts of the training set by their scores; None where none are asked for.
    """

    requests: tuple[Request, ...]
    data: DataRef
    steps_per_epoch: int
    logs: tuple[tuple[Mapping[str, Any], State], ...] = field(default=())
    chosen: Choose | None = None
    splits: Choose | None = None

    @property
    def targets(self) -> list[Node]:
        """Every node that is asked for."""
        found = [node for request in self.requests for node in request.nodes]
        found += [self.chosen] if self.chosen else []
        return found + ([self.splits, self.splits.source] if self.splits else [])


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
    scored: tuple[Part, ...] = ()

    def steps(self, duration: Duration) -> int:
        """A duration in steps."""
        return duration.steps(self.per_epoch)

    def advance(self, start: State, stream: Noise, stop: int, *, recipe: Recipe | None = None, **options: Any) -> State:
        """Training on by the study's data, choices and recipe (or another)."""
        return advance(start, recipe or self.recipe, self.data, stream, stop, choices=self.choices, **options)

    def measure(self, path: PathSpec, part: Part, points: tuple[float, ...]) -> PathMeasure:
        """The measurement of a path on a part of the data, as the study evaluates."""
        evaluate = self.study.evaluate
        return PathMeasure(
            path, self.data, part, points, evaluate.norm, self.recipe.loss, evaluate.precision, evaluate.batch_size
        )

    def line(
        self, table: str, labels: Mapping[str, Any], path: PathSpec, *, distance: bool = True
    ) -> Iterator[Request]:
        """The measurements of a path on every part of the data."""
        evaluate = self.study.evaluate
        apart = Distance(path.ends[0], path.ends[-1]) if distance else None
        for part in (*evaluate.parts, *self.scored):
            measure = self.measure(path, part, evaluate.points if path.form != "point" else (0.0,))
            yield Request(table, {**labels, "split": str(part)}, measure, apart)

    def network(self, labels: Mapping[str, Any], state: State) -> Iterator[Request]:
        """The measurements of one network."""
        return self.line("networks", labels, PathSpec("point", (state,)), distance=False)
