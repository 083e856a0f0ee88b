"""docs/claims.md is what the committed results say, and the committed verdicts are what their tables say."""

from __future__ import annotations

import csv
import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from isthmus import claims, papers
from isthmus.tables import Table

DOCS = Path(__file__).parent.parent / "docs"
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


def table(path: Path) -> Table:
    with path.open(newline="", encoding="utf-8") as file:
        return Table.of({name: cell(text) for name, text in row.items()} for row in csv.DictReader(file))


def test_there_are_results() -> None:
    assert FOLDERS


def test_the_ledger_is_the_generated_one() -> None:
    written = (DOCS / "claims.md").read_text(encoding="utf-8")
    assert written == generator().ledger(), "run `python docs/claims.py`; claims.md is not written by hand"


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
        assert math.isclose(now["mean"], then["mean"], rel_tol=1e-12)
