"""The papers that can be reproduced: a paper is a folder here, a figure (or a group on one set-up) is a file in it.

To add one, write a file with a ``ROW`` (a :class:`Row`) into the paper's folder; there is no list to edit. Files
without a ``ROW`` hold what several rows of the paper share. A row of your own is named ``package.module:ROW`` in place
of a paper.

>>> row("shapira23", "mnist").shows
('T1', 'F1', 'F2', 'F3', 'F4', 'F5')
"""

from __future__ import annotations

import functools
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

from isthmus import registry, usercode
from isthmus.claims import Claim, Tables
from isthmus.errors import BadInput, UnknownName
from isthmus.study import Results, Study

__all__ = ["Row", "Scale", "names", "row"]

Scale = Literal["small", "paper"]


@dataclass(frozen=True)
class Row:
    """A figure of a paper, or a group of them on one set-up: what is run, tabulated, judged and drawn.

    Attributes:
        name: how it is called on the command line; unique in its paper.
        paper: the name of the folder that it lies in; of a row of your own whatever its files are to be called by.
        title: one line: what is shown, for which network and data.
        shows: the figures and tables of the paper that it covers, as the paper numbers them ("F3a", "T1", "text"),
            or beside which of them stands what goes beyond the paper ("beside F1");
            on the command line each of them stands for the row as well, unless several rows show it.
        study: the study at a scale: "paper" is the published set-up, "small" takes minutes to an hour on two cores.
        tables: from what the study found to the tables that are written, judged and drawn, by name; among them
            "setup" (:func:`isthmus.papers.setup.setup`).
        claims: what the paper says about it.
        figures: draws from the tables into a folder; the files written.
        substitute: the study at a scale on other data, for who has not those of ``study``; None where there is none.
    """

    name: str
    paper: str
    title: str
    shows: tuple[str, ...]
    study: Callable[[Scale], Study]
    tables: Callable[[Results], Tables]
    claims: tuple[Claim, ...]
    figures: Callable[[Tables, Path], list[Path]]
    substitute: Callable[[Scale], Study] | None = None

    def __post_init__(self) -> None:
        ids = [claim.id for claim in self.claims]
        if double := sorted({found for found in ids if ids.count(found) > 1}):
            raise BadInput(f"Row {self.paper} {self.name}: two claims are called {', '.join(double)}: rename one.")

    def claims_at(self, scale: str) -> tuple[Claim, ...]:
        """The claims that are judged at a scale."""
        return tuple(claim for claim in self.claims if scale in claim.scales)


@overload
def names() -> Mapping[str, tuple[str, ...]]: ...
@overload
def names(paper: str) -> tuple[str, ...]: ...
def names(paper: str | None = None) -> Mapping[str, tuple[str, ...]] | tuple[str, ...]:
    """The names of the rows of a paper, or of every paper by its name, in the order of the papers (F2 before F10).

    Raises:
        UnknownName: there is no such paper.
        BadInput: of a row of your own, what :func:`row` raises.
    """
    if paper is not None and usercode.is_user_code(paper):
        return (_own(paper).name,)
    if paper is not None:
        return tuple(_rows(_paper(paper)))
    return {found: tuple(_rows(found)) for found in _papers()}


def row(paper: str, name: str) -> Row:
    """The row of this name, or the one that shows the figure or table of this name.

    A row of your own is its own paper, by the name ``package.module:ROW``.

    >>> row("shapira23", "MNIST").name
    'mnist'

    Raises:
        UnknownName: there is no such paper, or no such row in it; the sentence offers the nearest.
        BadInput: a module of your own that cannot be imported, or what it names is no row.
    """
    if usercode.is_user_code(paper):
        folder, known = paper, {_own(paper).name: _own(paper)}
    else:
        folder = _paper(paper)
        known = _rows(folder)
    shown = [found for found in known.values() if name.upper() in map(str.upper, found.shows)]
    if name not in known and len(shown) == 1:
        return shown[0]
    return registry.find(f"row of {folder}", name, known)


def _own(name: str) -> Row:
    found = usercode.load(name)
    if not isinstance(found, Row):
        raise BadInput(f"{name!r}: expected a Row of isthmus.papers, found {type(found).__name__}.")
    return found


def _papers() -> tuple[str, ...]:
    return tuple(sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg))


def _paper(name: str) -> str:
    known = _papers()
    for paper in known:
        if registry.canonical_name(paper) == registry.canonical_name(name):
            return paper
    raise UnknownName("paper", name, known)


@functools.cache
def _rows(paper: str) -> dict[str, Row]:
    files = ((module.__name__, getattr(module, "ROW", None)) for module in registry.modules(f"{__name__}.{paper}"))
    rows = registry.gather(f"row of {paper}", ((file, _named(file, paper, found)) for file, found in files if found))
    return dict(sorted(rows.items(), key=lambda item: _numbered(item[0])))


def _numbered(name: str) -> list[tuple[int, str]]:
    """What sorts "f2" before "f10"."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _named(file: str, paper: str, found: Any) -> dict[str, Row]:
    if not isinstance(found, Row) or found.paper != paper:
        raise BadInput(f"{file}: expected ROW to be a Row of the paper {paper!r}, found {found!r}.")
    return {found.name: found}
