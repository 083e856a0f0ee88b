"""Normalisation statistics of networks that were never trained.

An interpolant has no running mean and variance of its own. :func:`collect` measures them: normalisation
layers in train mode, everything else in eval mode, un-augmented examples in a fixed order, pooled over
batches by count with the variance between batches, unbiased as torch keeps it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from isthmus.errors import BadInput
from isthmus.examples import Examples, Lent

__all__ = ["MODES", "Statistics", "collect", "layers", "override"]

MODES = ("recompute", "interpolate", "batch", "keep", "init")
Statistics = Mapping[str, Tensor]
"""Running means and variances by their names in the state dict."""


def layers(model: nn.Module) -> dict[str, _BatchNorm]:
    """The normalisation layers that keep running statistics, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    }


@dataclass
class _Pool:
    """Mean and sum of squared deviations of one layer's inputs, pooled over batches in float64."""

    count: int = 0
    mean: Tensor | None = None
    squares: Tensor | None = None

    def add(self, count: int, mean: Tensor, unbiased: Tensor) -> None:
        mean, squares = mean.double(), unbiased.double() * (count - 1)
        if self.mean is None or self.squares is None:
            self.count, self.mean, self.squares = count, mean, squares
            return
        total, shift = self.count + count, mean - self.mean
        self.squares = self.squares + squares + shift**2 * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    def variance(self) -> Tensor:
        assert self.squares is not None
        return self.squares / max(self.count - 1, 1)


@contextmanager
def _listening(found: Mapping[str, _BatchNorm], pools: dict[str, _Pool]) -> Iterator[None]:
    """Add each batch that a layer meets to its pool.

    With momentum 1 a layer's running statistics are those of the batch that it just met, so nothing is
    computed twice. The model is a private copy: its momentum and buffers are nobody else's.
    """

    def listen(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], _: Any) -> None:
            assert isinstance(module, _BatchNorm)
            assert module.running_mean is not None
            assert module.running_var is not None
            count = inputs[0].numel() // inputs[0].shape[1]
            pools.setdefault(name, _Pool()).add(count, module.running_mean, module.running_var)

        return hook

    handles = [module.register_forward_hook(listen(name)) for name, module in found.items()]
    momenta = {name: module.momentum for name, module in found.items()}
    try:
        for module in found.values():
            module.train()
            module.momentum = 1.0
        yield
    finally:
        for handle in handles:
            handle.remove()
        for name, module in found.items():
            module.eval()
            module.momentum = momenta[name]


@torch.no_grad()
def collect(
    model: nn.Module,
    writers: Sequence[Callable[[], None]],
    data: Examples,
    *,
    batch: int,
    examples: int,
    forward: Callable[[nn.Module, Tensor], Tensor],
    begin: Callable[[], None] = lambda: None,
) -> list[Statistics]:
    """The statistics of several networks, gathered in one reading of the data.

    Args:
        model: a private copy, on the device of the data, everything in eval mode.
        writers: for each network, a function that writes its weights into the model.
        data: un-augmented examples; the first ``examples`` of them are read, in their order.
        batch: examples a batch. Layers above the first see networks whose lower layers use batch statistics,
            so it matters.
        examples: how many examples to read at most. A last batch of one example is left out where a layer would
            see a single value of each channel in it, which has no variance.
        forward: runs the model on a batch.
        begin: called before each batch.

    Raises:
        BadInput: fewer than two examples, or batches of fewer; a layer that met no data.
    """
    found = layers(model)
    pools: list[dict[str, _Pool]] = [{} for _ in writers]
    count = min(examples, len(data))
    if min(count, batch) < 2:
        raise BadInput(
            f"Normalisation statistics need at least 2 examples a batch, found {count} in batches of {batch}."
        )
    for first in range(0, count, batch):
        where = slice(first, min(first + batch, count))
        if where.stop - first == 1 and any(pool.count <= first for pool in pools[0].values()):
            break
        begin()
        lent = Lent(functools.partial(_inputs, data, where))
        for write, pool in zip(writers, pools):
            write()
            with _listening(found, pool):
                forward(model, lent.take())
    for name, module in found.items():
        for pool in pools:
            if name not in pool:
                raise BadInput(
                    f"The normalisation layer {name!r} ({type(module).__name__}) met no data in a forward pass."
                )
    return [_as_buffers(found, pool) for pool in pools]


def _inputs(data: Examples, where: slice) -> Tensor:
    return data.batch(where)[0]


def _as_buffers(found: Mapping[str, _BatchNorm], pools: Mapping[str, _Pool]) -> dict[str, Tensor]:
    buffers: dict[str, Tensor] = {}
    for name, module in found.items():
        pool, prefix = pools[name], f"{name}." if name else ""
        assert pool.mean is not None
        assert module.running_mean is not None
        buffers[f"{prefix}running_mean"] = pool.mean.to(module.running_mean.dtype)
        buffers[f"{prefix}running_var"] = pool.variance().to(module.running_mean.dtype)
    return buffers


def initial(model: nn.Module) -> dict[str, Tensor]:
    """Mean 0 and variance 1 for every normalisation layer."""
    buffers: dict[str, Tensor] = {}
    for name, module in layers(model).items():
        prefix = f"{name}." if name else ""
        assert module.running_mean is not None
        buffers[f"{prefix}running_mean"] = torch.zeros_like(module.running_mean)
        buffers[f"{prefix}running_var"] = torch.ones_like(module.running_mean)
    return buffers


def own(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The running statistics that a state holds for the model's normalisation layers."""
    return {name: state[name] for name in initial(model) if name in state}


@torch.no_grad()
def override(buffers: Mapping[str, Tensor], statistics: Statistics) -> None:
    """Write running statistics into a model's buffers in place."""
    for name, tensor in statistics.items():
        buffers[name].copy_(tensor)
