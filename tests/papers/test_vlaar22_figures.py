"""The figures of Vlaar22's rows from tables made up for them: what they show, and that no table breaks them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_vlaar22_claims import PLAIN, ROWS
from vlaar22_worlds import ALPHAS, MAIN, World, barrier, plateau, slope, tables, world

from isthmus import plots
from isthmus.papers.vlaar22 import draw, f3, f8
from isthmus.tables import Table

FILES = {
    "f1b": ["F1B", "F1B-accuracy"],
    "f7": ["F7", "F7-accuracy"],
    "f8": ["F8", "F8-accuracy"],
    "f1a": ["F1A"],
    "a17": ["A17"],
    "a18": ["A18"],
    "f2a": ["F2A", "F2A-fresh-final"],
    "f2b": ["F2B"],
    "f3": ["F3", "TA3-train", "TA3-test"],
    "f6": ["F6"],
}


def sound(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        for axes in figure.axes:
            assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()
            assert axes.get_title(loc="left")
            assert axes.get_xlabel()


@pytest.mark.parametrize("row", FILES)
def test_the_figures_of_a_row(row: str, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    assert [path.name for path in ROWS[row].figures(tables(PLAIN[row]), tmp_path)] == FILES[row]
    sound(drawn)


def nan(seed: int) -> list[float]:
    return [math.nan] * len(ALPHAS)


ODD: dict[str, Callable[[], World]] = {
    "one seed": lambda: PLAIN["f7"].but(seeds=(4,)),
    "one variant": lambda: world({"5e-4": 70.0}),
    "a run diverged": lambda: PLAIN["f7"].but(curves={("0", "all", MAIN): lambda s: nan(s) if s else slope()(s)}),
    "all diverged": lambda: PLAIN["f7"].but(
        curves=dict.fromkeys(PLAIN["f7"].curves, nan), accuracy=dict.fromkeys(PLAIN["f7"].accuracy, math.nan)
    ),
    "infinite": lambda: PLAIN["f7"].but(curves={("0", "all", MAIN): lambda s: [math.inf, *slope()(s)[1:]]}),
    "whole networks only": lambda: world({"0": 60.0, "5e-4": 70.0}, blocks=("all",)),
    "blocks only": lambda: world({"0": 60.0}, blocks=("stage3", "fc")),
    "other names": lambda: world({f"variant {index}": 60.0 + index for index in range(9)}, blocks=("all", "conv3")),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("row", ["f7", "f1a"])
def test_figures_of_any_tables(name: str, row: str, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    files = ROWS[row].figures(tables(ODD[name]()), tmp_path)
    assert [path.name for path in files] == FILES[row]
    sound(drawn)


@pytest.mark.parametrize("lacking", ["paths", "curves", "accuracy"])
def test_figures_without_rows(lacking: str, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    whole = tables(PLAIN["f7"])
    for row in ("f7", "f1a"):
        ROWS[row].figures({**whole, lacking: Table(whole[lacking].columns, ())}, tmp_path)
    sound(drawn)


def lines(axes: Axes, style: str = "-") -> dict[Any, tuple[list[float], list[float]]]:
    """The curves of a panel by colour."""
    found = {}
    for line in axes.get_lines():
        if line.get_linestyle() == style:
            x, y = np.asarray(line.get_data()).tolist()
            found[line.get_color()] = (x, y)
    return found


def test_losses_powers_of_ten_apart_are_drawn_by_their_logarithms(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    of = world({"base": 60.0}, blocks=("all", "stage2", "stage3")).but(
        curves={("base", "stage2", MAIN): slope(199.0, 2.0), ("base", "stage3", MAIN): slope(202.0, 2.0)}
    )
    draw.draw("X", draw.Look("Title", metrics=("loss", "accuracy")), tables(of), tmp_path)
    assert [axes.get_yscale() for axes in drawn["X"].axes[:3]] == ["linear", "linear", "log"]
    low, high = drawn["X"].axes[2].get_ylim()
    assert 0 < low < 2 < 202 < high
    assert {axes.get_yscale() for axes in drawn["X-accuracy"].axes} == {"linear"}


def test_what_a_figure_shows(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    """Means over seeds, bands from the lowest to the highest, and where the loss starts."""
    of = world({"0": 60.0, "5e-4": 70.0}, blocks=("all", "stage3")).but(
        curves={
            ("0", "all", MAIN): barrier(0.5, 2.5),
            ("0", "stage3", MAIN): slope(0.9, 0.7),
            ("5e-4", "all", MAIN): plateau(2.3, 0.4),
            ("5e-4", "stage3", MAIN): slope(0.8, 0.4),
        },
        jitter=lambda seed: 3.0 * seed,
    )
    draw.draw("X", draw.Look("Title", metrics=("loss", "accuracy")), tables(of), tmp_path)
    whole, block, accuracy = drawn["X"].axes
    first, second = plots.CATEGORICAL[:2]
    assert [axes.get_title(loc="left") for axes in (whole, block)] == ["Whole network", "Block 3"]
    for axes, key in ((whole, "all"), (block, "stage3")):
        for colour, variant in ((first, "0"), (second, "5e-4")):
            runs = [of.curves[variant, key, MAIN](seed) for seed in (0, 1, 2)]
            x, y = lines(axes)[colour]
            assert x == ALPHAS
            assert y == pytest.approx(np.mean(runs, axis=0).tolist(), abs=1e-12)
        low, high = axes.get_ylim()
        assert low <= min(y)
        assert max(runs[2]) <= high
    (band, _) = whole.collections
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert heights.max() == pytest.approx(2.5 + 0.5 * 1.02)
    dotted = lines(whole, ":")
    assert dotted[first][1] == pytest.approx([2.5] * 2)
    assert dotted[second][1] == pytest.approx([2.301] * 2)
    dashed = [line for line in whole.get_lines() if line.get_color() == "#777777"]
    assert np.asarray(dashed[0].get_ydata())[0] == pytest.approx(math.log(10))
    assert not lines(block, ":")  # neither mark lies where block 3 is
    assert [text.get_text() for text in accuracy.texts] == ["0: 63.0", "5e-4: 73.0"]
    points = [line for line in accuracy.get_lines() if line.get_marker() == "o"]
    assert [np.asarray(line.get_xdata()).tolist() for line in points] == [
        pytest.approx([60, 63, 66]),
        pytest.approx([70, 73, 76]),
    ]
    note = drawn["X"].texts[1].get_text().replace("\n", " ")
    assert note.startswith("3 seeds: mean as a line, lowest to highest as a band; paths on 2,500 test examples.")
    assert note.endswith("norm_stats: interpolate.")
    percent = lines(drawn["X-accuracy"].axes[1])[first][1]
    assert percent[0] == pytest.approx(100 * (1 - 0.901 / 3))


def test_marks_are_shown_where_a_block_reaches_them(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    of = world({"base": 60.0}, blocks=("all", "stage2")).but(curves={("base", "stage2", MAIN): barrier(1.5, 1.0)})
    draw.draw("X", draw.Look("Title"), tables(of), tmp_path)
    assert len(lines(drawn["X"].axes[1], ":")) == 1


def test_colours_of_what_is_ordered_and_of_many(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    ROWS["f7"].figures(tables(PLAIN["f7"]), tmp_path)
    assert list(lines(drawn["F7"].axes[0])) == plots.sequential(4)
    ROWS["f8"].figures(tables(PLAIN["f8"]), tmp_path)
    assert list(lines(drawn["F8"].axes[0])) == list(plots.CATEGORICAL[:4])
    names = [text.get_text() for text in drawn["F8"].axes[-1].texts]
    assert names == ["base (0.1, two drops): 72.0", "fixed 0.1: 60.0", "fixed 0.01: 70.0", "fixed 0.001: 50.0"]


def test_f3_leaves_out_what_is_half_way(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    ROWS["f3"].figures(tables(PLAIN["f3"]), tmp_path)
    assert len(lines(drawn["F3"].axes[0])) == 4


def test_table_a3_is_there_on_both_sets() -> None:
    found = f3.table_a3(tables(PLAIN["f3"])["accuracy"])
    (top,) = found.where(split="train", variant="top")
    assert (top["accuracy"], top["change"], top["published"]) == (pytest.approx(91.02), pytest.approx(1.0), 99.86)
    assert top["published_change"] == pytest.approx(0.42)
    assert found.where(split="test")["published"] == [90.01, 91.05, 91.12, 90.85]


def test_distances_stand_beside_the_published_ones() -> None:
    found = f8.distances(tables(PLAIN["f8"].but(distance={"base": 0.95}))["paths"])
    assert [(row["variant"], row["published"]) for row in found] == [
        ("base", None), ("0.1", 1.03), ("0.01", 0.88), ("0.001", 0.22),
    ]  # fmt: skip
    assert found["relative_distance"] == pytest.approx([0.95, 1.03, 0.88, 0.22])
    assert found["seeds"] == [3] * 4


def test_f1a_shows_each_route_of_each_set(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    ROWS["f1a"].figures(tables(PLAIN["f1a"]), tmp_path)
    mnist, spiral = drawn["F1A"].axes
    assert [axes.get_title(loc="left") for axes in (mnist, spiral)] == ["MNIST", "spiral"]
    for axes in (mnist, spiral):
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["i to f", "i' to f", "i to i'"]
    for colour, route in zip(plots.CATEGORICAL, (MAIN, "fresh->final", "initial->fresh"), strict=False):
        runs = [PLAIN["f1a"].curves["spiral", "all", route](seed) for seed in range(10)]
        assert lines(spiral)[colour][1] == pytest.approx(np.mean(runs, axis=0).tolist(), abs=1e-12)


def test_the_files(tmp_path: Path) -> None:
    files = ROWS["f8"].figures(tables(PLAIN["f8"]), tmp_path / "new")
    assert [file.name for file in files] == ["F8.png", "F8.svg", "F8-accuracy.png", "F8-accuracy.svg"]
    assert all(file.stat().st_size > 2000 for file in files)
