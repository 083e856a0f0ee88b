"""Long-lived processes of one machine, each with what it is computing."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from isthmus.devices import WORKSPACE
from isthmus.errors import Interrupted, RunFailed
from isthmus.execute import Display, Setting
from isthmus.execute.queue import Queue
from isthmus.execute.stopping import Asked, at_once, stopped
from isthmus.store import Store

__all__ = ["ALLOCATOR", "Pool"]

ALLOCATOR = {
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TOP_PAD_": str(2**26),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""glibc's settings under which a process keeps its pages, which it would give back after each large tensor, and asks
for large ones."""

_PATIENCE = 120.0  # seconds that workers get to save what is in flight


@dataclass
class _Worker:
    index: int
    process: subprocess.Popen[bytes]
    connection: Connection[Any, Any] | None = None
    keys: list[str] = field(default_factory=list)
    ready: bool = False


class Pool:
    """Worker processes and what each is doing."""

    def __init__(self, queue: Queue, store: Store, setting: Setting, display: Display, count: int) -> None:
        self.queue, self.store, self.setting, self.display = queue, store, setting, display
        self.saving = False
        self.workers = [self._start(index) for index in range(count)]

    def _start(self, index: int) -> _Worker:
        """A new process, connected; its allocator keeps its pages, which convolutions need."""
        environment = {
            **ALLOCATOR,
            **WORKSPACE,
            **os.environ,  # whoever has set one of these has a reason
            "OMP_NUM_THREADS": str(self.setting.threads_each),
            "MKL_NUM_THREADS": str(self.setting.threads_each),
        }
        ours, theirs = Pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "isthmus.execute.worker", str(theirs.fileno())],
            stdin=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as stdin:
            pickle.dump((sys.path, str(self.store.root), replace(self.setting, index=index)), stdin)
        return _Worker(index, process, ours)

    def run(self) -> None:
        """Compute what the queue holds, to its end or until a stop is asked for."""
        try:
            with Asked() as asked:
                if not self._loop(asked):
                    self.display.say("Stopping: saving what is in flight (ctrl-C again to stop at once).")
                    self._save()
                    raise Interrupted(at_once(self.queue) if self.queue.working else stopped(self.queue))
        except KeyboardInterrupt:
            for worker in self.workers:
                worker.process.kill()
            raise Interrupted(at_once(self.queue)) from None
        finally:
            self._close()

    def _loop(self, asked: Asked) -> bool:
        """Whether it went on to the end."""
        while not asked.stop:
            self._assign()
            if not self.queue.working:
                return True
            for worker in self._heard(0.2):
                self._listen(worker)
        return not (self.queue.working or self.queue.order)

    def _assign(self) -> None:
        for worker in list(self.workers):
            if not worker.keys and worker.connection is not None:
                nodes = self.queue.next()
                if not nodes:
                    return
                worker.keys = [node.key for node in nodes]
                try:
                    worker.connection.send(nodes)
                except OSError:
                    self._lost(worker)

    def _heard(self, timeout: float) -> Iterator[_Worker]:
        open_lines = {worker.connection: worker for worker in self.workers if worker.connection is not None}
        for connection in wait(list(open_lines), timeout):
            yield open_lines[connection]  # type: ignore[index]

    def _listen(self, worker: _Worker) -> None:
        assert worker.connection is not None
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            self._lost(worker)
            return
        what, *rest = message
        worker.ready = True
        if what == "progress":
            self.display.progress(worker.index, *rest)
        elif what in ("done", "stopped", "failed"):
            worker.keys.remove(rest[0])
            self._settle(worker, what, *rest)

    def _settle(self, worker: _Worker, what: str, key: str, *rest: Any) -> None:
        if what == "done":
            self.queue.finish(key)
            self.display.finished(worker.index, key, rest[0])
        elif what == "failed":
            self.queue.fail(key, rest[0])
            self.display.failed(worker.index, key, rest[0])
            if rest[1]:
                self.display.say(rest[1])
        else:
            self.queue.working.discard(key)

    def _lost(self, worker: _Worker) -> None:
        """A process that died takes its node with it and is replaced, unless it could not even start.

        Of several that it trained together nobody knows which one it died of: each is tried again by itself.
        """
        assert worker.connection is not None
        worker.connection.close()
        worker.connection, keys, code = None, worker.keys, worker.process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if code > 0 and not worker.ready and not self.saving:
            raise RunFailed(f"A worker process {how} before it was ready; what it had to say stands above.")
        worker.keys = []
        if len(keys) > 1 and not self.saving:
            self.display.say(f"A process {how} while it trained {len(keys)} networks at once; each is tried by itself.")
            self.queue.lose(keys)
            keys = []
        for key in keys:
            message = f"its process {how} without an answer; run the same command again to go on"
            self.queue.fail(key, message)
            self.display.failed(worker.index, key, message)
        if not self.saving:
            self.workers[self.workers.index(worker)] = self._start(worker.index)

    def _save(self) -> None:
        """Ask every worker to save and stop, and wait for it."""
        self.saving = True
        for worker in self.workers:
            if worker.connection is not None:
                _quietly_send(worker.connection)
        deadline = time.monotonic() + _PATIENCE
        while self.queue.working and time.monotonic() < deadline:
            for worker in self._heard(1.0):
                self._listen(worker)

    def _close(self) -> None:
        for worker in self.workers:
            if worker.connection is not None:
                _quietly_send(worker.connection)
                worker.connection.close()
        for worker in self.workers:
            try:
                worker.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()


def _quietly_send(connection: Connection[Any, Any]) -> None:
    with suppress(OSError, ValueError):
        connection.send(None)
