"""What is shown while files are fetched: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

__all__ = ["Bars", "Lines", "Progress", "for_stream", "megabytes"]


class Progress(Protocol):
    """Somebody who is told how far one thing after the other is."""

    def begin(self, what: str, done: int, total: int | None) -> None:
        """Something begins, of which so many bytes are done already and so many are expected (None: not known)."""

    def advance(self, done: int) -> None:
        """So many bytes of it are done."""

    def end(self) -> None:
        """It is over, whether it was finished or not."""

    def say(self, message: str) -> None:
        """Something that the user has to know."""


def megabytes(count: int) -> str:
    """A number of bytes in words.

    >>> megabytes(170_498_071), megabytes(4_542)
    ('170.5 MB', '0.005 MB')
    """
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e6:.3f} MB"


class Lines:
    """A line every few seconds and one at the end, for logs and pipes."""

    def __init__(self, stream: TextIO, every: float = 10.0) -> None:
        self.stream, self.every = stream, every
        self.what = ""

    def begin(self, what: str, done: int, total: int | None) -> None:
        """Say what begins, and what is there of it."""
        self.what, self.began, self.first, self.done, self.total = what, time.monotonic(), done, done, total
        self.last = self.began
        size = "" if total is None else f", {megabytes(total)}"
        self.say(f"{what}{size}{f', going on from {megabytes(done)}' if done else ''}")

    def advance(self, done: int) -> None:
        """Say how far it is, if it was not said just now."""
        self.done, now = done, time.monotonic()
        if now - self.last >= self.every:
            self.last = now
            share = f" ({done / self.total:.0%})" if self.total else ""
            self.say(f"  {megabytes(done)}{share} in {self._pace(now)}")

    def end(self) -> None:
        """Say how long it took."""
        self.say(f"  {megabytes(self.done)} in {self._pace(time.monotonic())}")

    def say(self, message: str) -> None:
        """Print a line."""
        print(message, file=self.stream, flush=True)

    def _pace(self, now: float) -> str:
        seconds = now - self.began
        return f"{seconds:.1f} s, {(self.done - self.first) / 1e6 / max(seconds, 1e-3):.1f} MB/s"


class Bars:
    """A bar with bytes, MB/s, and seconds gone and left."""

    def __init__(self, stream: TextIO) -> None:
        from rich import progress
        from rich.console import Console

        self.bars = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=24),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(file=stream),
        )

    def begin(self, what: str, done: int, total: int | None) -> None:
        """Draw the bar."""
        self.task = self.bars.add_task(what, total=total, completed=done)
        self.bars.start()

    def advance(self, done: int) -> None:
        """Move the bar."""
        self.bars.update(self.task, completed=done)

    def end(self) -> None:
        """Leave the bar as it is."""
        self.bars.stop()
        self.bars.remove_task(self.task)

    def say(self, message: str) -> None:
        """Print above the bar."""
        self.bars.console.print(message, markup=False, highlight=False)


def for_stream(stream: TextIO | None = None) -> Bars | Lines:
    """A bar where a person watches, lines elsewhere; on standard error by default."""
    stream = sys.stderr if stream is None else stream
    return Bars(stream) if stream.isatty() else Lines(stream)
