"""The latest verdicts on the claims of a row: those that came with the package, and newer ones of the user's own runs.

``python docs/claims.py`` writes the former from the committed results; ``isthmus reproduce`` leaves the latter in
``isthmus-out/PAPER-ROW``.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

__all__ = ["FILE", "Verdicts", "latest", "of_folder"]

FILE = "verdicts.json"
KINDS = ("held", "failed", "undecided")


@dataclass(frozen=True)
class Verdicts:
    """What became of the claims of a row at a scale.

    ``date`` is that of the last result, ``seeds`` how many a claim rests on at most, ``substitute`` the data that took
    the place of those of the paper, if any.
    """

    held: int
    failed: int
    undecided: int
    seeds: int
    date: str
    substitute: str = ""

    @property
    def text(self) -> str:
        """The counts that are not 0, and the date."""
        counts = [f"{getattr(self, kind)} {kind}" for kind in KINDS if getattr(self, kind)] or ["no claims"]
        return f"{', '.join(counts)} ({self.date}{', substitute data' if self.substitute else ''})"


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def of_folder(folder: Path) -> Verdicts:
    """The verdicts in a folder that ``isthmus reproduce`` wrote."""
    claims = read(folder / "claims.csv")
    found = [row["verdict"] for row in claims]
    counts = {kind: found.count(kind) for kind in KINDS}
    seeds = max((int(row["seeds"]) for row in claims), default=0)
    date = max((row["last"] for row in read(folder / "provenance.csv")), default="")[:10]
    used = read(folder / "substitute.csv") if (folder / "substitute.csv").exists() else []
    return Verdicts(**counts, seeds=seeds, date=date, substitute=used[0]["used"] if used else "")


@functools.cache
def _file() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((resources.files(__package__) / FILE).read_text(encoding="utf-8"))
    return found


def latest(paper: str, row: str, out: Sequence[Path] = ()) -> dict[str, Verdicts]:
    """The verdicts on a row by scale: those of the package, or of one of the folders ``out`` where that is newer."""
    found = {scale: Verdicts(**one) for scale, one in _file().get(f"{paper} {row}", {}).items()}
    for folder in out:
        try:
            (run,) = read(folder / "run.csv")
            own = of_folder(folder)
        except (OSError, ValueError, KeyError):
            continue  # nothing was run, or it is not whole
        before = found.get(run["scale"])
        if (run["paper"], run["row"]) == (paper, row) and (before is None or before.date <= own.date):
            found[run["scale"]] = own
    return found
