"""What a run shows: shares of the work by cost, time left at the pace so far, nothing lost in a log."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import display
from isthmus.display import Bars, Lines, duration, for_stream
from isthmus.graph import Plan, plan
from isthmus.nodes import Train
from isthmus.store import Record, Store
from isthmus.study import expand
from small_studies import branch


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(display, "time", SimpleNamespace(monotonic=found.monotonic))
    return found


@pytest.fixture
def work(tmp_path: Path) -> Plan:
    return plan(expand(branch("evaluate.norm_stats=interpolate")).targets, Store(tmp_path))


def record(plan: Plan, key: str) -> Record:
    return Record(key, plan.pending[key].kind, plan.pending[key].label, {}, "0" * 64)


def trained(plan: Plan) -> list[str]:
    return [key for key, node in plan.pending.items() if isinstance(node, Train)]


@given(st.floats(0, 1e6))
def test_a_duration_is_right_to_its_last_unit(seconds: float) -> None:
    words = duration(seconds).split()
    units = {"s": 1, "min": 60, "h": 3600}
    counts = {unit: int(count) for count, unit in zip(words[::2], words[1::2], strict=True)}
    assert abs(sum(count * units[unit] for unit, count in counts.items()) - seconds) <= (60 if "h" in counts else 0.5)
    assert all(count < 60 for unit, count in counts.items() if unit != "h")


def test_a_log_says_what_is_to_come_how_far_it_is_and_how_long_it_took(work: Plan, clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(stream, every=10.0)
    lines.begin(work, 2)
    first, second, *_ = trained(work)
    lines.progress(0, first, 1, 4, "epoch 0.2/1")
    assert len(stream.getvalue().splitlines()) == 1  # not a line for every step
    clock.now += 30
    lines.progress(0, first, 3, 4, "epoch 0.6/1, 900 images/s")
    clock.now += 9
    lines.finished(0, first, record(work, first))
    clock.now += 91
    lines.finished(1, second, record(work, second))
    lines.failed(0, "f" * 64, "it broke")
    lines.say("a word")
    clock.now += 3
    lines.end()
    done = 0.75 * work.cost_of(first) / work.cost
    both = (work.cost_of(first) + work.cost_of(second)) / work.cost
    assert stream.getvalue().splitlines() == [
        f"{len(work.pending)} results to compute with 2 worker(s), 0 at hand.",
        f"  0/{len(work.pending)} results, {done:4.0%} of the work, {duration(30 * (1 - done) / done)} left"
        f" ({work.pending[first].label}: epoch 0.6/1, 900 images/s)",
        f"  2/{len(work.pending)} results, {both:4.0%} of the work, {duration(130 * (1 - both) / both)} left"
        f" ({work.pending[second].label})",
        "FAILED ffffffffffff: it broke",
        "a word",
        "2 results in 2 min 13 s.",
    ]


def test_the_share_of_the_work_never_falls_and_ends_at_all_of_it(work: Plan, clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(stream, every=0.0)
    lines.begin(work, 1)
    assert lines.clock is not None
    shares = [lines.clock.share]
    for key in work.pending:
        for done in (0, 1, 2):
            clock.now += 1
            lines.progress(0, key, done, 2, "half way")
            shares.append(lines.clock.share)
        lines.finished(0, key, record(work, key))
        lines.progress(0, key, 1, 2, "a message that came late")
        shares.append(lines.clock.share)
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1, abs=1e-12)
    assert shares[-1] <= 1
    lines.progress(0, next(iter(work.pending)), 0, 0, "nothing to do")  # no division by nothing


def test_no_time_is_promised_before_there_is_a_pace(work: Plan, clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(stream, every=0.0)
    lines.begin(work, 1)
    key = trained(work)[0]
    clock.now += 1.5
    lines.progress(0, key, 1, 2, "epoch 0.5/1")
    clock.now += 100
    lines.progress(0, key, 1, 1e9, "epoch 0.0/1")
    assert "left" not in stream.getvalue()
    assert stream.getvalue().splitlines()[-1].endswith(f"0% of the work ({work.pending[key].label}: epoch 0.0/1)")


def test_a_run_that_has_nothing_to_do() -> None:
    stream = io.StringIO()
    for shown in (Lines(stream), Bars(Terminal())):
        shown.begin(Plan(present=4), 1)
        shown.end()
    assert stream.getvalue().startswith("0 results to compute with 1 worker(s), 4 at hand.\n0 results in 0 s.")
    Lines(stream).end()  # before it began


def test_bars_on_a_terminal(work: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    stream = Terminal()
    bars = Bars(stream)
    bars.begin(work, 2)
    for key in work.pending:
        bars.progress(1, key, 1, 2, "epoch 0.5/1 [b]")  # brackets are no markup
        bars.bars.refresh()
        bars.finished(1, key, record(work, key))
    bars.failed(0, "f" * 64, "no [/red] thing")
    bars.bars.refresh()
    bars.end()
    text = stream.getvalue()
    assert "epoch 0.5/1 [b]" in text
    assert f"{len(work.pending)} results" in text
    assert f"{len(work.pending)} done" in text
    assert "100%" in text
    assert "starting" in text  # the worker that was given nothing
    assert "FAILED ffffffffffff: no [/red] thing" in text
    assert text.rstrip().endswith(f"{len(work.pending)} results in 0 s.")


def test_bars_where_a_person_watches_and_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(for_stream(Terminal()), Bars)
    assert isinstance(for_stream(io.StringIO()), Lines)
    error = io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    found = for_stream()
    found.say("to standard error")
    assert error.getvalue() == "to standard error\n"
