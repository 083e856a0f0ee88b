"""What a study is written in: two families of experiment, validated, in TOML or in Python.

*branch*: a trunk, children that leave it at k and train for s on their own noise, their line, their merge,
training on from it, and beside it what an equal cost of training gives. *init-to-final*: a network trained, then
the lines from initial to final weights and on to a fresh initialisation, whole and block by block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator

from isthmus.recipe import Recipe
from isthmus.spec import Spec
from isthmus.study.baselines import Baselines
from isthmus.study.branch import Branch, MergeSpec
from isthmus.study.evaluate import Evaluate
from isthmus.study.sections import ChooseSpec, Finite, ScoresSpec, distinct
from isthmus.study.start import Pretrain, Start
from isthmus.study.to import To

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
