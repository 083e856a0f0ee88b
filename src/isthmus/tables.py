"""Tidy tables: named columns, a row an observation; CSV in core, pandas on demand."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import BadInput, nearest

if TYPE_CHECKING:
    import pandas

__all__ = ["Table", "write_tables", "write_text"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows under fixed columns, in order. Cells are strings, numbers, booleans or None (missing).

    >>> table = Table.of([{"k": 0, "chord": 0.5}, {"k": 1, "chord": 0.1}])
    >>> print(table.where(k=1).to_csv(), end="")
    k,chord
    1,0.1
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, rows: Iterable[Row], columns: Sequence[str] | None = None) -> Table:
        """A table of these rows; columns in the order of their first appearance unless given."""
        rows = tuple(rows)
        found = tuple(columns) if columns is not None else tuple(dict.fromkeys(name for row in rows for name in row))
        return cls(found, tuple({name: row.get(name) for name in found} for row in rows))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, column: str) -> list[Any]:
        self._known(column)
        return [row[column] for row in self.rows]

    def _known(self, *columns: str) -> None:
        for column in columns:
            if column not in self.columns:
                raise BadInput(f"The table has no column {column!r}{nearest(str(column), self.columns)}")

    def where(self, keep: Callable[[Row], bool] | None = None, **values: Any) -> Table:
        """The rows whose columns have these values (and for which ``keep`` is true)."""
        self._known(*values)
        return Table(
            self.columns,
            tuple(
                row
                for row in self.rows
                if all(row[name] == value for name, value in values.items()) and (keep is None or keep(row))
            ),
        )

    def groups(self, *columns: str) -> dict[tuple[Any, ...], Table]:
        """The rows by their values in these columns, in the order of first appearance."""
        self._known(*columns)
        found: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.rows:
            found.setdefault(tuple(row[name] for name in columns), []).append(row)
        return {key: Table(self.columns, tuple(rows)) for key, rows in found.items()}

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """The table as CSV text, also written to ``path`` where one is given.

        Floats have their shortest exact form, NaN and infinity are ``nan`` and ``inf``, missing cells are empty.
        """
        rows = [list(self.columns), *([_cell(row[name]) for name in self.columns] for row in self.rows)]
        text = "".join(map(_csv_line, rows))
        if path is not None:
            write_text(Path(path), text)
        return text

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a pandas data frame (needs the ``tables`` extra)."""
        try:
            import pandas
        except ImportError:
            raise BadInput('to_pandas() needs pandas: pip install "isthmus[tables]".') from None
        return pandas.DataFrame([dict(row) for row in self.rows], columns=list(self.columns))


def _csv_line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)  # quotes both; with "\n" alone a "\r" goes bare
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else str(float(value))
    return str(value)


def write_tables(tables: Mapping[str, Table], folder: str | os.PathLike[str]) -> list[Path]:
    """Write each table as CSV under its name into a folder; the files written."""
    files = [Path(folder) / f"{name}.csv" for name in tables]
    for file, table in zip(files, tables.values(), strict=True):
        table.to_csv(file)
    return files


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
