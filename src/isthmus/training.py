"""Training as a pure function: (state, recipe, data, noise, start, stop) -> state.

A step is a function of the state before it, the recipe and the noise at that step, so training may be
cut, resumed and branched anywhere: ``train(0 -> n)`` equals ``train(k -> n)`` after ``train(0 -> k)``
bit for bit, inside an epoch too, on one device with one number of threads. What the model itself
draws (dropout) is made a function of the noise: the generator is forked, seeded for the step, restored.
A state is parameters, persistent buffers and the optimiser's buffers; what a model keeps elsewhere from one
forward pass to the next (a plain attribute, a buffer that is not persistent) begins anew at a cut.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from isthmus import generators, losses, optimizers
from isthmus.capture import Gradients, recorder_for
from isthmus.devices import deterministic
from isthmus.errors import BadInput
from isthmus.examples import Augmenter, Examples
from isthmus.networks import NetworkState, forward, load_into, private_copy
from isthmus.noise import Noise
from isthmus.recipe import Recipe, Until
from isthmus.weights import Weights

__all__ = ["Course", "EachEpoch", "Log", "Run", "Watch", "accuracy", "judges", "resolve_rates", "train"]

Losses = npt.NDArray[np.float32]
Watch = Callable[[int], bool]
"""Called with the step reached; True stops there."""

EachEpoch = Callable[[int, Losses, Callable[[], NetworkState]], bool]
"""Called with the step reached, the losses so far, and a function that returns the state there; True stops there."""


@dataclass(frozen=True)
class Log:
    """What training noted: the loss of each step's batch before the update, the time, and whether it was stopped.

    ``reached`` says whether an :class:`~isthmus.recipe.Until` was met (None where there was none).
    """

    losses: Losses
    seconds: float
    examples: int
    stopped: bool = False
    reached: bool | None = None


@torch.inference_mode(mode=False)
@torch.enable_grad()
def train(
    state: NetworkState,
    recipe: Recipe,
    data: Any,
    noise: Noise,
    start: int,
    stop: int,
    *,
    model: nn.Module,
    rates: npt.NDArray[np.float64] | None = None,
    until: Until | None = None,
    test_data: Any = None,
    device: torch.device | str = "cpu",
    watch: Watch | None = None,
    each_epoch: EachEpoch | None = None,
) -> tuple[NetworkState, Log]:
    """The state at step ``stop`` of the network that is at ``start``, and what training logged.

    Args:
        state: where it starts; ``state.step`` must be ``start``.
        recipe: optimiser, schedule of the global step, batch size, augmentation, precision, loss; its ``by_block``
            holds globs on parameter names (expanding a study makes them of the names of blocks).
        data: training examples: :class:`~isthmus.examples.Examples` or a pair (inputs, labels).
        noise: order, augmentation and dropout seeds.
        start: the global step at which it starts; inside an epoch it goes on at the same position of that epoch.
        stop: the global step at which it ends, at least ``start``.
        model: a module of the right architecture; its own weights do not matter and it comes back untouched.
        rates: the learning rate of each step, shape (stop - start,), instead of the recipe's schedule.
        until: end early, at the first epoch's end with this accuracy.
        test_data: the examples that ``until`` looks at if it is ``on="test"``.
        device: where to train.
        watch: called after each step with the step reached; if it returns True, training stops there.
        each_epoch: called at each epoch's end before ``stop`` with the step reached, the loss of every step so far and
            a function that returns the state there (a copy, which may be kept); if it returns True, training stops.

    Returns:
        The new state (on the CPU, sharing no memory with ``state``) and the log.

    Raises:
        BadInput: a start that is not the state's step, a stop before it, rates of another length; a model that has
            nothing to train, or whose outputs do not fit the loss.
        BadData: data that are malformed, or labels that the model has no output for.
        BadWeights: weights that do not fit the model.
    """
    if not isinstance(state, NetworkState):
        raise BadInput(f"The state must be one such as NetworkState.of(model), found {type(state).__name__}.")
    if start != state.step or stop < start:
        raise BadInput(f"Training starts at the state's step {state.step} and ends later, found {start} -> {stop}.")
    run = Run(state, recipe, Examples.of(data), noise, model, torch.device(device))
    rates = resolve_rates(rates, recipe, start, stop, run.steps_per_epoch)
    course = Course(run, start, stop, until, judges(until, data, test_data, run.device), watch, each_epoch)
    without_callers = torch.autocast(run.device.type, enabled=False)  # it would act on backward passes
    with generators.forked(run.device), deterministic(run.device, tf32=recipe.precision == "tf32"), without_callers:
        for step, rate in enumerate(rates.tolist(), start=start):
            if not course.goes_on(run.step(step, rate)):
                break
    return course.end()


def resolve_rates(
    rates: npt.NDArray[np.float64] | None, recipe: Recipe, start: int, stop: int, steps_per_epoch: int
) -> npt.NDArray[np.float64]:
    """The learning rate of each step of [start, stop): those given, else the recipe's.

    Raises:
        BadInput: another number of them.
    """
    rates = recipe.rates(start, stop, steps_per_epoch) if rates is None else np.asarray(rates, dtype=np.float64)
    if rates.shape != (stop - start,):
        raise BadInput(f"Training from {start} to {stop} needs {stop - start} rates, found shape {rates.shape}.")
    return rates


def judges(until: Until | None, data: Any, test_data: Any, device: torch.device) -> Examples | None:
    """The examples that ``until`` looks at, on the device; None without one.

    Raises:
        BadInput: it looks at test examples and there are none.
    """
    if until is None:
        return None
    if until.on == "test" and test_data is None:
        raise BadInput('Training until an accuracy on="test" needs test_data, a pair (inputs, labels).')
    return Examples.of(test_data if until.on == "test" else data).to(device)


class Course:
    """A run from ``start`` on: what it noted, and whether it has come to its end."""

    def __init__(
        self,
        run: Run,
        start: int,
        stop: int,
        until: Until | None = None,
        judged: Examples | None = None,
        watch: Watch | None = None,
        each_epoch: EachEpoch | None = None,
    ) -> None:
        self.run, self.step, self.stop = run, start, stop
        self.until, self.judged, self.watch, self.each_epoch = until, judged, watch, each_epoch
        self.noted = _Losses()
        self.began, self.stopped, self.reached = time.perf_counter(), False, None if until is None else False

    def goes_on(self, loss: Tensor) -> bool:
        """Note the loss of the step that was just taken; whether another one is to follow."""
        self.noted.add(loss)
        self.step += 1
        last, at_end = self.step == self.stop, self.step % self.run.steps_per_epoch == 0
        if self.until is not None and self.judged is not None and at_end:
            self.reached = accuracy(self.run.model, self.judged) >= self.until.accuracy
            self.run.model.train()
        self.stopped = bool(self.watch and self.watch(self.step)) and not last
        if self.each_epoch is not None and at_end and not (self.stopped or self.reached or last):
            here = functools.partial(self.run.state, self.step)
            self.stopped = self.each_epoch(self.step, self.noted.values(), here)
        return not (self.stopped or self.reached or last)

    def end(self, seconds: float | None = None) -> tuple[NetworkState, Log]:
        """The state as it stands and the log; ``seconds`` are those since it began unless they are given."""
        seconds = time.perf_counter() - self.began if seconds is None else seconds
        log = Log(self.noted.values(), seconds, self.run.seen, self.stopped, self.reached)
        return self.run.state(self.step), log


class _Losses:
    """The loss of each step, brought over from the device an epoch at a time: each look would wait for it."""

    def __init__(self) -> None:
        self.known: list[Losses] = []
        self.new: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        self.new.append(loss)

    def values(self) -> Losses:
        if self.new:
            self.known.append(torch.stack(self.new).float().cpu().numpy())
            self.new = []
        return np.concatenate(self.known) if self.known else np.zeros(0, np.float32)


class Run:
    """A private copy of the model with its optimiser, at a step."""

    def __init__(
        self, state: NetworkState, recipe: Recipe, data: Examples, noise: Noise, model: nn.Module, device: torch.device
    ) -> None:
        if recipe.precision == "auto":
            raise BadInput(
                'Resolve precision "auto" to "float32" or "bf16" before training: recipe.resolved(bf16=...).'
            )
        self.recipe, self.noise, self.device = recipe, noise, device
        self.data = data.to(device)
        self.model = private_copy(model).to(device)
        if data.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        load_into(self.model, state.weights)
        self.model.train()
        self.names = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if not self.names:
            raise BadInput(f"The model {type(model).__name__} has no parameter that requires a gradient to train.")
        self.optimizer = optimizers.build(recipe.optimizer, self.names, state.optimizer)
        self.steps_per_epoch = recipe.steps_per_epoch(len(data))
        self.epoch, self.seen, self.checked = -1, 0, False
        self.augmenter: Augmenter | None = None
        seed = functools.partial(generators.seed, device=device)
        self.gradients = Gradients(self.model, self._gradients, recorder_for(device), seed)

    def _enter(self, epoch: int) -> None:
        self.epoch = epoch
        self.order = torch.from_numpy(self.noise.epoch_order(len(self.data), epoch)).to(self.device)
        if self.augmenter is not None:
            self.augmenter.enter(epoch)
        elif self.recipe.augment.acts:
            self.augmenter = Augmenter(self.recipe.augment, self.noise, len(self.data), epoch, self.device)

    def step(self, step: int, rate: float) -> Tensor:
        """One optimiser step; the loss of its batch before the update."""
        where = self.batch(step)
        optimizers.set_rate(self.optimizer, rate)
        loss = self.gradients(where, self.noise.dropout_seed(step))
        optimizers.fill_gaps(self.optimizer)
        self.optimizer.step()
        self.seen += len(where)
        return loss

    def batch(self, step: int) -> Tensor:
        """The indices of the examples of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            self._enter(epoch)
        size = self.recipe.batch_size
        return self.order[position * size : (position + 1) * size]

    def restore(self, state: NetworkState) -> None:
        """Go back to a state that this run was in."""
        load_into(self.model, state.weights)
        wanted = optimizers.slot_names(self.recipe.optimizer)
        optimizers.restore(self.optimizer, self.names, state.optimizer, wanted)

    def _gradients(self, where: Tensor) -> Tensor:
        """The loss of the examples at these indices; its gradients go into the parameters."""
        inputs, targets = self.data.batch(where, self.augmenter)
        outputs = self._outputs(inputs)
        if not self.checked:
            losses.check(self.recipe.loss, outputs, self.data.targets, len(where))
        loss = losses.mean(self.recipe.loss, outputs, targets)
        if not loss.requires_grad:
            raise BadInput("The model's outputs depend on none of its trained parameters (detached, or under no_grad).")
        loss.backward()  # type: ignore[no-untyped-call]
        if not self.checked:
            self._check_gradients()
        self.checked = True
        return loss.detach()

    def _outputs(self, inputs: Tensor) -> Tensor:
        try:
            return forward(self.model, inputs, self.recipe.precision)
        except ValueError as error:
            if len(inputs) > 1 or isinstance(error, BadInput):
                raise
            raise BadInput(
                f"The model cannot be trained on a batch of one example ({error}): choose another batch_size, or"
                " drop_last, so that the last batch has more."
            ) from error

    def _check_gradients(self) -> None:
        for name, parameter in self.names.items():
            if parameter.grad is not None and parameter.grad.layout != torch.strided:
                raise BadInput(f"The gradient of {name!r} is sparse, which is not supported: use sparse=False.")

    def state(self, step: int) -> NetworkState:
        """The state as it stands, copied to the CPU."""
        weights = Weights.from_module(self.model)
        own = weights.like({name: _portable(tensor) for name, tensor in weights.items()})
        slots = optimizers.buffers(self.optimizer, self.names)
        ours = {name: {slot: _portable(value) for slot, value in found.items()} for name, found in slots.items()}
        return NetworkState(own, ours, step)


def _portable(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)


@torch.no_grad()
def accuracy(model: nn.Module, data: Examples, batch_size: int = 512) -> float:
    """The share of examples that a model (put into eval mode) gets right, un-augmented."""
    model.eval()
    wrong = 0.0
    for begin in range(0, len(data), batch_size):
        inputs, targets = data.batch(slice(begin, begin + batch_size))
        found = losses.error(forward(model, inputs), targets)
        if found is None:
            raise BadInput("Accuracy needs integer labels and one output a class (or a single logit).")
        wrong += float(found.sum())
    return (len(data) - wrong) / len(data)  # rounded once, so that 93 of 100 reach .93
