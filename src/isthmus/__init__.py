"""Train networks, branch them under different SGD noise, interpolate and merge them, measure the line between them.

Names are loaded on first use, so that ``import isthmus`` is quick and does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from isthmus import curves, datasets, importance, models, paths, weights
    from isthmus.evaluation import evaluate_ensemble, evaluate_path, predict
    from isthmus.merging import merge
    from isthmus.networks import NetworkState
    from isthmus.noise import Noise
    from isthmus.recipe import Augment, Optimizer, Recipe, Schedule, Until
    from isthmus.results import PathResult
    from isthmus.training import train

__all__ = [
    "Augment",
    "NetworkState",
    "Noise",
    "Optimizer",
    "PathResult",
    "Recipe",
    "Schedule",
    "Until",
    "curves",
    "datasets",
    "evaluate_ensemble",
    "evaluate_path",
    "importance",
    "merge",
    "models",
    "paths",
    "predict",
    "train",
    "weights",
]

_WHERE = {
    "evaluate_ensemble": "evaluation",
    "evaluate_path": "evaluation",
    "predict": "evaluation",
    "merge": "merging",
    "NetworkState": "networks",
    "Noise": "noise",
    "Augment": "recipe",
    "Optimizer": "recipe",
    "Recipe": "recipe",
    "Schedule": "recipe",
    "Until": "recipe",
    "PathResult": "results",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"isthmus.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    try:
        return importlib.import_module(f"isthmus.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"isthmus.{name}":
            raise
    raise AttributeError(f"module 'isthmus' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
