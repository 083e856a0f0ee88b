"""The global random generators: as they were afterwards, and a function of a seed in between.

A network may draw from torch's generator (dropout), and a user's module from Python's or numpy's as well
(stochastic depth). Inside :func:`forked` all of them may be seeded; outside nothing of it is seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["forked", "seed", "snapshot"]


@contextmanager
def forked(device: torch.device) -> Iterator[None]:
    """The global generators of torch (CPU and ``device``), numpy and Python come back as they were."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


def snapshot() -> tuple[Any, ...]:
    """The states of all of them, to be compared: equal exactly when nothing was drawn in between."""
    states = [torch.default_generator.get_state()]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states.append(torch.cuda.get_rng_state())
    legacy: Any = np.random.get_state()  # noqa: NPY002
    return *(state.numpy().tobytes() for state in states), random.getstate(), legacy[1].tobytes(), legacy[2:]


def seed(value: int, device: torch.device) -> None:
    """Seed those generators.

    Not ``torch.manual_seed``: it seeds every accelerator of the process too, whose generators nobody restores,
    and where none was started yet it formats the whole call stack, half a millisecond a call.
    """
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(value)
    random.seed(value)
    np.random.seed(value & 0xFFFFFFFF)  # noqa: NPY002
