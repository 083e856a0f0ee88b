"""The figures of a row: loss or accuracy along the path, a panel a block, and how accurate the networks became."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from isthmus import plots
from isthmus.claims import Tables
from isthmus.papers.vlaar22.quantities import MAIN
from isthmus.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Look", "along", "draw", "routes"]

Metric = Literal["loss", "accuracy"]

TITLES = {"all": "Whole network", "stem": "Stem", "fc": "Last layer (fc)", "stage4.0": "Block 4.0"}
TITLES |= {f"stage{index}": f"Block {index}" for index in range(1, 5)}
"""What blocks are called over their panels, where that is not their name."""

_WAYS = {"initial->final": "0: initial, 1: final", "fresh->final": "0: fresh, 1: final"}
_WAYS |= {"final->fresh": "0: final, 1: fresh", "initial->fresh": "0: initial, 1: fresh"}
_STARTS = {"initial": "initial", "fresh": "fresh initial", "final": "final"}
_ENDS = {"initial->final": "i to f", "fresh->final": "i' to f", "initial->fresh": "i to i'"}
_COLUMNS = 5
_FAR = 100.0  # losses that lie so many times apart do not show on a linear axis
_NARROWEST = 2.0  # points of accuracy: less than that apart is to look like little


@dataclass(frozen=True)
class Look:
    """What a figure says and shows beside its tables.

    Attributes:
        title: what it is about.
        ordered: whether the variants are steps of one quantity, whose colours then go from dark to light.
        names: what variants are called in the figure, where that is not their name.
        variants: which of them are drawn, in this order; all of them by default.
        metrics: a figure of paths for each.
        routes: the paths that are drawn, a figure each.
    """

    title: str
    ordered: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ("loss",)
    routes: tuple[str, ...] = (MAIN,)

    def shown(self, tables: Tables) -> list[str]:
        """The variants that are there and drawn."""
        there = list(dict.fromkeys(tables["paths"]["variant"]))
        return [name for name in self.variants if name in there] if self.variants else there

    def colours(self, shown: Sequence[str]) -> dict[str, Any]:
        """A colour a variant."""
        if self.ordered or len(shown) > len(plots.CATEGORICAL):
            return dict(zip(shown, plots.sequential(len(shown)), strict=True))
        return dict(zip(shown, plots.CATEGORICAL, strict=False))


def draw(name: str, look: Look, tables: Tables, folder: Path) -> list[Path]:
    """A figure a route and metric, as PNG and SVG in a folder; the files written.

    The first is called ``name``, others by their metric and route behind it ("F1B-accuracy", "F2A-fresh").
    """
    files: list[Path] = []
    for route in look.routes:
        for metric in look.metrics:
            there = len(tables["paths"].where(path=route))
            if there or (route, metric) == (look.routes[0], look.metrics[0]):
                ends = [] if route == look.routes[0] else [route.replace("->", "-")]
                ends += [] if metric == look.metrics[0] else [metric]
                files += plots.save(along(look, tables, route, metric), folder / "-".join([name, *ends]))
    return files


def along(look: Look, tables: Tables, route: str = MAIN, metric: Metric = "loss") -> Figure:
    """A panel a block with its curves along a route, a colour a variant, and a last one with accuracies."""
    shown = look.shown(tables)
    colours = look.colours(shown)
    points = tables["curves"].where(lambda row: row["path"] == route and row["variant"] in colours)
    blocks = list(dict.fromkeys(points["block"])) or ["all"]
    columns = min(_COLUMNS, len(blocks) + 1)
    figure, panels = plots.canvas(
        -(-(len(blocks) + 1) // columns),
        columns,
        title=f"{look.title}: test {metric} on the way from {_route(route)}",
        note=_note(tables, route, metric, shown),
        panel=(1.75, 1.55),
    )
    for index, (axes, block) in enumerate(zip(panels, blocks, strict=False)):
        for variant, colour in colours.items():
            _curves(axes, points.where(variant=variant, block=block), metric, colour, look.names.get(variant, variant))
        _far_up(axes, points.where(block=block), metric)
        _marks(axes, tables, colours, route, metric, whole=block == "all")
        axes.set_xticks([0, 0.5, 1], labels=["0", "0.5", "1"])
        y = {"loss": "test loss (nats)", "accuracy": "test accuracy (%)"}[metric]
        x = f"alpha ({_WAYS[route]})"
        plots.label(axes, TITLES.get(block, block), x, y if index % columns == 0 else "")
    _accuracies(panels[len(blocks)], tables, look, colours)
    for unused in panels[len(blocks) + 1 :]:
        unused.remove()
    return figure


def routes(name: str, title: str, tables: Tables, folder: Path) -> list[Path]:
    """A panel a variant with the loss of the whole network along every route, a colour each; the files written."""
    points = tables["curves"].where(block="all")
    shown = list(dict.fromkeys(points["variant"])) or ["no paths"]
    figure, panels = plots.canvas(
        1,
        len(shown),
        title=f"{title}: test loss between initial (i), final (f) and fresh initial (i') weights",
        note=_note(tables, None, "loss", shown),
    )
    for axes, variant in zip(panels, shown, strict=False):
        for (route, words), colour in zip(_ENDS.items(), plots.CATEGORICAL, strict=False):
            _curves(axes, points.where(variant=variant, path=route), "loss", colour, words)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        rows = tables["paths"].where(variant=variant, metric="loss")
        for level in sorted({math.log(row["classes"]) for row in rows}):
            plots.threshold(axes, level)
        plots.legend(axes)
        plots.label(axes, variant, "alpha (0: first, 1: second)", "test loss (nats)")
    return plots.save(figure, folder / name)


def _route(route: str) -> str:
    first, _, second = route.partition("->")
    return f"{_STARTS[first]} to {_STARTS[second]} weights"


def _note(tables: Tables, route: str | None, metric: Metric, shown: Sequence[str]) -> str:
    """What a reader has to know: seeds, examples, what moves, what the marks are, normalisation statistics."""
    rows = tables["paths"].where(lambda row: row["path"] == (route or row["path"]) and row["variant"] in shown)
    seeds = sorted({len(set(group["seed"])) for group in rows.groups("variant").values()})
    count = " to ".join(map(str, seeds[:1] + seeds[1:][-1:])) or "0"
    spread = "One seed" if seeds == [1] else f"{count} seeds: mean as a line, lowest to highest as a band"
    parts = dict.fromkeys((row["split"].partition(":")[0], row["examples"]) for row in rows)
    on = " and ".join(f"{examples:,} {split} examples" for split, examples in parts) or "nothing"
    norm = ", ".join(dict.fromkeys(rows["norm_stats"]))
    found = [f"{spread}; paths on {on}."]
    if route is not None:
        found += ["A block moves alone while the others stay at the final weights."] * (set(rows["block"]) != {"all"})
        found += ["Dotted: loss at the start of the path of the whole network."] * (metric == "loss")
    found += ["Dashed: ln of the number of classes."] * (metric == "loss")
    final = _examples_of(tables["accuracy"].where(lambda row: row["variant"] in shown and row["split"] == "test"))
    found += [f"Final accuracy{final}: points are seeds; the bar and the number their mean."] * (route is not None)
    return " ".join(found + [f"norm_stats: {norm}."] * (norm not in ("", "none")))


def _examples_of(rows: Table) -> str:
    """On how many test examples accuracies are."""
    counts = sorted({int(row["examples"]) for row in rows})
    return f" on {' and '.join(f'{count:,}' for count in counts)} test examples" if counts else ""


def _curves(axes: Axes, points: Table, metric: Metric, colour: Any, name: str) -> None:
    runs = [sorted(run, key=lambda row: row["alpha"]) for run in points.groups("seed").values()]
    alphas = sorted({row["alpha"] for run in runs for row in run})
    values = np.full((max(1, len(runs)), len(alphas)), np.nan)
    for index, run in enumerate(runs):
        for row in run:
            values[index, alphas.index(row["alpha"])] = _value(row, metric)
    if alphas:
        plots.band(axes, alphas, values, color=colour, label=name, lw=1.1)


def _value(row: Mapping[str, Any], metric: Metric) -> float:
    value = row["loss"] if metric == "loss" else 100.0 * (1.0 - row["error"])
    return float(value) if math.isfinite(value) else math.nan


def _far_up(axes: Axes, points: Table, metric: Metric) -> None:
    """A panel whose losses lie powers of ten apart is drawn by their logarithms."""
    losses = [value for row in points if math.isfinite(value := _value(row, metric))]
    if metric == "loss" and losses and max(losses) > _FAR * min(losses) > 0:
        axes.set_yscale("log")


def _marks(axes: Axes, tables: Tables, colours: Mapping[str, Any], route: str, metric: Metric, *, whole: bool) -> None:
    """The loss at the start of the whole path and ln C, where a panel reaches them; the whole network's does."""
    if metric != "loss":
        return
    rows = tables["paths"].where(path=route, block="all", metric="loss")
    starts = {name: [row["start"] for row in rows.where(variant=name)] for name in colours}
    means = {name: float(np.mean(found)) for name, found in starts.items() if found and np.isfinite(found).all()}
    chance = sorted({math.log(row["classes"]) for row in rows if row["variant"] in colours})
    low, high = axes.get_ylim()
    if whole:
        high = max([high, *(1.04 * level for level in (*means.values(), *chance))])
    axes.set_ylim(min(low, 0.0) if whole and axes.get_yscale() == "linear" else low, high)
    for name, level in means.items():
        if low <= level <= high:
            axes.axhline(level, color=colours[name], lw=0.7, ls=":", zorder=1)
    for level in chance:
        if low <= level <= high:
            plots.threshold(axes, level)


