"""The figures of a row, F1 to F5 of the paper, from its tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isthmus import curves, plots
from isthmus.claims import Tables
from isthmus.papers.shapira23.quantities import main_accuracy, of_variant, split_accuracies
from isthmus.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Look", "draw"]

_SPLITS = {"train": (plots.CATEGORICAL[1], "s", "train"), "test": (plots.CATEGORICAL[0], "o", "test")}
_UNIT = {"loss": ("loss", 1.0, "nats"), "error": ("error", 100.0, "points")}
_CHORD = "Chord barrier: the largest height above the straight line between the values at the two ends."
_GAP = "Gap: the value on the path minus that on the straight line between its two ends."


@dataclass(frozen=True)
class Look:
    """What the figures of a row say and show beside its tables.

    Attributes:
        name: network and data set, for the titles.
        limits: barriers below which networks count as connected, by metric ("loss" in nats, "error" as a share).
    """

    name: str
    limits: dict[str, float]


def draw(look: Look, tables: Tables, folder: Path) -> list[Path]:
    """Figures F1 to F5 as PNG and SVG in a folder, of a study with variants for each of them; the files written."""
    figures = {"F1": _f1, "F2": _f2, "F3": _f3, "F4": _f4, "F5": _f5}
    files = []
    for variant in dict.fromkeys(tables["pairs"]["variant"]) if "variant" in tables["pairs"].columns else ("",):
        of = of_variant(tables, variant) if variant else tables
        named = replace(look, name=f"{look.name}, {variant}") if variant else look
        for name, figure in figures.items():
            file = f"{name}-{re.sub('[^A-Za-z0-9]+', '-', variant)}" if variant else name
            files += plots.save(figure(named, of), folder / file)
    return files


def _note(tables: Tables, splits: Sequence[str], *sentences: str) -> str:
    """What a reader of any figure has to know: repeats, on how many examples, normalisation statistics."""
    pairs = tables["pairs"]
    found = {split: pairs.where(split=split) for split in splits}
    counts = [f"{rows['examples'][0]:,} {_whole(tables, split, rows)}" for split, rows in found.items() if len(rows)]
    stats = sorted(set(pairs["norm_stats"]))
    norm = "The network has no normalisation layers." if stats == ["none"] else f"norm_stats: {', '.join(stats)}."
    moved = ", cropped and flipped as in training" if "augmented" in pairs.columns and any(pairs["augmented"]) else ""
    return " ".join([f"{_repeats(pairs)}, evaluated on {' and '.join(counts) or 'nothing'}{moved}.", *sentences, norm])


def _whole(tables: Tables, split: str, rows: Table) -> str:
    of = tables["table1"]["training_examples"][0] if split == "train" else rows["examples"][0]
    return f"{split} examples" if rows["examples"][0] == of else f"of the {of:,} training examples (a fixed subset)"


def _repeats(pairs: Table) -> str:
    count = len(set(pairs["repeat"]))
    return f"{count} repeats" if count > 1 else "One repeat"


def _numbers(table: Table, column: str) -> list[float]:
    return sorted(set(table[column]))


def _over(table: Table, x: str, y: str) -> tuple[list[float], npt.NDArray[np.float64]]:
    """The values of ``x`` and, a row a repeat, ``y`` there (NaN where a repeat has none)."""
    at = _numbers(table, x)
    values = np.full((len(set(table["repeat"])), len(at)), np.nan)
    for index, rows in enumerate(table.groups("repeat").values()):
        for row in rows:
            values[index, at.index(row[x])] = np.nan if row[y] is None else row[y]
    return at, values


def _at_end(tables: Tables, split: str, metric: str) -> Table:
    pairs = tables["pairs"].where(split=split, metric=metric)
    last = {k1: max(rows["k2"]) for (k1,), rows in pairs.groups("k1").items()}
    return pairs.where(lambda row: row["k2"] == last[row["k1"]])


def _limit(axes: Axes, look: Look, metric: str) -> None:
    """Room for the limit of what counts as connected, so that a barrier of nothing looks like nothing."""
    unit = _UNIT[metric]
    limit = look.limits[metric] * unit[1]
    highest = axes.dataLim.ymax  # of nothing it is infinite
    top = max(1.1 * highest if np.isfinite(highest) else 0.0, 1.2 * limit)
    axes.set_ylim(-0.05 * top, top)
    plots.threshold(axes, limit, f"connected below {limit:g} {unit[2]}")


def _f1(look: Look, tables: Tables) -> Figure:
    note = _note(tables, ("train", "test"), "Line: mean; band: lowest to highest repeat.", _CHORD)
    figure, panels = plots.canvas(
        1, 2, title=f"Barrier at the end of training against the shared epochs: {look.name}", note=note
    )
    for axes, (metric, (name, factor, unit)) in zip(panels, _UNIT.items(), strict=True):
        for split, (colour, marker, text) in _SPLITS.items():
            k1, values = _over(_at_end(tables, split, metric), "k1", "chord")
            if not k1:
                continue
            line = "-" if split == "test" else "--"
            label = f"{text} (at most {factor * values.max(initial=0.0):.2g} {unit})"
            plots.band(axes, k1, factor * values, color=colour, marker=marker, label=label, ls=line)
        axes.set_xticks(_numbers(tables["pairs"], "k1"))
        _limit(axes, look, metric)
        plots.legend(axes)
        plots.label(axes, name.capitalize(), "k1: shared epochs (k2 = rest)", f"chord barrier of the {name} ({unit})")
    return figure


def _f2(look: Look, tables: Tables) -> Figure:
    note = _note(
        tables,
        ("test",),
        "A point is a repeat; the number beside it is k1 in epochs. Accuracies are"
        " spaced by the logarithm of the error.",
        _CHORD,
    )
    figure, panels = plots.canvas(1, 2, title=f"Barrier against accuracy at the split: {look.name}", note=note)
    trunk = split_accuracies(tables) if "networks" in tables else {}
    for axes, (metric, (name, factor, unit)) in zip(panels, _UNIT.items(), strict=True):
        ends = _at_end(tables, "test", metric)
        points = [(r["k1"], trunk[r["repeat"], r["k1"]], r["chord"]) for r in ends if (r["repeat"], r["k1"]) in trunk]
        _accuracies(axes, points, factor, _final(tables))
        _limit(axes, look, metric)
        plots.label(axes, name.capitalize(), "test accuracy at the split (%)", f"chord barrier of the {name} ({unit})")
    return figure


def _final(tables: Tables) -> float:
    """The best test accuracy of the main branch at the end; 0 where there is none."""
    found = [main_accuracy(row) for row in _at_end(tables, "test", "error")]
    return max((accuracy for accuracy in found if np.isfinite(accuracy)), default=0.0)


def _accuracies(axes: Axes, points: Sequence[tuple[float, float, float]], factor: float, final: float) -> None:
    """Points on an axis that is logarithmic in the error, so that 97 % and 98 % stand apart."""
    axes.set_xscale("log")
    axes.invert_xaxis()
    k1s = sorted({k1 for k1, _, _ in points})
    colours = plots.sequential(len(k1s))
    for index, k1 in enumerate(k1s):
        x = [max(1 - accuracy, 1e-4) for at, accuracy, _ in points if at == k1]
        y = [factor * barrier for at, _, barrier in points if at == k1]
        axes.plot(x, y, ls="none", marker=plots.MARKERS[index % len(plots.MARKERS)], color=colours[index], ms=4.5)
        place = float(np.exp(np.mean(np.log(x))))
        axes.annotate(f"{k1:g}", (place, max(y)), (0, 5), textcoords="offset points", ha="center", fontsize=7)
    ticks = [error for error in (0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005) if error >= 0.7 * (1 - final)]
    axes.set_xticks(ticks, labels=[f"{100 * (1 - error):g}" for error in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(1.0, 0.7 * max(1 - final, 1e-4))
    if final:
        plots.threshold(axes, max(1 - final, 1e-4), "at the end", vertical=True)


def _paths(
    look: Look, tables: Tables, title: str, y: str, curve: Callable[[list[float], list[float]], Any], *more: str
) -> tuple[Figure, list[Axes]]:
    """A panel for each k1, in it a curve along the path for each k2, shaded by k2."""
    table = tables["curves"].where(split="test")
    k1s, k2s = _numbers(table, "k1"), _numbers(table, "k2")
    colours = dict(zip(k2s, plots.sequential(len(k2s)), strict=True))
    found: dict[tuple[float, float], tuple[list[float], npt.NDArray[np.float64]]] = {}
    for (k1, k2), points in table.groups("k1", "k2").items():
        alphas, losses = _over(points, "alpha", "loss")
        found[k1, k2] = alphas, np.mean([curve(alphas, row.tolist()) for row in losses], axis=0)
    broken = sum(not np.isfinite(values).all() for _, values in found.values())
    if broken:
        more += (f"{broken} of {len(found)} lines hold NaN or infinity and are drawn where they are finite.",)
    columns = min(4 if len(k1s) % 3 == 0 else 3, len(k1s) + 1)  # one panel more is the scale, not alone in a row
    rows = -(-(len(k1s) + 1) // columns)
    figure, panels = plots.canvas(
        rows,
        columns,
        title=f"{title}: {look.name}",
        note=_note(tables, ("test",), "Lines: means.", *more),
        panel=(2.05, 1.6),
        shared=len(k1s),
    )
    for index, (axes, k1) in enumerate(zip(panels, k1s, strict=False)):
        for (of, k2), (alphas, values) in found.items():
            if of == k1:
                axes.plot(alphas, values, color=colours[k2], lw=1.1)
        axes.set_xticks([0, 0.5, 1], labels=["0", "0.5", "1"])
        plots.label(axes, f"k1 = {k1:g}", "alpha (0: main branch, 1: child)", y if index % columns == 0 else "")
    plots.colour_scale(panels[len(k1s)], k2s, list(colours.values()), "k2: epochs apart")
    for unused in panels[len(k1s) + 1 :]:
        unused.remove()
    return figure, panels[: len(k1s)]


def _f3(look: Look, tables: Tables) -> Figure:
    figure, panels = _paths(
        look, tables, "Gap along the path", "gap of the test loss (nats)", curves.gap, _GAP, "Below 0: no barrier."
    )
    for axes in panels:
        plots.threshold(axes, 0.0)
    return figure


def _f4(look: Look, tables: Tables) -> Figure:
    note = _note(
        tables,
        ("test",),
        "Line: mean; band: lowest to highest repeat. Prediction cross-entropy: mean of -sum p log q, p of the main"
        " branch, q of the child; it holds the entropy of p as well, which falls as networks get surer.",
        _CHORD,
    )
    quantities = {
        "l2": ("Distance of the weights", "L2 distance"),
        "prediction_cross_entropy": ("Predictions", "prediction cross-entropy (nats)"),
        "chord": ("Barrier", "chord barrier of the loss (nats)"),
    }
    figure, panels = plots.canvas(
        1, 3, title=f"Distance, predictions and barrier against k2: {look.name}", note=note, panel=(1.85, 1.9)
    )
    pairs = tables["pairs"].where(split="test", metric="loss")
    k1s = _numbers(pairs, "k1")
    for axes, (column, (title, y)) in zip(panels, quantities.items(), strict=True):
        for index, (k1, colour) in enumerate(zip(k1s, plots.sequential(len(k1s)), strict=True)):
            k2, values = _over(pairs.where(k1=k1), "k2", column)
            marker = plots.MARKERS[index % len(plots.MARKERS)]
            plots.band(axes, k2, values, color=colour, marker=marker, ms=2.8, label=f"k1 = {k1:g}")
        plots.label(axes, title, "k2: epochs apart", y)
    for axes in panels[:2]:
        axes.set_ylim(bottom=0)
    _limit(panels[2], look, "loss")
    plots.legend(panels[1], columns=1 + len(k1s) // 8)
    return figure


def _f5(look: Look, tables: Tables) -> Figure:
    figure, panels = _paths(look, tables, "Loss along the path", "test loss (nats)", lambda _, losses: losses)
    if not panels:
        return figure
    low, high = panels[0].get_ylim()
    if low > 0:
        panels[0].set_yscale("log")
        plots.log_ticks(panels[0].yaxis, low, high)
    return figure
