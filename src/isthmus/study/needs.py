"""What a study reads: its data sets and files of weights, and which of them are not at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isthmus import datasets
from isthmus.study.locating import weights_places
from isthmus.study.model import DataSpec, Study
from isthmus.study.pretraining import laid
from isthmus.study.read import each

__all__ = ["Need", "needs"]


@dataclass(frozen=True)
class Need:
    """A data set, or a file of weights, that a study reads.

    Attributes:
        name: the data set's, or the path that the study gives.
        is_data: whether it is a data set.
        there: whether it is at hand, as far as can be told at a glance: "", or in words which part; None where not.
        options: those with which the study first names the data set.
    """

    name: str
    is_data: bool
    there: str | None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lacking(self) -> str:
        """What it takes to have it, in a few words."""
        if not self.is_data:
            return f"file {self.name} below the data folder"
        if self.there:
            return f"all of data set {self.name} (not {self.there})"
        return f"data set {self.name} (isthmus data fetch {self.name})"


def needs(study: Study, root: str | Path | None = None) -> tuple[Need, ...]:
    """Everything that a study and its variants read, each once, in the order in which they name it."""
    found: dict[str, Need] = {}
    for one in each(study).values():
        for spec in _data(one):
            name = spec.name if ":" in spec.name else datasets.entry(spec.name)[0]
            there = datasets.at_hand(name, root)
            asked = there is not None and "classes" in spec.options  # so many as are asked for are there, or it is told
            found.setdefault(name, Need(name, True, "" if asked else there, spec.options))
        if one.start is not None and (file := one.start.file) is not None:
            exists = any(place.exists() for place in weights_places(file, root))
            found.setdefault(file, Need(file, False, "" if exists else None))
    return tuple(found.values())


def _data(study: Study) -> Iterator[DataSpec]:
    yield study.data
    over, _ = laid(study)
    if over is not None:
        yield over.data
