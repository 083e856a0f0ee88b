"""The bench on which points of a path are evaluated: one private copy of the model, written to in place.

Batches are the outer loop and points the inner one: a batch stays in the cache while the weights of each
point are written into the copy. The caller's model, mode, flags, buffers and random state are never touched.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from isthmus import generators, losses, normalisation
from isthmus.devices import deterministic
from isthmus.errors import BadInput, BadWeights, nearest
from isthmus.evaluation.findings import Found, has_ends
from isthmus.examples import Examples, Lent
from isthmus.firstlayer import FirstLayer
from isthmus.networks import forward, holders, private_copy
from isthmus.paths import Coordinate, Path
from isthmus.reuse import Reuse
from isthmus.weights import State, Weights

__all__ = ["Bench", "Progress"]

Progress = Callable[[int, int], None]
"""Called with (examples done, examples in all)."""


class Bench:
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
        self.holders = holders(self.model, self.own)
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
    ) -> Found:
        """Loss and error of every example at every point."""
        count = len(self.examples)
        found = Found(np.empty((len(points), count), np.float32), np.empty((len(points), count), np.float32))
        for module in normalisation.layers(self.model).values():
            module.train(batch_statistics)
        keep_logits = has_ends(points) and self.path.dimensions == 1
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


def _same(a: Tensor, b: Tensor) -> bool:
    return a is b or torch.allclose(a, b, rtol=0.0, atol=0.0, equal_nan=True)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]
