"""What becomes of a paper's claims under conventions that it does not state: the same row, judged under each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus import claims, plots
from isthmus.errors import BadInput, RunFailed
from isthmus.papers import Row, Scale
from isthmus.study import Results, Study
from isthmus.study.conventions import Convention, sign
from isthmus.tables import Table

__all__ = ["COLUMNS", "DEFAULT", "MARKS", "Judged", "compare", "draw", "grid", "judged"]

DEFAULT = "default"
"""The name under which the row's own conventions stand."""

COLUMNS = (
    *("convention", "claim", "mean", "verdict", "default_mean", "default_verdict"),
    *("sign_differs", "verdict_differs", "contradiction", "threshold", "seeds", "reason"),
)
"""The columns of what :func:`compare` returns."""

MARKS = "! contradicts the default, * another verdict, - another sign of the mean"
"""What stands behind a verdict in :func:`grid`."""

_COLOURS = {"held": plots.CATEGORICAL[2], "failed": plots.CATEGORICAL[1], "undecided": "#bbbbbb"}
_CELL, _NAME, _ROW = 1.15, 2.0, 0.26  # inches: width of a cell, of the claims' names, height of a row


@dataclass(frozen=True)
class Judged:
    """The claims of a row by convention (of :func:`isthmus.claims.judge`), and what failed, in a sentence each."""

    claims: Mapping[str, Table]
    failures: tuple[str, ...] = ()


def judged(row: Row, scale: Scale, own: Table, others: list[Convention], compute: Callable[[Study], Results]) -> Judged:
    """The claims of a row at a scale under its own convention (``own``: judged already) and under others.

    ``compute`` runs a study. A convention under which the run fails, or the row has no tables, is left out and told.
    """
    found, failures = {DEFAULT: own}, []
    for convention in others:
        try:
            tables = dict(row.tables(compute(convention.study)))
        except (RunFailed, BadInput) as error:
            failures.append(f"{row.paper} {row.name} under {convention.name}: {error}")
            continue
        found[convention.name] = claims.judge(row.claims_at(scale), tables)
    return Judged(found, tuple(failures))


def compare(judged: Mapping[str, Table]) -> Table:
    """A row a convention and claim: the mean and the verdict beside those of the first convention, the row's own.

    ``sign_differs`` says whether the two means lie on different sides of 0 (missing where one is no number),
    ``verdict_differs`` whether the verdicts differ at all, ``contradiction`` whether one is held and the other failed.
    """
    own = {row["claim"]: row for row in next(iter(judged.values()))}
    rows = []
    for convention, table in judged.items():
        for row in table:
            before, signs = own[row["claim"]], (sign(row["mean"]), sign(own[row["claim"]]["mean"]))
            rows.append(
                {
                    **{name: row[name] for name in ("claim", "mean", "verdict", "threshold", "seeds", "reason")},
                    "convention": convention,
                    "default_mean": before["mean"],
                    "default_verdict": before["verdict"],
                    "sign_differs": None if None in signs else signs[0] != signs[1],
                    "verdict_differs": row["verdict"] != before["verdict"],
                    "contradiction": {row["verdict"], before["verdict"]} == {"held", "failed"},
                }
            )
    return Table.of(rows, COLUMNS)


def grid(table: Table) -> str:
    """The table as text, a line a claim, a column a convention: verdict and mean, with :data:`MARKS`."""
    names = list(dict.fromkeys(table["convention"]))
    lines = [["", *names]]
    for (claim,), rows in table.groups("claim").items():
        cells = {row["convention"]: _cell(row) for row in rows}
        lines.append([str(claim), *(cells.get(name, "") for name in names)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join(text)


def _cell(row: Mapping[str, Any]) -> str:
    marks = "!" if row["contradiction"] else "*" if row["verdict_differs"] else ""
    marks += "-" if row["sign_differs"] else ""
    return f"{row['verdict']}{marks} {_number(row['mean'])}".strip()


def _number(mean: float | None) -> str:
    return "" if mean is None else f"{mean:.3g}"


def draw(row: Row, table: Table, folder: Path) -> list[Path]:
    """The table as a figure: a cell a claim and convention, coloured and named by its verdict; the files written."""
    names, found = list(dict.fromkeys(table["convention"])), table.groups("claim")
    note = (
        "Each cell: the verdict and the mean over seeds under one convention, everything else as it is in the first"
        " column. Framed: a verdict that contradicts that of the first column; (-): another sign of the mean."
    )
    panel = (_NAME + _CELL * len(names), _ROW * (len(found) + 1))
    figure, (axes,) = plots.canvas(title=f"{row.title}: conventions", note=note, panel=panel)
    axes.set(xlim=(-_NAME / _CELL, len(names)), ylim=(len(found), -1))
    axes.set_axis_off()
    for column, name in enumerate(names):
        axes.text(column + 0.5, -0.5, name.replace("_", " "), ha="center", va="center", fontsize=7)
    for line, ((claim,), rows) in enumerate(found.items()):
        axes.text(-0.05, line + 0.5, claim, ha="right", va="center", fontsize=7)
        for cell in rows:
            _draw_cell(axes, names.index(cell["convention"]), line, cell)
    return plots.save(figure, folder / "audit")


def _draw_cell(axes: Any, column: int, line: int, cell: Mapping[str, Any]) -> None:
    place, size = (column + 0.03, line + 0.06), (0.94, 0.88)
    frame = {"edgecolor": "black", "linewidth": 1.4} if cell["contradiction"] else {"edgecolor": "none"}
    axes.barh(place[1] + size[1] / 2, size[0], size[1], place[0], color=_COLOURS[cell["verdict"]], alpha=0.45)
    axes.barh(place[1] + size[1] / 2, size[0], size[1], place[0], color="none", **frame)
    text = f"{cell['verdict']} {_number(cell['mean'])}{' (-)' if cell['sign_differs'] else ''}"
    axes.text(column + 0.5, line + 0.5, text, ha="center", va="center", fontsize=6.5)
