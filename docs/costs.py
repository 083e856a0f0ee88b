"""Write what every row of every paper costs into the package: ``python docs/costs.py``.

Rows whose study is the one that was counted before keep their entry; ``--all`` counts every row again (about a minute).
Data sets are taken to be as they are published, so that the file does not depend on what is at hand; a test compares.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isthmus import papers
from isthmus.graph import plan
from isthmus.papers import costs
from isthmus.store import Store
from isthmus.study import expand

FILE = Path(costs.__file__).with_name(costs.FILE)
SCALES: tuple[papers.Scale, ...] = ("small", "paper")


def cost(row: papers.Row, scale: papers.Scale, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The entry of a row at a scale, the ``known`` one if it is of the same study."""
    study = row.study(scale)
    if known is not None and known["study"] == costs.study_digest(study):
        return dict(known)
    with tempfile.TemporaryDirectory() as empty:
        whole = plan(expand(study, published="all").targets, Store(empty))
    return costs.described(study, costs.of_plan(whole))


def text(known: Mapping[str, Any] | None = None) -> str:
    """The file: a line for each row and scale; what is ``known`` of a study is taken from there."""
    lines = []
    for paper, names in papers.names().items():
        for name in names:
            row = papers.row(paper, name)
            before = (known or {}).get(f"{paper} {name}", {})
            entries = {scale: json.dumps(cost(row, scale, before.get(scale))) for scale in SCALES}
            scales = ",\n  ".join(f'"{scale}": {entry}' for scale, entry in entries.items())
            lines.append(f' "{paper} {name}": {{\n  {scales}\n }}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    counted = None if "--all" in sys.argv[1:] else json.loads(FILE.read_text(encoding="utf-8"))
    FILE.write_text(text(counted), encoding="utf-8")
