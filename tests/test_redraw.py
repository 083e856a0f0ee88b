"""Figures are drawn again exactly when something that they come from has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus import redraw
from isthmus.redraw import draw_if_changed
from isthmus.tables import Table

TABLES = {"curves": Table.of([{"alpha": 0.25, "loss": 0.7}])}


class Artist:
    """Counts how often it draws."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.drawn = folder, 0

    def __call__(self) -> list[Path]:
        self.drawn += 1
        files = [self.folder / "F1.png", self.folder / "F1.svg"]
        for file in files:
            file.write_bytes(b"a figure of " + file.name.encode())
        return files


def test_the_same_tables_are_drawn_once(tmp_path: Path) -> None:
    artist = Artist(tmp_path)
    first = draw_if_changed(tmp_path, TABLES, artist, {"name": "s"})
    again = draw_if_changed(tmp_path, dict(TABLES), artist, {"name": "s"})
    assert (again, artist.drawn) == (first, 1)


@pytest.mark.parametrize("what", ["table", "about", "touched", "missing", "note", "code", "empty note"])
def test_a_change_is_drawn(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    artist = Artist(tmp_path)
    draw_if_changed(tmp_path, TABLES, artist, 1)
    tables = {"curves": Table.of([{"alpha": 0.25, "loss": 0.75}])} if what == "table" else TABLES
    if what == "touched":
        (tmp_path / "F1.svg").write_bytes(b"scribble")
    if what == "missing":
        (tmp_path / "F1.png").unlink()
    if what == "note":
        (tmp_path / "figures.json").unlink()
    if what == "empty note":
        (tmp_path / "figures.json").write_text("[]", encoding="utf-8")
    if what == "code":
        monkeypatch.setattr(redraw, "_code", lambda: "other code")
    draw_if_changed(tmp_path, tables, artist, 2 if what == "about" else 1)
    assert artist.drawn == 2
    assert (tmp_path / "F1.svg").read_bytes() == b"a figure of F1.svg"
    draw_if_changed(tmp_path, tables, artist, 2 if what == "about" else 1)
    assert artist.drawn == 2


def test_a_drawing_that_breaks_off_leaves_no_note(tmp_path: Path) -> None:
    draw_if_changed(tmp_path, TABLES, Artist(tmp_path), 1)

    def fail() -> list[Path]:
        raise OSError("as asked")

    with pytest.raises(OSError, match="as asked"):
        draw_if_changed(tmp_path, TABLES, fail, 2)
    artist = Artist(tmp_path)
    draw_if_changed(tmp_path, TABLES, artist, 1)
    assert artist.drawn == 1
