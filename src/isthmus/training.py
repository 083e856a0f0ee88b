"""Training as a pure function: (state, recipe, data, noise, start, stop) -> state.

A step is a function of the state before it, the recipe and the noise at that step, so training may be
cut, resumed and branched anywhere: ``train(0 -> n)`` equals ``train(k -> n)`` after ``train(0 -> k)``
bit for bit, inside an epoch too, on one device with one number of threads. What the model itself
draws (dropout) is made a function of the noise: the generator is forked, seeded for the step, restored.
A state is parameters, persistent buffers and the optimiser's buffers; what a model keeps elsewhere from one
forward pass to the next (a plain attribute, a buffer that is not persistent) begins anew at a cut.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from isthmus import generators, losses
from isthmus.errors import BadInput
from isthmus.examples import Augmenter, Examples
from isthmus.networks import NetworkState, forward, load_into, private_copy
from isthmus.noise import Noise
from isthmus.recipe import Optimizer, Recipe, Until
from isthmus.weights import Weights

__all__ = ["Log", "accuracy", "train"]

Watch = Callable[[int], bool]
"""Called with the step reached; True stops there."""


@dataclass(frozen=True)
class Log:
    """What training noted: the loss of each step's batch before the update, the time, and whether it was stopped.

    ``reached`` says whether an :class:`~isthmus.recipe.Until` was met (None where there was none).
    """

    losses: npt.NDArray[np.float32]
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
    run = _Run(state, recipe, Examples.of(data), noise, model, torch.device(device))
    if until and until.on == "test" and test_data is None:
        raise BadInput('Training until an accuracy on="test" needs test_data, a pair (inputs, labels).')
    rates = recipe.rates(start, stop, run.steps_per_epoch) if rates is None else np.asarray(rates, dtype=np.float64)
    if rates.shape != (stop - start,):
        raise BadInput(f"Training from {start} to {stop} needs {stop - start} rates, found shape {rates.shape}.")
    began, values, reached, stopped = time.perf_counter(), [], None if until is None else False, False
    judged = Examples.of(test_data if until and until.on == "test" else data).to(run.device) if until else None
    without_callers = torch.autocast(run.device.type, enabled=False)  # it would act on backward passes
    with generators.forked(run.device), _deterministic(run.device), without_callers:
        for step, rate in enumerate(rates.tolist(), start=start):
            values.append(run.step(step, rate))
            if until is not None and judged is not None and (step + 1) % run.steps_per_epoch == 0:
                reached = accuracy(run.model, judged) >= until.accuracy
                run.model.train()
            stopped = bool(watch and watch(step + 1)) and step + 1 < stop
            if stopped or reached:
                break
    log = Log(
        torch.stack(values).float().cpu().numpy() if values else np.zeros(0, np.float32),
        time.perf_counter() - began,
        run.seen,
        stopped,
        reached,
    )
    return run.state(start + len(values)), log


class _Run:
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
        self.optimizer = _optimizer(recipe.optimizer, _groups(recipe.optimizer, self.names))
        _restore(self.optimizer, self.names, state.optimizer, _slots(recipe.optimizer))
        self.steps_per_epoch = recipe.steps_per_epoch(len(data))
        self.epoch, self.seen, self.checked = -1, 0, False

    def _enter(self, epoch: int) -> None:
        self.epoch = epoch
        self.order = torch.from_numpy(self.noise.epoch_order(len(self.data), epoch)).to(self.device)
        augment = self.recipe.augment
        self.augmenter = Augmenter(augment, self.noise, len(self.data), epoch, self.device) if augment.acts else None

    def step(self, step: int, rate: float) -> Tensor:
        """One optimiser step; the loss of its batch before the update."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            self._enter(epoch)
        size = self.recipe.batch_size
        where = self.order[position * size : (position + 1) * size]
        inputs, targets = self.data.batch(where, self.augmenter)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        generators.seed(self.noise.dropout_seed(step), self.device)
        self.optimizer.zero_grad(set_to_none=True)
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
        self.optimizer.step()
        self.seen += len(where)
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
        slots = {
            name: {
                slot: _portable(value)
                for slot, value in self.optimizer.state[parameter].items()
                if isinstance(value, Tensor)
            }
            for name, parameter in self.names.items()
        }
        return NetworkState(own, {name: found for name, found in slots.items() if found}, step)


def _portable(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)


def _groups(spec: Optimizer, names: Mapping[str, nn.Parameter]) -> list[dict[str, Any]]:
    """The parameters by the rule of ``by_block`` that is theirs; what a rule freezes is in none and has no gradient."""
    left, groups = dict(names), []
    for rule in spec.by_block:
        if isinstance(rule.blocks, str):
            raise BadInput(f"Only a study can tell which blocks show {rule.blocks!r}: give by_block the names of them.")
        for glob in rule.blocks:
            if not any(fnmatchcase(name, glob) for name in names):
                raise BadInput(
                    f"The optimiser's by_block names {glob!r}, which matches no trained parameter"
                    f" (such as {next(iter(names))})."
                )
        own = [left.pop(name) for name in list(left) if any(fnmatchcase(name, glob) for glob in rule.blocks)]
        decay = spec.weight_decay if rule.weight_decay is None else rule.weight_decay
        if rule.factor:
            groups.append({"params": own, "factor": rule.factor, "weight_decay": decay})
        else:
            for parameter in own:
                parameter.requires_grad_(False)
    groups.append({"params": list(left.values()), "factor": 1.0, "weight_decay": spec.weight_decay})
    found = [group for group in groups if group["params"]]
    if not found:
        raise BadInput("The optimiser's by_block freezes every parameter of the model, so there is nothing to train.")
    return found


def _optimizer(spec: Optimizer, parameters: list[dict[str, Any]]) -> torch.optim.Optimizer:
    if spec.name == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=spec.lr,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            weight_decay=spec.weight_decay,
        )
    kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
    return kind(parameters, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay)


def _slots(spec: Optimizer) -> set[str]:
    """What the optimiser keeps for a parameter that it has updated."""
    if spec.name == "sgd":
        return {"momentum_buffer"} if spec.momentum else set()
    return {"step", "exp_avg", "exp_avg_sq"}


def _listed(slots: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{slot} of shape {tuple(tensor.shape)}" for slot, tensor in sorted(slots.items()))


def _restore(
    optimizer: torch.optim.Optimizer,
    names: Mapping[str, nn.Parameter],
    slots: Mapping[str, Mapping[str, Tensor]],
    wanted: set[str],
) -> None:
    """Hand the optimiser its buffers, each in the memory format of its parameter."""
    for name, found in slots.items():
        if name not in names:
            raise BadInput(f"The state has optimiser buffers for {name!r}, which the model does not train.")
        parameter = names[name]
        if set(found) != wanted or any(s != "step" and t.shape != parameter.shape for s, t in found.items()):
            raise BadInput(
                f"The state's optimiser buffers for {name!r} ({_listed(found)}) are not those of the recipe's optimiser"
                f" ({', '.join(sorted(wanted)) or 'none'}, each of shape {tuple(parameter.shape)}):"
                " reset them (state.without_buffers())."
            )
        optimizer.state[parameter] = {
            slot: value.clone() if slot == "step" else torch.empty_like(parameter).copy_(value).detach()
            for slot, value in found.items()
        }


@contextlib.contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


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
