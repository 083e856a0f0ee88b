"""docs/claims.md is what the committed results say, and the committed verdicts are what their tables say."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from isthmus import claims, papers
from isthmus.tables import Table

DOCS = Path(__file__).parent.parent / "docs"
AGAIN = "run `python docs/claims.py`; claims.md and verdicts.json are not written by hand"
FOLDERS = sorted(path.parent for path in DOCS.glob("results/*/*/*/claims.csv"))


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("claims_ledger", DOCS / "claims.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cell(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text or None


NAMES = {"variant", "block", "path"}  # "0" and "0.01" are names there


def table(path: Path) -> Table:
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return Table.of({name: text if name in NAMES else cell(text) for name, text in row.items()} for row in rows)


def test_there_are_results() -> None:
    assert FOLDERS


def test_the_ledger_is_the_generated_one() -> None:
    made = generator()
    assert (DOCS / "claims.md").read_text(encoding="utf-8") == made.ledger(), AGAIN
    assert made.VERDICTS.read_text(encoding="utf-8") == made.package(), AGAIN


def lines_of(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_small_and_paper_scale_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One claim at paper scale alone, one that was recalibrated and has a number of the paper, substitute data."""
    made, row = generator(), papers.row("shapira23", "mnist")
    monkeypatch.setattr(made, "HERE", tmp_path)
    folder = DOCS / "results" / "shapira23" / "mnist" / "paper"
    small, whole = (tmp_path / "results" / "shapira23" / "mnist" / scale for scale in ("small", "paper"))
    shutil.copytree(folder, small)
    shutil.copytree(folder, whole)
    rows = [dict(row) for row in table(folder / "claims.csv")][1:]
    rows[0] |= {"was": "<= 0.01, as a pilot had it", "verdict": "undecided", "published": "hardly any"}
    Table.of(rows).to_csv(small / "claims.csv")
    Table.of([{"missing": "mnist", "used": "digits"}]).to_csv(small / "substitute.csv")
    text = made.ledger()
    overview = lines_of(text, "| [shapira23 mnist](#shapira23-mnist)")
    assert [cells(line)[2:6] for line in overview] == [
        ["small, on substitute data (digits)", "9", "2", "2"],
        ["paper", "11", "2", "1"],
    ]
    assert '<a id="shapira23-mnist"></a>' in text
    (head,) = lines_of(text, "| claim | source")
    assert cells(head)[5:] == ["small scale", "paper scale"]
    (accuracy,) = lines_of(text, f"| {row.claims[0].text}")
    assert cells(accuracy)[2] == "0.9818"
    found = "**held** (2/2 seeds, by count): 0.9815 (seed 0), 0.9827 (seed 1), mean 0.9821, 95 % [0.9745, 0.9897]"
    assert cells(accuracy)[5:] == ["not judged at this scale", found]
    (second,) = lines_of(text, f"| {row.claims[1].text}")
    assert cells(second)[2] == "hardly any"
    assert cells(second)[4].endswith("; was <= 0.01, as a pilot had it")
    assert [cell.partition("**")[2].partition("**")[0] for cell in cells(second)[5:]] == ["undecided", "held"]
    assert "mnist was not at hand, digits took its place" in text
    others = sum(len(names) for names in papers.names().values()) - 1
    assert text.count("| not run yet: ") == len(lines_of(text, "- ")) == others
    assert json.loads(made.package())["shapira23 mnist"]["small"] == {
        "held": 9,
        "failed": 2,
        "undecided": 2,
        "seeds": 2,
        "date": "2026-11-22",
        "substitute": "digits",
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: "/".join(folder.parts[-3:]))
def test_the_verdicts_follow_from_the_committed_tables(folder: Path) -> None:
    """A number edited by hand in either is noticed."""
    row = papers.row(folder.parts[-3], folder.parts[-2])
    tables = {path.stem: table(path) for path in folder.glob("*.csv") if path.stem not in ("claims", "provenance")}
    again, committed = claims.judge(row.claims_at(folder.name), tables), table(folder / "claims.csv")
    assert [found["claim"] for found in again] == [found["claim"] for found in committed]
    for now, then in zip(again, committed, strict=True):
        for name in ("values", "threshold", "verdict", "right", "rule", "statistic", "text", "published", "was"):
            assert str(now[name] or None) == str(then[name]), f"{now['claim']}: {name}"
        same = now["mean"] == then["mean"] or str(now["mean"]) == str(then["mean"])  # None, NaN
        assert same or math.isclose(now["mean"], then["mean"], rel_tol=1e-12), now["claim"]
