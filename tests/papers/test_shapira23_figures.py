"""Figures F1 to F5 of Shapira23 from tables made up for them: what they show, and that no table breaks them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from shapira23_worlds import EPOCHS, K1, PLAIN, World, at, tables

from isthmus import papers
from isthmus.tables import Table

ROW = papers.row("shapira23", "mnist")


def nowhere(*_: Any) -> float:
    return math.nan


NOWHERE = World(nowhere, nowhere, nowhere, PLAIN.top, nowhere, nowhere, nowhere)
ODD: dict[str, Callable[[], Mapping[str, Table]]] = {
    "one pair": lambda: tables(PLAIN, repeats=1, k1s=(9,)),
    "a NaN": lambda: tables(dataclasses.replace(PLAIN, height=at(0, 3, math.nan, PLAIN.height)), k1s=(0, 7)),
    "only NaN": lambda: tables(NOWHERE, k1s=(0, 7)),
    "infinite": lambda: tables(dataclasses.replace(PLAIN, height=at(0, 3, math.inf, PLAIN.height)), k1s=(0, 7)),
    "high": lambda: tables(dataclasses.replace(PLAIN, height=lambda r, k1, k2: 5.0 / (1 + k1)), k1s=(0, 7)),
    "test only": lambda: tables(PLAIN, splits=("test",), k1s=(0, 7)),
    "train only": lambda: tables(PLAIN, splits=("train",), k1s=(0, 7)),
    "no trunk": lambda: {k: v for k, v in tables(PLAIN, k1s=(0, 7)).items() if k != "networks"},
}


@pytest.mark.parametrize("name", ODD)
def test_figures_of_any_tables(name: str, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    assert ROW.figures(ODD[name](), tmp_path) == [tmp_path / f"F{index}" for index in range(1, 6)]
    for figure in drawn.values():
        for axes in figure.axes:
            assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()
        for axes in figure.axes:
            names = [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
            assert all(names) or not any(names) or (names[0].startswith("k1 = ") and names[1])  # inner panels


def lines(axes: Axes) -> list[tuple[list[float], list[float]]]:
    """The curves of a panel, thresholds left out."""
    found = [np.asarray(line.get_data()).tolist() for line in axes.get_lines() if line.get_color() != "#777777"]
    return [(x, y) for x, y in found]


def test_what_the_figures_show(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    ROW.figures(tables(PLAIN), tmp_path)
    k1s = list(map(float, K1))
    loss, error = drawn["F1"].axes
    (_, train), (_, test) = lines(error)
    assert lines(error)[0][0] == k1s
    assert train == test == pytest.approx([3.0, 0.1, 0.1, 0.1, 0.1], abs=1e-9)  # points
    assert lines(loss)[0][1] == [0] * 5
    for axes, limit in ((loss, 0.02), (error, 2.0)):
        assert axes.get_ylim()[1] > limit  # a barrier of nothing looks like nothing
        assert f"connected below {limit:g}" in axes.texts[0].get_text()
    assert [text.get_text() for text in drawn["F2"].axes[0].texts][:5] == ["0", "1", "2", "5", "7"]
    alphas = np.linspace(0, 1, 25)
    bump = np.minimum(alphas, 1 - alphas) * 2
    panels = [axes for axes in drawn["F3"].axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == [f"k1 = {k1}" for k1 in K1]
    for axes, k1 in zip(panels, K1, strict=True):
        found = lines(axes)
        assert len(found) == EPOCHS - k1
        for x, y in found:
            assert x == pytest.approx(alphas.tolist(), abs=1e-15)
            assert y == pytest.approx(((-0.002 - 0.0001 * k1) * bump).tolist(), abs=1e-12)
    l2, predictions, chord = drawn["F4"].axes
    for index, k1 in enumerate(K1):
        x, y = lines(l2)[index]
        assert x == list(range(1, EPOCHS + 1 - k1))
        assert y == pytest.approx([2.005 - 0.2 * k1 + 0.3 * k2 for k2 in x], abs=1e-12)  # the mean of both repeats
        assert lines(predictions)[index][1] == pytest.approx([0.1 + 0.02 * k2 for k2 in x], abs=1e-12)
        assert lines(chord)[index][1] == [0] * len(x)
    assert drawn["F5"].axes[0].get_yscale() == "log"
    assert lines(drawn["F5"].axes[0])[0][1][0] == pytest.approx(0.4)
    for figure in drawn.values():
        note = figure.texts[1].get_text().replace("\n", " ")
        assert note.startswith("2 repeats, evaluated on")
        assert note.endswith("The network has no normalisation layers.")


def test_what_is_no_number_is_said(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    ROW.figures(ODD["a NaN"](), tmp_path)
    said = "1 of 13 lines hold NaN or infinity and are drawn where they are finite."
    assert said in drawn["F3"].texts[1].get_text().replace("\n", " ")
    ROW.figures(ODD["only NaN"](), tmp_path)
    legend = drawn["F1"].axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        f"{split} (at most nan nats) (no numbers)" for split in ("train", "test")
    ]


def test_the_files(tmp_path: Path) -> None:
    files = ROW.figures(tables(PLAIN, k1s=(0, 7)), tmp_path / "new")
    assert [file.name for file in files] == [f"F{i}.{kind}" for i in range(1, 6) for kind in ("png", "svg")]
    assert all(file.stat().st_size > 2000 for file in files)
    assert sorted(tmp_path.joinpath("new").iterdir()) == sorted(files)
