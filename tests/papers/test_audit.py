"""Claims under other conventions: a real miniature row, made-up verdicts, the grid and the figure."""

from __future__ import annotations

import csv
import dataclasses
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from isthmus import claims, cli, papers
from isthmus.claims import Claim, Tables, per_seed
from isthmus.errors import BadInput, RunFailed
from isthmus.papers import Row, audit
from isthmus.papers.setup import setup
from isthmus.study import Results, Study, from_mapping
from isthmus.study.conventions import conventions
from isthmus.study.files import override
from isthmus.tables import Table
from small_studies import BRANCH, ran

CONTENT = {
    **BRANCH,
    "seeds": [1, 2, 3],
    "model": {"name": "small_studies:normed"},
    "branch": {"at": ["3it"], "lengths": ["4it"]},
    "merge": {"after": "4it", "every": "4it"},
    "evaluate": {"alphas": 3, "stats_batch": 32, "stats_examples": 100},
}


def gain(tables: Tables) -> float:
    found = tables["networks"].where(after_steps=0)
    mean = sum(found.where(network=f"child{i}")["loss"][0] for i in (1, 2)) / 2
    return float(mean - found.where(network="merge")["loss"][0])


def late(tables: Tables) -> float:
    found = tables["networks"].where(after_steps=4)
    return float(found.where(network="merge")["accuracy"][0])


def claim(name: str, values: Any, threshold: float) -> Claim:
    return Claim(name, "", "", "a number", ">=", threshold, "", per_seed(values))


def draw(tables: Tables, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "F1.svg").write_text("", encoding="utf-8")
    return [folder / "F1.svg"]


def tables_of(results: Results) -> Tables:
    return {"setup": setup(results), "networks": results["networks"]}


ROW = Row(
    name="mini",
    paper="mine",
    title="A miniature",
    shows=("F1",),
    study=lambda scale: from_mapping(CONTENT),
    tables=tables_of,
    claims=(claim("gain", gain, 0.0), claim("late", late, 0.5)),
    figures=draw,
)


def test_each_convention_is_the_row_run_so(tmp_path: Path) -> None:
    study = ROW.study("small")
    own = claims.judge(ROW.claims, tables_of(ran(study, tmp_path)))
    others, _ = conventions(study)
    found = audit.judged(ROW, "small", own, others, lambda one: ran(one, tmp_path))
    assert not found.failures
    table = audit.compare(found.claims)
    assert list(dict.fromkeys(table["convention"])) == [
        *("default", "norm_stats interpolate", "norm_stats batch", "norm_stats keep", "norm_stats init"),
        *("buffers keep", "buffers average"),
    ]
    sets = {"norm_stats init": ["evaluate.norm_stats=init"]}
    sets["buffers keep"] = ["branch.buffers=keep", "merge.buffers=keep"]
    for name, changed in sets.items():
        tables = tables_of(ran(from_mapping(override(CONTENT, changed)), tmp_path))
        for claim_, statistic in (("gain", gain), ("late", late)):
            (row,) = table.where(convention=name, claim=claim_)
            values = [
                statistic({key: part.where(seed=seed) for key, part in tables.items() if "seed" in part.columns})
                for seed in (1, 2, 3)
            ]
            assert row["mean"] == pytest.approx(sum(values) / 3, rel=1e-12)
    assert len(set(table.where(claim="gain")["mean"])) == 5  # "keep" and "interpolate" are one for single networks


def judged(**verdicts: tuple[float | None, str]) -> Table:
    rows = [
        {"claim": name, "mean": mean, "verdict": verdict, "threshold": ">= 1", "seeds": 3, "reason": ""}
        for name, (mean, verdict) in verdicts.items()
    ]
    return Table.of(rows)


MADE_UP = {
    "default": judged(gain=(2.5, "held"), drop=(-0.25, "failed"), rest=(None, "undecided")),
    "norm_stats init": judged(gain=(-1.25, "failed"), drop=(0.5, "undecided"), rest=(3.0, "held")),
    "buffers keep": judged(gain=(2.125, "held"), drop=(-0.125, "held"), rest=(float("nan"), "undecided")),
}


def test_what_differs() -> None:
    found = audit.compare(MADE_UP)
    assert found.columns == audit.COLUMNS
    flags = {
        (row["convention"], row["claim"]): (row["sign_differs"], row["verdict_differs"], row["contradiction"])
        for row in found
    }
    assert flags == {
        **{("default", name): (False, False, False) for name in ("gain", "drop")},
        ("default", "rest"): (None, False, False),
        ("norm_stats init", "gain"): (True, True, True),
        ("norm_stats init", "drop"): (True, True, False),
        ("norm_stats init", "rest"): (None, True, False),
        ("buffers keep", "gain"): (False, False, False),
        ("buffers keep", "drop"): (False, True, True),
        ("buffers keep", "rest"): (None, False, False),
    }
    (row,) = found.where(convention="norm_stats init", claim="gain")
    assert (row["mean"], row["default_mean"], row["default_verdict"]) == (-1.25, 2.5, "held")


def test_the_grid() -> None:
    assert audit.grid(audit.compare(MADE_UP)).splitlines() == [
        "      default       norm_stats init  buffers keep",
        "gain  held 2.5      failed!- -1.25   held 2.12",
        "drop  failed -0.25  undecided*- 0.5  held! -0.125",
        "rest  undecided     held* 3          undecided nan",
    ]


