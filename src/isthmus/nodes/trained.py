"""Trained states.

A trained state is named by **(root, noise, recipe as far as it acts between root and step, step)**. The
root is the last initialisation, import or transform, or change of noise, data or recipe. How training is
cut is an execution detail: :func:`advance` folds what is one trajectory into one node. A schedule enters
by its values on the interval, so runs that differ only later share their trunk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadInput
from isthmus.hashing import digest, digest_bytes
from isthmus.nodes.base import Node, State
from isthmus.nodes.measures import Choose
from isthmus.nodes.parts import DataRef, ModelRef, Part
from isthmus.noise import Noise
from isthmus.recipe import Recipe, Until

__all__ = ["Rates", "Train", "advance"]


@dataclass(frozen=True)
class Rates:
    """Learning rates on [start, stop): a recipe's schedule there."""

    recipe: Recipe
    start: int
    stop: int

    def values(self, steps_per_epoch: int) -> npt.NDArray[np.float64]:
        """One rate a step."""
        return self.recipe.rates(self.start, self.stop, steps_per_epoch)


@dataclass(frozen=True, eq=False)
class Train(State):
    """A network trained from a root to a step; make it with :func:`advance`.

    ``part`` is what of the data it is trained on (None: all training examples). Its epochs are then those of that
    part, while a schedule in epochs goes on by those of the whole set: both copies of a pair and their trunk have the
    same learning rate at the same step. ``choices`` are those that rules of the recipe's ``by_block`` wait for.
    """

    root: State
    recipe: Recipe
    data: DataRef
    noise: Noise
    pieces: tuple[Rates, ...]
    buffers: Literal["keep", "reset"]
    stop: int
    until: Until | None = None
    part: Part | None = None
    choices: tuple[Choose, ...] = ()
    kind: ClassVar[str] = "train"

    @property
    def model(self) -> ModelRef:
        """The root's."""
        return self.root.model

    @property
    def step(self) -> int:
        """Where it ends (at most, with ``until``)."""
        return self.stop

    @property
    def has_buffers(self) -> bool:
        """Trained networks carry them."""
        return True

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps an epoch of what it is trained on."""
        return self.recipe.steps_per_epoch(self.part.count(self.data) if self.part else self.data.train)

    def rates(self, start: int | None = None) -> npt.NDArray[np.float64]:
        """The learning rate of each step from ``start`` (by default the root's step) to the end."""
        per_epoch = self.recipe.steps_per_epoch(self.data.train)
        values = [piece.values(per_epoch) for piece in self.pieces]
        whole = np.concatenate(values) if values else np.zeros(0)
        return whole[(0 if start is None else start - self.root.step) :]

    def at(self, step: int) -> Train:
        """The same trajectory at an earlier step after the root's (at most there, with ``until``)."""
        if not self.root.step < step <= self.stop:
            raise BadInput(f"This trajectory runs from {self.root.step} to {self.stop}; it has no step {step}.")
        cut = tuple(replace(p, stop=min(p.stop, step)) for p in self.pieces if p.start < step)
        return replace(self, pieces=cut, stop=step)

    def parents(self) -> tuple[Node, ...]:
        """The root, and what has to be chosen first."""
        return (self.root, *self.choices)

    @cached_property
    def trajectory(self) -> str:
        """The name of the trajectory without its learning rates and its end, to look for states on the way."""
        return digest("trajectory", self._acting() | self._until())

    @cached_property
    def likeness(self) -> str:
        """Equal for trainings that differ in their roots and their noise, and in nothing else that acts."""
        alike = {name: value for name, value in self.describe().items() if name not in ("root", "noise")}
        return digest("alike", alike | {"model": self.model.describe(), "from": self.root.step})

    def _acting(self) -> dict[str, Any]:
        noise = self.noise.describe()
        if not self.recipe.augment.acts:
            del noise["augmentation"]
        found = {
            "root": self.root.key,
            "recipe": self.recipe.identity(),
            "data": self.data.describe(),
            "noise": noise,
        }
        found |= {"buffers": "reset"} if self.buffers == "reset" else {}
        found |= {"part": self.part.describe()} if self.part else {}
        return found | ({"choices": [choice.key for choice in self.choices]} if self.choices else {})

    def describe(self) -> dict[str, Any]:
        """Root, recipe, noise, data, the learning rates by their values, and the step."""
        rates = digest_bytes(self.rates().astype("<f8").tobytes())
        return self._acting() | {"rates": rates, "step": self.stop} | self._until()

    def _until(self) -> dict[str, Any]:
        return {"until": self.until.identity()} if self.until else {}

    @property
    def label(self) -> str:
        """A few words."""
        return f"train {self.model.name} {self.root.step} -> {self.stop}"

    @property
    def cost(self) -> float:
        """A step costs three forward passes of its batch."""
        return 3.0 * (self.stop - self.root.step) * self.recipe.batch_size


def advance(
    start: State,
    recipe: Recipe,
    data: DataRef,
    noise: Noise,
    stop: int,
    *,
    buffers: Literal["keep", "reset"] = "keep",
    until: Until | None = None,
    part: Part | None = None,
    choices: tuple[Choose, ...] = (),
) -> State:
    """The state that training on from ``start`` reaches at global step ``stop``.

    Going on with the same noise, data and recipe and kept buffers is the same trajectory, so it is folded
    into it: ``advance(advance(a, ..., 3), ..., 5)`` has the key of ``advance(a, ..., 5)``. With ``until``
    it is not folded: the accuracy is asked for from ``start`` on. ``part`` and ``choices`` are as in :class:`Train`.

    Raises:
        BadInput: a stop before the start, or a start whose own end is not known beforehand.
    """
    if isinstance(start, Train) and start.until is not None:
        raise BadInput("Training on from a run that stops at an accuracy needs a restart at step 0.")
    if stop < start.step:
        raise BadInput(f"Training cannot end at step {stop}, before it starts at step {start.step}.")
    if stop == start.step:
        return start
    new = Rates(recipe, start.step, stop)
    if not start.has_buffers:
        buffers = "keep"
    made = Train(start, recipe, data, noise, (new,), buffers, stop, until, part, choices)
    if isinstance(start, Train) and buffers == "keep":
        same = replace(made, root=start.root, buffers=start.buffers, pieces=(*start.pieces, new))
        if same.trajectory == start.trajectory:
            return same
    return made
