"""The figures that every study gets: what lies on its lines, and what training on from a merge does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus import plots
from isthmus.study import Results
from isthmus.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

_METRICS = (("loss", "loss (nats)"), ("error", "error rate (share)"))
_DASHES: tuple[Any, ...] = ("--", ":", (0, (6, 1.5, 1, 1.5)), (0, (2, 1)))
_BLOCKS = plots.CATEGORICAL[:-1]  # black is the whole network's


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what a study's tables hold into a folder; the files written (each figure as PNG and as SVG).

    Raises:
        BadInput: matplotlib is not installed.
    """
    files: list[Path] = []
    if "pairs" in results.tables:
        files += _lines(results, folder)
    if "paths" in results.tables:
        files += _blocks(results, folder)
    if "networks" in results.tables and any(results["networks"]["after_steps"]):
        files += _after_merge(results, folder)
    return files


def _note(results: Results, table: Table, each: int = 1, what: str = "") -> str:
    """What has to be said under a figure of a study in which a seed has so many curves (``each``) of a kind."""
    seeds = len(results.study.seeds)
    examples = ", ".join(
        f"{split}: {rows['examples'][0]:,} examples" for (split,), rows in table.groups("split").items()
    )
    spread = f"Mean of {seeds} seeds" if seeds > 1 else "One seed"
    if each > 1:
        spread += f" with {each} {what} each" if seeds > 1 else f", mean of its {each} {what}"
    if seeds * each > 1:
        spread += ", band from the lowest to the highest"
    norm = table["norm_stats"][0]
    statistics = "" if norm == "none" else f" Normalisation statistics: {norm}."
    return f"{results.study.model.name} on {results.study.data.name}. {spread}. {examples}.{statistics}"


def _draw_curves(axes: Axes, curves: Table, metric: str, **style: Any) -> None:
    """The curves of a group: one line, the band over its seeds and pairs."""
    groups = list(curves.groups(*(name for name in ("seed", "pair") if name in curves.columns)).values())
    plots.band(axes, groups[0]["alpha"], [group[metric] for group in groups], **style)


def _lines(results: Results, folder: Path) -> list[Path]:
    """Loss and error along the line between two copies, a colour a k, at the longest s of each."""
    curves = results["curves"]
    splits = list(curves.groups("split"))
    ks = sorted(curves.groups("k_steps"))
    colours = plots.sequential(len(ks))
    title = f"{results.study.name}: the line between two copies"
    note = _note(results, results["pairs"], len(set(curves["pair"])), "pairs")
    figure, panels = plots.canvas(len(splits), 2, title=title, note=note)
    for index, axes in enumerate(panels):
        (split,) = splits[index // 2]
        metric, name = _METRICS[index % 2]
        for (k,), colour in zip(ks, colours, strict=True):
            found = curves.where(split=split, k_steps=k)
            longest = found.where(s_steps=max(found["s_steps"]))
            text = f"k = {longest['k'][0]}, s = {longest['s'][0]}"
            _draw_curves(axes, longest, metric, color=colour, label=text)
        plots.label(axes, str(split), "alpha (0: first copy, 1: second)", name)
    plots.legend(panels[0])
    return plots.save(figure, folder / "lines")


def _blocks(results: Results, folder: Path) -> list[Path]:
    """Loss and error along each path, for the whole network and for each block that moves alone."""
    curves = results["curves"]
    files: list[Path] = []
    for (path, split), found in curves.groups("path", "split").items():
        figure, panels = plots.canvas(
            1,
            2,
            title=f"{results.study.name}: {path}, {split}",
            note=_note(results, results["paths"].where(split=split)),
        )
        for axes, (metric, title) in zip(panels, _METRICS, strict=True):
            for index, ((block,), rows) in enumerate(found.groups("block").items()):
                _draw_curves(axes, rows, metric, label=str(block), **_look(index))
            first, _, second = path.partition("->")
            plots.label(axes, "", f"alpha (0: {first}, 1: {second})", title)
        plots.legend(panels[0], title="what moves")
        files += plots.save(figure, folder / f"path-{path.replace('->', '-to-')}-{_in_a_name(split)}")
    return files


def _in_a_name(split: str) -> str:
    """The name of a part of the data as it may stand in that of a file."""
    return split.replace(":", "-").replace("/", "-")


def _look(index: int) -> dict[str, Any]:
    """The line of the whole network (0), then of block after block: a colour each, other dashes when they run out."""
    if not index:
        return {"color": plots.CATEGORICAL[-1], "lw": 2.0}
    turn, colour = divmod(index - 1, len(_BLOCKS))
    return {"color": _BLOCKS[colour], "lw": 1.0, "ls": _DASHES[turn % len(_DASHES)]}


def _after_merge(results: Results, folder: Path) -> list[Path]:
    """Accuracy of the merge and of the copies as training goes on, a panel a k, at the longest s of each."""
    networks = results["networks"]
    split = results.study.evaluate.on[0]
    per_epoch = results.expansion.steps_per_epoch
    after = networks.where(lambda row: row["after_steps"] > 0)
    ks = sorted(after.groups("k_steps"))
    copies = set(networks.where(lambda row: row["network"] not in ("merge", "trunk at k"))["network"])
    figure, panels = plots.canvas(
        1,
        len(ks),
        title=f"{results.study.name}: training on from the merge ({split})",
        note=_note(results, networks.where(split=split), len(copies), "copies"),
    )
    for axes, (k,) in zip(panels, ks, strict=True):
        found = networks.where(split=split, k_steps=k)
        found = found.where(s_steps=max(after.where(k_steps=k)["s_steps"]))
        for merged in (True, False):
            groups = [
                rows for (_, name), rows in found.groups("seed", "network").items() if (name == "merge") == merged
            ]
            times = [step / per_epoch for step in groups[0]["after_steps"]]
            text = "merge" if merged else "copies"
            colour = plots.CATEGORICAL[1 if merged else 0]
            marker = plots.MARKERS[1 if merged else 0]
            plots.band(axes, times, [group["accuracy"] for group in groups], color=colour, marker=marker, label=text)
        plots.label(axes, f"k = {found['k'][0]}, s = {found['s'][0]}", "epochs after the merge", "accuracy (share)")
    plots.legend(panels[0])
    return plots.save(figure, folder / "after-merge")
