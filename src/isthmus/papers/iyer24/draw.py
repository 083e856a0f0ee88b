"""Figures of one merge and what follows it: accuracy against epochs, the gain along the line, variants side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isthmus import plots
from isthmus.claims import Tables
from isthmus.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "COPIES",
    "MERGE",
    "TRUNK",
    "after_merge",
    "along",
    "by_seed",
    "course",
    "drops",
    "figure_of_gains",
    "interior",
    "lengths",
    "losses",
    "measured",
    "note",
    "percent",
    "seeded",
    "shared",
    "there",
    "time",
    "together",
]

Doubles = npt.NDArray[np.float64]
Row = Mapping[str, Any]

TRUNK: Mapping[str, Any] = {"color": plots.CATEGORICAL[-1], "marker": plots.MARKERS[6], "label": "trunk"}
COPIES: Mapping[str, Any] = {"color": plots.CATEGORICAL[0], "marker": plots.MARKERS[0], "label": "copies (mean)"}
MERGE: Mapping[str, Any] = {"color": plots.CATEGORICAL[1], "marker": plots.MARKERS[1], "label": "merge, trained on"}
_BAND = "Lines: means; bands: lowest to highest seed."
_SHOWN = 5  # so many lines between the copies are told apart in a small panel
_MARKED = 12  # so many markers on a line
_EMPTY = Table(("seed", "variant", "k", "s", "k_epochs", "s_epochs", "split", "network", "after", "alpha", "epoch"), ())


def measured(tables: Tables, name: str, variant: str | None = None, **where: Any) -> Table:
    """The rows of a table of a variant, none where there is no such table."""
    found = tables.get(name, _EMPTY)
    own = {} if variant is None else {"variant": variant}
    return found.where(**{key: value for key, value in (own | where).items() if key in found.columns})


def there(tables: Tables, variants: Sequence[str]) -> list[str]:
    """Those of the variants of which anything was measured, or else the first of them."""
    return [name for name in variants if _seeds(tables, name)] or list(variants[:1])


def note(tables: Tables, variants: Sequence[str], *sentences: str) -> str:
    """What a reader of any figure has to know: network, data, seeds, normalisation statistics, test examples."""
    setup = tables["setup"].where(lambda row: row["variant"] in variants)
    what = _listed(f"{row['network']} on {row['data']}" for row in setup)
    counts = sorted({len(_seeds(tables, variant)) for variant in variants if _seeds(tables, variant)})
    counted = f"{_listed((counts[0], counts[-1]))} seeds. {_BAND}" if counts and counts[-1] > 1 else "One seed."
    stats = _listed(setup["norm_stats"])
    return " ".join([f"{what}. {counted}", *sentences, f"norm_stats: {stats}."])


def _seeds(tables: Tables, variant: str) -> set[Any]:
    return {row["seed"] for name in ("gains", "networks") for row in measured(tables, name, variant)}


def _listed(values: Iterable[object]) -> str:
    return " or ".join(dict.fromkeys(map(str, values)))


def seeded(rows: Iterable[Row], x: Callable[[Row], float], y: Callable[[Row], float]) -> tuple[list[float], Doubles]:
    """The values of x and, a row a seed, the mean y there (NaN where a seed has none)."""
    found: dict[Any, dict[float, list[float]]] = {}
    for row in rows:
        found.setdefault(row["seed"], {}).setdefault(round(x(row), 9), []).append(y(row))
    at = sorted({place for own in found.values() for place in own})
    values = [[float(np.mean(own[place])) if place in own else np.nan for place in at] for own in found.values()]
    return at, np.array(values, dtype=np.float64).reshape(len(values), len(at))


def by_seed(axes: Axes, found: tuple[list[float], Doubles], style: Mapping[str, Any], **more: Any) -> None:
    """The mean over seeds and their band, where there is anything."""
    if found[0]:
        every = -(-len(found[0]) // _MARKED)
        plots.band(axes, *found, **{"ms": 2.6, "markevery": every, **style, **more})


def time(row: Row) -> float:
    """The epoch in which a network or a point of a line was reached."""
    return float(row["k_epochs"] + row["s_epochs"] + row.get("after", 0))


def percent(row: Row) -> float:
    """Accuracy in per cent."""
    return float(100 * row["accuracy"])


def interior(lines: Table, most: int = _SHOWN) -> list[float]:
    """The alphas between the copies, or so many of them, evenly spread."""
    alphas = sorted({row["alpha"] for row in lines if 0 < row["alpha"] < 1})
    if len(alphas) <= most:
        return alphas
    return [alphas[round(index)] for index in np.linspace(0, len(alphas) - 1, most + 2)[1:-1]]


def drops(axes: Axes, tables: Tables, variant: str, since: float = 0.0) -> None:
    """The drops of the learning rate that lie in the panel, marked; its epochs count since this one."""
    low, high = sorted(axes.dataLim.intervalx)
    epochs = sorted({row["epoch"] - since for row in measured(tables, "drops", variant)})
    for epoch in epochs:
        if low <= epoch <= high:
            plots.threshold(axes, epoch, "lr drop", vertical=True)


def course(axes: Axes, tables: Tables, variant: str, k: str, split: str = "test", trunk: str | None = None) -> None:
    """Accuracy against epochs at one k: the trunk, the copies, the lines between them, the merge trained on."""
    gains = measured(tables, "gains", variant, k=k, split=split)
    lines = measured(tables, "lines", variant, k=k, split=split)
    networks = measured(tables, "networks", split=split)
    before = [row for row in networks if row["network"] == "trunk" and (row["variant"], row["k"]) == (variant, k)]
    way = [row for row in networks if row["network"] == "trunk" and row["variant"] == trunk]
    limit = max((row["k_epochs"] for row in before), default=np.inf)
    by_seed(axes, seeded([*(row for row in way if row["k_epochs"] < limit), *before], time, percent), TRUNK)
    alphas = interior(lines)
    for alpha, colour in zip(alphas, plots.sequential(len(alphas)), strict=True):
        found = seeded(lines.where(alpha=alpha), time, percent)
        by_seed(axes, found, {"color": colour, "label": f"alpha {alpha:.2g}", "marker": ".", "lw": 1.0})
    own = networks.where(lambda row: row["variant"] == variant and row["k"] == k)
    on = [row for row in own if row["network"].startswith("child") and row["after"] > 0]
    copies = [{**row, "accuracy": row[name]} for row in gains for name in ("child1", "child2")]
    by_seed(axes, seeded([*before, *copies, *on], time, percent), COPIES)
    by_seed(axes, seeded(own.where(network="merge"), time, percent), MERGE)
    drops(axes, tables, variant)
    plots.label(axes, f"k = {k}", "epoch", f"{split} accuracy (%)")


def _of_alpha(axes: Axes, tables: Tables, variant: str, k: str, split: str) -> None:
    """The gain along the line, an s a colour."""
    lines = measured(tables, "lines", variant, k=k, split=split)
    every = lengths(lines)
    ss = [every[round(index)] for index in np.linspace(0, len(every) - 1, min(len(every), _SHOWN))]
    for s, colour in zip(ss, plots.sequential(len(ss)), strict=True):
        along(axes, lines.where(s=s), {"color": colour, "label": f"s = {s}", "marker": "."})
    plots.threshold(axes, 0.0)
    axes.set_xticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    plots.label(axes, "Along the line", "alpha (0, 1: the copies)", "gain (points)")


def along(axes: Axes, lines: Table, style: Mapping[str, Any]) -> None:
    """The gain at each alpha of the lines of one k and s: accuracy minus the mean of the ends."""
    ends = seeded((row for row in lines if row["alpha"] in (0.0, 1.0)), lambda row: 0.0, percent)[1]
    at, values = seeded(lines, lambda row: float(row["alpha"]), percent)
    if len(ends) == len(values):
        by_seed(axes, (at, values - ends), style)


def figure_of_gains(
    name: str,
    title: str,
    variants: Sequence[str],
    tables: Tables,
    folder: Path,
    *,
    split: str = "test",
    trunk: str | None = None,
) -> list[Path]:
    """A row of panels a variant and k: accuracy against epochs, the gain along the line."""
    variants = there(tables, variants)
    places = [(variant, k) for variant in variants for k in shared(tables, variant)] or [(variants[0], "none")]
    said = "Gain: accuracy minus the mean of the two copies."
    figure, panels = plots.canvas(
        len(places), 2, title=title, note=note(tables, variants, said), panel=(3.3, 2.3 if len(places) == 1 else 1.9)
    )
    for (variant, k), left, right in zip(places, panels[::2], panels[1::2], strict=True):
        course(left, tables, variant, k, split, trunk)
        if len(variants) > 1:
            plots.label(left, f"{variant}, k = {k}", "epoch", f"{split} accuracy (%)")
        _of_alpha(right, tables, variant, k, split)
    plots.legend(panels[0], "lower right", columns=2)
    plots.legend(panels[1], "lower center", columns=2)
    return plots.save(figure, folder / name)


def shared(tables: Tables, variant: str, of: Table | None = None) -> list[str]:
    """The k of a variant's pairs (or of these rows) in rising order."""
    rows = measured(tables, "gains", variant) if of is None else of
    return list(dict.fromkeys(row["k"] for row in sorted(rows, key=lambda row: row["k_epochs"])))


