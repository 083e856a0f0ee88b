"""The figure of a merge beside what it is compared with: accuracies and cost, distances, the course of its gain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isthmus import plots
from isthmus.claims import Tables
from isthmus.papers import noisy_quadratic
from isthmus.papers.iyer24 import draw
from isthmus.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["figure"]

_NAMES = {"copy": "copies (mean of two)", "ema": "moving average (mean of two)"}
_ORDER = ("copy", "merge", "ensemble", "ema")  # then the longer networks
_SMALL = 6.5  # points


def figure(plain: str, low: str, tables: Tables, folder: Path) -> list[Path]:
    """Three panels: accuracies with their cost; squared distances; the share of the gain in loss that is left."""
    said = (
        "Large: means; small: seeds." if len({*draw.measured(tables, "baselines")["seed"]}) > 1 else "",
        "Cost: epochs of training from where copies leave the trunk, and forward passes of a prediction.",
        "Predicted: by the noisy quadratic, of whose course nothing but the distances is fitted.",
    )
    note = draw.note(tables, [plain, low], *filter(None, said))
    title = "The merge beside what the same training buys otherwise, and a prediction of its course"
    drawn, (left, middle, right) = plots.canvas(1, 3, title=title, note=note, panel=(2.6, 2.5))
    _accuracies(left, draw.measured(tables, "baselines", plain, split="test"))
    per_epoch = int(tables["setup"]["epoch"][0])
    if "distances" in tables:
        noisy_quadratic.draw_distances(middle, tables["distances"], per_epoch)
    plots.label(middle, "Copies move apart", "epochs apart (s)", "squared L2 distance")
    if "course" in tables:
        noisy_quadratic.draw_gains(right, tables["course"], per_epoch)
    plots.label(right, "The gain in test loss", "epochs after the merge", "share of the gain that is left")
    return plots.save(drawn, folder / "beside")


def _accuracies(axes: Axes, rows: Table) -> None:
    """A line a kind, from the top: the mean over seeds and the seeds, with its name and its cost over them."""
    from matplotlib.patheffects import withStroke

    found = rows.groups("kind", "epochs", "passes") if len(rows) else {}
    kinds = sorted(found, key=lambda kind: (_ORDER.index(kind[0]) if kind[0] in _ORDER else len(_ORDER), *kind))
    colours = dict(zip(dict.fromkeys(kind for kind, _, _ in kinds), plots.CATEGORICAL, strict=False))
    across = axes.get_yaxis_transform()
    for place, (kind, epochs, passes) in enumerate(kinds):
        points = [100 * value for value in found[kind, epochs, passes]["accuracy"]]
        marker = plots.MARKERS[list(colours).index(kind)]
        look = {"color": colours[kind], "marker": marker, "ls": "none"}
        axes.plot(points, [place] * len(points), ms=3, mfc="none", mew=0.7, **look)
        axes.plot([float(np.mean(points))], [place], ms=6, **look)
        cost = f"{epochs:g} epochs, {passes} pass{'es' if passes > 1 else ''}"
        words = f"{_NAMES.get(kind, kind)}: {cost}"
        edge = [withStroke(linewidth=2, foreground="white")]
        axes.text(0.0, place - 0.3, words, transform=across, fontsize=_SMALL, va="center", path_effects=edge)
        if kind == "merge":
            axes.axvline(float(np.mean(points)), color=colours[kind], lw=0.8, ls=(0, (4, 3)), zorder=1)
    axes.set(yticks=[], ylim=(max(len(kinds), 1) - 0.5, -0.6))
    axes.spines["left"].set_visible(False)
    plots.label(axes, "Accuracy and its cost", "test accuracy (%)", "")
