"""A long-lived process that computes nodes: ``python -m isthmus.execute.worker FD``, FD being its end of a pipe
to the parent, its setting on standard input.

It is started as a process of its own (not forked, nothing of the caller's program is imported again), in a
session of its own, so that ctrl-C reaches only the parent, which then asks for a stop.
"""

from __future__ import annotations

import pickle
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["main"]

_EVERY = 0.2  # seconds between two reports


class _Line:
    """The connection to the parent: reports go out, a request to stop comes in."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.connection, self.key, self.last, self.stopping = connection, "", 0.0, False

    def report(self, done: float, total: float, note: str) -> None:
        now = time.monotonic()
        if now - self.last >= _EVERY or done >= total:
            self.last = now
            self.send("progress", self.key, done, total, note)

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
            node = connection.recv()
        except (EOFError, OSError):
            return
        if node is None:
            return
        _compute(workshop, line, node)


def _compute(workshop: Any, line: _Line, node: Any) -> None:
    from isthmus.errors import IsthmusError
    from isthmus.execute.compute import Stopped

    line.key = node.key
    try:
        line.send("done", node.key, workshop.compute(node))
    except Stopped:
        line.send("stopped", node.key)
    except IsthmusError as error:
        line.send("failed", node.key, str(error), "")
    except Exception as error:
        line.send("failed", node.key, f"{type(error).__name__}: {error}", traceback.format_exc())


if __name__ == "__main__":
    main()
