"""A run that is asked to stop: how it notices, and what it says."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from isthmus.execute.queue import Queue

__all__ = ["Asked", "at_once", "stopped"]


class Asked:
    """Whether a stop was asked for: the first ctrl-C only asks, the next one interrupts at once.

    SIGTERM is taken likewise where the program handles it at all. Without this an interrupt could fall
    between the halves of a message.
    """

    def __init__(self) -> None:
        self.stop = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Asked:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if callable(signal.getsignal(number)):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.stop:
            raise KeyboardInterrupt
        self.stop = True


def stopped(queue: Queue) -> str:
    """The sentence of a run that has saved what was in flight."""
    return (
        f"Stopped with {len(queue.done)} of {len(queue.plan.pending)} results computed and training in flight saved;"
        " run the same command again and it goes on from here."
    )


def at_once(queue: Queue) -> str:
    """The sentence of a run that has not."""
    return (
        f"Stopped at once with {len(queue.done)} of {len(queue.plan.pending)} results computed and saved, but not the"
        " training in flight; run the same command again and it goes on from there."
    )
