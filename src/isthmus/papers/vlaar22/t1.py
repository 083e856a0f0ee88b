"""Every intervention: whether the shape of the path says how accurate a network is; Table 1 and figure A11."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus import plots
from isthmus.claims import Claim, Tables
from isthmus.errors import BadInput
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import lines, summary
from isthmus.papers.vlaar22.gathering import gathered
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Results, Study, from_mapping, variants
from isthmus.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ROW", "study", "substitute"]


def study(scale: Scale = "paper") -> Study:
    """The interventions of all rows and what they stand against, in the words of those rows; see ``lines``.

    Everything that those rows have trained and measured is taken from the store. At small scale these are the first
    three seeds of each.
    """
    contents, _ = lines.interventions(scale)
    return from_mapping(gathered("t1", contents), where=f"vlaar22 t1 at {scale} scale")


def substitute(scale: Scale) -> Study:
    """The same with those rows' substitutes for data and weights that may not be at hand."""
    contents, _ = lines.interventions(scale, substitute=True)
    return from_mapping(gathered("t1", contents), where=f"vlaar22 t1 at {scale} scale")


def tables(results: Results) -> dict[str, Table]:
    """``setup``, ``runs``, ``correlations``, ``table1`` and ``counts``; paths and curves are in those of the rows."""
    found = tabulate(results)
    runs = summary.runs(found, _ran(results))
    table1 = summary.beside(runs, found["shapes"])
    return {
        "setup": found["setup"],
        "runs": runs,
        "correlations": summary.correlations(runs),
        "table1": table1,
        "counts": summary.counted(table1),
    }


def _ran(results: Results) -> list[lines.Intervention]:
    """The interventions of the study, whichever scale it is of."""
    names = set(variants(results.study))
    scales: tuple[Scale, ...] = ("small", "paper")
    known = [lines.interventions(scale, substitute=other) for scale in scales for other in (False, True)]
    for whole in (True, False):  # a part of the variants may be one of several studies
        for contents, listed in known:
            if names == set(contents) if whole else names <= set(contents):
                return [one for one in listed if {one.name, one.against} <= names]
    odd = sorted(names - set().union(*(contents for contents, _ in known))) or sorted(names)
    raise BadInput(f"{results.study.name}: expected the variants of the summary alone, found {odd[0]!r} as well.")


PAPER = "Vlaar & Frankle 2022, Table 1 and A11"
FROM_0 = (
    "distance from 0 of the 95 % interval of Spearman's correlation between the {} and the change of test accuracy"
    " against the base, over all interventions and seeds, whole interventions drawn again; 0 where the interval holds 0"
    " or groups of interventions (start, data, optimiser, architecture) differ in its sign, each by its own interval"
)


def _claim(name: str, text: str, what: str, rise: str) -> Claim:
    return Claim(
        id=name,
        text=text,
        source=PAPER,
        statistic=FROM_0.format(what),
        side="<=",
        threshold=0.0,
        why="no correlation that could be told from none, or none that holds for all kinds of changes",
        values=summary.unrelated(rise),
        published="no consistent relation",
    )


CLAIMS = (
    _claim(
        "path-says-nothing",
        "How much the loss rises on the path of the whole network does not say how accurate the network is.",
        "rise of the test loss on the path of the whole network",
        "rise",
    ),
    _claim(
        "blocks-say-nothing",
        "Nor does how much it rises when blocks move alone.",
        "largest rise of the test loss over blocks that move alone",
        "largest_block_rise",
    ),
)

COLOURS = dict(zip((lines.START, lines.DATA, lines.OPTIMISER, lines.ARCHITECTURE), plots.CATEGORICAL, strict=False))
TITLES = {"rise": "Path of the whole network", "largest_block_rise": "Blocks that move alone"}
AXES = {"rise": "rise of the test loss (nats)", "largest_block_rise": "largest rise of the test loss (nats)"}
WIDE = 20.0  # points: from there on changes are drawn on an axis that is linear near 0 alone


def figures(found: Tables, folder: Path) -> list[Path]:
    """A11: each run as a point, rise against change of accuracy; T1: how often a shape goes with a change."""
    return [*plots.save(_scatter(found), folder / "A11"), *plots.save(_counts(found), folder / "T1")]


def _looks(runs: Table) -> dict[str, dict[str, Any]]:
    """The marker of each line, in the colour of its group."""
    found: dict[str, dict[str, Any]] = {}
    for (group,), own in runs.groups("group").items():
        for index, (line,) in enumerate(own.groups("line")):
            marker = plots.MARKERS[index % len(plots.MARKERS)]
            found[line] = {"marker": marker, "color": COLOURS[group], "ls": "none", "ms": 4.0, "mew": 0.3}
    return found


