"""The published set-ups, run whole on real data: minutes each, compared with the committed results."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "docs" / "results"
DATA = os.environ.get("ISTHMUS_DATA")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def reproduce(folder: Path) -> str:
    """What the command says on standard output; its files are in ``folder``."""
    command = [sys.executable, "-m", "isthmus", "reproduce", "shapira23", "mnist", "--store", str(folder / "store")]
    done = subprocess.run(
        [*command, "--out", str(folder / "out")], stdout=subprocess.PIPE, text=True, check=True, timeout=1800
    )
    return done.stdout


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="ISTHMUS_DATA is not set")
def test_shapira23_on_mnist(tmp_path: Path) -> None:
    assert "322 results computed" in reproduce(tmp_path)
    out, committed = tmp_path / "out", RESULTS / "shapira23" / "mnist" / "paper"
    for row in rows(out / "table1.csv"):
        assert (row["parameters"], row["steps"]) == ("61706", "580")
        assert abs(float(row["test_accuracy"]) - 0.980) <= 0.004
    lengths = {0: 10, 1: 9, 2: 8, 5: 5, 7: 3}
    assert len(rows(out / "pairs.csv")) == 2 * sum(lengths.values()) * 2 * 2  # repeats, splits, metrics
    assert len(rows(out / "curves.csv")) == 2 * sum(lengths.values()) * 2 * 25
    verdicts = {row["claim"]: row["verdict"] for row in rows(out / "claims.csv")}
    assert verdicts == {row["claim"]: row["verdict"] for row in rows(committed / "claims.csv")}
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    assert "nothing had to be computed" in reproduce(tmp_path)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
