"""A row of one's own, named package.module:ROW, and the networks of a study by their labels."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from isthmus import papers
from isthmus.errors import BadInput, UnknownName
from isthmus.store import Store
from small_studies import branch, ran, state

ROW = """
from isthmus.papers import Row
ROW = Row("gain", "mine", "a title", ("F3a",), None, None, (), None)
OTHER = 7
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rows_of_mine.py").write_text(ROW, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "rows_of_mine", raising=False)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_a_row_of_ones_own_is_a_paper_with_one_row() -> None:
    name = "rows_of_mine:ROW"
    assert papers.names(name) == ("gain",)
    for spelling in ("gain", "Gain", "F3a", "f3A"):
        assert papers.row(name, spelling).title == "a title"
    with pytest.raises(UnknownName, match=r"no row of rows_of_mine:ROW named 'gian'; did you mean \"gain\"\?"):
        papers.row(name, "gian")
    assert "mine" not in papers.names()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rows_of_mine:OTHER", r"^'rows_of_mine:OTHER': expected a Row of isthmus\.papers, found int\.$"),
        ("rows_of_mine:ROV", "no function in rows_of_mine named 'ROV'"),
        ("rows_of_nobody:ROW", "importing rows_of_nobody failed with ModuleNotFoundError"),
        ("rows of mine:ROW", "is not of the form package.module:function"),
    ],
)
def test_what_is_no_row(name: str, told: str) -> None:
    for ask in (papers.names, lambda text: papers.row(text, "gain")):
        with pytest.raises(BadInput, match=told):
            ask(name)


def test_a_network_of_a_study_by_its_labels(tmp_path: Path) -> None:
    found = ran(branch('merge={after="2it", every="2it"}', "baselines.ensemble=true", "seeds=[3, 4]"), tmp_path)
    labels = {"seed": 4, "k": "2ep", "network": "merge", "after_steps": 2}
    got = found.network(tmp_path, **labels)
    (node,) = [r.measure.path.ends[0] for r in found.expansion.requests if labels.items() <= r.labels.items()]
    wanted = state(Store(tmp_path), node)
    assert got.digest() == wanted.digest()
    assert (got.step, set(got.optimizer)) == (17, set(wanted.optimizer))
    assert all(torch.equal(tensor, wanted.weights[name]) for name, tensor in got.weights.items())
    for wrong, count in (({"network": "merge"}, 8), ({"network": "ensemble"}, 0), ({"seed": 9}, 0)):
        with pytest.raises(BadInput, match=f"Expected labels of one network of the study, found {count} with "):
            found.network(tmp_path, **wrong)
