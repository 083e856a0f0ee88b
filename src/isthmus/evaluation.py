"""Evaluation along a path: per-example losses and errors at every point, in one model, in place.

Batches are the outer loop and points the inner one: a batch stays in the cache while the weights of each
point are written into one private copy of the model. The caller's model, mode, flags, buffers and
random state are never touched.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from isthmus import generators, losses, normalisation
from isthmus.devices import deterministic
from isthmus.errors import BadInput, BadWeights, IsthmusWarning, nearest
from isthmus.examples import Examples, Lent
from isthmus.firstlayer import FirstLayer
from isthmus.networks import forward, private_copy
from isthmus.paths import Coordinate, Path, line
from isthmus.results import NormStats, PairResult, PathResult
from isthmus.reuse import Reuse
from isthmus.weights import State, Weights

__all__ = ["evaluate_ensemble", "evaluate_path", "predict"]

Progress = Callable[[int, int], None]
"""Called with (examples done, examples in all)."""


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
    examples, points = Examples.of(data), _points(alphas, path)
    function = _loss(loss)
    size = batch_size
    for name, number in (("batch_size", size), ("stats_batch", stats_batch), ("stats_examples", stats_examples)):
        if number is not None and number < 1:
            raise BadInput(f"{name} must be at least 1, found {number}.")
    stats_examples_found = _stats_examples(stats_data)
    bench = _Bench(model, path, examples, precision)
    mode, notes = _mode(bench.model, norm_stats, stats_examples_found)
    if size is None:  # where it is part of the result it must not depend on the device
        size = _batch_size(examples, torch.device("cpu") if mode == "batch" else bench.device)
    bench.check_buffers(mode)
    with bench.running():
        statistics = bench.statistics(mode, points, stats_examples_found, stats_batch, stats_examples)
        found = bench.measure(points, statistics, function, size, batch_statistics=mode == "batch", progress=progress)
        stored: dict[str, tuple[float, float]] = {}
        if mode not in ("none", "interpolate") and _has_ends(points) and bench.has_buffers:
            kept = bench.measure([0.0, 1.0], [{}, {}], function, size)
            stored = {name: kept.means(index) for index, name in enumerate("ab")}
    return PathResult(
        np.asarray(points, dtype=np.float64),
        found.loss,
        found.error,
        _norm_stats(mode, size, stats_batch, stats_examples, stats_examples_found),
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
    examples, function, statistics = Examples.of(data), _loss(loss), _stats_examples(stats_data)
    found: list[Tensor] = []
    (mode, notes), size = _mode(model, norm_stats, statistics), batch_size
    for index, network in enumerate(networks):
        bench = _Bench(model, line(network, network), examples, precision)
        if size is None:
            size = _batch_size(examples, torch.device("cpu") if mode == "batch" else bench.device)
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
        _norm_stats(mode, size or 1, stats_batch, stats_examples, statistics),
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
    bench = _Bench(model, line(own, own), examples, "float32")
    with bench.running():
        return bench.outputs({}, batch_size).numpy()


def _points(alphas: int | Sequence[Coordinate], path: Path) -> list[Coordinate]:
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


def _stats_examples(data: Any) -> Examples | None:
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


def _loss(loss: losses.PerExample | str | None) -> losses.PerExample:
    if loss is None:
        return losses.cross_entropy
    if isinstance(loss, str):
        if loss not in losses.LOSSES:
            raise BadInput(f"There is no loss named {loss!r}{nearest(loss, losses.LOSSES)}")
        return losses.LOSSES[loss]
    return loss


def _mode(model: nn.Module, wanted: str | None, stats_data: Examples | None) -> tuple[str, tuple[str, ...]]:
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


def _norm_stats(mode: str, size: int, stats_batch: int, stats_examples: int, data: Examples | None) -> NormStats:
    if mode == "recompute" and data is not None:
        return NormStats(mode, stats_batch, min(stats_examples, len(data)))
    return NormStats(mode, size if mode == "batch" else None)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]


def _batch_size(examples: Examples, device: torch.device) -> int:
    """The power of two in 128..2,048 at which a batch of inputs has at most 2**20 numbers: it stays in a cache.

    On an accelerator eight times as much, which keeps it busy between two launches.
    """
    numbers, more = max(1, examples.inputs[0].numel()), 1 if device.type == "cpu" else 8
    return min(2048 * more, max(128, 1 << max(1, 2**20 * more // numbers).bit_length() - 1))


def _has_ends(points: Sequence[Coordinate]) -> bool:
    return 0.0 in points and 1.0 in points


@dataclass
class _Found:
    """What a run over points and examples gathered."""

    loss: npt.NDArray[np.float32]
    error: npt.NDArray[np.float32] | None
    logits: dict[int, list[Tensor]] = field(default_factory=dict)

    def means(self, point: int) -> tuple[float, float]:
        error = float("nan") if self.error is None else float(self.error[point].mean(dtype=np.float64))
        return float(self.loss[point].mean(dtype=np.float64)), error

    def pair(self, points: Sequence[Coordinate]) -> PairResult | None:
        if not self.logits:
            return None
        a, b = (torch.cat(self.logits[points.index(end)]) for end in (0.0, 1.0))
        return compare_predictions(a, b)


def compare_predictions(a: Tensor, b: Tensor) -> PairResult:
    """How differently two networks predict, from their logits of shape (examples, classes)."""
    log_a, log_b = a.double().log_softmax(1), b.double().log_softmax(1)
    return PairResult(
        (-(log_a.exp() * log_b).sum(1)).float().numpy(),
        (-(log_b.exp() * log_a).sum(1)).float().numpy(),
        (a.argmax(1) != b.argmax(1)).numpy(),
    )


Holders = Mapping[str, tuple[dict[str, Any], str]]
"""Where a module keeps each of its tensors: the dictionary and the key."""


def _holders(model: nn.Module, names: Mapping[str, Tensor]) -> Holders:
    """By name in the state dict. A forward pass may put another tensor in place of one, so none is held on to."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for holder in (module._parameters, module._buffers):
            found |= {f"{prefix}.{key}" if prefix else key: (holder, key) for key in holder}
    return {name: found.get(name, (dict(names), name)) for name in names}


