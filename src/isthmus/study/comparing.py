"""What a merge is compared with: the ensemble of the children, averages along their ways, one longer training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from isthmus.nodes import Merge, PathSpec, State, Train
from isthmus.noise import Noise
from isthmus.recipe import Recipe
from isthmus.study.baselines import Ema, Longer
from isthmus.study.branch import multiples
from isthmus.study.model import BranchStudy
from isthmus.study.requests import Builder, Request

__all__ = ["Children", "baseline_requests", "ema_shares", "scaled"]


@dataclass(frozen=True)
class Children:
    """What is merged: networks that left a trunk, their names, and the noise of the first (None: the trunk's)."""

    trunk: State
    trunk_noise: Noise
    networks: Sequence[State]
    names: Sequence[str]
    stream: Noise | None

    @property
    def s(self) -> int:
        """The steps that each was trained for."""
        return self.networks[0].step - self.trunk.step


def baseline_requests(
    build: Builder, study: BranchStudy, labels: Mapping[str, Any], children: Children
) -> Iterator[Request]:
    """The baselines of a study at one k and s."""
    wanted = study.baselines
    if wanted is None:
        return
    if wanted.ensemble:
        found = {**labels, "network": "ensemble", "after_steps": 0}
        yield from build.line("networks", found, PathSpec("ensemble", tuple(children.networks)), distance=False)
    if wanted.ema is not None:
        for name, child in zip(children.names, children.networks, strict=True):
            average = _average(build, wanted.ema, children.trunk, child)
            yield from build.network({**labels, "network": f"ema {name}", "after_steps": 0}, average)
    if wanted.longer is not None:
        yield from _longer(build, study, wanted.longer, labels, children)


def _average(build: Builder, ema: Ema, trunk: State, child: State) -> Merge:
    """The moving average of a child along its way from the trunk."""
    assert isinstance(child, Train)
    steps = [trunk.step + after for after in multiples(ema.every, child.step - trunk.step, build.per_epoch)]
    steps = [*dict.fromkeys(step for step in steps if trunk.step < step < child.step), child.step]
    shares = ema_shares([trunk.step, *steps], _exact(ema, build.per_epoch))
    return Merge((trunk, *map(child.at, steps)), shares, "reset")


def _exact(ema: Ema, per_epoch: int) -> float:
    """The half-life in steps, not rounded."""
    return float(ema.half_life.amount) * (per_epoch if ema.half_life.unit == "ep" else 1)


def ema_shares(steps: Sequence[int], half_life: float) -> tuple[float, ...]:
    """How much each checkpoint counts in a moving average that starts as the first and meets the others in turn.

    >>> ema_shares([0, 10, 20], 10.0)
    (0.25, 0.25, 0.5)
    """
    kept = [2.0 ** (-(after - before) / half_life) for before, after in pairwise(steps)]
    moved = [1.0, *(1.0 - keep for keep in kept)]
    return tuple(share * math.prod(kept[index:]) for index, share in enumerate(moved))


def _longer(
    build: Builder, study: BranchStudy, longer: Longer, labels: Mapping[str, Any], children: Children
) -> Iterator[Request]:
    """A network for each factor, at s, 2 s, ... and, where it goes on, wherever the merge is looked at."""
    merge, count, k = study.merge, len(children.networks), children.trunk.step
    afters = [(index - count) * children.s for index in range(1, count + 1)]
    if longer.go_on and merge is not None and merge.after is not None and merge.every is not None:
        afters += multiples(merge.every, build.steps(merge.after), build.per_epoch)
    for factor in longer.factor:
        recipe, name = scaled(build.recipe, factor), f"longer, lr x {factor:g}"
        for after in afters:
            stop = k + count * children.s + after
            if children.stream is None:
                network = build.advance(children.trunk, children.trunk_noise, stop, recipe=recipe)
            else:
                rule = study.branch.buffers
                network = build.advance(children.trunk, children.stream, stop, recipe=recipe, buffers=rule)
            yield from build.network({**labels, "network": name, "after_steps": after}, network)


def scaled(recipe: Recipe, factor: float) -> Recipe:
    """The recipe with its learning rate times a factor."""
    optimizer = recipe.optimizer.model_copy(update={"lr": recipe.optimizer.lr * factor})
    return recipe.model_copy(update={"optimizer": optimizer})
