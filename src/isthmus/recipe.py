"""A recipe: everything that decides how a network is trained, apart from where it starts, its data and its noise."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from isthmus import schedules
from isthmus.errors import BadInput
from isthmus.spec import DurationField, Spec

__all__ = ["Augment", "ByBlock", "Optimizer", "Recipe", "Schedule", "Until"]

Buffers = Literal["keep", "reset", "average"]
"""What happens to the optimiser's buffers (momentum, Adam's moments) at a branch or a merge."""

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ByBlock(Spec):
    """Another learning rate or weight decay for some blocks of a network.

    ``blocks`` are names of blocks or of parts of them, or globs on tensor names; expanding a study makes globs of
    them all. "barrier" and "no barrier" stand for those blocks that show one in a study's base run and those that
    show none (see ``[choose]``). ``factor`` multiplies the learning rate of the schedule; with 0 these parameters
    stay as they are, bit for bit (the running statistics of normalisation layers are no parameters and go on).
    ``weight_decay`` takes the place of the optimiser's.
    """

    blocks: Literal["barrier", "no barrier"] | Annotated[tuple[str, ...], Field(min_length=1)]
    factor: Rate = 1.0
    weight_decay: Rate | None = None

    FROZEN: ClassVar[Mapping[str, Any]] = MappingProxyType({"factor": 1.0, "weight_decay": None})


class Optimizer(Spec):
    """An optimiser of ``torch.optim`` and its hyperparameters; of ``by_block`` the first that fits a parameter acts."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Rate
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False
    weight_decay: Rate = 0.0
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-8
    by_block: tuple[ByBlock, ...] = ()

    FROZEN: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "betas": [0.9, 0.999], "eps": 1e-8, "by_block": []}
    )

    @model_validator(mode="after")
    def _fits(self) -> Optimizer:
        if self.name != "sgd" and (self.momentum or self.nesterov):
            raise ValueError(f"momentum and nesterov belong to sgd, found them with {self.name} (it has betas)")
        if self.name == "sgd" and (self.betas != (0.9, 0.999) or self.eps != 1e-8):
            raise ValueError("betas and eps belong to adam and adamw, found them with sgd")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class Schedule(Spec):
    """The learning rate as a product of factors of the global step; with no field set it is constant.

    ``warmup`` ramps up linearly from the first step (or from ``warmup_start``), ``milestones`` multiply
    by ``factor`` each, ``cosine`` decays to 0 over a horizon, ``drop`` multiplies from ``drop_start`` on.
    """

    warmup: DurationField | None = None
    warmup_start: DurationField | None = None
    milestones: tuple[DurationField, ...] = ()
    factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    cosine: DurationField | None = None
    drop: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    drop_start: DurationField | None = None

    @model_validator(mode="after")
    def _fits(self) -> Schedule:
        if self.warmup_start and not self.warmup:
            raise ValueError("warmup_start needs a warmup")
        if (self.drop is None) != (self.drop_start is None):
            raise ValueError("drop and drop_start go together")
        if self.cosine and not self.cosine.amount:
            raise ValueError("cosine needs a horizon above 0")
        return self

    def factors(self, start: int, stop: int, steps_per_epoch: int) -> npt.NDArray[np.float64]:
        """The factor at each global step of [start, stop), shape (stop - start,)."""
        steps = np.arange(start, stop, dtype=np.int64)
        result = np.ones(len(steps))
        if self.warmup:
            begin = self.warmup_start.steps(steps_per_epoch) if self.warmup_start else 0
            result *= schedules.warmup(steps, self.warmup.steps(steps_per_epoch), begin)
        if self.milestones:
            result *= schedules.milestones(steps, [at.steps(steps_per_epoch) for at in self.milestones], self.factor)
        if self.cosine:
            result *= schedules.cosine(steps, self.cosine.steps(steps_per_epoch))
        if self.drop is not None and self.drop_start:
            result *= schedules.drop(steps, self.drop, self.drop_start.steps(steps_per_epoch))
        return result


class Augment(Spec):
    """Augmentation of pictures: a random crop after zero-padding by ``crop`` pixels, a horizontal flip with p 0.5.

    ``brightness`` multiplies all pixels of a picture by one factor drawn uniformly from 1 - brightness to
    1 + brightness and cuts off what is then above the highest value.
    """

    crop: Annotated[int, Field(ge=0)] = 0
    flip: bool = False
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.0

    FROZEN: ClassVar[Mapping[str, Any]] = MappingProxyType({"crop": 0, "flip": False, "brightness": 0.0})

    @property
    def acts(self) -> bool:
        """Whether anything is drawn at all."""
        return self.crop > 0 or self.flip or self.brightness > 0


class Until(Spec):
    """Stop at the first epoch's end at which the accuracy (eval mode, no augmentation) reaches ``accuracy``."""

    accuracy: Annotated[float, Field(gt=0, le=1)]
    on: Literal["train", "test"] = "train"


class Recipe(Spec):
    """How a network is trained.

    ``precision`` "bf16" runs the network under bfloat16 autocast, with its weights and the loss in float32; "tf32"
    lets an accelerator multiply float32 in TF32 (a CPU computes in float32 all the same); "auto"
    must be resolved (:meth:`resolved`) before anything is named by the recipe.
    """

    optimizer: Optimizer
    schedule: Schedule = Schedule()
    batch_size: Annotated[int, Field(ge=1)]
    drop_last: bool = False
    augment: Augment = Augment()
    precision: Literal["float32", "tf32", "bf16", "auto"] = "float32"
    loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"

    FROZEN: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"drop_last": False, "augment": {}, "precision": "float32", "loss": "cross_entropy"}
    )

    def steps_per_epoch(self, examples: int) -> int:
        """Optimiser steps in one pass over so many examples: at least 1, as there is at least one example."""
        if examples < 1:
            raise BadInput(f"Training needs at least one example, found {examples}.")
        whole, rest = divmod(examples, self.batch_size)
        return whole if self.drop_last and whole else whole + (rest > 0)

    def rates(self, start: int, stop: int, steps_per_epoch: int) -> npt.NDArray[np.float64]:
        """The learning rate at each global step of [start, stop)."""
        return self.optimizer.lr * self.schedule.factors(start, stop, steps_per_epoch)

    def identity(self) -> dict[str, Any]:
        """What names a run by this recipe apart from its learning rates, which enter by their values."""
        if self.precision == "auto":
            raise BadInput("Resolve the precision before naming a run by its recipe.")
        found = super().identity()
        del found["schedule"]
        del found["optimizer"]["lr"]
        return found

    def resolved(self, *, bf16: bool) -> Recipe:
        """This recipe with precision "auto" replaced by what the device does well."""
        if self.precision != "auto":
            return self
        return self.model_copy(update={"precision": "bf16" if bf16 else "float32"})
