"""What every figure is drawn with: a canvas in inches, colours that survive print, curves over repeats, saving.

matplotlib is imported when a figure is made, and only its object-oriented side: no pyplot, no global settings. Every
text has a place that is given in inches, so nothing has to be drawn twice to be laid out, and a figure is quick.
"""

from __future__ import annotations

import io
import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "CATEGORICAL",
    "MARKERS",
    "band",
    "canvas",
    "colour_scale",
    "label",
    "legend",
    "log_ticks",
    "marked",
    "save",
    "sequential",
    "threshold",
]

CATEGORICAL = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Colours for things without an order, distinct under every kind of colour blindness (Okabe and Ito 2008)."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Shapes for the same, for who prints in black."""

_TEXT, _SMALL = 8.0, 7.0  # points
_LINE = 0.135  # inches that a line of small text takes
_LETTERS = 20  # of small text to an inch
_TITLE, _TITLE_LETTERS = 0.16, 12  # inches that a line of the title takes, its letters to an inch
_LEFT, _RIGHT, _GAP, _CLOSE = 0.7, 0.15, 0.7, 0.16  # inches: left and right of the panels, between columns
_OVER, _UNDER, _BETWEEN = 0.52, 0.52, 0.72  # inches: over and under the panels, between rows
_DPI = 200
_INK, _GREY = "#222222", "#777777"


def _matplotlib() -> type[Figure]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput('Drawing figures needs matplotlib: pip install "isthmus[plot]".') from None
    return Figure


_MARK: ContextVar[str] = ContextVar("mark", default="")


@contextmanager
def marked(text: str) -> Iterator[None]:
    """Within, the note of every figure begins with this sentence."""
    token = _MARK.set(text)
    try:
        yield
    finally:
        _MARK.reset(token)


def canvas(
    rows: int = 1,
    columns: int = 1,
    *,
    title: str,
    note: str = "",
    panel: tuple[float, float] = (2.6, 1.9),
    shared: int = 0,
) -> tuple[Figure, list[Axes]]:
    """An empty figure: a title, panels of ``panel`` inches in reading order, a note under them.

    The first ``shared`` panels have one vertical scale, and only the leftmost of them show its numbers.

    Raises:
        BadInput: matplotlib is not installed.
    """
    gap = _CLOSE if shared else _GAP
    width = _LEFT + columns * panel[0] + (columns - 1) * gap + _RIGHT
    lines = textwrap.wrap(f"{_MARK.get()} {note}".strip(), int(width * _LETTERS))
    bottom = _UNDER + _LINE * len(lines)
    heading = textwrap.wrap(title, int(width * _TITLE_LETTERS)) or [""]
    height = bottom + rows * panel[1] + (rows - 1) * _BETWEEN + _OVER + _TITLE * (len(heading) - 1)
    figure = _matplotlib()(figsize=(width, height))
    head = "\n".join(heading)
    figure.text(0.1 / width, 1 - 0.08 / height, head, fontsize=_TEXT + 1, weight="bold", color=_INK, va="top")
    figure.text(0.1 / width, 0.06 / height, "\n".join(lines), fontsize=_SMALL, color=_INK, va="bottom")
    panels: list[Axes] = []
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        x = _LEFT + column * (panel[0] + gap)
        y = bottom + (rows - 1 - row) * (panel[1] + _BETWEEN)
        place = (x / width, y / height, panel[0] / width, panel[1] / height)
        panels.append(figure.add_axes(place, sharey=panels[0] if 0 < index < shared else None))
        _style(panels[-1], numbers=index >= shared or column == 0)
        # a given place of a label is not searched for, which would draw every number of the axis first
        panels[-1].xaxis.set_label_coords(0.5, -0.24 / panel[1])
        panels[-1].yaxis.set_label_coords(-0.53 / panel[0], 0.5)
    return figure, panels


def _style(axes: Axes, numbers: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))  # numbers that are short enough for _LEFT
    axes.tick_params(labelsize=_SMALL, length=2.5, width=0.6, colors=_INK, labelleft=numbers)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_linewidth(0.6)
    axes.margins(x=0.03)