def lengths(rows: Table) -> list[str]:
    """The s of these rows in rising order."""
    return list(dict.fromkeys(row["s"] for row in sorted(rows, key=lambda row: row["s_epochs"])))


def after_merge(axes: Axes, tables: Tables, variants: Sequence[str], split: str = "test") -> None:
    """Accuracy against the epochs since the merge: a variant a colour, and the copies that went on, if any."""
    for index, variant in enumerate(variants):
        rows = measured(tables, "networks", variant, split=split, network="merge")
        style = {"color": plots.CATEGORICAL[1:][index % 6], "marker": plots.MARKERS[1:][index % 6], "label": variant}
        by_seed(axes, seeded(rows, lambda row: float(row["after"]), percent), style)
    rows = measured(tables, "networks", variants[0], split=split)
    copies = rows.where(lambda row: row["network"].startswith("child"))
    if any(row["after"] for row in copies):
        by_seed(axes, seeded(copies, lambda row: float(row["after"]), percent), COPIES)
    _drops_since(axes, tables, variants[0])
    plots.label(axes, "Training on", "epochs after the merge", f"{split} accuracy (%)")


def losses(axes: Axes, tables: Tables, variants: Sequence[str], split: str = "test") -> None:
    """Accuracy of the merge minus what it becomes: a variant a colour, as in :func:`after_merge`."""
    for index, variant in enumerate(variants):
        rows = measured(tables, "networks", variant, split=split, network="merge")
        at, values = seeded(rows, lambda row: float(row["after"]), percent)
        style = {"color": plots.CATEGORICAL[1:][index % 6], "marker": plots.MARKERS[1:][index % 6], "label": variant}
        if at and at[0] == 0:
            by_seed(axes, (at, values - values[:, :1]), style)
    _drops_since(axes, tables, variants[0])
    plots.threshold(axes, 0.0, "as at the merge")
    plots.label(axes, "Change since the merge", "epochs after the merge", f"{split} accuracy (points)")


def _drops_since(axes: Axes, tables: Tables, variant: str) -> None:
    """The drops of a panel that counts epochs since the merge, where every merge is at one epoch."""
    merges = {time(row) for row in measured(tables, "networks", variant, network="merge", after=0.0)}
    if len(merges) == 1:
        drops(axes, tables, variant, merges.pop())


def together(axes: Axes, tables: Tables, variants: Sequence[str], split: str = "test") -> None:
    """Accuracy of trunks that were looked at alone: a variant a colour, drops of the learning rate in its colour."""
    for index, variant in enumerate(variants):
        colour = plots.CATEGORICAL[(0, 1, 2, 3)[index % 4]]
        rows = measured(tables, "networks", variant, split=split, network="trunk")
        style = {"color": colour, "marker": plots.MARKERS[index % 7], "label": variant}
        by_seed(axes, seeded(rows, time, percent), style)
        for row in measured(tables, "drops", variant):
            axes.axvline(row["epoch"], color=colour, lw=0.8, ls=(0, (4, 3)), zorder=1)
    plots.label(axes, "Learning rate dropped (dashed)", "epoch", f"{split} accuracy (%)")