def _accuracies(axes: Axes, tables: Tables, look: Look, colours: Mapping[str, Any]) -> None:
    """Points a seed and a bar at their mean, a row a variant, the first on top: the legend of the colours as well."""
    found = tables["accuracy"].where(split="test")
    places = {name: len(colours) - 1 - index for index, name in enumerate(colours)}
    for name, colour in colours.items():
        values: npt.NDArray[np.float64] = 100.0 * np.array(found.where(variant=name)["accuracy"], dtype=np.float64)
        values = values[np.isfinite(values)]
        axes.plot(values, [places[name]] * len(values), ls="none", marker="o", ms=3, alpha=0.55, mew=0, color=colour)
        if len(values):
            axes.plot([values.mean()] * 2, [places[name] - 0.3, places[name] + 0.3], color=colour, lw=1.8)
        words = look.names.get(name, name) + (f": {values.mean():.1f}" if len(values) else " (no numbers)")
        at = (0.0, places[name] + 0.34)
        across = axes.get_yaxis_transform()
        axes.text(*at, words, transform=across, fontsize=6.5, color=colour, va="bottom", ha="left")
    middle, span = float(np.mean(axes.get_xlim())), float(np.ptp(axes.get_xlim()))
    if span < _NARROWEST:
        axes.set_xlim(middle - _NARROWEST / 2, middle + _NARROWEST / 2)
    axes.set_ylim(-0.6, max(len(colours), 1) - 0.1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    plots.label(axes, "Final accuracy", "test accuracy (%)", "")
