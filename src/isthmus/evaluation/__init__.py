"""Evaluation: per-example losses and errors at every point of a path, of an ensemble; a network's outputs.

The caller's model, mode, flags, buffers and random state are never touched: points are written into a private copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from isthmus import losses
from isthmus.errors import BadInput
from isthmus.evaluation import arguments
from isthmus.evaluation.bench import Bench, Progress
from isthmus.evaluation.findings import has_ends
from isthmus.examples import Examples
from isthmus.paths import Coordinate, Path, line
from isthmus.results import PathResult
from isthmus.weights import State, Weights

__all__ = ["evaluate_ensemble", "evaluate_path", "predict"]


@torch.inference_mode(mode=False)
def evaluate_path(
    model: nn.Module,
    path: Path,
    data: Any,
    *,
    alphas: int | Sequence[Coordinate] = 25,
    loss: losses.PerExample | str | None = None,
    norm_stats: str | None = None,
    stats_data: Any = None,
    stats_batch: int = 256,
    stats_examples: int = 10_240,
    batch_size: int | None = None,
    precision: str = "float32",
    progress: Progress | None = None,
) -> PathResult:
    """Per-example loss and error of a model at every point of a path.

    Args:
        model: any module of the architecture of the path's ends, in any mode; it comes back untouched, and its
            own weights do not matter. It is evaluated on the device where it is.
        path: such as ``paths.line(a, b)`` of two state dicts.
        data: a pair (inputs, targets) of arrays or tensors, ready for the model.
        alphas: how many points, evenly spaced from 0 to 1, or the points themselves.
        loss: ``loss(outputs, targets)`` returning one number an example, or a name in
            :data:`isthmus.losses.LOSSES`; cross-entropy by default.
        norm_stats: where normalisation statistics come from: ``recompute``, ``interpolate``, ``batch``, ``keep`` or
            ``init``. By default ``recompute`` where ``stats_data`` is given, else ``interpolate`` with a warning.
            A model without such layers needs none, and the result says ``none``.
        stats_data: un-augmented training examples for ``recompute``, in a fixed mixed order; a pair as ``data``, or
            the inputs alone.
        stats_batch: examples a batch for ``recompute``.
        stats_examples: how many of them to read at most.
        batch_size: examples a batch; by default a power of two from 128 to 2,048 that holds about a million numbers.
        precision: "float32", or "bf16" for a forward pass under bfloat16 autocast.
        progress: called as it goes on with (evaluations done, evaluations in all).

    Returns:
        A :class:`~isthmus.results.PathResult`: ``.alphas``, ``.loss``, ``.error``, ``.barrier(definition, metric)``,
        ``.per_example_loss`` of shape (points, examples), ``.to_pandas()``.

    Raises:
        BadInput: an unknown option, a loss that is not per example, a path of other weights than the model's.

    >>> from isthmus import paths
    >>> model = nn.Linear(3, 2)
    >>> other = {name: tensor + 1.0 for name, tensor in model.state_dict().items()}
    >>> data = torch.randn(8, 3), torch.tensor([0, 1] * 4)
    >>> evaluate_path(model, paths.line(model.state_dict(), other), data, alphas=5).barrier() <= 1e-6
    True
    """
    if not isinstance(path, Path):
        raise BadInput(f"The path must be made by isthmus.paths, such as line(a, b), found {type(path).__name__}.")
    examples, points = Examples.of(data), arguments.points(alphas, path)
    function = arguments.loss(loss)
    size = batch_size
    for name, number in (("batch_size", size), ("stats_batch", stats_batch), ("stats_examples", stats_examples)):
        if number is not None and number < 1:
            raise BadInput(f"{name} must be at least 1, found {number}.")
    stats_examples_found = arguments.stats_examples(stats_data)
    bench = Bench(model, path, examples, precision)
    mode, notes = arguments.mode(bench.model, norm_stats, stats_examples_found)
    if size is None:  # where it is part of the result it must not depend on the device
        size = arguments.batch_size(examples, torch.device("cpu") if mode == "batch" else bench.device)
    bench.check_buffers(mode)
    with bench.running():
        statistics = bench.statistics(mode, points, stats_examples_found, stats_batch, stats_examples)
        found = bench.measure(points, statistics, function, size, batch_statistics=mode == "batch", progress=progress)
        stored: dict[str, tuple[float, float]] = {}
        if mode not in ("none", "interpolate") and has_ends(points) and bench.has_buffers:
            kept = bench.measure([0.0, 1.0], [{}, {}], function, size)
            stored = {name: kept.means(index) for index, name in enumerate("ab")}
    return PathResult(
        np.asarray(points, dtype=np.float64),
        found.loss,
        found.error,
        arguments.norm_stats(mode, size, stats_batch, stats_examples, stats_examples_found),
        stored,
        notes,
        found.pair(points),
    )


@torch.inference_mode(mode=False)
def evaluate_ensemble(
    model: nn.Module,
    networks: Sequence[State],
    data: Any,
    *,
    loss: losses.PerExample | str | None = None,
    norm_stats: str | None = None,
    stats_data: Any = None,
    stats_batch: int = 256,
    stats_examples: int = 10_240,
    batch_size: int | None = None,
    precision: str = "float32",
    progress: Progress | None = None,
) -> PathResult:
    """Per-example loss and error of an ensemble: of the mean of the probabilities that several networks predict.

    It costs as many forward passes as there are networks, which their merge does not. The arguments are those of
    :func:`evaluate_path`, with state dicts of networks in place of a path; each is evaluated with normalisation
    statistics of its own, recomputed for it where ``norm_stats`` says so ("keep" and "interpolate" both mean those
    that it came with).

    Returns:
        A :class:`~isthmus.results.PathResult` of one point, alpha = 0.

    Raises:
        BadInput: no networks, an unknown option, outputs that are no logits of classes.

    >>> model = nn.Linear(3, 2)
    >>> data = torch.randn(8, 3), torch.tensor([0, 1] * 4)
    >>> alone = evaluate_ensemble(model, [model.state_dict()], data)
    >>> bool(abs(alone.loss - evaluate_path(model, line(*[model.state_dict()] * 2), data).loss[0]) < 1e-6)
    True
    """
    if not networks:
        raise BadInput("An ensemble needs at least one network, found none.")
    examples, function, statistics = Examples.of(data), arguments.loss(loss), arguments.stats_examples(stats_data)
    found: list[Tensor] = []
    (mode, notes), size = arguments.mode(model, norm_stats, statistics), batch_size
    for index, network in enumerate(networks):
        bench = Bench(model, line(network, network), examples, precision)
        if size is None:
            size = arguments.batch_size(examples, torch.device("cpu") if mode == "batch" else bench.device)
        bench.check_buffers(mode)

        def report(done: int, count: int, before: int = index) -> None:
            if progress:
                progress(before * count + done, len(networks) * count)

        with bench.running():
            (own,) = bench.statistics(mode, [0.0], statistics, stats_batch, stats_examples)
            found.append(bench.outputs(own, size, batch_statistics=mode == "batch", progress=report))
    outputs, targets = losses.pooled(found), examples.targets.cpu()
    wrong = losses.error(outputs, targets)
    return PathResult(
        np.zeros(1),
        losses.per_example(function, outputs, targets).float().numpy()[None],
        None if wrong is None else wrong.numpy()[None],
        arguments.norm_stats(mode, size or 1, stats_batch, stats_examples, statistics),
        {},
        notes,
    )


@torch.inference_mode(mode=False)
def predict(
    model: nn.Module, data: Any, *, weights: State | None = None, batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """The model's outputs in eval mode, float32, shape (examples, ...); the model comes back untouched.

    With ``weights``, those of the network with these weights instead of the model's own.
    """
    examples, own = Examples.of(data), weights if weights is not None else Weights.from_module(model)
    bench = Bench(model, line(own, own), examples, "float32")
    with bench.running():
        return bench.outputs({}, batch_size).numpy()
