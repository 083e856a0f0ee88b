"""The local executor: long-lived processes on this machine, or this very process."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from isthmus.errors import Interrupted, IsthmusError, RunFailed
from isthmus.execute import Display, Setting
from isthmus.graph import Plan
from isthmus.store import Store

__all__ = ["run"]

_PATIENCE = 120.0  # seconds that workers get to save what is in flight


def run(plan: Plan, store: Store, setting: Setting, display: Display) -> None:
    """Compute every pending node of a plan; see :class:`isthmus.execute.Executor`."""
    if not plan.pending:
        return
    queue = _Queue(plan)
    workers = min(setting.workers, len(plan.pending))
    display.begin(plan, max(workers, 1))
    try:
        if workers:
            _Pool(queue, store, setting, display, workers).run()
        else:
            _in_process(queue, store, setting, display)
    finally:
        display.end()
    if queue.failures:
        told = "\n".join(f"  {plan.pending[key].label} ({key[:12]}): {text}" for key, text in queue.failures.items())
        lost = len(plan.pending) - len(queue.done) - len(queue.failures)
        raise RunFailed(
            f"{len(queue.failures)} of {len(plan.pending)} results failed"
            f"{f' and {lost} that need them were not tried' if lost else ''}; all others are kept:\n{told}"
        )


@dataclass
class _Queue:
    """Which nodes are done, failed, in work and ready; those with the most work behind them come first."""

    plan: Plan
    done: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)
    working: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.waiting = {key: set(needs) for key, needs in self.plan.needs.items()}
        followers: dict[str, list[str]] = {key: [] for key in self.plan.pending}
        for key, needs in self.plan.needs.items():
            for need in needs:
                followers[need].append(key)
        height: dict[str, float] = {}
        for key in reversed(list(self.plan.pending)):
            height[key] = self.plan.cost_of(key) + max((height[after] for after in followers[key]), default=0.0)
        self.followers = followers
        rank = {key: index for index, key in enumerate(self.plan.pending)}
        self.order = sorted(self.plan.pending, key=lambda key: (-height[key], rank[key]))

    def next(self) -> str | None:
        """A node that is ready, now in work; None if there is none."""
        for key in self.order:
            if not self.waiting[key]:
                self.order.remove(key)
                self.working.add(key)
                return key
        return None

    def finish(self, key: str) -> None:
        self.working.discard(key)
        self.done.add(key)
        for after in self.followers[key]:
            self.waiting[after].discard(key)

    def fail(self, key: str, message: str) -> None:
        self.working.discard(key)
        self.failures[key] = message


def _in_process(queue: _Queue, store: Store, setting: Setting, display: Display) -> None:
    import torch

    from isthmus.execute.compute import Workshop

    key = ""
    workshop = Workshop(store, setting, lambda done, total, note: display.progress(0, key, done, total, note))
    threads = torch.get_num_threads()
    torch.set_num_threads(setting.threads_each)
    try:
        while (found := queue.next()) is not None:
            key = found
            try:
                display.finished(0, key, workshop.compute(queue.plan.pending[key]))
                queue.finish(key)
            except IsthmusError as error:
                queue.fail(key, str(error))
                display.failed(0, key, str(error))
    except KeyboardInterrupt:
        raise Interrupted(_stopped(queue)) from None
    finally:
        torch.set_num_threads(threads)


def _stopped(queue: _Queue) -> str:
    return (
        f"Stopped with {len(queue.done)} of {len(queue.plan.pending)} results computed and saved; run the same command"
        " again and it goes on from here."
    )


@dataclass
class _Worker:
    index: int
    process: subprocess.Popen[bytes]
    connection: Connection[Any, Any] | None = None
    key: str | None = None
    ready: bool = False


class _Pool:
    """Worker processes and what each is doing."""

    def __init__(self, queue: _Queue, store: Store, setting: Setting, display: Display, count: int) -> None:
        self.queue, self.store, self.setting, self.display = queue, store, setting, display
        self.workers = [self._start(index) for index in range(count)]

    def _start(self, index: int) -> _Worker:
        """A new process, connected; its allocator keeps its pages, which convolutions need."""
        environment = os.environ | {
            "MALLOC_TRIM_THRESHOLD_": str(2**32),
            "MALLOC_MMAP_MAX_": "0",
            "MALLOC_TOP_PAD_": str(2**26),
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
            pickle.dump((sys.path, str(self.store.root), self.setting), stdin)
        return _Worker(index, process, ours)

    def run(self) -> None:
        try:
            self._loop()
        except KeyboardInterrupt:
            self.display.say("Stopping: saving what is in flight (ctrl-C again to stop at once).")
            self._save()
            raise Interrupted(_stopped(self.queue)) from None
        finally:
            self._close()

    def _loop(self) -> None:
        while True:
            self._assign()
            if not self.queue.working:
                return
            for worker in self._heard(1.0):
                self._listen(worker)

    def _assign(self) -> None:
        for worker in self.workers:
            if worker.key is None and worker.connection is not None:
                key = self.queue.next()
                if key is None:
                    return
                worker.key = key
                worker.connection.send(self.queue.plan.pending[key])

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
        if what == "progress":
            self.display.progress(worker.index, *rest)
        elif what in ("done", "stopped", "failed"):
            worker.key = None
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
        """A process that died takes its node with it and is replaced."""
        code = worker.process.wait()
        if worker.key is not None:
            self.queue.fail(worker.key, f"its process ended without an answer (exit code {code}); run again to go on")
            self.display.failed(worker.index, worker.key, f"its process ended (exit code {code})")
        self.workers[self.workers.index(worker)] = self._start(worker.index)

    def _save(self) -> None:
        """Ask every worker to save and stop, and wait for it."""
        for worker in self.workers:
            if worker.connection is not None:
                _quietly_send(worker.connection)
        deadline = time.monotonic() + _PATIENCE
        while self.queue.working and time.monotonic() < deadline:
            heard = list(self._heard(1.0))
            for worker in heard:
                if worker.process.poll() is not None and worker.key is not None and not worker.connection.poll():  # type: ignore[union-attr]
                    self.queue.working.discard(worker.key)
                    worker.connection = None
                else:
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
