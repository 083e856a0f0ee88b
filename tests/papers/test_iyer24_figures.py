"""Figures of Iyer24 from results made up for them: what they show, and that no table breaks them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from iyer24_worlds import World, tables
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isthmus import papers
from isthmus.tables import Table

ROWS = {name: papers.row("iyer24", name) for name in papers.names("iyer24")}
FILES = {
    "beside": ["beside"],
    "f2": ["F2", "F2-gain"],
    "f5": ["F5", "F5-changes"],
    "f6": ["F6", "F6-gain"],
    "f7": ["F7", "F7-changes"],
    "f8": ["F8-1", "F8-2", "F8-gain"],
    "f9": ["F9", "F9-gain"],
    "f14": ["F14", "F14-gain", "F15", "F15-gain"],
    "f16": ["F16", "F16-gain", "F17", "F17-gain"],
    "f18": ["F18", "F18-gain", "F19", "F19-gain"],
    "text": ["text"],
}


def sane(figure: Figure) -> None:
    for axes in figure.axes:
        assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()


def marked(axes: Axes) -> list[float]:
    """Where the grey lines of a panel begin: drops of the learning rate, and a level at 0."""
    grey = [line for line in axes.get_lines() if line.get_color() == "#777777"]
    return [float(np.asarray(line.get_xdata())[0]) for line in grey]


@pytest.mark.parametrize("name", ROWS)
def test_figures_of_the_small_study(name: str, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    wanted = FILES.get(name, [name.upper()])
    assert ROWS[name].figures(tables(ROWS[name], World()), tmp_path) == [tmp_path / file for file in wanted]
    assert set(drawn) == set(wanted)
    for figure in drawn.values():
        sane(figure)
        assert "norm_stats: recompute." in figure.texts[1].get_text().replace("\n", " ")


@pytest.mark.parametrize("name", ["f2", "f3", "f12", "beside"])
def test_figures_of_the_published_study(name: str, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    ROWS[name].figures(tables(ROWS[name], World(), "paper"), tmp_path)
    for figure in drawn.values():
        sane(figure)
    if name == "f12":  # merged at epoch 20: panels count from there
        assert [marked(axes) for axes in drawn["F12"].axes] == [[60, 100], [60, 100, 0]]
    if name == "f2":
        panels = [axes.get_title(loc="left") for axes in drawn["F2"].axes if axes.get_title(loc="left")]
        ks = ["0ep", "500it", "1000it", "5ep", "2000it", "10ep"]  # by length: five epochs have 1955 steps
        assert panels == [f"{part}, k = {k}" for part in ("early", "to the end") for k in ks]
        assert marked(drawn["F2"].axes[6]) == [80, 120]


@pytest.mark.parametrize("name", [name for name in ROWS if name not in ("f7", "f8", "f16", "f18")])  # others' figures
def test_one_seed_and_missing_tables(name: str, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    one = tables(ROWS[name], World(), seeds=1)
    ROWS[name].figures(one, tmp_path)
    missing = {key: table for key, table in one.items() if key in ("setup", "drops")}
    ROWS[name].figures(missing, tmp_path)
    for figure in drawn.values():
        sane(figure)


@pytest.mark.parametrize("lost", ["gains", "lines", "networks", "table1", "baselines", "distances", "course"])
def test_a_table_that_is_not_there(lost: str, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    own = {"table1": ("f5", "f12"), "baselines": ("beside",), "distances": ("beside",), "course": ("beside",)}
    for name in own.get(lost, ("f1", "f4", "f9", "text")):
        found: Mapping[str, Table] = tables(ROWS[name], World(), seeds=2)
        ROWS[name].figures({key: table for key, table in found.items() if key != lost}, tmp_path)
    for figure in drawn.values():
        sane(figure)


def curves(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """The labelled lines of a panel."""
    return {
        str(line.get_label()): (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist())
        for line in axes.get_lines()
        if not str(line.get_label()).startswith("_")
    }


def test_what_f1_shows(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    world = World(
        child=lambda at: 0.5 + 0.01 * at.s + 0.01 * at.after + 0.01 * at.seed,
        apart=lambda at: 0.02,
        gain=lambda at: 0.04,
        merged=lambda at: 0.55,
        trunk=lambda at: 0.1 * at.k,
    )
    ROWS["f1"].figures(tables(ROWS["f1"], world), tmp_path)
    left, right = drawn["F1"].axes
    found = curves(left)
    assert found["trunk"][0] == [1, 2, 5]
    assert found["trunk"][1] == pytest.approx([10, 20, 50])
    x, y = found["copies (mean)"]
    assert x[:6] == [5, 6, 7, 8, 9, 10]
    assert y[1:6] == pytest.approx([53 + s - 1 for s in range(1, 6)])  # .5 + .01 s, half of .02, the mean of 3 seeds
    assert found["alpha 0.5"][1] == pytest.approx([57 + s - 1 for s in range(1, 6)])
    assert found["merge, trained on"][0] == pytest.approx(np.arange(10, 12.1, 0.25), abs=0.002)  # whole steps
    assert found["merge, trained on"][1] == pytest.approx([61.0] + [55.0] * 8)
    assert curves(right)["s = 3ep"][1] == pytest.approx([-1, 2.5, 4, 3.5, 1])


def test_what_f4_shows(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    world = World(
        child=lambda at: 0.5,
        apart=lambda at: 0.0,
        gain=lambda at: 0.04 + 0.01 * at.seed,
        merged=lambda at: 0.52 if "100" in at.variant else 0.5,
    )
    ROWS["f4"].figures(tables(ROWS["f4"], world), tmp_path)
    accuracy, change = (curves(axes) for axes in drawn["F4"].axes)
    assert list(accuracy) == list(change) == ["lr .1", "warm-up over 100", "warm-up over 390"]
    assert accuracy["warm-up over 100"][1] == pytest.approx([55.0] + [52.0] * 4)
    assert change["warm-up over 100"][1] == pytest.approx([0.0] + [-3.0] * 4)
    assert change["lr .1"][1] == pytest.approx([0.0] + [-5.0] * 4)


def test_what_table_1_shows(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    ROWS["f5"].figures(tables(ROWS["f5"], World()), tmp_path)
    accuracy, error, points = drawn["F5-changes"].axes
    heights = [patch.get_height() for patch in points.patches]  # type: ignore[attr-defined]
    assert heights[:4] == pytest.approx([0.3, 3.0, 10.0, 8.0])
    crosses = [float(np.asarray(line.get_ydata())[0]) for line in accuracy.get_lines() if line.get_marker() == "x"]
    assert crosses == [0.00285, 0.03166, 0.13364, 0.18621, -0.0049, -0.04067, -0.14097, -0.17065]
    finite = [line for line in error.get_lines() if line.get_marker() == "x"]
    assert len(finite) == 7  # one of the published changes is infinite


def test_the_files(tmp_path: Path) -> None:
    files = ROWS["f4"].figures(tables(ROWS["f4"], World(), seeds=2), tmp_path / "new")
    assert [file.name for file in files] == ["F4.png", "F4.svg"]
    assert all(file.stat().st_size > 2000 for file in files)
