"""Studies that train in a blink, for the tests of the graph, the executor and studies."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeVar

from isthmus.nodes import DataRef, ModelRef
from isthmus.recipe import Recipe
from isthmus.study import BranchStudy, DataSpec, InitToFinalStudy, Study, from_mapping
from isthmus.study.expand import find_data
from isthmus.study.read import override

T = TypeVar("T", bound=Study)
PER_EPOCH = 5  # 190 examples in batches of 40

COMMON: Mapping[str, Any] = {
    "name": "small",
    "model": {"name": "mlp", "input_shape": [2], "classes": 2, "hidden": [7]},
    "data": {"name": "spiral", "train": 190, "test": 70},
    "recipe": {"batch_size": 40, "optimizer": {"lr": 0.1, "momentum": 0.9}},
    "evaluate": {"alphas": 3},
}
BRANCH: Mapping[str, Any] = {"family": "branch", **COMMON, "branch": {"at": ["0ep", "2ep"], "lengths": ["1ep"]}}
TO_FINAL: Mapping[str, Any] = {"family": "init-to-final", **COMMON, "train": {"to": "2ep"}}

MODEL = ModelRef("mlp", {"input_shape": [2], "classes": 2, "hidden": [7]})


def recipe(**changes: Any) -> Recipe:
    """The recipe of the studies, with changes to its fields (``lr`` and ``momentum`` go to the optimiser)."""
    optimizer = {"lr": 0.1, "momentum": 0.9}
    optimizer |= {name: changes.pop(name) for name in ("lr", "momentum", "weight_decay") if name in changes}
    return Recipe.model_validate({"batch_size": 40, "optimizer": optimizer, **changes})


@functools.cache
def data(train: int = 190, test: int = 70, seed: int = 0) -> DataRef:
    """A spiral."""
    return find_data(DataSpec.model_validate({"name": "spiral", "train": train, "test": test, "seed": seed}))


def branch(*sets: str) -> BranchStudy:
    """The small branch study with ``path=value`` overrides."""
    return _study(BRANCH, sets, BranchStudy)


def to_final(*sets: str) -> InitToFinalStudy:
    """The small init-to-final study with ``path=value`` overrides."""
    return _study(TO_FINAL, sets, InitToFinalStudy)


def _study(content: Mapping[str, Any], sets: tuple[str, ...], kind: type[T]) -> T:
    found = from_mapping(override(content, sets))
    assert isinstance(found, kind)
    return found
