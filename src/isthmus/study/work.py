"""What a plan costs, in pictures: how many are trained on and evaluated, by network and by the size of its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isthmus.graph import Plan
from isthmus.hashing import digest
from isthmus.nodes import DataRef, ModelRef, Node, PathMeasure, Scores, Train

__all__ = ["Work", "work"]


@dataclass
class Work:
    """What is done with one network on inputs of one shape.

    Attributes:
        model: the network.
        input_shape: of one example.
        networks: how many are trained to an end: a trunk, each copy that leaves it, and each merge that is trained on.
        steps: optimiser steps, of all of them together.
        trained: examples in these steps.
        evaluated: forward passes of one example, in measurements.
    """

    model: ModelRef
    input_shape: tuple[int, ...]
    networks: int = 0
    steps: int = 0
    trained: int = 0
    evaluated: int = 0


def work(plan: Plan) -> tuple[Work, ...]:
    """The pending work of a plan, the network that comes first in it first.

    A training that stops at an accuracy counts in full, and a path of a block as if nothing below it were reused.
    """
    found: dict[str, Work] = {}
    passed = _passed(plan)
    for key, node in plan.pending.items():
        used = _used(node)
        if used is None:
            continue
        model, data = used
        shape = tuple(data.input_shape)
        one = found.setdefault(_name(model, shape), Work(model, shape))
        if isinstance(node, Train):
            images = round(plan.cost_of(key) / 3)
            one.networks += key not in passed
            one.trained += images
            one.steps += images // node.recipe.batch_size
        else:
            one.evaluated += round(node.cost)
    return tuple(found.values())


def _passed(plan: Plan) -> set[str]:
    """The trained states that another one of their trajectory goes on from: they are on the way, not the end."""
    return {
        need
        for key, node in plan.pending.items()
        for need in plan.needs[key]
        if isinstance(node, Train) and getattr(plan.pending[need], "trajectory", None) == node.trajectory
    }


def _used(node: Node) -> tuple[ModelRef, DataRef] | None:
    if isinstance(node, Train):
        return node.model, node.data
    if isinstance(node, PathMeasure):
        return node.path.ends[0].model, node.data
    if isinstance(node, Scores):
        return node.networks[0].model, node.data
    return None


def _name(model: ModelRef, shape: tuple[int, ...]) -> str:
    described: dict[str, Any] = model.describe()
    return digest("network", described | {"input_shape": list(shape)})
