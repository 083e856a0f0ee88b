"""Paths: maps from coordinates to weights.

A path has end points and a rule that gives, at each coordinate, one coefficient per end point for
each tensor. Everything else is one weighted sum. Coefficients of exactly 0 and 1 give the end points
bit for bit, integer buffers included; between them integer buffers come from the nearer end.

To add a path, write one function that returns a :class:`Path` with its own ``rule``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from isthmus.errors import BadInput, BadWeights
from isthmus.weights import State, Weights, check_match, kinds, lerp_tensor, select, sum_tensors

__all__ = ["Path", "blocks", "cumulative", "line", "plane"]

Coordinate = float | tuple[float, ...]
Coefficients = tuple[float, ...]
Rule = Callable[[str, Coordinate], Coefficients]
"""(tensor name, coordinate) -> one coefficient an end point."""


@dataclass(frozen=True, eq=False)
class Path:
    """A map from coordinates to weights.

    Attributes:
        ends: the end points, at least one; all with the same names, shapes and types.
        rule: the coefficient of each end point, for a tensor at a coordinate.
        name: what kind of path it is, for tables and figures.
        dimensions: how many numbers a coordinate has.
    """

    ends: tuple[State, ...]
    rule: Rule
    name: str
    dimensions: int = 1

    def __post_init__(self) -> None:
        if not self.ends:
            raise BadInput(f"A {self.name} path needs at least one end point, found none.")
        for index, end in enumerate(self.ends[1:], start=2):
            check_match(self.ends[0], end, names=("end point 1", f"end point {index}"))

    def coefficients(self, name: str, at: Coordinate) -> Coefficients:
        """One coefficient an end point, for the tensor ``name`` at a coordinate."""
        numbers = _numbers(at)
        if len(numbers) != self.dimensions or not all(map(math.isfinite, numbers)):
            raise BadInput(f"A {self.name} path takes {self.dimensions} finite number(s) a point, found {at!r}.")
        return self.rule(name, numbers if self.dimensions > 1 else numbers[0])

    def at(self, at: Coordinate) -> Weights:
        """The weights at a coordinate, sharing no memory with the end points."""
        template = self.ends[0]
        tensors = {name: self._tensor(name, at, None) for name in template}
        return template.like(tensors) if isinstance(template, Weights) else Weights(tensors, kinds(template))

    @torch.no_grad()
    def write(self, at: Coordinate, into: Mapping[str, Tensor], names: Iterable[str] | None = None) -> None:
        """Write the weights at a coordinate into existing tensors, in place and without allocation on a line."""
        for name in self.ends[0] if names is None else names:
            self._tensor(name, at, into[name])

    def _tensor(self, name: str, at: Coordinate, out: Tensor | None) -> Tensor:
        coefficients = self.coefficients(name, at)
        tensors = [end[name] for end in self.ends]
        with torch.no_grad():
            if len(tensors) == 2 and coefficients[0] == 1.0 - coefficients[1]:
                return lerp_tensor(tensors[0], tensors[1], coefficients[1], out)
            return sum_tensors(tensors, coefficients, out)


def _numbers(at: Coordinate) -> tuple[float, ...]:
    """The numbers of a coordinate; numpy's and torch's own scalars and vectors are taken as well."""
    if isinstance(at, float | int):
        return (float(at),)
    return tuple(np.asarray(at, dtype=np.float64).reshape(-1).tolist())


def _scalar(at: Coordinate) -> float:
    return float(at) if isinstance(at, float | int) else float(at[0])


def line(a: State, b: State) -> Path:
    """The straight line ``(1 - alpha) * a + alpha * b``; coordinates outside [0, 1] extrapolate.

    >>> line({"w": torch.tensor([0.0])}, {"w": torch.tensor([2.0])}).at(1.5)["w"]
    tensor([3.])
    """
    return Path((a, b), lambda _, at: (1.0 - _scalar(at), _scalar(at)), "line")


def blocks(a: State, b: State, patterns: str | Iterable[str], *, rest: Literal["a", "b"] = "b") -> Path:
    """The tensors that the globs match move from ``a`` to ``b``; all else stays at one end.

    Layer-wise interpolation of Vlaar 2022, section 3: one block moves from initial to final, the rest
    is at the final weights. At alpha = 1 with ``rest="b"`` the network is exactly ``b``.

    Raises:
        BadWeights: a pattern that matches nothing, or ends that do not match.
        BadInput: ``rest`` is neither "a" nor "b".
    """
    if rest not in ("a", "b"):
        raise BadInput(f'rest must be "a" or "b", found {rest!r}.')
    moving = frozenset(select(a, patterns))
    stay: Coefficients = (1.0, 0.0) if rest == "a" else (0.0, 1.0)
    return Path((a, b), lambda name, at: (1.0 - _scalar(at), _scalar(at)) if name in moving else stay, "blocks")


def cumulative(a: State, b: State, groups: Sequence[str | Iterable[str]]) -> Path:
    """Groups of tensors move one after the other: at t in [0, 1], group g of n is at ``clip(n t - g, 0, 1)``.

    At t = j / n the first j groups are at ``b`` and the others at ``a``. Tensors in no group move
    with the last one, so that t = 1 is exactly ``b``. A tensor in two groups is refused.
    """
    if not groups:
        raise BadInput("A cumulative path needs at least one group of tensors.")
    where: dict[str, int] = {}
    for index, patterns in enumerate(groups):
        for name in select(a, patterns):
            if name in where:
                raise BadWeights(f"Tensor {name!r} is in groups {where[name] + 1} and {index + 1}; name it once.")
            where[name] = index
    count = len(groups)

    def rule(name: str, at: Coordinate) -> Coefficients:
        reached = count * _scalar(at)
        if math.isclose(reached, round(reached), rel_tol=1e-12):  # 49 * (1 / 49) is not quite 1
            reached = float(round(reached))
        position = min(max(reached - where.get(name, count - 1), 0.0), 1.0)
        return 1.0 - position, position

    return Path((a, b), rule, "cumulative")


def plane(origin: State, x: State, y: State) -> Path:
    """The plane through three networks: ``origin + u (x - origin) + v (y - origin)`` at (u, v)."""

    def rule(_: str, at: Coordinate) -> Coefficients:
        u, v = at if isinstance(at, tuple) else (at, 0.0)
        return 1.0 - u - v, float(u), float(v)

    return Path((origin, x, y), rule, "plane", dimensions=2)
