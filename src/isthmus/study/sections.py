"""Sections of a study about what is chosen by measurements: blocks by their barriers, examples by their scores."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from isthmus.errors import BadInput, nearest
from isthmus.importance import SCORES
from isthmus.nodes import Part
from isthmus.spec import Duration, DurationField, Spec

__all__ = ["ChooseSpec", "Finite", "Positive", "ScoresSpec", "distinct", "part", "points", "rising"]

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[int, Field(ge=1)]


def distinct(values: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """The values, refused where one of them is there twice or there are none."""
    double = sorted({str(value) for value in values if values.count(value) > 1})
    if double or not values:
        found = f"{', '.join(double)} more than once" if double else "none"
        raise ValueError(f"expected distinct {what}, at least one, found {found}")
    return values


def part(text: str) -> str:
    """The text of a part of the data, refused where it is none."""
    try:
        Part.parse(text)
    except BadInput as error:
        raise ValueError(str(error)) from None
    return text


def rising(alphas: int | tuple[float, ...]) -> int | tuple[float, ...]:
    """How many alphas, or which, refused where these do not rise from 0 to 1."""
    if isinstance(alphas, tuple) and (
        len(alphas) < 2 or alphas[0] != 0 or alphas[-1] != 1 or any(b <= a for a, b in pairwise(alphas))
    ):
        raise ValueError("expected alphas that rise from 0 to 1")
    return alphas


def points(alphas: int | tuple[float, ...]) -> tuple[float, ...]:
    """The alphas that are given, or so many evenly spaced from 0 to 1."""
    return alphas if isinstance(alphas, tuple) else tuple(index / (alphas - 1) for index in range(alphas))


class ScoresSpec(Spec):
    """Scores of training examples, and parts of equal size by their rank, on which networks are evaluated as well.

    The scores are the mean over so many ``runs`` by the study's model, data and recipe, each to ``at``. The seeds of
    these runs do not depend on those of the study, so that all replicates share the parts. ``score`` is ``el2n``,
    ``grand`` or ``forgetting`` (which looks at the end of each epoch up to ``at``); ``examples`` are those that are
    scored: all of the training set, or a fixed number of them (``"train:10000"``). Of ``splits`` parts the first
    holds the easiest; where examples have equal counts, which of them it holds is drawn.
    """

    score: str = "el2n"
    splits: Annotated[int, Field(ge=2)] = 4
    runs: Positive = 3
    at: DurationField = Duration.parse("10ep")
    examples: str = "train"

    @field_validator("score")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in SCORES:
            raise ValueError(f"expected a score, found {value!r}{nearest(value, SCORES)}".removesuffix("."))
        return value

    @field_validator("examples")
    @classmethod
    def _of_training(cls, value: str) -> str:
        if Part.parse(part(value)).split != "train":
            raise ValueError(f'expected training examples ("train", or such as "train:10000"), found {value!r}')
        return value


class ChooseSpec(Spec):
    """How blocks are told to show a barrier, where a rule of ``by_block`` asks for those that do or do not.

    The base run is the same study without the rules that ask, trained for every seed, ``to`` so far (in
    *init-to-final* by default as far as the study). Then each of ``blocks`` (the model's, or names of blocks and of
    parts of them) moves alone from its initial to its final weights, everything else at the final ones. It shows a
    barrier if the ``rise`` of its loss, a mean over seeds at each alpha, is at least ``threshold``. ``alphas`` are by
    default those of ``evaluate``, ``on`` the first part of the data there.
    """

    threshold: Annotated[Finite, Field(gt=0)] = 0.05
    to: DurationField | None = None
    alphas: Annotated[int, Field(ge=2)] | tuple[Finite, ...] | None = None
    on: str | None = None
    blocks: Literal["all"] | tuple[str, ...] = "all"

    @property
    def points(self) -> tuple[float, ...] | None:
        """The alphas that are given, if any."""
        return None if self.alphas is None else points(self.alphas)

    @field_validator("alphas")
    @classmethod
    def _rises(cls, value: int | tuple[float, ...] | None) -> int | tuple[float, ...] | None:
        return value if value is None else rising(value)

    @field_validator("on")
    @classmethod
    def _of_data(cls, value: str | None) -> str | None:
        return value if value is None else part(value)

    @field_validator("blocks")
    @classmethod
    def _once(cls, value: Any) -> Any:
        return distinct(value, "blocks") if isinstance(value, tuple) else value
