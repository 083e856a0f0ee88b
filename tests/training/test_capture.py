"""A recorded step gives the bits of the step; what cannot be recorded is run as it is.

The recorder here is a stand-in that runs the step again, with Python's own draws as they were when it was recorded, and
writes the results where they were first. Real recordings: ``test_accelerators.py``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from isthmus import capture, training
from isthmus.networks import NetworkState
from small_networks import NETWORKS
from small_training import raw, recipe, run, same


class Recorder:
    """Stands in for an accelerator's; ``parameters`` are those that get gradients."""

    def __init__(self) -> None:
        self.recordings, self.replays = 0, 0
        self.parameters: list[nn.Parameter] = []

    def __call__(self, function: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        self.recordings += 1
        draws = random.getstate()
        result = function()
        parameters = self.parameters
        kept = [p.grad for p in parameters]

        def again() -> None:
            self.replays += 1
            random.setstate(draws)
            for parameter in parameters:
                parameter.grad = None
            result.copy_(function())
            for parameter, gradient in zip(parameters, kept, strict=True):
                if gradient is not None:
                    gradient.copy_(cast(Tensor, parameter.grad))

        return again, result


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()

    class Gradients(capture.Gradients):
        def __init__(self, model: nn.Module, step: Any, _: Any, seed: Any) -> None:
            super().__init__(model, step, made, seed)
            made.parameters = self.parameters

    monkeypatch.setattr(training, "Gradients", Gradients)
    return made


def both(recorder: Recorder, network: Any, stop: int, **options: Any) -> tuple[NetworkState, NetworkState]:
    """The state after training with the stand-in, and without."""
    found, log = run(network, stop, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "Gradients", capture.Gradients)
        expected, plain = run(network, stop, **options)
    np.testing.assert_array_equal(log.losses, plain.losses)
    return found, expected


@pytest.mark.parametrize("network", NETWORKS)
def test_recorded_steps_give_the_same_bits(recorder: Recorder, network: str) -> None:
    assert same(*both(recorder, network, 26))
    assert recorder.recordings >= 1


CASES: dict[str, dict[str, Any]] = {
    "augmentation": {"how": recipe(augment={"crop": 2, "flip": True, "brightness": 0.3}), "data": raw()},
    "channels last": {"how": recipe(augment={"crop": 1}), "data": raw(channels_last=True)},
    "no last batch": {"how": recipe(drop_last=True)},
    "adam": {"how": recipe(optimizer={"name": "adam", "lr": 0.01})},
    "a schedule": {"how": recipe(schedule={"warmup": "9it", "milestones": ["2ep"]})},
    "bf16": {"how": recipe(precision="bf16")},
}


@pytest.mark.parametrize("case", CASES)
def test_recorded_steps_give_the_same_bits_in_every_manner(recorder: Recorder, case: str) -> None:
    """Epochs of six steps: the last batch is of another size and has a recording of its own."""
    assert same(*both(recorder, "convolutional", 26, **CASES[case]))
    assert recorder.recordings == (1 if case == "no last batch" else 2)
    assert recorder.replays >= 15


class DrawsInPython(nn.Module):
    """Its draws are not among what is recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(60, 3)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.last(x.flatten(1) * random.uniform(0.5, 2.0)))


class ReplacesABuffer(nn.Module):
    """Its running mean is another tensor after each step."""

    running: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(60, 3)
        self.register_buffer("running", torch.zeros(60))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        self.running = 0.8 * self.running + 0.2 * x.mean(0).detach()
        return cast(Tensor, self.last(x - self.running))


@pytest.mark.parametrize("kind", [DrawsInPython, ReplacesABuffer])
def test_what_lives_in_python_is_not_recorded(recorder: Recorder, kind: type[nn.Module]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(12)
        model = kind()
    assert same(*both(recorder, model, 26))
    assert recorder.recordings == 1
    assert recorder.replays <= 1


def test_a_step_that_cannot_be_recorded_is_run_as_it_is(recorder: Recorder) -> None:
    def refuse(self: Recorder, function: Callable[[], Tensor]) -> Any:
        recorder.recordings += 1
        function()
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "__call__", refuse)
        assert same(*both(recorder, "convolutional", 26))
    assert recorder.recordings == 1


def test_only_accelerators_have_a_recorder() -> None:
    assert capture.recorder_for(torch.device("cpu")) is None
    assert capture.recorder_for(torch.device("cuda")) is not None
