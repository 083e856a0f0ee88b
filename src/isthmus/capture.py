"""A step of training recorded once as a graph of kernels and replayed, on accelerators that can.

A small network's step is hundreds of kernels, each shorter than it takes Python to launch it. A recorded step
is launched as one. It is trusted only after it gave, on another batch under another seed, the bits of the step that
it was recorded from: what a network does in Python (draws, counters, branches) is not in the recording.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from isthmus.weights import same_bits

__all__ = ["Gradients", "Recorder", "Step", "recorder_for"]

Step = Callable[[Tensor], Tensor]
"""``step(where)``: the loss of the examples at these indices; gradients go into the parameters, which had none."""


class Recorder(Protocol):
    """Records what a function launches."""

    def __call__(self, function: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """(what replays it, its result, which each replay writes anew)."""


def recorder_for(device: torch.device) -> Recorder | None:
    """What records on a device; None where nothing does."""
    return functools.partial(_cuda, device) if device.type == "cuda" else None


def _cuda(device: torch.device, function: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """A CUDA graph on a stream of its own; other threads of the process may go on meanwhile."""
    with torch.cuda.device(device):
        graph, own, before = torch.cuda.CUDAGraph(), torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
        try:
            with torch.cuda.graph(graph, stream=own, capture_error_mode="thread_local"):
                result = function()
        finally:
            torch.cuda.set_stream(before)  # a recording that fails to end leaves its own behind
    return graph.replay, result


class Gradients:
    """Computes the loss and the gradients of a batch, by a recording once there is one that is trusted.

    Args:
        model: whose buffers a step may write, and whose parameters it gives gradients.
        step: see :data:`Step`.
        recorder: what records; without one each step is run as it is.
        seed: seeds all that a model may draw from.
    """

    def __init__(self, model: nn.Module, step: Step, recorder: Recorder | None, seed: Callable[[int], None]) -> None:
        self.model, self.step, self.recorder, self.seed = model, step, recorder, seed
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.steps: dict[int, int] = {}
        self.recorded: dict[int, _Recorded] = {}

    def __call__(self, where: Tensor, seed: int) -> Tensor:
        """The loss of the examples at these indices, in memory of its own."""
        size = len(where)
        if size in self.recorded:
            self.seed(seed)
            return self.recorded[size].replay(where)
        self.steps[size] = self.steps.get(size, 0) + 1
        if self.recorder is not None and self.steps[size] == 2:  # the first has set everything up
            return self._record(self.recorder, where, seed)
        return self._plain(where, seed)

    def _plain(self, where: Tensor, seed: int) -> Tensor:
        self.seed(seed)
        for parameter in self.parameters:
            parameter.grad = None
        return self.step(where)

    def _record(self, recorder: Recorder, where: Tensor, seed: int) -> Tensor:
        """The loss as it is; from now on by a recording if that, made on other examples, gives the same bits."""
        before = self._buffers()
        loss = self._plain(where, seed)
        expected = {"loss": loss} | self._left()
        try:
            self._write(before)
            self.seed(seed + 1)
            places = self._places()
            recorded = _Recorded(recorder, self.step, where.flip(0), self.parameters)
            if self._places() != places:
                raise RuntimeError("A buffer that is replaced by another tensor each step would be read where it was.")
            self._write(before)
            self.seed(seed)
            found = {"loss": recorded.replay(where)} | self._left()
        except RuntimeError:  # what waits for the device, or looks at a value, cannot be recorded
            found = {}
        if _same(expected, found):
            self.recorded[len(where)] = recorded
            return loss
        self.recorder = None
        self._write(before)
        return self._plain(where, seed)

    def _buffers(self) -> dict[str, Tensor]:
        return {name: buffer.clone() for name, buffer in self.model.named_buffers()}

    def _places(self) -> dict[str, int]:
        return {name: buffer.data_ptr() for name, buffer in self.model.named_buffers()}

    @torch.no_grad()
    def _write(self, buffers: Mapping[str, Tensor]) -> None:
        for name, buffer in self.model.named_buffers():
            buffer.copy_(buffers[name])

    def _left(self) -> dict[str, Tensor]:
        """Copies of all that a step leaves behind."""
        gradients = {f"gradient {i}": p.grad.clone() for i, p in enumerate(self.parameters) if p.grad is not None}
        return gradients | {f"buffer {name}": value for name, value in self._buffers().items()}


class _Recorded:
    """A recording for batches of one size."""

    def __init__(self, recorder: Recorder, step: Step, where: Tensor, parameters: list[nn.Parameter]) -> None:
        self.where, self.parameters = where.clone(), parameters
        for parameter in parameters:
            parameter.grad = None  # those of the recording are its own
        self.again, self.loss = recorder(lambda: step(self.where))
        self.gradients = [parameter.grad for parameter in parameters]

    def replay(self, where: Tensor) -> Tensor:
        self.where.copy_(where)
        self.again()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return self.loss.clone()


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(same_bits(a[name], b[name]) for name in a)
