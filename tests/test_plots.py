"""Figures are drawn without pyplot or global settings, are the same bytes each time, and hide nothing."""

from __future__ import annotations

import math
import random
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from isthmus import plots
from isthmus.errors import BadInput


def panel() -> tuple[Figure, Axes]:
    figure, (axes,) = plots.canvas(title="a title")
    return figure, axes


def drawn(title: str = "What it is") -> Figure:
    """A figure with everything in it: bands, markers, clipped thresholds, a legend, a strip of colours."""
    figure, (first, second) = plots.canvas(1, 2, title=title, note="A note. " * 40)
    for index, colour in enumerate(plots.sequential(3)):
        repeats = [[0.1 * index + 0.7, 0.3, 0.5], [0.2, 0.35, 0.4 + index]]
        plots.band(first, [1, 3, 7], repeats, color=colour, marker=plots.MARKERS[index], label=f"k = {index}")
    plots.threshold(first, 0.4, "connected below 0.4 nats")
    plots.threshold(first, 4.5, "at the end", vertical=True)
    plots.label(first, "Loss", "k (epochs)", "loss (nats)")
    plots.legend(first, title="what")
    plots.colour_scale(second, [1, 2, 5], plots.sequential(3), "k2: epochs")
    return figure


# --- no traces, the same bytes ----------------------------------------------------------------------------


def test_neither_pyplot_nor_a_global_setting_is_touched(tmp_path: Path) -> None:
    """In a fresh interpreter, where nothing else has loaded matplotlib."""
    code = (
        "import sys, random; sys.path[:] = PATH\n"
        "import isthmus.plots as plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import matplotlib, numpy\n"
        "settings = dict(dict.items(matplotlib.rcParams))\n"  # raw: reading the backend would load pyplot
        "random.seed(4); state = random.getstate()\n"
        "sys.path.insert(0, HERE)\n"
        "from test_plots import drawn\n"
        "plots.save(drawn(), OUT)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert dict(dict.items(matplotlib.rcParams)) == settings\n"
        "assert random.getstate() == state\n"
    )
    for name, value in (("PATH", sys.path), ("HERE", str(Path(__file__).parent)), ("OUT", str(tmp_path / "a"))):
        code = code.replace(name, repr(value))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    again = plots.save(drawn(), tmp_path / "b")  # another process, the same bytes
    for file in again:
        assert file.read_bytes() == (tmp_path / f"a{file.suffix}").read_bytes()


def test_the_same_figure_is_the_same_bytes(tmp_path: Path) -> None:
    random.seed(1)
    first = [file.read_bytes() for file in plots.save(drawn(), tmp_path / "first")]
    random.seed(2)
    assert [file.read_bytes() for file in plots.save(drawn(), tmp_path / "second")] == first
    assert [file.read_bytes() for file in plots.save(drawn("Another"), tmp_path / "third")] != first


def test_what_is_written(tmp_path: Path) -> None:
    figure = drawn()
    png, svg = plots.save(figure, tmp_path / "new" / "F1.5")
    assert [png.name, svg.name] == ["F1.5.png", "F1.5.svg"]
    assert sorted(png.parent.iterdir()) == [png, svg]
    content = png.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = figure.get_size_inches()
    assert struct.unpack(">II", content[16:24]) == (int(width * 200), int(height * 200))
    assert b"Software" not in content
    text = svg.read_text(encoding="utf-8")
    assert "date" not in text.lower()
    tree = ElementTree.fromstring(text)
    names = [element.attrib["id"] for element in tree.iter() if "id" in element.attrib]
    assert len(names) == len(set(names))
    used = {value[5:-1] for e in tree.iter() for value in e.attrib.values() if value.startswith("url(#")}
    used |= {value[1:] for e in tree.iter() for key, value in e.attrib.items() if key.endswith("href")}
    assert used
    assert used <= set(names)  # renaming broke no reference


def test_a_figure_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = plots.save(drawn(), tmp_path / "a")
    before = [file.read_bytes() for file in files]

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("isthmus.plots.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save(drawn("Another"), tmp_path / "a")
    assert [file.read_bytes() for file in files] == before
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_without_matplotlib_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BadInput, match=r'pip install "isthmus\[plot\]"'):
        plots.canvas(title="a title")


