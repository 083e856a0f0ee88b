"""Validated values with an identity: what a study is written in, and what results are named by.

A field is left out of the identity exactly when it equals the value frozen when the field was
introduced (``FROZEN``). A new option can so be added later without renaming what is already stored,
and a default can change without two different values sharing a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from isthmus.errors import BadInput

__all__ = ["AlphasField", "Duration", "DurationField", "Spec", "alphas"]


class Spec(BaseModel):
    """A frozen, validated value; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, arbitrary_types_allowed=True)

    FROZEN: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def identity(self) -> dict[str, Any]:
        """The fields that name this value, as JSON values."""
        dumped = self.model_dump(mode="json")
        found: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            encoded = value.identity() if isinstance(value, Spec) else dumped[name]
            if isinstance(value, tuple) and any(isinstance(item, Spec) for item in value):
                encoded = [item.identity() for item in value]
            if name not in self.FROZEN or encoded != self.FROZEN[name]:
                found[name] = encoded
        return found


_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ep|it)\s*")


@dataclass(frozen=True)
class Duration:
    """A length of training: epochs (``"160ep"``, ``"0.25ep"``) or iterations (``"500it"``).

    >>> Duration.parse("0.5ep").steps(391), Duration.parse("500it").steps(391)
    (196, 500)
    """

    amount: Fraction
    unit: str

    @classmethod
    def parse(cls, text: object) -> Duration:
        """A duration from its text.

        Raises:
            BadInput: for anything but a number that is not negative, followed by ``ep`` or ``it``.
        """
        if isinstance(text, Duration):
            return text
        match = _DURATION.fullmatch(text) if isinstance(text, str) else None
        if not match:
            raise BadInput(f'expected a duration such as "160ep" (epochs) or "500it" (iterations), found {text!r}')
        amount = Fraction(match[1])
        if match[2] == "it" and amount.denominator != 1:
            raise BadInput(f"expected a whole number of iterations, found {text!r}")
        return cls(amount, match[2])

    def steps(self, steps_per_epoch: int) -> int:
        """The number of optimiser steps; a fraction of an epoch is rounded, halves up."""
        exact = self.amount * steps_per_epoch if self.unit == "ep" else self.amount
        return int(exact + Fraction(1, 2))

    def __str__(self) -> str:
        return f"{Decimal(self.amount.numerator) / self.amount.denominator:f}{self.unit}"


def _duration(value: object) -> Duration:
    try:
        return Duration.parse(value)
    except BadInput as error:
        raise ValueError(str(error)) from None


DurationField = Annotated[
    Duration, BeforeValidator(_duration), PlainSerializer(str), WithJsonSchema({"type": "string"})
]
"""A field of a :class:`Spec` that takes ``"160ep"`` or ``"500it"``."""


def _rising(value: int | tuple[float, ...]) -> int | tuple[float, ...]:
    if isinstance(value, tuple) and (
        len(value) < 2 or value[0] != 0 or value[-1] != 1 or any(b <= a for a, b in pairwise(value))
    ):
        raise ValueError("expected alphas that rise from 0 to 1")
    return value


AlphasField = Annotated[
    Annotated[int, Field(ge=2)] | tuple[Annotated[float, Field(allow_inf_nan=False)], ...], AfterValidator(_rising)
]
"""A field of a :class:`Spec` that takes points on a path: how many at equal distances, or which."""


def alphas(points: int | tuple[float, ...]) -> tuple[float, ...]:
    """The points that an :data:`AlphasField` stands for.

    >>> alphas(3), alphas((0.0, 0.3, 1.0))
    ((0.0, 0.5, 1.0), (0.0, 0.3, 1.0))
    """
    return points if isinstance(points, tuple) else tuple(index / (points - 1) for index in range(points))
