"""How the arguments of an evaluation are read: points, losses, modes of normalisation statistics, batches."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from isthmus import losses, normalisation
from isthmus.errors import BadInput, IsthmusWarning, nearest
from isthmus.examples import Examples
from isthmus.paths import Coordinate, Path
from isthmus.results import NormStats

__all__ = ["batch_size", "loss", "mode", "norm_stats", "points", "stats_examples"]


def points(alphas: int | Sequence[Coordinate], path: Path) -> list[Coordinate]:
    """The points of a path that a number of alphas, or a list of them, means."""
    count = _integer(alphas)
    if count is not None:
        if count < 2 or path.dimensions != 1:
            raise BadInput(
                f"A number of alphas needs a path with one coordinate and at least 2 of them, found {count} on a"
                f" {path.name} path; give the points as a list."
            )
        return [index / (count - 1) for index in range(count)]
    try:
        array = np.array([np.asarray(at, dtype=np.float64) for at in alphas])  # type: ignore[union-attr]
    except (TypeError, ValueError):
        array = np.empty(0)
    if not array.size or array.ndim > 2 or not np.isfinite(array).all():
        raise BadInput(f"alphas must be a number of points or finite coordinates, at least one, found {alphas!r}.")
    if (array.shape[1] if array.ndim == 2 else 1) != path.dimensions:
        raise BadInput(f"A {path.name} path takes {path.dimensions} number(s) a point, found {array[0].tolist()!r}.")
    return [float(at) for at in array.flat] if path.dimensions == 1 else [tuple(at) for at in array.tolist()]


def stats_examples(data: Any) -> Examples | None:
    """The examples that statistics are measured on; their targets do not matter."""
    if isinstance(data, Tensor | np.ndarray):
        data = data, np.zeros(len(data) if data.ndim else 0, np.int64)
    return None if data is None else Examples.of(data)


def _integer(value: object) -> int | None:
    """The value where it is an integer of any kind (numpy has its own), else None."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def loss(loss: losses.PerExample | str | None) -> losses.PerExample:
    """The loss of a name; cross-entropy where none is given."""
    if loss is None:
        return losses.cross_entropy
    if isinstance(loss, str):
        if loss not in losses.LOSSES:
            raise BadInput(f"There is no loss named {loss!r}{nearest(loss, losses.LOSSES)}")
        return losses.LOSSES[loss]
    return loss


def mode(model: nn.Module, wanted: str | None, stats_data: Examples | None) -> tuple[str, tuple[str, ...]]:
    """The mode in force and what has to be noted about it."""
    if wanted is not None and wanted not in normalisation.MODES:
        raise BadInput(f"There is no norm_stats mode {wanted!r}{nearest(wanted, normalisation.MODES)}")
    if not normalisation.layers(model):
        return "none", ()
    if wanted == "recompute" and stats_data is None:
        raise BadInput('norm_stats="recompute" needs stats_data: un-augmented training examples (inputs, targets).')
    if wanted is not None:
        return wanted, ()
    if stats_data is not None:
        return "recompute", ()
    note = (
        "The model has normalisation layers and no stats_data was given, so their running statistics were"
        " interpolated; a barrier may be an artefact of that and no verdict follows from it."
    )
    warnings.warn(note, IsthmusWarning, stacklevel=4)  # past the decorator of evaluate_path
    return "interpolate", (note,)


def norm_stats(mode: str, size: int, stats_batch: int, stats_examples: int, data: Examples | None) -> NormStats:
    """What a result says of its statistics: the mode, and the numbers that matter to it."""
    if mode == "recompute" and data is not None:
        return NormStats(mode, stats_batch, min(stats_examples, len(data)))
    return NormStats(mode, size if mode == "batch" else None)


def batch_size(examples: Examples, device: torch.device) -> int:
    """The power of two in 128..2,048 at which a batch of inputs has at most 2**20 numbers: it stays in a cache.

    On an accelerator eight times as much, which keeps it busy between two launches.
    """
    numbers, more = max(1, examples.inputs[0].numel()), 1 if device.type == "cpu" else 8
    return min(2048 * more, max(128, 1 << max(1, 2**20 * more // numbers).bit_length() - 1))
