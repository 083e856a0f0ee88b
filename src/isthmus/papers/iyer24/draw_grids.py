"""Figures of grids: a panel a k (F2 and those like it), a panel a k and s (F9 and those like it)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus import plots
from isthmus.claims import Tables
from isthmus.papers.iyer24.draw import (
    COPIES,
    MERGE,
    by_seed,
    drops,
    interior,
    lengths,
    measured,
    note,
    percent,
    seeded,
    shared,
    there,
    time,
)
from isthmus.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["figure_of_ks", "figure_of_merges"]

_MOST = 9  # lines between the copies in a panel of their own
_GAIN = "Gain: accuracy half way between the copies minus the mean of the two."


def figure_of_ks(
    name: str, title: str, variants: Sequence[str], tables: Tables, folder: Path, *, split: str = "test"
) -> list[Path]:
    """Accuracy against epochs, a panel a variant and k, an alpha a colour; then the gain, a k a colour."""
    variants = there(tables, variants)
    places = [(variant, k) for variant in variants for k in shared(tables, variant)]
    alphas = interior(measured(tables, "lines", split=split), _MOST)
    colours = dict(zip(alphas, plots.sequential(len(alphas)), strict=True))
    columns = min(3, len(places) + 1)
    rows = -(-(len(places) + 1) // columns)
    figure, panels = plots.canvas(
        rows, columns, title=title, note=note(tables, variants), panel=(2.3, 1.7) if columns == 3 else (3.0, 2.0)
    )
    for axes, (variant, k) in zip(panels, places, strict=False):
        _lines(axes, tables, variant, k, split, colours)
        plots.label(axes, _titled(variants, variant, f"k = {k}"), "epoch", f"{split} accuracy (%)")
    if alphas:
        plots.colour_scale(panels[len(places)], [round(alpha, 3) for alpha in alphas], list(colours.values()), "alpha")
    else:
        panels[len(places)].set_axis_off()
    if places:
        plots.legend(panels[0])
    for unused in panels[len(places) + 1 :]:
        unused.remove()
    files = plots.save(figure, folder / name)
    return files + _gains(f"{name}-gain", title, variants, tables, folder, split)


def _titled(variants: Sequence[str], variant: str, text: str) -> str:
    return f"{variant}, {text}" if len(variants) > 1 else text


def _lines(axes: Axes, tables: Tables, variant: str, k: str, split: str, colours: dict[float, Any]) -> None:
    lines = measured(tables, "lines", variant, k=k, split=split)
    for alpha, colour in colours.items():
        by_seed(axes, seeded(lines.where(alpha=alpha), time, percent), {"color": colour, "lw": 1.0})
    copies = lines.where(lambda row: row["alpha"] in (0.0, 1.0))
    by_seed(axes, seeded(copies, time, percent), COPIES)
    drops(axes, tables, variant)


def _gains(name: str, title: str, variants: Sequence[str], tables: Tables, folder: Path, split: str) -> list[Path]:
    figure, panels = plots.canvas(1, len(variants), title=title, note=note(tables, variants, _GAIN), panel=(2.9, 2.2))
    for axes, variant in zip(panels, variants, strict=True):
        gains = measured(tables, "gains", variant, split=split)
        ks = shared(tables, variant)
        for index, (k, colour) in enumerate(zip(ks, plots.sequential(len(ks)), strict=True)):
            style = {"color": colour, "marker": plots.MARKERS[index % 7], "label": f"k = {k}"}
            by_seed(axes, seeded(gains.where(k=k), time, lambda row: float(row["gain"])), style)
        plots.threshold(axes, 0.0)
        drops(axes, tables, variant)
        plots.label(axes, variant, "epoch", "gain (points)")
        plots.legend(axes)
    return plots.save(figure, folder / name)


def figure_of_merges(
    name: str, title: str, variants: Sequence[str], tables: Tables, folder: Path, *, split: str = "test"
) -> list[Path]:
    """Accuracy around each merge, a row a variant and k, a column an s; then how large each gain is."""
    files: list[Path] = []
    variants = there(tables, variants)
    for variant in variants:
        rows = measured(tables, "networks", variant, split=split, network="merge")
        ks, ss = shared(tables, variant, rows), lengths(rows)
        if not ks:
            continue
        figure, panels = plots.canvas(
            len(ks),
            len(ss),
            title=title,
            note=note(tables, [variant]),
            panel=(2.9, 2.0) if len(ss) == 1 else (1.5, 1.1),
        )
        for index, axes in enumerate(panels):
            k, s = ks[index // len(ss)], ss[index % len(ss)]
            around(axes, tables, variant, k, s, split)
            first, last = index % len(ss) == 0, index // len(ss) == len(ks) - 1
            what = f"{split} accuracy (%)" if len(ss) == 1 else f"{split} (%)"
            heading = _titled(variants, variant, f"k = {k}, s = {s}") if len(ss) == 1 else f"k = {k}, s = {s}"
            plots.label(axes, heading, "epochs after the merge" if last else "", what if first else "")
        plots.legend(panels[0])
        suffix = f"-{variants.index(variant) + 1}" if len(variants) > 1 else ""
        files += plots.save(figure, folder / f"{name}{suffix}")
    return files + _sizes(f"{name}-gain", title, variants, tables, folder, split)


def around(axes: Axes, tables: Tables, variant: str, k: str, s: str, split: str) -> None:
    """The merge trained on and the copies, from the last s before it on, by epochs since the merge."""
    gains = measured(tables, "gains", variant, split=split, k=k)
    networks = measured(tables, "networks", variant, split=split, k=k, s=s)
    (here,) = {row["s_epochs"] for row in networks} or {0.0}
    since = _since(here)
    before = [row for row in gains if -2 <= row["s_epochs"] - here <= 0]
    copies = [{**row, "after": 0, "accuracy": row[name]} for row in before for name in ("child1", "child2")]
    on = [row for row in networks if row["network"].startswith("child") and row["after"] > 0]
    by_seed(axes, seeded([*copies, *on], since, percent), COPIES)
    between = [{**row, "after": 0, "accuracy": row["interpolant"]} for row in before]
    style = {"color": plots.CATEGORICAL[2], "marker": ".", "label": "half way", "ls": "--"}
    by_seed(axes, seeded(between, since, percent), style)
    by_seed(axes, seeded(networks.where(network="merge"), since, percent), MERGE)


def _since(here: float) -> Callable[[Any], float]:
    return lambda row: float(row["s_epochs"] - here + row["after"])


def _sizes(name: str, title: str, variants: Sequence[str], tables: Tables, folder: Path, split: str) -> list[Path]:
    figure, panels = plots.canvas(
        1, len(variants), title=title, note=note(tables, variants, _GAIN), panel=(2.9, 2.2), shared=len(variants)
    )
    for axes, variant in zip(panels, variants, strict=True):
        gains: Table = measured(tables, "gains", variant, split=split)
        ks = shared(tables, variant)
        for index, (k, colour) in enumerate(zip(ks, plots.sequential(len(ks)), strict=True)):
            style = {"color": colour, "marker": plots.MARKERS[index % 7], "label": f"k = {k}"}
            own = gains.where(k=k)
            by_seed(axes, seeded(own, lambda row: float(row["s_epochs"]), lambda row: float(row["gain"])), style)
        plots.threshold(axes, 0.0)
        y = "gain (points)" if axes is panels[0] else ""
        plots.label(axes, variant if len(variants) > 1 else "", "s: epochs apart", y)
        plots.legend(axes)
    return plots.save(figure, folder / name)
