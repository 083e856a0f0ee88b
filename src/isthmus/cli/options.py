"""The options that commands share, and what is read from them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from isthmus.cli.data import Data
from isthmus.errors import BadInput

__all__ = ["DEFAULT", "OUT", "STORE", "Options", "Where", "Workers", "writable"]

STORE, OUT = Path("isthmus-store"), Path("isthmus-out")
Where = Annotated[Path, Parameter(name="--store", help="Folder of results; studies that share it share their trunks.")]
Workers = Annotated[
    int | None, Parameter(name="--workers", help="Processes (default: one a core, at most 8 a GPU; 0: this one only).")
]


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """What `run` and `reproduce` share."""

    sets: Annotated[
        list[str] | None,
        Parameter(name="--set", negative=(), help="Replace a field of the study: path=value, as often as needed."),
    ] = None
    data: Data = None
    store: Where = STORE
    out: Annotated[
        Path | None,
        Parameter(help="Folder for tables and figures (default: isthmus-out/NAME); several rows get one each in it."),
    ] = None
    workers: Workers = None
    threads: Annotated[
        int | None, Parameter(help="Threads of each process (default: the cores divided among them).")
    ] = None
    device: Annotated[Literal["auto", "cpu", "cuda"], Parameter(help="Where to compute.")] = "auto"
    dry_run: Annotated[bool, Parameter(negative=(), help="Say what would be computed, compute nothing.")] = False
    recompute: Annotated[
        bool,
        Parameter(negative=(), help="Train stored networks again whose ancestor was trained again with other bits."),
    ] = False

    audit: Annotated[
        bool,
        Parameter(negative=(), help="Also under every other norm_stats mode and rule for optimiser buffers."),
    ] = False
    audit_of: Annotated[
        list[str] | None,
        Parameter(negative=(), help="An audit of these alone: norm_stats, buffers, or one such as 'norm_stats init'."),
    ] = None

    @property
    def audits(self) -> bool:
        """Whether conventions are laid beside each other."""
        return self.audit or bool(self.audit_of)

    def folder(self, name: str, *, alone: bool = True) -> Path:
        """Where the files of a study go: ``--out`` itself, or a folder in it where several studies share it.

        Raises:
            BadInput: no files can be written there, which is better known before a run than after it.
        """
        if self.out is None:
            return writable(OUT / name)
        return writable(self.out if alone else self.out / name)


def writable(folder: Path) -> Path:
    """The folder, made sure of that files can be written into it."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise BadInput(f"No files can be written into {folder}: {there} is no folder that may be written to.")
    return folder


DEFAULT = Options()
