"""The list of what can be reproduced, and the verdicts that it tells."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_setup import BRANCH, ONE

from isthmus import papers
from isthmus.papers import verdicts
from isthmus.papers.listing import HEAD, listing, rough, shown, trains
from isthmus.papers.verdicts import Verdicts, latest
from isthmus.speed import Machine
from isthmus.study import from_mapping
from isthmus.tables import Table

MACHINE = Machine(core=5e10, cores=2)
ROWS = [papers.row(paper, name) for paper, names in papers.names().items() for name in names]


def written(folder: Path, row: str, scale: str, found: list[str], date: str, **more: Any) -> Path:
    """What a run leaves."""
    Table.of({"claim": str(i), "verdict": v, "seeds": 3 + i} for i, v in enumerate(found)).to_csv(folder / "claims.csv")
    Table.of([{"last": f"{date}T10:00:00+00:00"}]).to_csv(folder / "provenance.csv")
    Table.of([{"paper": "shapira23", "row": row, "scale": scale}]).to_csv(folder / "run.csv")
    if more:
        Table.of([more]).to_csv(folder / "substitute.csv")
    return folder


# --- the list ----------------------------------------------------------------------------------------------------


def test_a_line_for_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    found = list(listing(ROWS, MACHINE, tmp_path, tmp_path))
    head, lines, rest = found[0], found[1 : 1 + len(ROWS)], " ".join(found[1 + len(ROWS) :])
    places = [head.index(name) for name in ("paper", "row", "shows", "small", "H100", "latest", "data", "trains")]
    assert places == sorted(places)
    for row, line in zip(ROWS, lines, strict=True):
        assert line[places[0] :].startswith(row.paper)
        assert line[places[1] :].startswith(f"{row.name} ")
        assert line[places[2] :].startswith(shown(row.shows))
        assert re.match(r"\d\S* \w+ +\d\S* \w+ +\d\S* \w+ ", line[places[3] :])  # every cost is known
        assert line.endswith("networks")
    assert sum(len(line[: places[7]].rstrip()) < places[7] for line in lines) > 0.8 * len(ROWS)  # few cells are wider
    assert max(places) < 160
    mnist = dict(zip((row.name for row in ROWS), lines, strict=True))["mnist"]
    assert re.search(r"  absent: mnist +lenet5 on mnist, k 0ep..7ep, s to 10ep, 12 networks$", mnist)
    for words in ("never measured", "50 GFLOP/s", "2 cores", "it takes less"):
        assert words in rest
    assert "in the store" not in rest
    seen = list(listing(ROWS[:1], dataclasses.replace(MACHINE, seen={"a": (1.0, None)}, records=17), None, tmp_path))
    assert "Of 1 network the speed is that of 17 results in the store" in " ".join(seen)


def test_a_row_with_a_substitute_says_so_where_data_are_absent(tmp_path: Path) -> None:
    row = dataclasses.replace(papers.row("shapira23", "mnist"), substitute=lambda scale: from_mapping(BRANCH))
    assert "  absent: mnist, has a substitute  " in list(listing([row], MACHINE, tmp_path, tmp_path))[1]
    (tmp_path / "mnist").mkdir()
    assert "substitute" not in list(listing([row], MACHINE, tmp_path, tmp_path))[1]


def test_what_is_trained_in_a_few_words() -> None:
    assert trains(from_mapping(BRANCH)) == "resnet20 on cifar10, k 700it..3ep, s 2ep, 3 variants"
    assert trains(from_mapping(ONE)) == "mlp on spiral, 60ep, until test accuracy 0.99"
    assert shown(("F2A", "TA3")) == "F2A TA3"
    assert shown(("F1", "F2", "text", "A12", "A13", "A14", "A16")) == "F1 F2 text A12-A14 A16"
    assert rough(3e10) == "951 y"


def test_the_list_is_quick_as_it_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from isthmus import cli, speed\n"
        "speed.probe = lambda: 1e10\n"
        "try:\n"
        "    cli.main(['reproduce', '--list'])\n"
        "except SystemExit as left:\n"
        "    assert left.code == 0\n"
        "assert not {'torch', 'matplotlib', 'scipy'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(HEAD[0])
    assert not list(tmp_path.iterdir())  # not even a store


# --- verdicts ----------------------------------------------------------------------------------------------------


def test_newer_verdicts_of_ones_own_runs_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = {"shapira23 mnist": {"paper": dataclasses.asdict(Verdicts(9, 1, 0, 2, "2025-03-01"))}}
    monkeypatch.setattr(verdicts, "_file", lambda: package)
    assert latest("shapira23", "mnist")["paper"].text == "9 held, 1 failed (2025-03-01)"
    assert latest("shapira23", "cifar10") == {}
    old = written(tmp_path / "old", "mnist", "paper", ["held"], "2025-02-28")
    new = written(tmp_path / "new", "mnist", "paper", ["failed", "undecided"], "2025-03-01")
    small = written(tmp_path / "small", "mnist", "small", ["held"], "2024-01-01", missing="mnist", used="digits")
    other = written(tmp_path / "other", "cifar10", "paper", ["held"], "2026-01-01")
    (tmp_path / "empty").mkdir()
    assert latest("shapira23", "mnist", [old, other, tmp_path / "empty", tmp_path / "none"]) == latest(
        "shapira23", "mnist"
    )
    found = latest("shapira23", "mnist", [new, small])
    assert found["paper"] == Verdicts(0, 1, 1, 4, "2025-03-01")
    assert found["small"].text == "1 held (2024-01-01, substitute data)"
    (new / "run.csv").write_text("paper,row\n", encoding="utf-8")  # cut off
    assert latest("shapira23", "mnist", [new]) == latest("shapira23", "mnist")
    line = list(listing([papers.row("shapira23", "mnist")], MACHINE, None, tmp_path))[1]
    assert "  paper: 9 held, 1 failed (2025-03-01)  " in line


def test_the_verdicts_in_the_package_are_those_of_its_results() -> None:
    results = Path(__file__).parents[2] / "docs" / "results"
    found = json.loads(Path(verdicts.__file__).with_name(verdicts.FILE).read_text(encoding="utf-8"))
    counted: dict[str, dict[str, list[str]]] = {}
    for path in results.glob("*/*/*/claims.csv"):
        paper, row, scale = path.parts[-4:-1]
        with path.open(newline="", encoding="utf-8") as file:
            counted.setdefault(f"{paper} {row}", {})[scale] = [line["verdict"] for line in csv.DictReader(file)]
    assert {row: set(scales) for row, scales in found.items()} == {row: set(s) for row, s in counted.items()}
    for row, scales in counted.items():
        for scale, told in scales.items():
            assert [found[row][scale][kind] for kind in verdicts.KINDS] == [told.count(kind) for kind in verdicts.KINDS]