def test_the_figure(drawn: dict[str, Figure], tmp_path: Path) -> None:
    audit.draw(ROW, audit.compare(MADE_UP), tmp_path)
    (axes,) = drawn["audit"].axes
    texts = [text.get_text() for text in axes.texts]
    assert texts[:3] == ["default", "norm stats init", "buffers keep"]
    assert {"failed -1.25 (-)", "held 2.5", "held -0.125", "undecided nan"} <= set(texts)
    framed = [patch for patch in axes.patches if patch.get_linewidth() == 1.4]
    assert len(framed) == 2  # what contradicts


def test_a_convention_that_fails_is_told_and_the_others_go_on() -> None:
    others, _ = conventions(ROW.study("small"))

    def compute(study: Study) -> Results:
        if study.evaluate.norm_stats == "batch":
            raise RunFailed("1 of 9 results failed.")
        raise BadInput("There is no such table.")

    found = audit.judged(ROW, "small", MADE_UP["default"], others[:2], compute)
    assert list(found.claims) == ["default"]
    assert found.failures == (
        "mine mini under norm_stats interpolate: There is no such table.",
        "mine mini under norm_stats batch: 1 of 9 results failed.",
    )


# --- on the command line ----------------------------------------------------------------------------------------------


@pytest.fixture
def isthmus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """``isthmus(*arguments)`` in an empty folder: the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(papers, "row", lambda paper, name: ROW)
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main([*arguments, "--audit"])
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    yield call
    signal.signal(signal.SIGTERM, before)


HERE = ("--workers", "0", "--threads", "1")


def test_auditing_a_row(isthmus: Any, tmp_path: Path) -> None:
    code, out, _ = isthmus("reproduce", "mine", "mini", "--dry-run", "--set", "seeds=[1]")
    assert code == 0
    added = [line for line in out.splitlines() if "in addition" in line]
    assert added == [
        *(f"norm_stats {mode}: in addition 7 path." for mode in ("interpolate", "batch", "keep", "init")),
        "buffers keep: in addition 1 distance, 1 merge, 7 path, 5 train.",
        "buffers average: in addition 1 merge, 2 path, 1 train.",
    ]
    code, out, _ = isthmus("reproduce", "mine", "mini", "--out", "here", *HERE)
    assert code == 0
    lines = out.splitlines()
    assert lines[-1] == "Conventions beside each other: audit.csv, audit.png, audit.svg"
    assert [line.split()[0] for line in lines[-4:-2]] == ["gain", "late"]
    assert lines[-2] == "(! contradicts the default, * another verdict, - another sign of the mean)"
    with (tmp_path / "here" / "audit.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 * 2
    with (tmp_path / "here" / "claims.csv").open(newline="", encoding="utf-8") as file:
        own = {row["claim"]: row["mean"] for row in csv.DictReader(file)}
    assert {row["claim"]: row["mean"] for row in rows if row["convention"] == "default"} == own


def test_an_audit_of_one_convention(isthmus: Any, tmp_path: Path) -> None:
    one = ("--audit-of", "norm_stats interpolate", "--set", "seeds=[1]")
    code, out, _ = isthmus("reproduce", "mine", "mini", "--dry-run", *one)
    assert [line for line in out.splitlines() if "in addition" in line] == [
        "norm_stats interpolate: in addition 7 path."
    ]
    code, out, _ = isthmus("reproduce", "mine", "mini", "--out", "here", *one, *HERE)
    assert code == 0
    with (tmp_path / "here" / "audit.csv").open(newline="", encoding="utf-8") as file:
        assert [row["convention"] for row in csv.DictReader(file)] == ["default"] * 2 + ["norm_stats interpolate"] * 2
    code, _, err = isthmus("reproduce", "mine", "mini", "--dry-run", "--audit-of", "batch")
    assert (code, err[:40]) == (2, "isthmus: There is no convention 'batch':")


def test_an_audit_of_which_a_part_failed_ends_so(isthmus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def tables(results: Results) -> Tables:
        if results.study.evaluate.norm_stats == "init":
            raise BadInput("nothing here.")
        return tables_of(results)

    row = dataclasses.replace(ROW, tables=tables)
    monkeypatch.setattr(papers, "row", lambda paper, name: row)
    code, out, err = isthmus("reproduce", "mine", "mini", "--set", "seeds=[1]", *HERE)
    assert (code, err.splitlines()[-1]) == (1, "isthmus: mine mini under norm_stats init: nothing here.")
    assert "norm_stats init" not in out.splitlines()[-4]
    assert "buffers keep" in out.splitlines()[-4]
    assert Path("isthmus-out/mine-mini/audit.csv").is_file()


def test_auditing_a_study(isthmus: Any, tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(f"study = {CONTENT | {'seeds': [1]}!r}\n", encoding="utf-8")
    code, out, _ = isthmus("run", "study.py", "--set", "model.name=small_studies:normed", *HERE)
    assert code == 0
    lines = out.splitlines()
    assert lines[-1] == "Conventions beside each other: audit.csv"
    assert [line.split(":")[0] for line in lines[-7:-1]] == [
        *(f"norm_stats {mode}" for mode in ("interpolate", "batch", "keep", "init")),
        *("buffers keep", "buffers average"),
    ]
    assert "of 6 signed barriers have another sign." in lines[-2]
    with (tmp_path / "isthmus-out" / "small" / "audit.csv").open(newline="", encoding="utf-8") as file:
        names = {row["convention"] for row in csv.DictReader(file)}
    assert len(names) == 7
