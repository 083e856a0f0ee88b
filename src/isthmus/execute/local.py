"""The local executor: long-lived processes on this machine, or this very process."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

from isthmus.devices import WORKSPACE
from isthmus.errors import Interrupted, IsthmusError, RunFailed
from isthmus.execute import Display, Setting
from isthmus.graph import Plan
from isthmus.nodes import Node, Train
from isthmus.store import Record, Store

__all__ = ["ALLOCATOR", "STACKED", "run"]

ALLOCATOR = {
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TOP_PAD_": str(2**26),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""glibc's settings under which a process keeps its pages, which it would give back after each large tensor, and asks
for large ones."""

STACKED = frozenset({"mlp"})
"""The models of ours that stack (see :mod:`isthmus.stacking`): such trainings are handed out several at once."""

_AT_ONCE = 16  # trainings in one stack, at most
_PATIENCE = 120.0  # seconds that workers get to save what is in flight


def run(plan: Plan, store: Store, setting: Setting, display: Display) -> None:
    """Compute every pending node of a plan; see :class:`isthmus.execute.Executor`."""
    if not plan.pending:
        return
    queue = _Queue(plan, setting)
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
    """Which nodes are done, failed, in work and ready; those with the most work behind them come first.

    What costs nothing comes before that: what waits for it is then ready together. So does, for each worker, a
    training that has begun: the run that was stopped goes on where it was.
    """

    plan: Plan
    setting: Setting
    done: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)
    working: set[str] = field(default_factory=set)
    apart: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        alike = {key: _likeness(self.plan, key) for key in self.plan.pending if self.setting.device == "cpu"}
        self.alike = {key: likeness for key, likeness in alike.items() if likeness is not None}
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
        begun = sorted(self.plan.starts, key=lambda key: (-height[key], rank[key]))[: max(self.setting.workers, 1)]
        self.order = sorted(
            self.plan.pending, key=lambda key: (self.plan.cost_of(key) > 0, key not in begun, -height[key], rank[key])
        )

    def next(self) -> tuple[Node, ...]:
        """What is ready and may be computed together, now in work; nothing if nothing is ready.

        Of trainings that are alike a worker takes its share of all that are not done yet.
        """
        first = next((key for key in self.order if not self.waiting[key]), None)
        if first is None:
            return ()
        likeness = None if first in self.apart else self.alike.get(first)
        others = [key for key in self.alike if self.alike[key] == likeness and key not in self.apart]
        left = [key for key in others if key not in self.done and key not in self.failures]
        share = min(_AT_ONCE, -(-len(left) // max(self.setting.workers, 1)))
        ready = [key for key in self.order if key in left and not self.waiting[key]]
        taken = ready[:share] if likeness is not None else [first]
        self.order = [key for key in self.order if key not in taken]
        self.working.update(taken)
        return tuple(self.plan.pending[key] for key in taken)

    def lose(self, keys: Collection[str]) -> None:
        """Take trainings whose process died out of work, to be tried again one by one."""
        self.working.difference_update(keys)
        self.apart.update(keys)
        self.order[:0] = keys

    def finish(self, key: str) -> None:
        self.working.discard(key)
        self.done.add(key)
        for after in self.followers[key]:
            self.waiting[after].discard(key)

    def fail(self, key: str, message: str) -> None:
        self.working.discard(key)
        self.failures[key] = message


def _likeness(plan: Plan, key: str) -> tuple[str, int | None] | None:
    """What is equal for trainings that may be handed out together; None for what is computed by itself."""
    node = plan.pending[key]
    if not isinstance(node, Train) or node.model.name not in STACKED or node.model.arguments.get("dropout"):
        return None
    if node.recipe.precision != "float32" or node.recipe.augment.acts:
        return None
    return node.likeness, plan.starts.get(key)


class _Asked:
    """Whether a stop was asked for: the first ctrl-C only asks, the next one interrupts at once.

    SIGTERM is taken likewise where the program handles it at all. Without this an interrupt could fall
    between the halves of a message.
    """

    def __init__(self) -> None:
        self.stop = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Asked:
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


def _in_process(queue: _Queue, store: Store, setting: Setting, display: Display) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(setting.threads_each)
    try:
        with _Asked() as asked:
            _compute_all(queue, store, setting, display, lambda: asked.stop)
            if asked.stop and (queue.order or queue.working):
                raise Interrupted(_stopped(queue))
    except KeyboardInterrupt:
        raise Interrupted(_at_once(queue)) from None
    finally:
        torch.set_num_threads(threads)


def _compute_all(queue: _Queue, store: Store, setting: Setting, display: Display, stop: Callable[[], bool]) -> None:
    from isthmus.execute.compute import Stopped, Workshop

    def report(done: float, total: float, note: str, key: str) -> None:
        display.progress(0, key, done, total, note)

    def ended(node: Node, outcome: Record | Exception) -> None:
        if isinstance(outcome, Record):
            queue.finish(node.key)
            display.finished(0, node.key, outcome)
        elif not isinstance(outcome, Stopped):
            expected = isinstance(outcome, IsthmusError)
            message = str(outcome) if expected else f"{type(outcome).__name__}: {outcome}"
            queue.fail(node.key, message)
            display.failed(0, node.key, message)
            if not expected:
                display.say("".join(traceback.format_exception(outcome)))

    workshop = Workshop(store, setting, report, stop)
    while not stop() and (nodes := queue.next()):
        workshop.compute_together(nodes, ended)


def _stopped(queue: _Queue) -> str:
    return (
        f"Stopped with {len(queue.done)} of {len(queue.plan.pending)} results computed and training in flight saved;"
        " run the same command again and it goes on from here."
    )


def _at_once(queue: _Queue) -> str:
    return (
        f"Stopped at once with {len(queue.done)} of {len(queue.plan.pending)} results computed and saved, but not the"
        " training in flight; run the same command again and it goes on from there."
    )


@dataclass
class _Worker:
    index: int
    process: subprocess.Popen[bytes]
    connection: Connection[Any, Any] | None = None
    keys: list[str] = field(default_factory=list)
    ready: bool = False


class _Pool:
    """Worker processes and what each is doing."""

    def __init__(self, queue: _Queue, store: Store, setting: Setting, display: Display, count: int) -> None:
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
        try:
            with _Asked() as asked:
                if not self._loop(asked):
                    self.display.say("Stopping: saving what is in flight (ctrl-C again to stop at once).")
                    self._save()
                    raise Interrupted(_at_once(self.queue) if self.queue.working else _stopped(self.queue))
        except KeyboardInterrupt:
            for worker in self.workers:
                worker.process.kill()
            raise Interrupted(_at_once(self.queue)) from None
        finally:
            self._close()

    def _loop(self, asked: _Asked) -> bool:
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