def _same(a: Tensor, b: Tensor) -> bool:
    return a is b or torch.allclose(a, b, rtol=0.0, atol=0.0, equal_nan=True)


class _Bench:
    """A private copy of the model, the path's ends in its memory layout, and the examples."""

    def __init__(self, model: nn.Module, path: Path, examples: Examples, precision: str) -> None:
        if precision not in ("float32", "bf16"):
            raise BadInput(f'precision must be "float32" or "bf16", found {precision!r}.')
        self.model = private_copy(model).eval()
        if examples.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.own = {name: tensor.detach() for name, tensor in self.model.state_dict(keep_vars=True).items()}
        first = next(iter(self.own.values()), None)
        self.device = torch.device("cpu") if first is None else first.device
        self.holders = _holders(self.model, self.own)
        self.ties = Weights.from_module(self.model).ties
        self.path = Path(tuple(self._fitted(end) for end in path.ends), path.rule, path.name, path.dimensions)
        self.has_buffers = all(name in self.path.ends[0] for name in normalisation.initial(self.model))
        self.examples, self.precision = examples, precision
        self.first: FirstLayer | None = None
        self.still: Reuse | None = None

    def _fitted(self, end: State) -> Weights:
        """An end point with the model's types, device and memory formats."""
        for name in end:
            if name not in self.own:
                raise BadWeights(f"The path has a tensor {name!r} that the model has not{nearest(name, self.own)}")
        for name, parameter in self.model.named_parameters(remove_duplicate=False):
            if name not in end:
                raise BadWeights(f"The path has no tensor {name!r}, a parameter of the model{nearest(name, end)}")
            if parameter.shape != end[name].shape:
                raise BadWeights(
                    f"Tensor {name!r} has shape {tuple(parameter.shape)} in the model and {tuple(end[name].shape)} on"
                    " the path; the path's ends must be of the model's architecture."
                )
        for name, first in self.ties.items():
            if name in end and first in end and not _same(end[name], end[first]):
                raise BadWeights(
                    f"Tensors {first!r} and {name!r} are one tensor in the model, but they differ in an end of the"
                    " path."
                )
        return Weights({name: torch.empty_like(self.own[name]).copy_(tensor.detach()) for name, tensor in end.items()})

    def check_buffers(self, mode: str) -> None:
        """Refuse a mode that needs running statistics which the path's ends do not have."""
        if mode in ("interpolate", "keep") and not self.has_buffers:
            missing = next(name for name in normalisation.initial(self.model) if name not in self.path.ends[0])
            raise BadWeights(
                f'norm_stats="{mode}" needs the running statistics of the path\'s ends, which have no {missing!r}:'
                ' make the path of state dicts, or use norm_stats="recompute" with stats_data.'
            )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """No gradients, the global generators as they were afterwards, deterministic kernels."""
        with torch.no_grad(), generators.forked(self.device), deterministic(self.device):
            generators.seed(0, self.device)  # a module that draws in eval mode too gives the same numbers each time
            yield

    def forward(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """The model's outputs in the precision asked for."""
        return forward(model, inputs, self.precision)

    def write(self, at: Coordinate, statistics: normalisation.Statistics) -> None:
        """Put the model at a point of the path, in place."""
        own = {name: holder[key] for name, (holder, key) in self.holders.items()}
        for name, first in self.ties.items():
            if self.path.coefficients(name, at) != self.path.coefficients(first, at):
                raise BadWeights(
                    f"Tensors {first!r} and {name!r} are one tensor in the model, and the path moves only one of them:"
                    " name both in its patterns."
                )
        self.path.write(at, own)
        if statistics:
            normalisation.override(own, statistics)
        if self.first is not None:
            self.first.move(at)

    def statistics(
        self, mode: str, points: Sequence[Coordinate], data: Examples | None, batch: int, examples: int
    ) -> list[normalisation.Statistics]:
        """What overrides the running statistics at each point; nothing where they travel the path."""
        if mode == "recompute" and data is not None:
            writers = [functools.partial(self.write, at, {}) for at in points]
            ready, norms = data.to(self.device), normalisation.layers(self.model).values()
            with self._shortcuts(ready, points, writers, always=norms):
                return normalisation.collect(
                    self.model, writers, ready, batch=batch, examples=examples, forward=self.forward, begin=self.begin
                )
        fixed: Mapping[str, Tensor] = {}
        if mode == "keep":
            fixed = normalisation.own(self.model, self.path.ends[0])
        if mode == "init":
            fixed = normalisation.initial(self.model)
        return [fixed] * len(points)

    @contextlib.contextmanager
    def _shortcuts(
        self,
        data: Examples,
        points: Sequence[Coordinate],
        writers: Sequence[Callable[[], None]],
        statistics: Sequence[normalisation.Statistics] = (),
        *,
        always: Collection[nn.Module] = (),
    ) -> Iterator[None]:
        """Run the first layer at the ends only, and what stands still once a batch, where that is the same and pays."""
        with contextlib.ExitStack() as stack:
            if len(points) > 2:
                sample = data.batch(slice(0, 2))[0].to(self.device)
                moving = self._moving(points, statistics)
                run = functools.partial(self.forward, self.model, sample)
                self.still = Reuse.find(self.model, moving, (writers[0], writers[-1]), run, always=always)
                if self.precision == "float32":
                    first = FirstLayer.find(self.model, self.path, sample)
                    self.first = first if first is not None and first.moves(moving) else None
                stack.enter_context(self.still or contextlib.nullcontext())
                stack.enter_context(self.first or contextlib.nullcontext())
            try:
                yield
            finally:
                self.first = self.still = None

    def _moving(self, points: Sequence[Coordinate], statistics: Sequence[normalisation.Statistics]) -> set[str]:
        """The names of the tensors that differ between two points."""
        ends = self.path.ends[0]
        moving = {name for name in ends if len({tuple(self.path.coefficients(name, at)) for at in points}) > 1}
        for name, first in (statistics[0] if statistics else {}).items():
            moving.discard(name)
            if not all(torch.equal(first, other[name]) for other in statistics[1:]):
                moving.add(name)
        return moving

    def begin(self) -> None:
        """Say that another batch comes."""
        if self.still is not None:
            self.still.forget()

    def _inputs(self, where: slice) -> Tensor:
        return self.examples.batch(where)[0].to(self.device)

    def _outputs(self, inputs: Tensor, batch_statistics: bool) -> Tensor:
        try:
            return self.forward(self.model, inputs)
        except ValueError as error:
            if batch_statistics and len(inputs) == 1:
                raise BadInput(
                    'norm_stats="batch" cannot evaluate a batch of one example, which has no variance: choose another'
                    " batch_size, so that the last batch has more."
                ) from error
            raise

    def outputs(
        self,
        statistics: normalisation.Statistics,
        size: int,
        *,
        batch_statistics: bool = False,
        progress: Progress | None = None,
    ) -> Tensor:
        """The outputs of the network at 0 of the path for every example, float32, on the CPU."""
        for module in normalisation.layers(self.model).values():
            module.train(batch_statistics)
        self.write(0.0, statistics)
        batches = []
        for where in _slices(len(self.examples), size):
            batches.append(self._outputs(self._inputs(where), batch_statistics).float().cpu())
            if progress:
                progress(where.stop, len(self.examples))
        return torch.cat(batches)

    def measure(
        self,
        points: Sequence[Coordinate],
        statistics: Sequence[normalisation.Statistics],
        loss: losses.PerExample,
        size: int,
        *,
        batch_statistics: bool = False,
        progress: Progress | None = None,
    ) -> _Found:
        """Loss and error of every example at every point."""
        count = len(self.examples)
        found = _Found(np.empty((len(points), count), np.float32), np.empty((len(points), count), np.float32))
        for module in normalisation.layers(self.model).values():
            module.train(batch_statistics)
        keep_logits = _has_ends(points) and self.path.dimensions == 1
        writers = [functools.partial(self.write, at, found) for at, found in zip(points, statistics, strict=True)]
        with self._shortcuts(self.examples, points, writers, statistics):
            for where in _slices(count, size):
                self.begin()
                lent = Lent(functools.partial(self._inputs, where))
                targets = self.examples.targets[where].to(self.device, copy=True)
                for index, at in enumerate(points):
                    writers[index]()
                    outputs = self._outputs(lent.take(), batch_statistics)
                    found.loss[index, where] = losses.per_example(loss, outputs, targets).float().cpu().numpy()
                    wrong = losses.error(outputs, targets)
                    if wrong is None or found.error is None:
                        found.error = None
                    else:
                        found.error[index, where] = wrong.cpu().numpy()
                    if (
                        keep_logits
                        and at in (0.0, 1.0)
                        and outputs.ndim == 2
                        and outputs.shape[1] > 1
                        and wrong is not None
                    ):
                        found.logits.setdefault(index, []).append(outputs.float().cpu())
                if progress:
                    progress(where.stop * len(points), count * len(points))
        return found
