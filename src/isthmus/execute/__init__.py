"""Executors: what computes the pending nodes of a plan.

``local`` runs them in long-lived processes on this machine. An executor is named by a string and
imported when it is asked for; it takes a plan, a store and a setting, and leaves records in the store.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol, get_args

from isthmus.errors import BadInput, UnknownName
from isthmus.graph import Plan
from isthmus.store import Record, Store

__all__ = ["EXECUTORS", "Display", "Executor", "Setting", "executor"]


Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Setting:
    """How to compute; nothing here is part of a result's name.

    Attributes:
        workers: processes; 0 computes in this one.
        threads: threads of each process; by default the machine's cores divided among the workers.
        device: "cpu" or "cuda".
        data_root: the folder of data sets.
        save_every: seconds after which training in flight is saved, at the next end of an epoch.
        index: the number of the process: processes take the accelerators of the machine in turn.
    """

    workers: int = 1
    threads: int | None = None
    device: Device = "cpu"
    data_root: str | None = None
    save_every: float = 300.0
    index: int = 0

    def __post_init__(self) -> None:
        if self.workers < 0 or (self.threads is not None and self.threads < 1):
            raise BadInput(f"Expected workers >= 0 and threads >= 1, found {self.workers} and {self.threads}.")
        if self.device not in get_args(Device):
            raise BadInput(f'Expected the device "cpu" or "cuda", found {self.device!r}.')

    @property
    def threads_each(self) -> int:
        """Threads of each process."""
        return self.threads or max(1, cores() // max(1, self.workers))


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Display(Protocol):
    """What shows how far a run is."""

    def begin(self, plan: Plan, workers: int) -> None:
        """A run of this plan begins."""

    def progress(self, worker: int, key: str, done: float, total: float, note: str) -> None:
        """A worker is so far with a node."""

    def finished(self, worker: int, key: str, record: Record) -> None:
        """A node is done."""

    def failed(self, worker: int, key: str, message: str) -> None:
        """A node failed."""

    def say(self, message: str) -> None:
        """Something the user should read."""

    def end(self) -> None:
        """The run is over."""


class Executor(Protocol):
    """Computes a plan."""

    def __call__(self, plan: Plan, store: Store, setting: Setting, display: Display) -> None:
        """Compute every pending node into the store.

        Raises:
            RunFailed: some nodes failed; everything that did not need them was computed.
            Interrupted: stopped on request; everything is saved, training in flight included.
        """


EXECUTORS: Mapping[str, str] = MappingProxyType({"local": "isthmus.execute.local:run"})
"""Executors by name, as ``module:function``."""


def executor(name: str = "local") -> Executor:
    """The executor of a name."""
    if name not in EXECUTORS:
        raise UnknownName("executor", name, EXECUTORS)
    module, _, function = EXECUTORS[name].partition(":")
    found: Executor = getattr(importlib.import_module(module), function)
    return found
