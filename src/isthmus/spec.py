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
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from isthmus.errors import BadInput

__all__ = ["Duration", "DurationField", "Spec"]


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
