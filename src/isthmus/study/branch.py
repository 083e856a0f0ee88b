"""The sections ``[branch]`` and ``[merge]`` of a study: how copies part, and what becomes of their merge."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from isthmus.recipe import Buffers
from isthmus.spec import Duration, DurationField, Spec
from isthmus.study.sections import Finite, distinct

__all__ = ["Branch", "MergeSpec", "multiples"]

Streams = Literal["order", "augmentation", "dropout"]


class Branch(Spec):
    """How copies part: when (``at``: every k), for how long (every s), how many, on what noise.

    Give ``lengths`` (the same s for every k), or ``to`` and ``every``: children train to the step ``to`` and every
    multiple of ``every`` on the way is an s. Given neither, with ``trunk_at_k``, no copy leaves the trunk, which is
    looked at alone: how one training goes. With ``trunk_is_child`` the first of the copies is the trunk itself
    going on, its optimiser and noise untouched. ``differ`` names the streams of noise that are a child's own; in
    the others it goes on with the trunk's. ``noise`` gives the children's noise seeds; by default they are
    derived from the study's seed and the child's number. With ``trunk_at_k`` the trunk is evaluated at every k, as
    a network of its own. With ``disjoint`` each child trains on a part of the training set of its own, the parts
    being a random split of it in equal sizes (Iyer 2024, figure 11). Its epochs are then those of its part; k, s and
    schedules stay counted in epochs of the whole set, on which the trunk trains and all networks do after the merge.
    """

    at: tuple[DurationField, ...]
    lengths: tuple[DurationField, ...] = ()
    to: DurationField | None = None
    every: DurationField | None = None
    children: Annotated[int, Field(ge=2)] = 2
    trunk_is_child: bool = False
    differ: tuple[Streams, ...] = ("order", "augmentation", "dropout")
    noise: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    buffers: Literal["keep", "reset"] = "reset"
    trunk_at_k: bool = False
    disjoint: bool = False

    @field_validator("at", "lengths", "differ", "noise")
    @classmethod
    def _once(cls, value: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return value if not value else distinct(value, "values")

    @model_validator(mode="after")
    def _fits(self) -> Branch:
        if not self.at:
            raise ValueError("expected at least one k in at, found none")
        if (bool(self.lengths) == bool(self.to) or bool(self.to) != bool(self.every)) and not self.trunk_alone:
            raise ValueError("expected either lengths, or to and every")
        if not self.differ:
            raise ValueError('expected at least one stream in differ ("order", "augmentation", "dropout"), found none')
        if self.noise is not None and len(self.noise) != self.children - self.trunk_is_child:
            wanted = self.children - self.trunk_is_child
            raise ValueError(f"expected one noise seed a child, {wanted} of them, found {len(self.noise)}")
        if self.disjoint and self.trunk_is_child:
            raise ValueError(
                "expected disjoint without trunk_is_child, found both: the trunk goes on on the whole training set"
            )
        return self

    @property
    def trunk_alone(self) -> bool:
        """Whether no copy leaves the trunk, which is evaluated at every k."""
        return self.trunk_at_k and not (self.lengths or self.to or self.every)


class MergeSpec(Spec):
    """The merge of the children (alpha = 1/2, equal shares, or ``weights``, one a child), and training on from it.

    ``at`` names the s after which they are merged (default: every one). With ``after``, the merge trains on for
    so long and is evaluated every ``every``; with ``children_go_on`` the children do as well. ``buffers`` are
    those of the optimiser at the merge. From the merge on its learning rate is ``factor`` times that of the schedule,
    and ramps up to it linearly over ``warmup`` (Iyer 2024, figures 4 and 12); the children's stays as it is.
    """

    at: tuple[DurationField, ...] | None = None
    buffers: Buffers = "reset"
    after: DurationField | None = None
    every: DurationField | None = None
    children_go_on: bool = True
    factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    warmup: DurationField | None = None
    weights: tuple[Annotated[Finite, Field(ge=0)], ...] | None = None

    @field_validator("at")
    @classmethod
    def _once(cls, value: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return value if value is None else distinct(value, "values")

    @field_validator("weights")
    @classmethod
    def _whole(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and not abs(math.fsum(value) - 1.0) <= 1e-9:
            raise ValueError(f"expected weights that add up to 1, found {list(value)}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> MergeSpec:
        if (self.after is None) != (self.every is None):
            raise ValueError("expected after and every together")
        if self.after is None and (self.warmup is not None or self.factor != 1.0):
            raise ValueError("expected after and every beside warmup and factor, which are about training on")
        if self.every is not None and not self.every.amount:
            raise ValueError("expected every above 0")
        return self


def multiples(every: Duration, to: int, steps_per_epoch: int) -> list[int]:
    """The steps ``every``, twice, ... up to ``to``."""
    count = 1
    found: list[int] = []
    while (step := Duration(every.amount * count, every.unit).steps(steps_per_epoch)) <= to:
        found.append(step)
        count += 1
    return found
