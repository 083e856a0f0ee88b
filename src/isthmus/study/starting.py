"""Where the networks of a study start: initial weights, or what its section ``[start]`` says, as nodes."""

from __future__ import annotations

import glob
from dataclasses import dataclass

from isthmus import noise
from isthmus.hashing import canonical
from isthmus.nodes import (
    Choose,
    DataRef,
    Graft,
    Import,
    Init,
    ModelRef,
    PathMeasure,
    PathSpec,
    Point,
    State,
    advance,
)
from isthmus.noise import Noise
from isthmus.recipe import Recipe, Until
from isthmus.study.checking import model_problems
from isthmus.study.model import ModelSpec, Start, Study
from isthmus.study.pretraining import PATH

__all__ = ["Pretraining", "Source", "Starting", "same"]


@dataclass(frozen=True)
class Pretraining:
    """What is trained first: found, and in steps."""

    spec: ModelSpec
    model: ModelRef
    data: DataRef
    recipe: Recipe
    stop: int
    until: Until | None

    @property
    def per_epoch(self) -> int:
        """Its steps an epoch."""
        return self.recipe.steps_per_epoch(self.data.train)

    def problems(self) -> list[str]:
        """What is wrong with its model, alone and with its data (this builds it, which loads torch)."""
        return [PATH + told for told in model_problems(self.spec, self.data, self.recipe.loss)]


@dataclass(frozen=True)
class Source:
    """The start of one seed and what it comes from.

    ``weights`` are those from outside or pre-trained, ``at`` the place on the line to them: a number, or chosen.
    """

    state: State
    weights: State
    at: float | Choose
    pretraining: Pretraining | None


@dataclass(frozen=True)
class Starting:
    """Where the networks of a study start.

    ``taken`` names the tensors that come from the weights; None where these are the whole network as it is. ``fresh``
    names the others.
    """

    study: Study
    model: ModelRef
    data: DataRef
    recipe: Recipe
    file: Import | None = None
    pretraining: Pretraining | None = None
    taken: tuple[str, ...] | None = None
    fresh: tuple[str, ...] = ()

    @property
    def start(self) -> Start:
        """The section of the study."""
        assert self.study.start is not None
        return self.study.start

    def source(self, seed: int) -> Source:
        """Where the networks of a seed start."""
        initial, weights = self._line(seed)
        donor, at = weights, self._at(initial, weights)
        if at != 1.0 or (self.taken is None and self.pretraining is not None):
            donor = Point(PathSpec("line", (initial, weights)), at, restart=True)
        if self.taken is None:
            return Source(donor, weights, at, self.pretraining)
        state = Graft(self._filling(seed, initial), donor, _exactly(self.taken))
        return Source(state, weights, at, self.pretraining)

    def noise(self, seed: int) -> Noise:
        """The noise of training on from the start: after a pre-training another than in it."""
        return Noise.of(noise.derive(seed, "trunk" if self.pretraining is None else "after pretraining"))

    def _line(self, seed: int) -> tuple[State, State]:
        """The initial weights, and those from outside or pre-trained."""
        before = self.pretraining
        if before is not None:
            initial = Init(before.model, seed)
            stream = Noise.of(noise.derive(seed, "trunk"))
            return initial, advance(initial, before.recipe, before.data, stream, before.stop, until=before.until)
        assert self.file is not None
        initial, file = Init(self.model, seed), self.file
        if self.taken is None or self.start.at == 1.0:
            return initial, file
        return initial, Graft(initial, file, _exactly(self.taken))

    def _at(self, initial: State, weights: State) -> float | Choose:
        start, evaluate, before = self.start, self.study.evaluate, self.pretraining
        if start.at != "top":
            return start.at
        recipe = self.recipe if before is None else before.recipe
        measure = PathMeasure(
            PathSpec("line", (initial, weights)),
            self.data if before is None else before.data,
            evaluate.seen(evaluate.parts[0], recipe),
            start.points or evaluate.points,
            evaluate.norm,
            recipe.loss,
            evaluate.precision,
            evaluate.batch_size,
        )
        clipped = {"clip": True} if start.clip else {}
        return Choose(measure, "top", {"offset": start.offset, **clipped} if start.offset else {})

    def _filling(self, seed: int, initial: State) -> State:
        """The network that what is not taken comes from."""
        drawn = Init(self.model, noise.derive(seed, "new blocks"))
        if self.start.fill == "fresh":
            return drawn
        return initial if same(initial.model, self.model) else Graft(drawn, initial, _exactly(self.fresh))


def same(a: ModelRef, b: ModelRef) -> bool:
    """Whether two references name one architecture."""
    return canonical(a.describe()) == canonical(b.describe())


def _exactly(names: tuple[str, ...]) -> tuple[str, ...]:
    """Globs that match these names alone."""
    return tuple(glob.escape(name) for name in names)
