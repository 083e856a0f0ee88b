"""The demonstration: every number that it prints, from the tables that it writes; and that it shows what it says."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from isthmus import demo
from isthmus.study import BranchStudy, InitToFinalStudy, from_mapping
from isthmus.study.files import override

FILES = [
    *(f"demo-branching/{name}.csv" for name in ("pairs", "curves", "networks", "seeds", "provenance")),
    *(f"demo-branching/{name}.{kind}" for name in ("lines", "after-merge") for kind in ("png", "svg")),
    *(f"demo-from-initial/{name}.csv" for name in ("paths", "curves", "seeds", "provenance")),
    *(f"demo-from-initial/path-initial-to-final-test.{kind}" for kind in ("png", "svg")),
]


def rows(path: Path, **values: str) -> list[Mapping[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if all(row[name] == value for name, value in values.items())]


def mean(found: list[Mapping[str, str]], *columns: str) -> float:
    values = [float(row[column]) for row in found for column in columns]
    return sum(values) / len(values)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def table(printed: str, head: str) -> list[list[str]]:
    """The rows of the printed table whose head begins so; cells are two spaces or more apart."""
    lines = printed[printed.index(f"   {head}  ") :].splitlines()
    end = next(index for index, line in enumerate(lines) if not line.strip())
    return [re.split(r"  +", line.strip()) for line in lines[2:end]]


def check(printed: str, out: Path) -> None:
    """The printed tables against the files."""
    pairs, curves, networks = (out / "demo-branching" / f"{name}.csv" for name in ("pairs", "curves", "networks"))
    halves, merges = table(printed, "k"), table(printed[printed.index("2. ") :], "k")
    ks = list(dict.fromkeys(row["k"] for row in rows(pairs)))
    assert [cells[0] for cells in halves] == [cells[0] for cells in merges] == ks
    for k, copies, halfway, barrier in halves:
        ends = rows(pairs, k=k, metric="error")
        assert copies == percent(1 - mean(ends, "start", "end"))
        assert halfway == percent(1 - mean(rows(curves, k=k, alpha="0.5"), "error"))
        assert barrier == f"{100 * mean(ends, 'chord'):.1f} points"
    for k, *cells in merges:
        found = rows(networks, k=k)
        afters = sorted({int(row["after_steps"]) for row in found})
        assert len(cells) == len(afters)
        for cell, after in zip(cells, afters, strict=True):
            now = [row for row in found if int(row["after_steps"]) == after]
            merge = [row for row in now if row["network"] == "merge"]
            others = [row for row in now if row["network"] != "merge"]
            assert cell == f"{percent(mean(others, 'accuracy'))} | {percent(mean(merge, 'accuracy'))}"
    shapes = [
        [row["block"], row["shape"], *(f"{float(row[name]):.2f}" for name in ("start", "end", "rise"))]
        for row in rows(out / "demo-from-initial" / "paths.csv", metric="loss")
    ]
    assert table(printed, "what moves") == shapes
    assert [line.strip() for line in printed.splitlines() if line.startswith(f"  {out}")] == [
        str(out / name) for name in FILES
    ]
    assert all((out / name).stat().st_size > 0 for name in FILES)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same two studies, shorter and of a smaller network; everything else of the demonstration is as it is."""
    shared = [
        "recipe.batch_size=256",
        "model={name = 'mlp', input_shape = [1, 8, 8], hidden = [9]}",
        "evaluate.alphas=3",
    ]
    branching = ['branch.at=["0ep", "1ep"]', 'branch.lengths=["1ep"]', 'merge.after="1ep"']
    for name, sets in (("branching", branching), ("from_initial", ['train.to="2ep"'])):
        study = getattr(demo, name)().model_dump(mode="json")
        monkeypatch.setattr(demo, name, lambda study=study, sets=sets: from_mapping(override(study, shared + sets)))


@pytest.mark.usefixtures("small")
def test_every_printed_number_is_that_of_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo.run(tmp_path, workers=0)
    printed = capsys.readouterr().out
    check(printed, tmp_path)
    begun = time.monotonic()
    demo.run(tmp_path, workers=0)
    again = capsys.readouterr()
    assert not again.err  # nothing had to be computed
    timing = re.compile(r"figures \(.*\)")
    assert timing.sub("", again.out) == timing.sub("", printed)
    assert time.monotonic() - begun < 5  # nothing is trained, nothing is drawn


def test_the_studies_are_what_the_demonstration_says() -> None:
    branching, initial = demo.branching(), demo.from_initial()
    assert isinstance(branching, BranchStudy)
    assert isinstance(initial, InitToFinalStudy)
    assert (branching.data.name, branching.model.name, len(branching.seeds)) == ("digits", "resnet20", 2)
    assert [str(length) for length in branching.branch.lengths] == ["6ep"]
    assert 0.5 in branching.evaluate.points  # the halfway network is a point of the line
    assert initial.train.blocks == "all"


@pytest.mark.slow
def test_the_true_demonstration(tmp_path: Path) -> None:
    """As a user runs it: in time, and with the results that its text tells to look for."""
    out, began = tmp_path / "out", time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "isthmus", "demo", "--out", str(out)], capture_output=True, text=True, check=False
    )
    took = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    check(done.stdout, out)
    apart, shared = table(done.stdout, "k")
    number = [[float(cell.split()[0]) for cell in cells[1:]] for cells in (apart, shared)]
    assert number[0][2] > 3 > number[1][2]  # a barrier, and none
    assert number[0][1] < number[0][0]
    assert number[1][1] > number[1][0]
    assert took < 90
