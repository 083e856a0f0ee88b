"""The section ``[start]`` of a study: where every network starts instead of at freshly initialised weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from isthmus.recipe import Until
from isthmus.spec import DurationField, Spec
from isthmus.study.sections import Finite, points, rising

__all__ = ["Pretrain", "Start"]

Share = Annotated[float, Field(ge=0, le=1)]


class Pretrain(Spec):
    """A network that is trained first, for each seed of the study.

    ``to`` is the length of that training in epochs of its own data (at most, with ``until``). ``data``, ``recipe`` and
    ``model`` are laid over those of the study: what they name takes the place of what stands there (another ``name``
    in ``data`` replaces those data whole). Where its data have other inputs or more classes than those of the study,
    the network is given their ``input_shape`` and ``classes`` unless ``model`` says otherwise. It is trained from the
    initial weights and on the noise of the seed: with nothing laid over, it is the network that the study trains
    without a ``[start]``, and shares its training.
    """

    to: DurationField
    until: Until | None = None
    data: Mapping[str, Any] = Field(default_factory=dict)
    recipe: Mapping[str, Any] = Field(default_factory=dict)
    model: Mapping[str, Any] = Field(default_factory=dict)


class Start(Spec):
    """Where the networks of a study start: at weights from a ``file``, or at a network that is trained first.

    ``file`` is a state dict (.safetensors, or a weights-only torch file), looked for from the folder in which the
    command runs, then below the folder of data sets; its names may be those of a wrapper or of another package.
    ``pretrain`` is a :class:`Pretrain`.

    ``at`` is a point on the line from the initial weights (0) to those weights (1, the default): a number, or "top",
    where the loss is highest, ``offset`` grid points after it (before it, if negative); with ``clip`` one that leads
    off the line stops at its end, while otherwise the run of that seed fails. The top is looked for on
    ``alphas`` points (by default those of ``[evaluate]``), on the first part of the data that ``[evaluate]`` names
    (of the data of the pre-training), with the normalisation statistics of ``[evaluate]``. For a file the initial
    weights are those of the seed.

    Of the network at that point all blocks are taken but those in ``new``, or those in ``only`` alone: names of
    blocks, of parts of them, or globs on tensor names. Buffers go with their block. The others are drawn afresh
    (``fill`` "fresh", another draw than the initial weights of the seed), or are the initial weights that the
    pre-trained network had itself ("initial").

    The start is at step 0 without optimiser buffers, and the schedule of the study begins there; paths from "initial"
    weights begin there too, "fresh" ones are a fresh draw all the same. After a pre-training
    the order of the data and the other streams of noise are other ones than in it.
    """

    file: str | None = None
    pretrain: Pretrain | None = None
    at: Share | Literal["top"] = 1.0
    offset: int = 0
    clip: bool = False
    alphas: Annotated[int, Field(ge=2)] | tuple[Finite, ...] | None = None
    new: tuple[str, ...] | None = None
    only: tuple[str, ...] | None = None
    fill: Literal["fresh", "initial"] = "fresh"

    @field_validator("new", "only")
    @classmethod
    def _named(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and not value:
            raise ValueError("expected at least one block, found none")
        return value

    @field_validator("alphas")
    @classmethod
    def _rising(cls, value: int | tuple[float, ...] | None) -> int | tuple[float, ...] | None:
        return value if value is None else rising(value)

    @model_validator(mode="after")
    def _fits(self) -> Start:
        if (self.file is None) == (self.pretrain is None):
            found = "neither" if self.file is None else "both"
            raise ValueError(f"expected either file or pretrain, found {found}")
        if self.new is not None and self.only is not None:
            raise ValueError("expected at most one of new and only, found both")
        if self.at != "top" and (self.offset or self.alphas is not None):
            raise ValueError(f'expected at = "top" beside offset and alphas, found at = {self.at:g}')
        if self.clip and not self.offset:
            raise ValueError("expected an offset beside clip, found none")
        if self.fill == "initial" and self.pretrain is None:
            raise ValueError('expected fill = "fresh" with a file, whose initial weights are unknown, found "initial"')
        if self.fill == "initial" and not self.blocks:
            raise ValueError('expected new or only beside fill = "initial", found neither')
        return self

    @property
    def points(self) -> tuple[float, ...] | None:
        """The alphas; None where they are those of the study."""
        return None if self.alphas is None else points(self.alphas)

    @property
    def blocks(self) -> tuple[str, ...]:
        """The blocks of ``new`` or of ``only``."""
        return self.new or self.only or ()
