"""Tidy tables: columns, selection, CSV that reads back exactly, files whole or not at all."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import BadInput
from isthmus.tables import Table, write_text

ROWS = [
    {"k": 0, "split": "test", "chord": 0.5},
    {"k": 1, "split": "test", "chord": 0.125},
    {"k": 0, "split": "train", "chord": 0.4375, "note": "a"},
]
text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
cells = st.none() | st.booleans() | st.integers() | st.floats() | text


def test_columns_come_in_the_order_of_first_appearance() -> None:
    table = Table.of(iter(ROWS))
    assert table.columns == ("k", "split", "chord", "note")
    assert [row["note"] for row in table] == table["note"] == [None, None, "a"]
    assert len(table) == 3
    assert Table.of(ROWS, columns=["chord", "absent"]).rows[0] == {"chord": 0.5, "absent": None}
    assert Table.of([]).columns == ()
    assert Table.of([], columns=["a"]).to_csv() == "a\n"


def test_the_rows_given_are_copied() -> None:
    given = [dict(row) for row in ROWS]
    table = Table.of(given)
    given[0]["k"] = 99
    assert table["k"] == [0, 1, 0]


def test_where_and_groups() -> None:
    table = Table.of(ROWS)
    assert table.where(k=0)["chord"] == [0.5, 0.4375]
    assert table.where(k=0, split="train")["chord"] == [0.4375]
    assert table.where(lambda row: row["chord"] < 0.45)["k"] == [1, 0]
    assert table.where(lambda row: row["chord"] < 0.45, k=0)["split"] == ["train"]
    assert len(table.where(k=7)) == 0
    assert table.where(k=7).columns == table.columns
    groups = table.groups("split", "k")
    assert list(groups) == [("test", 0), ("test", 1), ("train", 0)]
    assert [len(group) for group in table.groups("k").values()] == [2, 1]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("xyz")), max_size=20))
def test_groups_partition_the_rows_in_order(pairs: list[tuple[int, str]]) -> None:
    table = Table.of([{"a": a, "b": b, "at": i} for i, (a, b) in enumerate(pairs)], columns=["a", "b", "at"])
    groups = table.groups("a")
    assert sorted(at for group in groups.values() for at in group["at"]) == list(range(len(pairs)))
    for (value,), group in groups.items():
        assert group == table.where(a=value)
        assert group["at"] == sorted(group["at"])


@pytest.mark.parametrize("use", [lambda t: t["chrod"], lambda t: t.where(chrod=1), lambda t: t.groups("k", "chrod")])
def test_an_unknown_column_offers_the_nearest(use: Any) -> None:
    with pytest.raises(BadInput, match="no column 'chrod'; did you mean \"chord\""):
        use(Table.of(ROWS))


def as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


@given(st.lists(st.lists(cells, min_size=3, max_size=3), max_size=6))
def test_csv_reads_back(rows: list[list[Any]]) -> None:
    """Every cell comes back; floats exactly, whatever commas, quotes and line ends the strings hold."""
    names = ["first", "second, quoted", "third"]
    written = Table.of([dict(zip(names, row)) for row in rows], columns=names).to_csv()
    back = list(csv.reader(io.StringIO(written, newline="")))
    assert back[0] == names
    assert len(back) == len(rows) + 1
    for cells_, row in zip(back[1:], rows):
        for cell, value in zip(cells_, row):
            assert cell == as_text(value)
            if isinstance(value, float):
                assert float(cell) == value or (math.isnan(float(cell)) and math.isnan(value))


def test_csv_of_special_cells() -> None:
    values: list[object] = [0.1, 1 / 3, math.nan, math.inf, -math.inf, None, True, False, 7, "a,b", 'say "x"', 1e-300]
    values += [np.float64(0.1), np.float64("nan"), np.float32(0.1), np.int64(-3), np.bool_(True), np.bool_(False)]
    found = Table.of([{"v": value} for value in values]).to_csv().splitlines()
    expected = ["v", "0.1", repr(1 / 3), "nan", "inf", "-inf", '""', "true", "false", "7", '"a,b"', '"say ""x"""']
    assert found == [*expected, "1e-300", "0.1", "nan", "0.1", "-3", "true", "false"]


def test_to_csv_writes_the_text_that_it_returns(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "pairs.csv"
    returned = Table.of([*ROWS, {"note": "zwölf\r\nlines"}]).to_csv(path)
    assert path.read_bytes().decode("utf-8") == returned
    assert returned.startswith("k,split,chord,note\n0,test,0.5,\n")
    assert Table.of(ROWS[:1]).to_csv(os.fspath(path)) == path.read_text()
    assert [entry.name for entry in path.parent.iterdir()] == ["pairs.csv"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old\n")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("isthmus.tables.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(path, "new\n")
    assert path.read_text() == "old\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_to_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = Table.of(ROWS).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["k", "split", "chord", "note"]
    assert frame["chord"].tolist() == [0.5, 0.125, 0.4375]
    assert list(Table.of([], columns=["a", "b"]).to_pandas().columns) == ["a", "b"]


def test_without_pandas_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BadInput, match=r'pip install "isthmus\[tables\]"'):
        Table.of(ROWS).to_pandas()
