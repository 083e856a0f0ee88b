"""Figures of rows about splits: accuracy on each split against epochs, and Table 1 as bars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isthmus import plots
from isthmus.claims import Tables
from isthmus.papers.iyer24.draw import course, measured, note, shared
from isthmus.papers.iyer24.splits import CHANGES, SPLITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["figures"]

_NAMES = ("1 (easiest)", "2", "3", "4 (hardest)")
_WIDTH = 0.38


def figures(name: str, title: str, variant: str, tables: Tables, folder: Path) -> list[Path]:
    """A panel a split; then the changes by the merge and over the next epoch, beside the published ones."""
    scored = "Splits: quarters of the training set by EL2N."
    figure, panels = plots.canvas(2, 2, title=title, note=note(tables, [variant], scored), panel=(3.1, 1.9))
    for axes, split, text in zip(panels, SPLITS, _NAMES, strict=True):
        for k in shared(tables, variant)[:1]:
            course(axes, tables, variant, k, split)
        plots.label(axes, f"Split {text}", "epoch", "accuracy on the split (%)")
    plots.legend(panels[0], "lower right", columns=2)
    return plots.save(figure, folder / name) + _table(f"{name}-changes", title, variant, tables, folder)


def _table(name: str, title: str, variant: str, tables: Tables, folder: Path) -> list[Path]:
    columns = {
        "relative_accuracy": ("Accuracy", "relative change", "published_accuracy"),
        "relative_error": ("Error", "relative change", "published_error"),
        "points": ("Accuracy in points", "change (points)", ""),
    }
    said = "Bars: means over seeds; whiskers: lowest to highest. Infinite changes of the error are left out."
    if "published_error" in measured(tables, "table1").columns:
        said += " Crosses: the published numbers."
    figure, panels = plots.canvas(1, 3, title=title, note=note(tables, [variant], said), panel=(2.5, 2.1))
    for axes, (column, (heading, y, published)) in zip(panels, columns.items(), strict=True):
        _bars(axes, tables, column, published)
        plots.label(axes, heading, "split", y)
    panels[1].set_yscale("symlog", linthresh=1.0)
    for axes in panels:
        axes.margins(y=0.1)
    plots.legend(panels[0])
    return plots.save(figure, folder / name)


def _bars(axes: Axes, tables: Tables, column: str, published: str) -> None:
    table = measured(tables, "table1")
    for index, change in enumerate(CHANGES):
        colour, shift = plots.CATEGORICAL[2 - index], (index - 0.5) * _WIDTH
        for place, split in enumerate(SPLITS):
            rows = table.where(change=change, split=split) if len(table) else table
            values = [row[column] for row in rows if np.isfinite(row[column])]
            label = change if not place else None
            axes.bar(place + shift, np.mean(values) if values else 0.0, _WIDTH, color=colour, label=label)
            if len(values) > 1:
                axes.plot([place + shift] * 2, [min(values), max(values)], color="#222222", lw=0.8)
            told = {row[published] for row in rows if published and published in table.columns}
            for number in told:
                if np.isfinite(number):
                    axes.plot([place + shift], [number], ls="none", marker="x", color="#222222", ms=5)
    axes.axhline(0.0, color="#777777", lw=0.6)
    axes.set_xticks(range(len(SPLITS)), labels=[name[0] for name in _NAMES])
