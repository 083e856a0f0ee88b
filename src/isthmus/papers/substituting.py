"""What is run of a row where not all of its data are at hand: the same study on other data, labelled as such."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.errors import BadInput, MissingData
from isthmus.papers import Row, Scale
from isthmus.papers.setup import named
from isthmus.study import Study
from isthmus.study.files import override
from isthmus.study.needs import Need, needs
from isthmus.study.read import each, from_mapping
from isthmus.tables import Table

__all__ = ["Settled", "labelled", "listed", "settled"]


@dataclass(frozen=True)
class Settled:
    """The study of a row that is run: its ``own``, or that on the data ``used`` where its own are ``missing``."""

    study: Study
    own: Study
    missing: tuple[str, ...] = ()
    used: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What is said before it runs; nothing where it is the row's own."""
        if not self.used:
            return ""
        one, other = len(self.missing) == 1, len(self.used) == 1
        there = f"{listed(self.missing)} {'is' if one else 'are'} not at hand"
        instead = f"{listed(self.used)} {'takes' if other else 'take'} {'its' if one else 'their'} place"
        return f"{there}, so {instead}: {_LABEL}."

    @property
    def mark(self) -> str:
        """What each figure says."""
        return f"SUBSTITUTE DATA: {listed(self.used)} instead of {listed(self.missing)}." if self.used else ""


def listed(names: Sequence[str]) -> str:
    """Names as a sentence lists them.

    >>> listed(["mnist", "cifar10", "weights/a.pth"])
    'mnist, cifar10 and weights/a.pth'
    """
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


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
        return Settled(own, own)
    if row.substitute is not None:
        other = _changed(row, row.substitute(scale), sets)
        if not _lacking(other, scale, root):
            missing = tuple(f"all of {need.name}" if need.there else need.name for need in lacking)
            return Settled(other, own, missing, _instead(own, other))
        if not at_all:
            return Settled(own, own)
    wanted = listed([need.lacking for need in lacking])
    where = "name the data folder with --data or ISTHMUS_DATA" if root is None else f"put it below {root}"
    instead = "" if row.substitute is None else ", and neither are the data that could take its place"
    raise MissingData(
        f"{row.paper} {row.name} at {scale} scale needs {wanted}, which is not at hand{instead}: fetch it and {where}."
    )


def _instead(own: Study, other: Study) -> tuple[str, ...]:
    """What the other study has where the two differ in data, variant by variant; all that it needs if nowhere."""
    ours, theirs = ([named(need.name, need.options) for need in needs(one, None)] for one in (own, other))
    found = [name for name in theirs if name not in ours]
    before, after = each(own), each(other)
    changed = [after[name].data for name in before if name in after and after[name].data != before[name].data]
    found += [named(data.name, data.options) for data in changed]
    return tuple(dict.fromkeys(found)) or tuple(theirs)


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
    used = listed(found.used)
    claims = Table.of({**row, "substitute": used} for row in tables["claims"])
    return {**tables, "claims": claims, "substitute": Table.of([{"missing": listed(found.missing), "used": used}])}
