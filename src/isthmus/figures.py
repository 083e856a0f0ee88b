"""The figures that every study gets: what lies on its lines, and what training on from a merge does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus import plots
from isthmus.study import Results, read
from isthmus.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

_METRICS = (("loss", "loss (nats)"), ("error", "error rate (share)"))
_DASHES: tuple[Any, ...] = ("--", ":", (0, (6, 1.5, 1, 1.5)), (0, (2, 1)))
_BESIDE_CURVES = 8  # so many lines of a legend have room in a panel
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
    networks = results.tables.get("networks", Table((), ()))
    if any((row.get("after_steps") or 0) > 0 for row in networks):
        files += _after_merge(results, folder)
    return files


def _note(results: Results, table: Table, each: int = 1, what: str = "") -> str:
    """What has to be said under a figure of a study in which a seed has so many curves (``each``) of a kind."""
    studies = list(read.each(results.study).values())
    counts = sorted({len(study.seeds) for study in studies})
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    examples = ", ".join(
        f"{split}: {_listed(f'{count:,}' for count in rows['examples'])} examples"
        for (split,), rows in table.groups("split").items()
    )
    spread = f"Mean of {seeds} seeds" if counts[-1] > 1 else "One seed"
    if each > 1:
        spread += f" with {each} {what} each" if counts[-1] > 1 else f", mean of its {each} {what}"
    if counts[-1] * each > 1:
        spread += ", band from the lowest to the highest"
    norm = _listed(table["norm_stats"])
    statistics = "" if norm == "none" else f" Normalisation statistics: {norm}."
    models, data = (_listed(getattr(study, part).name for study in studies) for part in ("model", "data"))
    return f"{models} on {data}. {spread}. {examples}.{statistics}"


def _listed(values: Iterable[object]) -> str:
    return " or ".join(dict.fromkeys(map(str, values)))


def _by_variant(table: Table) -> dict[str, Table]:
    """The rows of each variant by its name; of a study without variants all under ""."""
    if "variant" not in table.columns:
        return {"": table}
    return {str(name): rows for (name,), rows in table.groups("variant").items()}


def _titled(variant: str, rest: object) -> str:
    return ": ".join(filter(None, (variant, str(rest))))


def _draw_curves(axes: Axes, curves: Table, metric: str, **style: Any) -> None:
    """The curves of a group: one line, the band over its seeds and pairs."""
    groups = list(curves.groups(*(name for name in ("seed", "pair") if name in curves.columns)).values())
    plots.band(axes, groups[0]["alpha"], [group[metric] for group in groups], **style)


def _legends(panels: Iterable[Axes], **options: Any) -> None:
    """A legend where lines mean something else than in the panels before."""
    seen: list[list[str]] = []
    for axes in panels:
        texts = axes.get_legend_handles_labels()[1]
        if texts not in seen:
            plots.legend(axes, **options)
            seen.append(texts)


def _lines(results: Results, folder: Path) -> list[Path]:
    """Loss and error along the line between two copies, a colour a k, at the longest s of each; a row a variant."""
    curves = results["curves"]
    rows = [
        (variant, str(split), found)
        for variant, whole in _by_variant(curves).items()
        for (split,), found in whole.groups("split").items()
    ]
    title = f"{results.study.name}: the line between two copies"
    note = _note(results, results["pairs"], len(set(curves["pair"])), "pairs")
    figure, panels = plots.canvas(len(rows), 2, title=title, note=note)
    for index, axes in enumerate(panels):
        variant, split, whole = rows[index // 2]
        metric, name = _METRICS[index % 2]
        ks = sorted(whole.groups("k_steps"))
        for (k,), colour in zip(ks, plots.sequential(len(ks)), strict=True):
            found = whole.where(k_steps=k)
            longest = found.where(s_steps=max(found["s_steps"]))
            text = f"k = {longest['k'][0]}, s = {longest['s'][0]}"
            _draw_curves(axes, longest, metric, color=colour, label=text)
        plots.label(axes, _titled(variant, split), "alpha (0: first copy, 1: second)", name)
    _legends(panels[::2])
    return plots.save(figure, folder / "lines")


def _blocks(results: Results, folder: Path) -> list[Path]:
    """Loss and error along each path, for the whole network and for each block that moves alone.

    With variants the whole networks of all of them come first, then a row a variant if blocks move.
    """
    files: list[Path] = []
    for (path, split), found in results["curves"].groups("path", "split").items():
        rows = [("", found)]
        if "variant" in found.columns:
            rows = [("", found.where(block="all"))]
            rows += [(name, own) for name, own in _by_variant(found).items() if len(own.groups("block")) > 1]
        crowded = "variant" in found.columns and len(found.groups("variant")) > _BESIDE_CURVES
        if crowded:
            rows.insert(1, ("", Table.of([])))  # the place of the legend
        head = f"{results.study.name}: {path}, {split}"
        note = _note(results, results["paths"].where(path=path, split=split))
        figure, panels = plots.canvas(len(rows), 2, title=head, note=note)
        for place, axes in enumerate(panels):
            variant, own = rows[place // 2]
            if not len(own):
                axes.set_axis_off()
                continue
            metric, name = _METRICS[place % 2]
            together = "variant" in own.columns and not variant
            for index, ((what,), curves) in enumerate(own.groups("variant" if together else "block").items()):
                look = _variant_look(index) if together else _look(index)
                _draw_curves(axes, curves, metric, label=str(what), **look)
            first, _, second = path.partition("->")
            title = "whole network" if together and len(rows) > 1 else variant
            plots.label(axes, title, f"alpha (0: {first}, 1: {second})", name)
        if crowded:
            plots.legend(panels[2], "upper left", "variant", columns=2, of=panels[0])
        else:
            plots.legend(panels[0], title="variant" if "variant" in found.columns else "what moves")
        _legends(panels[2::2], title="what moves")
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


def _variant_look(index: int) -> dict[str, Any]:
    turn, colour = divmod(index, len(_BLOCKS))
    return {"color": _BLOCKS[colour], "lw": 1.3, "ls": ("-", *_DASHES)[turn % (1 + len(_DASHES))]}


def _after_merge(results: Results, folder: Path) -> list[Path]:
    """Accuracy of the merge and of the copies as training goes on, at the longest s: a panel a k, a row a variant.

    Beside them what they are compared with; a network that was trained for longer from where that has cost as much.
    """
    networks = results["networks"].where(lambda row: row["after_steps"] >= 0)
    found = {name: own for name, own in _by_variant(networks).items() if any(own["after_steps"])}
    found = {name: own.where(split=own["split"][0]) for name, own in found.items()}
    after = {name: own.where(lambda row: row["after_steps"] > 0) for name, own in found.items()}
    columns = max(len(own.groups("k_steps")) for own in after.values())
    splits = list(dict.fromkeys(own["split"][0] for own in found.values()))
    copies = {name for name in networks["network"] if _role(name) == "copies"}
    figure, panels = plots.canvas(
        len(found),
        columns,
        title=f"{results.study.name}: training on from the merge ({', '.join(splits)})",
        note=_note(results, networks.where(lambda row: row["split"] in splits), len(copies), "copies"),
    )
    for row, (variant, own) in enumerate(found.items()):
        per_epoch = results.expansion.grounds[variant].steps_per_epoch
        ks = sorted(after[variant].groups("k_steps"))
        places = panels[row * columns : (row + 1) * columns]
        for axes, (k,) in zip(places, ks, strict=False):
            longest = max(after[variant].where(k_steps=k)["s_steps"])
            _draw_networks(axes, own.where(k_steps=k, s_steps=longest), per_epoch, variant)
        for axes in places[len(ks) :]:
            axes.set_axis_off()
    plots.legend(panels[0])
    return plots.save(figure, folder / "after-merge")


def _role(network: str) -> str:
    """What a network of a branch study is drawn as."""
    if network.startswith("ema "):
        return "moving averages of copies"
    return "copies" if network == "trunk" or network.startswith("child") else network


def _draw_networks(axes: Axes, found: Table, per_epoch: int, variant: str) -> None:
    roles = dict.fromkeys(["merge", "copies", *map(_role, found["network"])])
    for index, role in enumerate(roles):
        groups = [rows for (_, name), rows in found.groups("seed", "network").items() if _role(name) == role]
        times = [step / per_epoch for step in groups[0]["after_steps"]]
        turn = (1, 0, *range(2, len(plots.CATEGORICAL)))[index % len(plots.CATEGORICAL)]
        look = {"color": plots.CATEGORICAL[turn], "marker": plots.MARKERS[turn]}
        plots.band(axes, times, [group["accuracy"] for group in groups], label=role, **look)
    title = _titled(variant, f"k = {found['k'][0]}, s = {found['s'][0]}")
    plots.label(axes, title, "epochs after the merge", "accuracy (share)")
