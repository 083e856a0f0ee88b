"""The local executor: long-lived processes on this machine, or this very process."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from isthmus.errors import Interrupted, IsthmusError, RunFailed
from isthmus.execute import Display, Setting
from isthmus.execute.pool import Pool
from isthmus.execute.queue import Queue
from isthmus.execute.stopping import Asked, at_once, stopped
from isthmus.graph import Plan
from isthmus.nodes import Node
from isthmus.store import Record, Store

__all__ = ["run"]


def run(plan: Plan, store: Store, setting: Setting, display: Display) -> None:
    """Compute every pending node of a plan; see :class:`isthmus.execute.Executor`."""
    if not plan.pending:
        return
    queue = Queue(plan, setting)
    workers = min(setting.workers, len(plan.pending))
    display.begin(plan, max(workers, 1))
    try:
        if workers:
            Pool(queue, store, setting, display, workers).run()
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


def _in_process(queue: Queue, store: Store, setting: Setting, display: Display) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(setting.threads_each)
    try:
        with Asked() as asked:
            _compute_all(queue, store, setting, display, lambda: asked.stop)
            if asked.stop and (queue.order or queue.working):
                raise Interrupted(stopped(queue))
    except KeyboardInterrupt:
        raise Interrupted(at_once(queue)) from None
    finally:
        torch.set_num_threads(threads)


def _compute_all(queue: Queue, store: Store, setting: Setting, display: Display, stop: Callable[[], bool]) -> None:
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
