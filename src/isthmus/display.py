"""What a run shows while it goes on: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from isthmus.graph import Plan
from isthmus.store import Record

__all__ = ["Bars", "Lines", "duration", "for_stream"]


class _Clock:
    """How much of a plan is done, and how long the rest will take at the pace so far."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.began = plan, time.monotonic()
        self.total = max(plan.cost, 1.0)
        self.shares: dict[str, float] = {}
        self.done: set[str] = set()

    def advance(self, key: str, share: float) -> None:
        if key not in self.done:
            self.shares[key] = share

    def finish(self, key: str) -> None:
        self.done.add(key)
        self.shares[key] = 1.0

    @property
    def share(self) -> float:
        """The part of the work that is done, in [0, 1]."""
        return min(1.0, sum(self.plan.cost_of(key) * share for key, share in self.shares.items()) / self.total)

    def left(self) -> str:
        """The time left, in words; nothing before there is a pace."""
        elapsed, share = time.monotonic() - self.began, self.share
        return f"{duration(elapsed * (1 - share) / share)} left" if share > 0.01 and elapsed > 2 else ""


def duration(seconds: float) -> str:
    """A length of time in words.

    >>> duration(42), duration(130), duration(7300)
    ('42 s', '2 min 10 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Lines:
    """A line every few seconds, for logs and pipes."""

    def __init__(self, stream: TextIO, every: float = 10.0) -> None:
        self.stream, self.every = stream, every
        self.clock: _Clock | None = None
        self.last = 0.0

    def begin(self, plan: Plan, workers: int) -> None:
        """Say how much there is to do."""
        self.clock, self.last = _Clock(plan), time.monotonic()
        self.say(f"{len(plan.pending)} results to compute with {workers} worker(s), {plan.present} at hand.")

    def progress(self, worker: int, key: str, done: float, total: float, note: str) -> None:
        """Note how far a node is."""
        if self.clock:
            self.clock.advance(key, done / max(total, 1e-9))
            self._tell(f"{self.clock.plan.pending[key].label}: {note}")

    def finished(self, worker: int, key: str, record: Record) -> None:
        """Note that a node is done."""
        if self.clock:
            self.clock.finish(key)
            self._tell(record.label)

    def failed(self, worker: int, key: str, message: str) -> None:
        """Say that a node failed."""
        self.say(f"FAILED {key[:12]}: {message}")

    def say(self, message: str) -> None:
        """Print a line."""
        print(message, file=self.stream, flush=True)

    def end(self) -> None:
        """Say how long it took."""
        if self.clock:
            self.say(f"{len(self.clock.done)} results in {duration(time.monotonic() - self.clock.began)}.")

    def _tell(self, what: str) -> None:
        now = time.monotonic()
        if self.clock and now - self.last >= self.every:
            self.last = now
            counts = f"{len(self.clock.done)}/{len(self.clock.plan.pending)} results"
            parts = (counts, f"{self.clock.share:4.0%} of the work", self.clock.left())
            self.say(f"  {', '.join(filter(None, parts))} ({what})")


class Bars:
    """A bar for the whole and one for each worker, with epochs, images a second and time left."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(file=stream),
            transient=True,
        )
        self.clock: _Clock | None = None
        self.began = time.monotonic()

    def begin(self, plan: Plan, workers: int) -> None:
        """Draw the bars."""
        self.clock = _Clock(plan)
        self.whole = self.bars.add_task(f"{len(plan.pending)} results", total=1.0, note="")
        self.rows = [self.bars.add_task("", total=1.0, note="starting") for _ in range(workers)]
        self.bars.start()

    def progress(self, worker: int, key: str, done: float, total: float, note: str) -> None:
        """Move a worker's bar."""
        if self.clock:
            share = done / max(total, 1e-9)
            self.clock.advance(key, share)
            label = self.clock.plan.pending[key].label
            self.bars.update(self.rows[worker], description=f"  {label}", completed=share, note=note)
            self._whole()

    def finished(self, worker: int, key: str, record: Record) -> None:
        """Fill a worker's bar."""
        if self.clock:
            self.clock.finish(key)
            self.bars.update(self.rows[worker], description=f"  {record.label}", completed=1.0, note="")
            self._whole()

    def failed(self, worker: int, key: str, message: str) -> None:
        """Say that a node failed."""
        self.say(f"FAILED {key[:12]}: {message}")

    def say(self, message: str) -> None:
        """Print above the bars."""
        self.bars.console.print(message, markup=False, highlight=False)

    def end(self) -> None:
        """Take the bars away and say how long it took."""
        self.bars.stop()
        if self.clock:
            self.say(f"{len(self.clock.done)} results in {duration(time.monotonic() - self.clock.began)}.")

    def _whole(self) -> None:
        if self.clock:
            note = f"{len(self.clock.done)} done  {self.clock.left()}"
            self.bars.update(self.whole, completed=self.clock.share, note=note)


def for_stream(stream: TextIO | None = None) -> Bars | Lines:
    """Bars where a person watches, lines elsewhere; on standard error by default."""
    stream = sys.stderr if stream is None else stream
    return Bars(stream) if stream.isatty() else Lines(stream)
