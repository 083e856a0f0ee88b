"""What a study is written in: two families of experiment, validated, in TOML or in Python.

*branch*: a trunk, children that leave it at k and train for s on their own noise, their line, their merge,
training on from it, and beside it what an equal cost of training gives. *init-to-final*: a network trained, then
the lines from initial to final weights and on to a fresh initialisation, whole and block by block.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from isthmus.nodes import NormSpec, Part
from isthmus.recipe import Buffers, Recipe, Until
from isthmus.spec import Duration, DurationField, Spec
from isthmus.study.baselines import Baselines
from isthmus.study.sections import ChooseSpec, Finite, Positive, ScoresSpec, distinct, part, points, rising
from isthmus.study.start import Pretrain, Start

__all__ = [
    "Baselines",
    "Branch",
    "BranchStudy",
    "ChooseSpec",
    "DataSpec",
    "Evaluate",
    "InitToFinalStudy",
    "MergeSpec",
    "ModelSpec",
    "Pretrain",
    "ScoresSpec",
    "Start",
    "Study",
    "To",
]

Streams = Literal["order", "augmentation", "dropout"]


class ModelSpec(Spec):
    """A model by name, ``package.module:factory`` or, say, ``timm:NAME``; every further key is an argument of it."""

    model_config = ConfigDict(extra="allow")
    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that were given."""
        return dict(self.model_extra or {})


class DataSpec(Spec):
    """A data set by name; ``mean`` and ``std`` replace its usual normalisation; all other keys are its options."""

    model_config = ConfigDict(extra="allow")
    name: str
    mean: tuple[Finite, ...] | None = None
    std: tuple[Annotated[Finite, Field(gt=0)], ...] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The options that were given."""
        return dict(self.model_extra or {})


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


PathName = Literal["initial->final", "final->fresh", "fresh->final", "initial->fresh"]


class To(Spec):
    """How the final network is trained, and along which paths it is looked at.

    ``to`` is the length of training (at most, with ``until``). ``paths`` are whole lines; ``blocks`` names the
    model's blocks (or "all") that move alone, everything else at ``rest``, on each path that has a final end, or on
    those of ``blocks_on`` alone; a part of a block has a dotted name ("stage4.0" is the first unit of stage 4), and a
    table gives names to globs on tensor names (``{ statistics = ["*running_*"] }``).
    """

    to: DurationField
    until: Until | None = None
    paths: tuple[PathName, ...] = ("initial->final",)
    blocks: Literal["all"] | tuple[str, ...] | Mapping[str, tuple[str, ...]] = ()
    blocks_on: tuple[PathName, ...] | None = None
    rest: Literal["final", "other"] = "final"

    @field_validator("paths", "blocks_on")
    @classmethod
    def _once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return value if value is None else distinct(value, "paths")

    @field_validator("blocks")
    @classmethod
    def _each_once(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            if empty := [name for name, globs in value.items() if not globs]:
                raise ValueError(f"expected at least one pattern for each name, found none for {empty[0]}")
            if "all" in value:
                raise ValueError('expected other names than "all", which is the whole network, found it')
        return distinct(value, "blocks") if isinstance(value, tuple) and value else value

    @model_validator(mode="after")
    def _moves(self) -> To:
        if self.blocks and not any("final" in path for path in self.paths):
            raise ValueError(f"expected a path with a final end beside blocks, found {', '.join(self.paths)}")
        if self.blocks_on and not self.blocks:
            raise ValueError("expected blocks beside blocks_on, found none")
        for path in self.blocks_on or ():
            if path not in self.paths or "final" not in path:
                raise ValueError(f"expected those of paths that have a final end in blocks_on, found {path}")
        return self

    def moves_blocks(self, path: str) -> bool:
        """Whether blocks move alone on a path."""
        return "final" in path if self.blocks_on is None else path in self.blocks_on


class Study(Spec):
    """What both families share.

    ``seeds`` are replicates: each has its own initial weights and its own noise. ``start`` says where networks start
    if not at initial weights. ``variants`` are changes of the study by name: each is the study with these tables laid
    over its own, ``{}`` the study as it is; dotted names at the top stand for nested tables. Tables in it are merged
    with those of the study, anything else takes the place of what is there; so does an empty table, and ``data`` of
    another name. All variants are run, and told apart by a column ``variant``; the study itself is among them only if
    one of them is ``{}``. A variant changes anything but the name and the family.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    model: ModelSpec
    data: DataSpec
    recipe: Recipe
    evaluate: Evaluate = Evaluate()
    choose: ChooseSpec | None = None
    start: Start | None = None
    variants: Mapping[str, Mapping[str, Any]] | None = None

    OWN: ClassVar[tuple[str, ...]] = ()

    @field_validator("seeds")
    @classmethod
    def _once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return distinct(value, "seeds")

    @field_validator("variants")
    @classmethod
    def _titled(cls, value: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        if value and not all(name.strip() for name in value):
            raise ValueError("expected variants with names, found an empty name")
        return value


class BranchStudy(Study):
    """Copies that share k steps and then part."""

    family: Literal["branch"] = "branch"
    branch: Branch
    merge: MergeSpec | None = None
    baselines: Baselines | None = None

    OWN: ClassVar[tuple[str, ...]] = ("branch", "merge", "baselines")


class InitToFinalStudy(Study):
    """From initial to final weights."""

    family: Literal["init-to-final"] = "init-to-final"
    train: To

    OWN: ClassVar[tuple[str, ...]] = ("train",)


FAMILIES: dict[str, type[Study]] = {"branch": BranchStudy, "init-to-final": InitToFinalStudy}
"""The families of experiment by name."""


def multiples(every: Duration, to: int, steps_per_epoch: int) -> list[int]:
    """The steps ``every``, twice, ... up to ``to``."""
    count = 1
    found: list[int] = []
    while (step := Duration(every.amount * count, every.unit).steps(steps_per_epoch)) <= to:
        found.append(step)
        count += 1
    return found
