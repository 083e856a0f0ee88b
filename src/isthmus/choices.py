"""Rules by which an argument is taken from a measurement; each is a pure function of its numbers.

To add a rule, write a function of (alphas, loss, error, arguments) or of scores, and name it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from isthmus.errors import BadInput, nearest
from isthmus.importance import splits

__all__ = ["RULES", "choose"]

Numbers = Mapping[str, Any]


def top(found: Numbers, *, offset: int = 0) -> float:
    """The alpha at which the loss along a path is highest, or so many grid points after (before) it."""
    if np.isnan(found["loss"]).all():
        raise BadInput("The path has no top: its loss is NaN at every point.")
    index = int(np.nanargmax(found["loss"])) + offset
    if not 0 <= index < len(found["alphas"]):
        raise BadInput(f"There is no grid point {offset:+d} from the top of the path at index {index - offset}.")
    return float(found["alphas"][index])


def parts(found: Numbers, *, parts: int) -> list[list[int]]:
    """The indices of so many equal parts by rank of the score, the easiest first."""
    return [part.tolist() for part in splits(found["scores"], parts)]


RULES: Mapping[str, Callable[..., Any]] = MappingProxyType({"top": top, "splits": parts})
"""Every rule by name."""


def choose(rule: str, found: Numbers, arguments: Mapping[str, Any]) -> Any:
    """What a rule takes from the numbers of a measurement: a JSON value."""
    if rule not in RULES:
        raise BadInput(f"There is no rule {rule!r}{nearest(rule, RULES)}")
    return RULES[rule](found, **arguments)