# --- the canvas -------------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 400), st.integers(0, 150))
def test_nothing_lies_on_anything_else(rows: int, columns: int, note: int, title: int) -> None:
    """Panels, their labels, the title and the note keep clear of each other and of the figure's edge."""
    words = "what is said of it "
    figure, panels = plots.canvas(rows, columns, title=(words * 8)[:title], note=(words * 22)[:note])
    assert len(panels) == rows * columns
    for axes in panels:
        axes.plot([0, 1], [-0.0025, 0.0004])
        plots.label(axes, "k1 = 7", "alpha (0: main branch, 1: child)", "gap of the loss (nats)")
    figure.draw_without_rendering()
    boxes = [box for axes in panels if (box := axes.get_tightbbox()) is not None]
    boxes += [text.get_window_extent() for text in figure.texts if text.get_text()]
    for axes in panels:
        name = axes.yaxis.label.get_window_extent()
        assert not any(name.overlaps(number.get_window_extent()) for number in axes.get_yticklabels())
    whole = figure.bbox
    for index, box in enumerate(boxes):
        assert box.x0 >= whole.x0
        assert box.y0 >= whole.y0
        assert box.x1 <= whole.x1
        assert box.y1 <= whole.y1
        assert not any(box.overlaps(other) for other in boxes[:index])


def test_shared_panels_have_one_scale_and_show_its_numbers_once() -> None:
    figure, panels = plots.canvas(2, 2, title="a title", shared=3)
    for index, axes in enumerate(panels):
        axes.plot([0, 1], [0, index + 1.5])
    figure.draw_without_rendering()
    assert panels[0].get_ylim() == panels[1].get_ylim() == panels[2].get_ylim() != panels[3].get_ylim()
    shown = [any(label.get_visible() and label.get_text() for label in axes.get_yticklabels()) for axes in panels]
    assert shown == [True, False, True, True]


# --- bands ------------------------------------------------------------------------------------------------

NAN = math.nan


@pytest.mark.parametrize(
    ("repeats", "mean", "low", "high"),
    [
        ([[0.5, 0.7, 0.2]], [0.5, 0.7, 0.2], None, None),
        ([[0.5, 0.7, 0.2], [0.3, 0.9, 0.8]], [0.4, 0.8, 0.5], [0.3, 0.7, 0.2], [0.5, 0.9, 0.8]),
        ([[0.5, NAN, 0.2], [0.3, 0.9, 0.8]], [0.4, 0.9, 0.5], [0.3, 0.9, 0.2], [0.5, 0.9, 0.8]),
        ([[0.5, NAN, 0.2], [0.3, NAN, 0.8]], [0.4, NAN, 0.5], [0.3, NAN, 0.2], [0.5, NAN, 0.8]),
        ([[NAN, NAN, NAN]], [NAN, NAN, NAN], None, None),
        ([[None, 0.7, 0.2]], [NAN, 0.7, 0.2], None, None),
    ],
)
def test_a_band_is_the_mean_and_the_range_of_repeats(repeats: Any, mean: Any, low: Any, high: Any) -> None:
    figure, axes = panel()
    plots.band(axes, [1, 3, 7], repeats, color="#0072b2", label="test")
    (line,) = axes.get_lines()
    assert np.asarray(line.get_xdata()).tolist() == [1, 3, 7]
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx(mean, nan_ok=True, abs=1e-15)
    assert line.get_label() == ("test" if np.isfinite(mean).any() else "test (no numbers)")
    bands = list(axes.collections)
    assert len(bands) == (low is not None)
    if low is not None:
        points = np.concatenate([path.vertices for path in bands[0].get_paths()])
        edges = {x: sorted({round(float(y), 9) for at, y in points if at == x}) for x in (1, 3, 7)}
        for x, bottom, top in zip((1, 3, 7), low, high):
            if not math.isnan(bottom):
                assert edges[x] == sorted({bottom, top})
            else:
                assert not edges[x]
        assert np.asarray(bands[0].get_facecolor()).ravel()[:3].tolist() == pytest.approx(to_rgb("#0072b2"))
    figure.draw_without_rendering()


