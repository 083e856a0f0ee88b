"""Every row at the published set-up: it starts, trains some steps, stops when asked to, and goes on from there.

Half an hour in all on a core; the runs themselves are for a GPU.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isthmus import papers
from isthmus.store import Store

DATA = os.environ.get("ISTHMUS_DATA")
ROWS = [(paper, name) for paper, names in papers.names().items() for name in names]

STEPS = re.compile(r"\(train .*: epoch [\d.]+/\d+, [1-9][\d,]* images/s(, \d+ at once)?\)$")
"""What a run says when it has taken a step."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.data,
    pytest.mark.skipif(DATA is None, reason="ISTHMUS_DATA is not set"),
]


def started_and_stopped(paper: str, name: str, folder: Path) -> tuple[int, list[str]]:
    """A run that is asked to stop as soon as it has taken steps; its exit code and what it said."""
    command = [sys.executable, "-m", "isthmus", "reproduce", paper, name, "--scale", "paper", "--workers", "1"]
    log = folder / "log"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [*command, "--threads", "1", "--store", str(folder / "store"), "--out", str(folder / "out")],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if any(STEPS.search(line) for line in log.read_text(encoding="utf-8").splitlines()):
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    code = process.wait(timeout=150)
    return code, log.read_text(encoding="utf-8").splitlines()


def trained(store: Store) -> int:
    """The steps of all trained states of a store: what was in flight gives way to what is further along."""
    return sum(record.summary["step"] for record in map(store.get, store.keys()) if record.kind == "train")


@pytest.mark.parametrize(("paper", "name"), ROWS, ids=[f"{paper}-{name}" for paper, name in ROWS])
def test_a_published_set_up_starts_stops_and_goes_on(paper: str, name: str, tmp_path: Path) -> None:
    store, before = Store(tmp_path / "store"), 0
    for _ in range(2):
        code, told = started_and_stopped(paper, name, tmp_path)
        assert code == 130, told
        assert re.fullmatch(
            r"isthmus: Stopped with \d+ of \d+ results computed and training in flight saved; run the same command"
            r" again and it goes on from here\.",
            told[-1],
        )
        assert not any("Traceback" in line or "FAILED" in line for line in told)
        assert store.verify() == []
        assert trained(store) > before  # the second run sets out where the first one stopped
        before = trained(store)
