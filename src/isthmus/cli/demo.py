"""``isthmus demo``: a study of data that isthmus ships with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isthmus.cli.options import Workers, writable

__all__ = ["demo"]


def demo(
    *,
    out: Annotated[Path, Parameter(help="Folder for tables and figures.")] = Path("isthmus-demo"),
    store: Annotated[Path | None, Parameter(help="Folder of results (default: inside the output folder).")] = None,
    workers: Workers = None,
) -> None:
    """Show what isthmus does on data that it ships with, in about a minute."""
    from isthmus import demo as demonstration

    demonstration.run(writable(out), store, workers)
