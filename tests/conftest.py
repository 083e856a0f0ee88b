"""One hypothesis profile for the whole suite: the same examples every time, no clock; one thread; Ctrl-C that works."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from isthmus.store import Store

# Networks as small as the tests' gain nothing from a second thread, and lose fivefold on busy cores. Bits are
# compared between processes as well, which are given one thread each.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# A shell's background job ignores SIGINT, and so would every process that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=40, database=None)
settings.load_profile("suite")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures by name, laid out but not saved."""
    from isthmus import plots

    found: dict[str, Figure] = {}

    def keep(figure: Figure, path: Path) -> list[Path]:
        figure.draw_without_rendering()
        found[path.name] = figure
        return [path]

    monkeypatch.setattr(plots, "save", keep)
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for the tests of a file."""
    from isthmus.store import Store

    return Store(tmp_path_factory.mktemp("store"))
