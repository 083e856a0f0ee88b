"""Comparisons with that one of several networks which stands out over all seeds, such as the least accurate one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from isthmus.claims import Tables, Values, per_seed
from isthmus.errors import BadInput

__all__ = ["beyond"]

Statistic = Callable[[Tables], float]


def beyond(
    of: Callable[[str], Statistic], variants: Sequence[str], others: Sequence[str]
) -> Callable[[Tables], Values]:
    """For each seed the number of that one of ``variants`` with the lowest mean over seeds, minus that of ``others``.

    Which ones these are is the same for every seed. A seed without a number in any of them all has none.
    """

    def values(tables: Tables) -> Values:
        names = (*variants, *others)
        found = {name: per_seed(of(name))(tables) for name in names}
        told: dict[Any, float | str] = {}
        numbers: dict[Any, dict[str, float]] = {}
        for seed in dict.fromkeys(seed for each in found.values() for seed in each):
            each = {name: found[name].get(seed, f"there is no run of {name}") for name in names}
            missing = [value for value in each.values() if isinstance(value, str)]
            numbers[seed] = {name: value for name, value in each.items() if not isinstance(value, str)}
            if missing or any(map(math.isnan, numbers[seed].values())):
                told[seed] = missing[0] if missing else math.nan
                del numbers[seed]
        if not numbers:
            if not told:
                raise BadInput("there are no runs")
            return told
        own, rival = (min(group, key=lambda name: _mean(numbers, name)) for group in (variants, others))
        return told | {seed: each[own] - each[rival] for seed, each in numbers.items()}

    return values


def _mean(numbers: Mapping[Any, Mapping[str, float]], name: str) -> float:
    return math.fsum(each[name] for each in numbers.values()) / len(numbers)