def _scatter(found: Tables) -> Figure:
    runs = found["runs"]
    seeds = len(set(runs["seed"]))
    count = len(runs.groups("intervention"))
    figure, panels = plots.canvas(
        1,
        3,
        title="Rise of the loss against the change of accuracy, all interventions",
        note=f"A point is one of {seeds} seeds of one of {count} interventions; colours are kinds of changes, markers"
        " lines of Table 1 (or changes that it does not list). Change of the test accuracy against the base of the same"
        " seed. Correlation: Spearman's, with its 95 % interval over draws of whole interventions.",
        panel=(2.6, 2.5),
    )
    looks = _looks(runs)
    for axes, rise in zip(panels, summary.RISES, strict=False):
        for line, look in looks.items():
            own = runs.where(line=line)
            x, y = (np.array(own[name], dtype=np.float64) for name in (rise, "change"))
            there = np.isfinite(x) & np.isfinite(y)
            axes.plot(x[there], y[there], alpha=0.75, markeredgecolor="white", **look)
        _changes(axes)
        plots.label(axes, TITLES[rise], AXES[rise], "change of the test accuracy (points)")
        words = axes.text(0.98, 0.98, _told(found, rise), transform=axes.transAxes, fontsize=6.5, ha="right", va="top")
        words.set_path_effects(_halo())
    _key(panels[2], looks)
    return figure


def _changes(axes: Axes) -> None:
    """The axis of changes: one of logarithms outside of -1 to 1 where some are large; with room for words on top."""
    low, high = axes.get_ylim()
    axes.axhline(0.0, color="#777777", lw=0.8, zorder=1)
    if max(-low, high) > WIDE:
        axes.set_yscale("symlog", linthresh=1.0)
        ticks = [tick for tick in (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100) if low <= tick <= high]
        axes.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        axes.set_yticks([], minor=True)
        axes.set_ylim(low, 30 * max(high, 1.0))
    else:
        axes.set_ylim(low, high + 0.4 * (high - low))


def _halo() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2, foreground="white")]


def _told(found: Tables, rise: str) -> str:
    """The correlations in words, a line a group."""
    told = []
    for row in found["correlations"].where(rise_of=rise):
        if row["correlation"] is not None:
            limits = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
            told.append(f"{row['group']}: {row['correlation']:.2f}{limits}")
    return "\n".join(told)


def _key(axes: Axes, looks: dict[str, dict[str, Any]]) -> None:
    """A panel turned into the legend."""
    for line, look in looks.items():
        axes.plot([], [], label=line, **look)
    axes.set_axis_off()
    plots.legend(axes, "upper left")


def _counts(found: Tables) -> Figure:
    counts = found["counts"]
    figure, panels = plots.canvas(
        1,
        2,
        title="How often a shape of the path goes with a change of accuracy",
        note="Here: interventions, by the label of the mean curve of the whole network and by whether the 95 % interval"
        " of the change of accuracy over seeds lies above 0, below it, or neither. Paper: lines of its Table 1, each"
        " once for every label that it gives; 'often' is dropped. B: barrier, P: plateau, NB: monotone decay, F: flat."
        " The last two rows count apart whether blocks that move alone rise more or less than those of the base.",
        panel=(2.4, 2.1),
    )
    for axes, (source, title) in zip(panels, (("here", "Here"), ("paper", "Paper")), strict=True):
        _heat(axes, counts.where(source=source))
        plots.label(axes, title, "test accuracy against the base")
    return figure


def _heat(axes: Axes, counts: Table) -> None:
    """A cell for each pair, darker for more, with its number."""
    shapes, accuracies = (list(dict.fromkeys(counts[name])) for name in ("shape", "accuracy"))
    cells = np.zeros((len(shapes), len(accuracies)))
    for row in counts:
        cells[shapes.index(row["shape"]), accuracies.index(row["accuracy"])] = row["count"]
    axes.imshow(cells, cmap="Blues", vmin=0, vmax=max(1.0, 1.5 * cells.max()), aspect="auto")
    for (y, x), count in np.ndenumerate(cells):
        colour = "white" if count > 0.8 * cells.max() > 0 else "#222222"
        axes.text(x, y, f"{count:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.axhline(len(summary.SHAPES) - 0.5, color="white", lw=3)
    axes.set_xticks(range(len(accuracies)), labels=accuracies)
    axes.set_yticks(range(len(shapes)), labels=[shape.replace("blocks ", "blocks\n") for shape in shapes])
    axes.tick_params(length=0)


ROW = Row(
    name="t1",
    paper="vlaar22",
    title="All interventions: does the shape of the path say how accurate a network is? (Table 1, A11)",
    shows=("T1", "A11"),
    study=study,
    tables=tables,
    claims=CLAIMS,
    figures=figures,
    substitute=substitute,
)