def test_bands_of_nothing(tmp_path: Path) -> None:
    figure, axes = panel()
    plots.band(axes, [], np.empty((0, 0)), label="test")
    plots.band(axes, [], [[], []])
    plots.legend(axes)
    plots.colour_scale(axes, [], [], "k2")
    assert len(plots.save(figure, tmp_path / "empty")) == 2
    _, axes = panel()
    plots.legend(axes)
    assert axes.get_legend() is None


def test_infinity_is_neither_clipped_nor_lost() -> None:
    figure, axes = panel()
    plots.band(axes, [1, 3, 7], [[0.5, math.inf, 0.25], [0.25, 0.5, 0.75]])
    assert np.asarray(axes.get_lines()[0].get_ydata()).tolist() == [0.375, math.inf, 0.5]
    figure.draw_without_rendering()


# --- colours, scales, lines ----------------------------------------------------------------------------------


def lightness(colour: Any) -> float:
    """CIE L* (0 to 100) of an sRGB colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


@given(st.integers(1, 30))
def test_an_order_is_seen_without_colour(count: int) -> None:
    found = [lightness(colour) for colour in plots.sequential(count)]
    assert len(found) == count
    assert found == sorted(found)
    assert len(set(found)) == count
    assert found[-1] < 85  # the last is still seen on white


def test_categories_are_told_apart_and_have_shapes() -> None:
    assert len(set(plots.CATEGORICAL)) == len(set(plots.MARKERS)) == 7
    assert max(lightness(colour) for colour in plots.CATEGORICAL) < 80


@pytest.mark.parametrize("count", [1, 2, 10, 11, 29])
def test_a_strip_of_colours_has_its_values(count: int) -> None:
    figure, axes = panel()
    values = [0.5 * (index + 1) for index in range(count)]
    plots.colour_scale(axes, values, colours := plots.sequential(count), "k2: epochs apart")
    assert [patch.get_facecolor() for patch in axes.patches] == [pytest.approx(colour) for colour in colours]
    *numbers, name = [text.get_text() for text in axes.texts]
    assert name == "k2: epochs apart"
    assert numbers == [f"{value:g}" for value in values[:: -(-count // 10)]]
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for index, a in enumerate(boxes) for b in boxes[:index])


@settings(max_examples=20)
@given(st.floats(-8, 3), st.floats(0.02, 9))
def test_a_logarithmic_axis_has_numbers_however_short_it_is(start: float, decades: float) -> None:
    low, high = 10.0**start, 10.0 ** (start + decades)
    figure, axes = panel()
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    plots.log_ticks(axes.yaxis, low, high)
    ticks = axes.get_yticks()
    assert 2 <= len(ticks) <= 13
    assert all(low <= tick <= high for tick in ticks)
    figure.draw_without_rendering()
    texts = [label.get_text() for label in axes.get_yticklabels()]
    assert len(set(texts)) == len(ticks)
    assert [float(text) for text in texts] == pytest.approx(list(ticks), rel=1e-4)  # six digits are shown
    if 1 < decades < 2:
        assert {round(float(f"{tick:e}".partition("e")[0]), 6) for tick in ticks} <= {1, 2, 5}


def test_thresholds_say_what_they_are() -> None:
    _, axes = panel()
    plots.threshold(axes, 0.02, "connected below 0.02 nats")
    plots.threshold(axes, 3.5, "at the end", vertical=True)
    plots.threshold(axes, 0.25)
    across, up, plain = axes.get_lines()
    assert [set(np.asarray(line.get_ydata()).tolist()) for line in (across, plain)] == [{0.02}, {0.25}]
    assert set(np.asarray(up.get_xdata()).tolist()) == {3.5}
    assert [text.get_text().strip() for text in axes.texts] == ["connected below 0.02 nats", "at the end"]


def test_settings_of_the_user_are_left_alone() -> None:
    with matplotlib.rc_context({"lines.linewidth": 3.25}):
        drawn().draw_without_rendering()
        assert matplotlib.rcParams["lines.linewidth"] == 3.25
