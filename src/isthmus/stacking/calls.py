"""What is called for batches of one size: over the whole stack where that has the bits of each replica alone."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.stacking import operations
from isthmus.stacking.layers import Layer
from isthmus.stacking.operations import Op
from isthmus.weights import same_bits

__all__ = ["Plan"]

_TRIES = 12  # made-up values that an operation has to agree on

_KNOWN: dict[tuple[Any, ...], Op] = {}
"""How an operation was found to have the bits of each alone, by itself, shapes, strides and the number of threads."""


class Plan:
    """What is called, and the memory for what it gives, for batches of one size."""

    def __init__(
        self, layers: Sequence[Layer], passes_back: Sequence[bool], loss: str, x: Tensor, targets: Tensor
    ) -> None:
        self.draws = torch.Generator().manual_seed(len(x) * 1000 + x.shape[1])
        self.forth: list[Callable[[Tensor], Tensor]] = []
        back: list[Callable[[Tensor, Tensor, Tensor], Tensor | None]] = []
        for layer, passes_on in zip(layers, passes_back, strict=True):
            forth, backward, x = self._layer(layer, x, passes_on)
            self.forth.append(forth)
            back.append(backward)
        self.back = back[::-1]
        self.losses, self.gradient = torch.empty(len(x)), torch.empty_like(x)
        self.loss = self._loss(loss, x, targets)

    @torch.no_grad()
    def run(self, x: Tensor, targets: Tensor) -> Tensor:
        """The losses; the gradients are left in their places."""
        values = [x]
        for forth in self.forth:
            values.append(forth(values[-1]))
        self.loss(values[-1], targets, out=self.losses, gradient=self.gradient)
        gradient: Tensor | None = self.gradient
        for back, (x, y) in zip(self.back, reversed(list(itertools.pairwise(values))), strict=True):
            if gradient is None:
                break
            gradient = back(gradient, x, y)
        return self.losses.clone()

    def _layer(
        self, layer: Layer, x: Tensor, passes_on: bool
    ) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor, Tensor], Tensor | None], Tensor]:
        """How a layer is computed, its gradients, and memory of the shape of what it gives."""
        passed = torch.empty_like(x) if passes_on else None
        if layer.kind is not nn.Linear:
            y = torch.empty_like(x)
            function, derivative = operations.ELEMENTWISE[layer.kind]

            def through(x: Tensor) -> Tensor:
                function(x, out=y)
                return y

            def back_through(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor | None:
                if passed is not None:
                    derivative(gradient, y, out=passed)
                return passed

            return through, back_through, y
        weight, bias = layer.values["weight"], layer.values.get("bias")
        y = torch.empty(*x.shape[:2], weight.shape[1])
        fixed = (weight,) if bias is None else (weight, bias)
        affine = self._op(operations.linear if bias is None else operations.affine, x, *fixed, out=y)
        gradients = layer.gradients
        by_weight = self._op(operations.by_weight, y, x, out=gradients["weight"]) if "weight" in gradients else None
        by_bias = self._op(operations.by_bias, y, out=gradients["bias"]) if "bias" in gradients else None
        by_input = self._op(operations.product, y, weight, out=passed) if passed is not None else None

        def forth(x: Tensor) -> Tensor:
            affine(x, *fixed, out=y)
            return y

        def back(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor | None:
            if by_weight is not None:
                by_weight(gradient, x, out=gradients["weight"])
            if by_bias is not None:
                by_bias(gradient, out=gradients["bias"])
            if by_input is not None:
                by_input(gradient, weight, out=passed)
            return passed

        return forth, back, y

    def _op(self, op: Op, *operands: Tensor, out: Tensor) -> Op:
        """The operation for all at once if that has the bits of each alone, else replica by replica."""
        case = op, *((tensor.shape, tensor.stride()) for tensor in (*operands, out)), torch.get_num_threads()
        if case not in _KNOWN:
            _KNOWN[case] = self._tried(op, *operands, out=out)
        return _KNOWN[case]

    @torch.no_grad()
    def _tried(self, op: Op, *operands: Tensor, out: Tensor) -> Op:
        alone, wanted = functools.partial(operations.in_own_memory, op), torch.empty_like(out)
        ways: list[Op] = [op, functools.partial(operations.one_by_one, op)]
        for _ in range(_TRIES):
            made_up = [self._like(operand) for operand in operands]
            alone(*made_up, out=wanted)
            for way in list(ways):
                way(*made_up, out=out)
                if not same_bits(out, wanted):
                    ways.remove(way)
            if not ways:
                return alone
        return ways[0]

    def _loss(self, name: str, outputs: Tensor, targets: Tensor) -> Callable[..., None]:
        """How the loss is computed: at once for classes and single logits, if that has the bits of each alone."""
        one_by_one = functools.partial(operations.loss_of_each, name)
        together: Callable[..., None]
        if name == "cross_entropy":
            together, fits = operations.cross_entropy, targets.ndim == 2 and not targets.is_floating_point()
        else:
            together, fits = (
                operations.binary_cross_entropy,
                outputs.shape[2] == 1 and targets.numel() == outputs.numel(),
            )
        if not fits:
            return one_by_one
        wanted, slopes = torch.empty_like(self.losses), torch.empty_like(self.gradient)
        for _ in range(_TRIES):
            made_up = self._like(outputs)
            one_by_one(made_up, targets, out=wanted, gradient=slopes)
            together(made_up, targets, out=self.losses, gradient=self.gradient)
            if not (same_bits(self.losses, wanted) and same_bits(self.gradient, slopes)):
                return one_by_one
        return together

    def _like(self, operand: Tensor) -> Tensor:
        """Made-up values, none of them special, laid out in memory as these are."""
        made_up = torch.empty_strided(operand.shape, operand.stride())
        return made_up.copy_(torch.randn(operand.shape, generator=self.draws))
