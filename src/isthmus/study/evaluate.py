"""The section ``[evaluate]`` of a study: on which examples, at which alphas, with which normalisation statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, field_validator

from isthmus.nodes import NormSpec, Part
from isthmus.recipe import Recipe
from isthmus.spec import Spec
from isthmus.study.sections import Finite, Positive, ScoresSpec, distinct, part, points, rising

__all__ = ["Evaluate"]


class Evaluate(Spec):
    """Where networks are evaluated: how many alphas (or which), on what, with which normalisation statistics.

    ``on`` names parts of the data: ``"test"``, ``"train"``, or ``"train:10000"`` for a fixed 10,000 of them.
    Single networks are evaluated there too, or on the parts that ``networks_on`` names: accuracies may need more
    examples than paths. In *init-to-final* studies, which have only paths otherwise, it has the initial and the final
    networks evaluated. ``norm_stats`` is ``recompute``, ``interpolate``, ``batch``, ``keep`` or ``init``. With
    ``scores`` they are also evaluated on parts of the training set by how hard its examples are. ``augmented`` has all
    these pictures cropped and flipped by the recipe's augmentation, each in one way for all networks and seeds; what
    statistics, scores and ``until`` are measured on stays as it is.
    """

    alphas: Annotated[int, Field(ge=2)] | tuple[Finite, ...] = 25
    on: tuple[str, ...] = ("test",)
    networks_on: tuple[str, ...] | None = None
    augmented: bool = False
    norm_stats: Literal["recompute", "interpolate", "batch", "keep", "init"] = "recompute"
    stats_batch: Annotated[int, Field(ge=2)] = 256
    stats_examples: Annotated[int, Field(ge=2)] = 10_240
    batch_size: Positive | None = None
    precision: Literal["float32", "bf16"] = "float32"
    scores: ScoresSpec | None = None

    @field_validator("on", "networks_on")
    @classmethod
    def _parts(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return value if value is None else distinct(tuple(part(text) for text in value), "parts")

    @field_validator("alphas")
    @classmethod
    def _rising(cls, value: int | tuple[float, ...]) -> int | tuple[float, ...]:
        return rising(value)

    @property
    def points(self) -> tuple[float, ...]:
        """The alphas."""
        return points(self.alphas)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the data on which paths are evaluated."""
        return tuple(Part.parse(text) for text in self.on)

    @property
    def network_parts(self) -> tuple[Part, ...]:
        """The parts on which single networks are."""
        return tuple(Part.parse(text) for text in self.networks_on or self.on)

    def seen(self, part: Part, recipe: Recipe) -> Part:
        """A part of the data as networks trained by this recipe are shown it."""
        return replace(part, augment=recipe.augment) if self.augmented and recipe.augment.acts else part

    @property
    def norm(self) -> NormSpec:
        """The normalisation statistics, as nodes describe them."""
        return NormSpec(self.norm_stats, self.stats_batch, self.stats_examples)