def label(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Name a panel and its axes, with units in parentheses."""
    if title:
        axes.set_title(title, fontsize=_TEXT, color=_INK, loc="left", y=1.03, pad=0)  # a given y is not searched for
    axes.set_xlabel(x, fontsize=_TEXT, color=_INK)
    axes.set_ylabel(y, fontsize=_TEXT, color=_INK)


def legend(axes: Axes, place: str = "best", title: str | None = None, columns: int = 1, of: Axes | None = None) -> None:
    """The legend of a panel, or in it that of another (``of``), where anything there has a label."""
    handles, texts = (of or axes).get_legend_handles_labels()
    if not texts:
        return
    style = {"fontsize": _SMALL, "frameon": False, "handlelength": 1.8}
    found = axes.legend(handles, texts, loc=cast(Any, place), title=title, ncols=columns, **style)
    found.get_title().set_fontsize(_SMALL)


def sequential(count: int) -> list[tuple[float, float, float, float]]:
    """Colours for an ordered quantity, dark for the first to light for the last (viridis, without its yellow end).

    They differ in lightness, so that their order is seen in black and white and under colour blindness.
    """
    _matplotlib()
    from matplotlib import colormaps

    return [tuple(map(float, row)) for row in colormaps["viridis"](np.linspace(0.0, 0.86, count))]  # type: ignore[misc]


def band(axes: Axes, x: npt.ArrayLike, repeats: npt.ArrayLike, **style: Any) -> None:
    """The mean over repeats as a line, and from the lowest to the highest repeat as a band.

    Args:
        axes: where.
        x: shape (points,).
        repeats: shape (repeats, points); NaN where a repeat has no such point, and where none has any, a gap.
        style: ``color``, ``label``, ``marker`` and so on, of the line; where there is nothing to draw its label
            says so.
    """
    at, values = np.asarray(x, dtype=np.float64), np.atleast_2d(np.asarray(repeats, dtype=np.float64))
    there = np.isfinite(values).any(axis=0)
    mean, low, high = (np.full(len(at), np.nan) for _ in range(3))
    if there.any():
        for found, over in ((mean, np.nanmean), (low, np.nanmin), (high, np.nanmax)):
            found[there] = over(values[:, there], axis=0)
    elif "label" in style:
        style["label"] = f"{style['label']} (no numbers)"
    (line,) = axes.plot(at, mean, **{"lw": 1.3, "ms": 3.5, **style})
    if len(values) > 1:
        axes.fill_between(at, low, high, color=line.get_color(), alpha=0.2, lw=0)


def threshold(axes: Axes, value: float, text: str = "", *, vertical: bool = False) -> None:
    """A dashed line at a value, with a few words on it."""
    from matplotlib.patheffects import withStroke

    draw = axes.axvline if vertical else axes.axhline
    draw(value, color=_GREY, lw=0.8, ls=(0, (4, 3)), zorder=1)
    if not text:
        return
    if vertical:
        across = axes.get_xaxis_transform()
        words = axes.text(value, 0.98, f"{text} ", transform=across, ha="right", va="top")
    else:
        along = axes.get_yaxis_transform()
        words = axes.text(0.02, value, text, transform=along, ha="left", va="bottom")
    words.set(fontsize=_SMALL, color=_GREY, path_effects=[withStroke(linewidth=2, foreground="white")])


def colour_scale(axes: Axes, values: Sequence[float], colours: Sequence[Any], text: str) -> None:
    """A panel turned into the legend of an ordered quantity: a strip of its colours, its values, its name."""
    for side in axes.spines.values():
        side.set_visible(False)
    count = len(values)
    axes.barh([0] * count, [1] * count, left=list(range(count)), color=list(colours), height=0.16)
    axes.set(xlim=(-0.4, count + 0.4), ylim=(-0.75, 0.75), yticks=[])
    step = max(1, -(-count // 10))
    shown = list(range(0, count, step))
    for index in shown:
        axes.text(index + 0.5, -0.14, f"{values[index]:g}", fontsize=_SMALL, color=_INK, ha="center", va="top")
    axes.set_xticks([])
    axes.text(count / 2, 0.14, text, fontsize=_TEXT, color=_INK, ha="center", va="bottom")


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Plain numbers on a logarithmic axis from ``low`` to ``high``: 1, 2, 5, 10, ...; finer on a short one."""
    from matplotlib.ticker import MaxNLocator

    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) < 3:
        ticks = [float(tick) for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    elif len(ticks) > 8:
        ticks = [10.0**power for power in decades if low <= 10.0**power <= high]
    axis.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def save(figure: Figure, path: str | os.PathLike[str]) -> list[Path]:
    """Write a figure as PNG and as SVG, each whole or not at all; the two files.

    The same figure gives the same bytes: no date is written, and names inside the SVG are counted, not drawn.

    Args:
        figure: from :func:`canvas`.
        path: without a suffix; its folder is made if need be.
    """
    base = Path(path)
    base.parent.mkdir(parents=True, exist_ok=True)
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 2})
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    written = [base.with_name(f"{base.name}.png"), base.with_name(f"{base.name}.svg")]
    for file, content in zip(written, (png.getvalue(), _counted(svg.getvalue())), strict=True):
        _write(file, content)
    return written


def _counted(svg: bytes) -> bytes:
    """An SVG with its random names (a letter and ten hexadecimal digits) replaced by numbers in order of appearance."""
    numbers: dict[bytes, int] = {}

    def rename(match: re.Match[bytes]) -> bytes:
        return b"%s%s%d%s" % (match[1], match[2][:1], numbers.setdefault(match[2], len(numbers)), match[3])

    return re.sub(rb'(id="|#)([a-z][0-9a-f]{10})(["\)])', rename, svg)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
