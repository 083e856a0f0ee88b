"""Modules that stand still along a path give again what they gave: their activations are computed once a batch.

Along a block-wise path everything below the block that moves has the same weights and the same inputs at every
point, so it has the same outputs, bit for bit. Which modules these are is found out, not declared: those with no
tensor that differs between two points, and whose input is that of the point before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from isthmus import generators
from isthmus.weights import same_bits

__all__ = ["Reuse"]


@dataclass
class _Held:
    """One module that stands still: how it is run, and its last input and output with their versions."""

    forward: Callable[[Tensor], Tensor]
    input: Tensor | None = None
    input_version: int = 0
    output: Tensor | None = None
    output_version: int = 0
    lend_copies: bool = False

    def knows(self, inputs: Tensor) -> bool:
        """Whether this is the input that the held output was computed from."""
        held = self.input
        if held is None or held._version != self.input_version:
            return False
        return held is inputs or (held.stride() == inputs.stride() and same_bits(held, inputs))


class Reuse:
    """Stands in for the modules of a private model that do not move while a path is evaluated.

    Use :meth:`find`, then as a context manager; :meth:`forget` between batches frees what is held.
    """

    def __init__(self, modules: Collection[nn.Module]) -> None:
        self.modules = list(modules)
        self.held: dict[nn.Module, _Held] = {}

    @classmethod
    def find(
        cls,
        model: nn.Module,
        moving: Collection[str],
        places: Sequence[Callable[[], None]],
        run: Callable[[], Tensor],
        *,
        always: Collection[nn.Module] = (),
    ) -> Reuse | None:
        """The largest modules of which no tensor is among ``moving`` (names in the state dict).

        None where there are none, where the model draws random numbers (to leave out a module would alter the draws
        of the others), and where the outputs of a sample are not the same, bit for bit, with and without: a module
        may look at what is not its own.

        Args:
            model: a private copy.
            moving: the names of the tensors that differ between points.
            places: functions that write the weights of two points into the model.
            run: runs the model on a small sample.
            always: modules that have to be run each time.
        """
        if not any(name not in moving for name in model.state_dict()):
            return None
        if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
            return None
        calls, before = _Calls(model), generators.snapshot()
        try:
            with calls:
                expected = [_at(place, run) for place in places]
        except Exception:  # a model that takes no batch of this size; if it takes none, evaluating it says so
            return None
        if generators.snapshot() != before:
            return None
        modules = list(_largest(model, "", set(moving), calls, len(places), set(always)))
        if not modules:
            return None
        with cls(modules) as trial:
            found = [_at(place, run) for place in places]
            modules = list(trial.held)
        same = all(same_bits(x, y) for x, y in zip(expected, found, strict=True))
        return cls(modules) if same and modules else None

    def __enter__(self) -> Reuse:
        for module in self.modules:
            self.held[module] = _Held(module.forward)
            module.forward = functools.partial(self._shortcut, module)
        return self

    def __exit__(self, *_: object) -> None:
        for module in list(self.held):
            self._drop(module)

    def forget(self) -> None:
        """Let go of the batch."""
        for module, held in self.held.items():
            self.held[module] = _Held(held.forward, lend_copies=held.lend_copies)

    def _drop(self, module: nn.Module) -> None:
        del module.forward
        del self.held[module]

    def _shortcut(self, module: nn.Module, input: Tensor) -> Tensor:
        """In place of the module's forward, whose argument may have this name."""
        held = self.held[module]
        if held.knows(input) and held.output is not None:
            if held.output._version == held.output_version:
                return held.output.clone() if held.lend_copies else held.output
            held.lend_copies = True  # whoever took it wrote into it
        elif held.input is not None and held.input._version == held.input_version:
            forward = held.forward  # its input moves with the point: it lies above what moves
            self._drop(module)
            return forward(input)
        output = held.forward(input)
        held.input, held.input_version = input, input._version
        held.output, held.output_version = output, output._version
        return output.clone() if held.lend_copies else output


class _Calls:
    """How often each module is called in a forward pass, and whether each time with one tensor for one tensor."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.counts: dict[nn.Module, int] = {}
        self.others: set[nn.Module] = set()

    def __enter__(self) -> None:
        self.handles = [
            module.register_forward_hook(self._note, with_kwargs=True) for module in set(self.model.modules())
        ]

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _note(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        self.counts[module] = self.counts.get(module, 0) + 1
        if len(inputs) != 1 or named or not isinstance(inputs[0], Tensor) or not isinstance(output, Tensor):
            self.others.add(module)

    def plain(self, module: nn.Module, times: int) -> bool:
        """Whether a module is called once a pass, with one tensor, and returns one."""
        return self.counts.get(module) == times and module not in self.others


def _at(place: Callable[[], None], run: Callable[[], Tensor]) -> Tensor:
    place()
    return run()


def _largest(
    module: nn.Module, prefix: str, moving: set[str], calls: _Calls, passes: int, always: set[nn.Module]
) -> Iterator[nn.Module]:
    """The largest modules below one that stand still and may be stood in for."""
    for name, child in module.named_children():
        below = f"{prefix}{name}."
        still = not any(tensor.startswith(below) for tensor in moving)
        if still and calls.plain(child, passes) and not any(m in always or _watched(m) for m in child.modules()):
            yield child
        else:
            yield from _largest(child, below, moving, calls, passes, always)


def _watched(module: nn.Module) -> bool:
    """Whether somebody has to be told when it is called, or has put something in its place already."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))
