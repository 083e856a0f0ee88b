"""Accuracies of variants beside those that the paper gives, as a table and as bars of what each changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus import plots
from isthmus.statistics import Interval, interval
from isthmus.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLUMNS", "Published", "compared", "draw"]

Published = Mapping[str, tuple[float, float | None]]
"""By variant the accuracy in points and its spread, where the paper gives one."""

COLUMNS: tuple[str, ...] = (
    "variant",
    "against",
    "accuracy",
    "low",
    "high",
    "seeds",
    "change",
    "change_low",
    "change_high",
)
COLUMNS += ("published", "published_spread", "published_change")

_OURS, _THEIRS = plots.CATEGORICAL[0], plots.CATEGORICAL[4]
_ROW = 0.46  # inches that a variant takes


def compared(accuracy: Table, against: Mapping[str, str], published: Published, split: str = "test") -> Table:
    """A row a variant of ``against``: its accuracy, and by how much it differs from that of its base (points).

    ``low`` and ``high`` are those of 95 % t-intervals over seeds; ``change`` is that of pairs of one seed. A variant
    that was not run, or that the paper does not give, lacks these numbers.
    """
    found = accuracy.where(split=split)
    runs = {
        name: {row["seed"]: 100.0 * row["accuracy"] for row in found.where(variant=name)}
        for name in {*against, *against.values()}
    }
    rows = []
    for name, base in against.items():
        own = interval(list(runs[name].values()))
        both = sorted(runs[name].keys() & runs[base].keys())
        change = interval([runs[name][seed] - runs[base][seed] for seed in both])
        theirs, spread = published.get(name, (None, None))
        apart = None if theirs is None or base not in published else round(theirs - published[base][0], 6)
        rows.append(
            {
                "variant": name,
                "against": base,
                **dict(zip(("accuracy", "low", "high"), _numbers(own), strict=True)),
                "seeds": own.seeds,
                **dict(zip(("change", "change_low", "change_high"), _numbers(change), strict=True)),
                "published": theirs,
                "published_spread": spread,
                "published_change": apart,
            }
        )
    return Table.of(rows, COLUMNS)


def _numbers(found: Interval) -> tuple[float | None, ...]:
    """Mean and limits; what cannot be said of so few seeds is missing."""
    none, one = found.seeds < 1, found.seeds < 2
    return (None if none else found.mean, None if one else found.low, None if one else found.high)


def draw(
    name: str,
    title: str,
    note: str,
    groups: Mapping[str, Mapping[str, str]],
    rows: Table,
    folder: Path,
    split: str = "test",
) -> list[Path]:
    """What each variant changes against its base, a panel a group, beside the paper's; the files written.

    Args:
        name: of the file.
        title: over the figure.
        note: under it, before what is said of every such figure.
        groups: by the title of a panel the variants in it and what they are called there; those that were neither
            run nor published are left out.
        rows: from :func:`compared`.
        folder: where to.
        split: on what the accuracies are.
    """
    known = {row["variant"]: row for row in rows}
    shown = {
        group: [(words, known[name]) for name, words in names.items() if _there(known.get(name))]
        for group, names in groups.items()
    }
    height = _ROW * max(1, *(len(found) for found in shown.values()))
    counts = sorted({row["seeds"] for row in rows if row["seeds"]})
    seeds = " to ".join(map(str, counts[:1] + counts[1:][-1:])) or "no"
    told = f"{note} Bars: change of the {split} accuracy against the first of each panel, the mean over {seeds} seeds"
    told += " with its 95 % interval; accuracies as numbers, the paper's in parentheses."
    figure, panels = plots.canvas(1, len(shown), title=title, note=told, panel=(3.1, height))
    for axes, (group, found) in zip(panels, shown.items(), strict=True):
        _panel(axes, found)
        plots.label(axes, group, f"change of the {split} accuracy (points)")
    return plots.save(figure, folder / name)


def _there(row: Mapping[str, Any] | None) -> bool:
    return row is not None and (row["accuracy"] is not None or row["published"] is not None)


def _panel(axes: Axes, found: list[tuple[str, Mapping[str, Any]]]) -> None:
    from matplotlib.patheffects import withStroke

    across = axes.get_yaxis_transform()
    for index, (words, row) in enumerate(found):
        place = len(found) - 1 - index
        _bar(axes, place, row["change"], _OURS, (row["change_low"], row["change_high"]))
        _bar(axes, place - 0.22, row["published_change"], _THEIRS, (None, None))
        text = axes.text(0.0, place + 0.16, f"{words}: {_told(row)}", transform=across, fontsize=6.5, va="bottom")
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])
    for index, (colour, name) in enumerate(((_OURS, "here"), (_THEIRS, "paper"))):  # where the base has no bars
        axes.text(
            0.0,
            len(found) - 1 - 0.22 * index,
            f"\N{BLACK SQUARE} {name}",
            transform=across,
            fontsize=6.5,
            va="center",
            color=colour,
        )
    axes.axvline(0.0, color="#777777", lw=0.8)
    axes.set_ylim(-0.5, max(1, len(found)) - 0.3)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _bar(axes: Axes, place: float, value: float | None, colour: str, limits: tuple[Any, Any]) -> None:
    if value is None or not math.isfinite(value):
        return
    axes.barh([place], [value], height=0.2, color=colour)
    if None not in limits and all(map(math.isfinite, limits)):
        axes.plot(limits, [place, place], color="#222222", lw=1.0, solid_capstyle="butt")


def _told(row: Mapping[str, Any]) -> str:
    """The accuracies in words."""
    ours = "not run" if row["accuracy"] is None else f"{row['accuracy']:.1f}"
    if row["published"] is None:
        return ours
    spread = "" if row["published_spread"] is None else f" \N{PLUS-MINUS SIGN} {row['published_spread']:g}"
    return f"{ours} ({row['published']:g}{spread})"
