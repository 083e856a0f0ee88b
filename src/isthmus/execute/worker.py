"""A long-lived process that computes nodes: ``python -m isthmus.execute.worker FD``, FD being its end of a pipe
to the parent, its setting on standard input.

It is started as a process of its own (not forked, nothing of the caller's program is imported again), in a
session of its own, so that ctrl-C reaches only the parent, which then asks for a stop.
"""

from __future__ import annotations

import functools
import pickle
import sys
import time
from multiprocessing.connection import Connection
from traceback import format_exception
from typing import Any

__all__ = ["main"]

_EVERY = 0.2  # seconds between two reports


class _Line:
    """The connection to the parent: reports go out, a request to stop comes in."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.connection, self.stopping = connection, False
        self.last: dict[str, float] = {}

    def report(self, done: float, total: float, note: str, key: str) -> None:
        now = time.monotonic()
        if now - self.last.get(key, -_EVERY) >= _EVERY or done >= total:
            self.last[key] = now
            self.send("progress", key, done, total, note)

    def send(self, *message: Any) -> None:
        try:
            self.connection.send(message)
        except OSError:
            self.stopping = True  # the parent is gone

    def stop(self) -> bool:
        if not self.stopping:
            try:
                self.stopping = self.connection.poll() and self.connection.recv() is None
            except (EOFError, OSError):
                self.stopping = True
        return self.stopping


def main() -> None:
    """Connect to the parent and compute what it sends until it says stop or is gone."""
    path, store_root, setting = pickle.load(sys.stdin.buffer)
    sys.path[:] = path
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    import torch

    from isthmus.execute.compute import Workshop
    from isthmus.store import Store

    torch.set_num_threads(setting.threads_each)
    line = _Line(connection)
    workshop = Workshop(Store(store_root), setting, line.report, line.stop)
    line.send("ready")
    while not line.stopping:
        try:
            nodes = connection.recv()
        except (EOFError, OSError):
            return
        if nodes is None:
            return
        line.last = {}
        workshop.compute_together(nodes, functools.partial(_tell, line))


def _tell(line: _Line, node: Any, outcome: Any) -> None:
    from isthmus.errors import IsthmusError
    from isthmus.execute.compute import Stopped

    if isinstance(outcome, Stopped):
        line.send("stopped", node.key)
    elif isinstance(outcome, IsthmusError):
        line.send("failed", node.key, str(outcome), "")
    elif isinstance(outcome, Exception):
        line.send("failed", node.key, f"{type(outcome).__name__}: {outcome}", "".join(format_exception(outcome)))
    else:
        line.send("done", node.key, outcome)


if __name__ == "__main__":
    main()
