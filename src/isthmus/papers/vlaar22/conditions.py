"""On which networks a claim may rest: those that learnt something, knew random labels by heart, have a barrier."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from isthmus.claims import Tables, Values, per_seed
from isthmus.errors import BadInput
from isthmus.papers.vlaar22.quantities import BARRIER, Statistic, accuracy, largest_rise, only_row

__all__ = ["LEARNT", "among", "knowing", "learnt", "where_blocks_rise"]

LEARNT = 20.0
"""Test accuracy, in points, from which on a network of ten classes has learnt something: twice what guessing gives."""


def learnt(least: float, of: Statistic, *variants: str) -> Statistic:
    """A number of networks that have all reached this test accuracy (points): others have paths that say nothing."""

    def value(tables: Tables) -> float:
        for name in variants:
            if not (found := accuracy(name)(tables)) >= least - 1e-9:
                raise BadInput(f"{name} has not learnt: its accuracy is {found:.4g} %, not {least:g}")
        return of(tables)

    return value


def knowing(of: Statistic, *variants: str) -> Statistic:
    """A number of networks whose start was trained until it knew its random labels by heart, if it did."""

    def value(tables: Tables) -> float:
        for name in variants:
            if not only_row(tables["starts"].where(variant=name), f"start of {name}")["reached"]:
                raise BadInput(f"the start of {name} does not know its random labels by heart")
        return of(tables)

    return value


def where_blocks_rise(of: Statistic, *variants: str, least: float = BARRIER) -> Statistic:
    """A number about barriers of blocks, if any block of these networks rises by as much as is called a barrier."""

    def value(tables: Tables) -> float:
        if (highest := float(np.max([largest_rise(name)(tables) for name in variants]))) < least:
            raise BadInput(f"no block of {' or '.join(variants)} has a barrier (largest rise {highest:.3g})")
        return of(tables)

    return value


def among(statistic: Statistic, *, keep: Statistic, least: float, needed: int) -> Callable[[Tables], Values]:
    """The statistic of those seeds alone for which another (``keep``) is ``least`` or more; so many are ``needed``.

    A seed for which that is not known has no number; one for which it is known and less is left out.
    """

    def values(tables: Tables) -> Values:
        known, numbers = per_seed(keep)(tables), per_seed(statistic)(tables)
        kept: dict[Any, float | str] = {}
        for seed, value in known.items():
            if isinstance(value, str) or math.isnan(value):
                kept[seed] = value
            elif value >= least:
                kept[seed] = numbers[seed]
        if len(kept) < needed:
            return {"all": f"{len(kept)} of {len(known)} runs reach {least:g}, {needed} are needed"}
        return kept

    return values
