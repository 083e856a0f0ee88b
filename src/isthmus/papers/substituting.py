"""What is run of a row where not all of its data are at hand: the same study on other data, labelled as such."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.errors import BadInput, MissingData
from isthmus.papers import Row, Scale
from isthmus.study import Study
from isthmus.study.needs import Need, needs
from isthmus.study.read import from_mapping, override
from isthmus.tables import Table

__all__ = ["Settled", "labelled", "settled"]


@dataclass(frozen=True)
class Settled:
    """The study of a row that is run: its own, or with ``used`` that on substitute data, as others are ``missing``."""

    study: Study
    missing: str = ""
    used: str = ""

    @property
    def sentence(self) -> str:
        """What is said before it runs; nothing where it is the row's own."""
        return f"{self.missing} is not at hand, so {self.used} takes its place: {_LABEL}." if self.used else ""

    @property
    def mark(self) -> str:
        """What each figure says."""
        return f"SUBSTITUTE DATA: {self.used} instead of {self.missing}." if self.used else ""


_LABEL = "tables, figures and verdicts say so, and are not the paper's"


def settled(row: Row, scale: Scale, sets: Iterable[str], root: Path | None, *, at_all: bool = True) -> Settled:
    """Which study of a row is run with the data that are at hand.

    Args:
        row: the row.
        scale: at which scale; at paper scale a part of a data set is not enough.
        sets: ``path=value`` overrides of the study.
        root: the folder of data sets.
        at_all: whether it is really run; if not, the row's own study will do where there is no substitute.

    Raises:
        MissingData: what is needed is not at hand, and there is nothing to take its place.
    """
    sets = tuple(sets)
    own = _changed(row, row.study(scale), sets)
    lacking = _lacking(own, scale, root)
    absent = all(need.is_data and need.there is None for need in lacking)  # which reading them tells at length
    if not lacking or (row.substitute is None and (absent or not at_all)):
        return Settled(own)
    if row.substitute is not None:
        other = _changed(row, row.substitute(scale), sets)
        if not _lacking(other, scale, root):
            used = " and ".join(need.name for need in needs(other, root))
            return Settled(other, " and ".join(need.name for need in lacking), used)
        if not at_all:
            return Settled(own)
    wanted = " and ".join(need.lacking for need in lacking)
    where = "name the data folder with --data or ISTHMUS_DATA" if root is None else f"put it below {root}"
    instead = "" if row.substitute is None else ", and neither are the data that could take its place"
    raise MissingData(
        f"{row.paper} {row.name} at {scale} scale needs {wanted}, which is not at hand{instead}: fetch it and {where}."
    )


def _changed(row: Row, study: Study, sets: tuple[str, ...]) -> Study:
    if not sets:
        return study
    found = from_mapping(override(study.model_dump(mode="json"), sets), where=f"{row.paper} {row.name}")
    if found.variants and not study.variants:
        raise BadInput(f"--set variants: the tables of {row.paper} {row.name} have no variants; use isthmus run.")
    return found


def _lacking(study: Study, scale: Scale, root: Path | None) -> list[Need]:
    return [need for need in needs(study, root) if need.there is None or (scale == "paper" and need.there)]


def labelled(tables: Mapping[str, Table], found: Settled) -> dict[str, Table]:
    """The tables of a row; on substitute data with a table ``substitute``, and their name beside each verdict."""
    if not found.used:
        return dict(tables)
    claims = Table.of({**row, "substitute": found.used} for row in tables["claims"])
    return {**tables, "claims": claims, "substitute": Table.of([{"missing": found.missing, "used": found.used}])}
