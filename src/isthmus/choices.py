"""Rules by which an argument is taken from measurements; each is a pure function of their numbers.

To add a rule, write a function of the numbers of one measurement (alphas, loss, error; or scores) or of several, one
after the other, with its arguments by keyword, and name it here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from isthmus import curves, noise
from isthmus.errors import BadInput, nearest
from isthmus.importance import splits
from isthmus.recipe import Recipe

__all__ = ["RULES", "applied", "choose"]

Numbers = Mapping[str, Any]


def top(found: Numbers, *, offset: int = 0, clip: bool = False) -> float:
    """The alpha at which the loss along a path is highest, or so many grid points after (before) it.

    With ``clip`` an offset that leads off the path stops at its end.
    """
    if np.isnan(found["loss"]).all():
        raise BadInput("The path has no top: its loss is NaN at every point.")
    index = int(np.nanargmax(found["loss"])) + offset
    if clip:
        index = min(max(index, 0), len(found["alphas"]) - 1)
    if not 0 <= index < len(found["alphas"]):
        raise BadInput(
            f"There is no grid point {offset:+d} from the top of the path at index {index - offset}: take a smaller"
            " offset, clip it, or leave out the seed of this path."
        )
    return float(found["alphas"][index])


def parts(found: Numbers, *, parts: int, mixed: bool = False) -> list[list[int]]:
    """The indices of so many equal parts by rank of the score, the easiest first.

    Equal scores are in the order of the examples, which may be that of their classes; ``mixed``, in a fixed random one.
    """
    scores = np.asarray(found["scores"])
    if not mixed:
        return [part.tolist() for part in splits(scores, parts)]
    order = noise.order(len(scores), "equal scores")
    return [np.sort(order[part]).tolist() for part in splits(scores[order], parts)]


def blocks(*found: Numbers, blocks: Sequence[tuple[str, Sequence[str]]], threshold: float) -> list[dict[str, Any]]:
    """Which blocks of a network show a barrier when they move alone (Vlaar 2022, figure 9): a row a block.

    Args:
        found: the paths of the first block for each seed, then those of the second, and so on.
        blocks: the name of each block and the patterns of its parameters.
        threshold: the ``rise`` of the mean over seeds of a block's losses from which on that is a barrier.

    Returns:
        For each block its name, patterns, ``rise``, and whether that is a ``barrier``.

    Raises:
        BadInput: a loss along a block's path is NaN, so that nothing can be said of it.
    """
    rows = []
    seeds = len(found) // len(blocks)
    for index, (name, patterns) in enumerate(blocks):
        own = found[index * seeds : (index + 1) * seeds]
        with np.errstate(invalid="ignore"):
            mean = np.mean([one["loss"] for one in own], axis=0)
        rise = curves.barrier(own[0]["alphas"], mean, "rise")
        if math.isnan(rise):
            raise BadInput(f"Block {name} cannot be told to show a barrier or none: a loss along its path is NaN.")
        rows.append({"block": name, "patterns": list(patterns), "rise": rise, "barrier": rise >= threshold})
    return rows


RULES: Mapping[str, Callable[..., Any]] = MappingProxyType({"top": top, "splits": parts, "blocks": blocks})
"""Every rule by name."""


def choose(rule: str, found: Numbers | Sequence[Numbers], arguments: Mapping[str, Any]) -> Any:
    """What a rule takes from the numbers of a measurement, or of several: a JSON value."""
    if rule not in RULES:
        raise BadInput(f"There is no rule {rule!r}{nearest(rule, RULES)}")
    return RULES[rule](*([found] if isinstance(found, Mapping) else found), **arguments)


def applied(recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> Recipe:
    """The recipe whose rules for blocks with or without a barrier name the blocks that :func:`blocks` found.

    A rule that no block falls under is left out.
    """
    rules = []
    for rule in recipe.optimizer.by_block:
        patterns = rule.blocks
        if isinstance(patterns, str):
            wanted = patterns == "barrier"
            patterns = tuple(pattern for row in rows if row["barrier"] == wanted for pattern in row["patterns"])
        if patterns:
            rules.append(rule.model_copy(update={"blocks": patterns}))
    optimizer = recipe.optimizer.model_copy(update={"by_block": tuple(rules)})
    return recipe.model_copy(update={"optimizer": optimizer})
