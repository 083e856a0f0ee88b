"""Replicas trained together: networks that differ in where they start and in their noise, and in nothing else.

Those that stack (:mod:`isthmus.stacking`) take their steps as one where that is trusted: the first step with so many
replicas and a batch of so many examples is also taken by :func:`isthmus.training.train` for each alone, from the
same state, and unless every bit that is left behind agrees, such steps are taken one replica after the other. So
the result of a replica never depends on whether, or with whom, it was stacked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from isthmus import generators, optimizers, training
from isthmus.devices import deterministic
from isthmus.errors import BadInput
from isthmus.examples import Examples
from isthmus.networks import NetworkState
from isthmus.noise import Noise
from isthmus.recipe import Recipe, Until
from isthmus.stacking import Stack, stackable
from isthmus.training import Course, EachEpoch, Log, Run, Watch, judges, resolve_rates
from isthmus.weights import same_bits

__all__ = ["LEAST", "Replica", "stacks", "train_together"]

LEAST = 50
"""Steps below which nothing is stacked: what is tried at the beginning costs each replica about twenty."""


@dataclass(frozen=True)
class Replica:
    """A network to train: where it starts, its noise, and who is told of it.

    ``watch`` and ``each_epoch`` are as in :func:`isthmus.training.train`; whoever stops leaves the others to go on.
    ``ended`` is called as soon as this replica has come to its end, with what is returned for it.
    """

    state: NetworkState
    noise: Noise
    watch: Watch | None = None
    each_epoch: EachEpoch | None = None
    ended: Callable[[NetworkState, Log], None] | None = None


@torch.inference_mode(mode=False)
@torch.enable_grad()
def train_together(
    replicas: Sequence[Replica],
    recipe: Recipe,
    data: Any,
    start: int,
    stop: int,
    *,
    model: nn.Module,
    rates: npt.NDArray[np.float64] | None = None,
    until: Until | None = None,
    test_data: Any = None,
    device: torch.device | str = "cpu",
) -> list[tuple[NetworkState, Log]]:
    """For each replica, in order, what :func:`isthmus.training.train` returns for it alone, bit for bit.

    Small networks that stack are trained as one on a CPU, others one after the other. ``seconds`` of a log is then
    the replica's share: the time of each step divided among those that took it. The arguments, and what is raised,
    are those of :func:`~isthmus.training.train`; all replicas start at ``start``.
    """
    data, where = Examples.of(data), torch.device(device)
    if not stacks(replicas, recipe, data, start, stop, model=model, device=where):
        return [
            _told(
                replica,
                training.train(
                    replica.state,
                    recipe,
                    data,
                    replica.noise,
                    start,
                    stop,
                    model=model,
                    rates=rates,
                    until=until,
                    test_data=test_data,
                    device=where,
                    watch=replica.watch,
                    each_epoch=replica.each_epoch,
                ),
            )
            for replica in replicas
        ]
    runs = [Run(replica.state, recipe, data, replica.noise, model, where) for replica in replicas]
    rates = resolve_rates(rates, recipe, start, stop, runs[0].steps_per_epoch)
    judged = judges(until, data, test_data, where)
    courses = [
        Course(run, start, stop, until, judged, replica.watch, replica.each_epoch)
        for run, replica in zip(runs, replicas, strict=True)
    ]
    found: dict[int, tuple[NetworkState, Log]] = {}
    with generators.forked(where), deterministic(where), torch.autocast(where.type, enabled=False):
        live, share, began = list(range(len(courses))), 0.0, time.perf_counter()
        steps = _Steps(runs, model)
        for step, rate in enumerate(rates.tolist(), start=start):
            losses = steps.take(step, rate)
            on = [index for index, loss in zip(live, losses, strict=True) if courses[index].goes_on(loss)]
            now = time.perf_counter()
            share, began = share + (now - began) / len(live), now
            if on == live:
                continue
            for index in sorted(set(live) - set(on)):
                found[index] = _told(replicas[index], courses[index].end(share))
            if not on:
                break
            live, began = on, time.perf_counter()
            steps = _Steps([runs[index] for index in live], model)
    return [found[index] for index in range(len(replicas))]


def _told(replica: Replica, found: tuple[NetworkState, Log]) -> tuple[NetworkState, Log]:
    if replica.ended is not None:
        replica.ended(*found)
    return found


def stacks(
    replicas: Sequence[Replica],
    recipe: Recipe,
    data: Examples,
    start: int,
    stop: int,
    *,
    model: nn.Module,
    device: torch.device | str = "cpu",
) -> bool:
    """Whether these are replicas that may be stacked, and long enough in training to be worth it."""
    if not all(isinstance(replica.state, NetworkState) for replica in replicas):
        raise BadInput("The state of each replica must be one such as NetworkState.of(model).")
    kept = [{name: set(slots) for name, slots in replica.state.optimizer.items()} for replica in replicas]
    return (
        len(replicas) > 1
        and torch.device(device).type == "cpu"
        and stop - start >= LEAST
        and all(replica.state.step == start for replica in replicas)
        and recipe.precision == "float32"
        and not recipe.augment.acts
        and (data.pixels or data.inputs.dtype in (torch.float32, torch.float64))
        and stackable(model, data.inputs)
        and all(slots == kept[0] for slots in kept)  # the fused kernel takes all parameters as new, or none
    )


class _Steps:
    """The steps of replicas as long as none of them leaves."""

    def __init__(self, runs: Sequence[Run], model: nn.Module) -> None:
        self.runs, self.model = runs, model
        self.recipe, self.data = runs[0].recipe, runs[0].data
        self.trusted: dict[int, bool] = {}
        if len(runs) > 1:
            self.optimizer = optimizers.join(self.recipe.optimizer, [run.optimizer for run in runs])
            self.stack = Stack([run.model for run in runs], self.recipe.loss)

    def take(self, step: int, rate: float) -> Sequence[Tensor]:
        """Take a step; the loss of each."""
        size = len(self.runs[0].batch(step))
        if len(self.runs) > 1 and size not in self.trusted:
            return self._try(step, rate, size)
        if len(self.runs) > 1 and self.trusted[size]:
            return self._at_once(step, rate)
        return [run.step(step, rate) for run in self.runs]

    def _at_once(self, step: int, rate: float) -> Sequence[Tensor]:
        where = [run.batch(step) for run in self.runs]
        inputs, targets = self.data.batch(torch.cat(where))
        optimizers.set_rate(self.optimizer, rate)
        losses = self.stack(inputs.float(), targets)
        optimizers.fill_gaps(self.optimizer)
        self.optimizer.step()
        for run, own in zip(self.runs, where, strict=True):
            run.seen += len(own)
        return losses.unbind()

    def _try(self, step: int, rate: float, size: int) -> Sequence[Tensor]:
        """A step that is taken both ways; it is that of each alone which counts."""
        alone = [self._alone(run, step, rate) for run in self.runs]
        losses = self._at_once(step, rate)
        self.trusted[size] = all(
            same_bits(loss, torch.from_numpy(log.losses)[0]) and run.state(step + 1).digest() == state.digest()
            for run, loss, (state, log) in zip(self.runs, losses, alone, strict=True)
        )
        if not self.trusted[size]:
            for run, (state, _) in zip(self.runs, alone, strict=True):
                run.restore(state)
        return [torch.from_numpy(log.losses)[0] for _, log in alone]

    def _alone(self, run: Run, step: int, rate: float) -> tuple[NetworkState, Log]:
        rates = np.array([rate])
        return training.train(
            run.state(step), self.recipe, self.data, run.noise, step, step + 1, model=self.model, rates=rates
        )
