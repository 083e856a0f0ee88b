"""Write what every row of every paper costs into the package: ``python docs/costs.py`` (about a minute).

Data sets are taken to be as they are published, so that the file does not depend on what is at hand; a test compares.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from isthmus import papers
from isthmus.graph import plan
from isthmus.papers import costs
from isthmus.store import Store
from isthmus.study import expand

FILE = Path(costs.__file__).with_name(costs.FILE)
SCALES: tuple[papers.Scale, ...] = ("small", "paper")


def cost(row: papers.Row, scale: papers.Scale) -> dict[str, Any]:
    """The entry of a row at a scale."""
    study = row.study(scale)
    with tempfile.TemporaryDirectory() as empty:
        whole = plan(expand(study, published="all").targets, Store(empty))
    return costs.described(study, costs.of_plan(whole))


def text() -> str:
    """The file: a line for each row and scale."""
    lines = []
    for paper, names in papers.names().items():
        for name in names:
            row = papers.row(paper, name)
            scales = ",\n  ".join(f'"{scale}": {json.dumps(cost(row, scale))}' for scale in SCALES)
            lines.append(f' "{paper} {name}": {{\n  {scales}\n }}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
