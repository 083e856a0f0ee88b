"""What is run of a row whose data are not all at hand, and that everything it leaves says so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import small_mnist
from isthmus import papers, plots
from isthmus.errors import BadInput, MissingData
from isthmus.papers.substituting import Settled, labelled, settled
from isthmus.study import Study, from_mapping
from isthmus.study.files import override
from isthmus.tables import Table

ROW = papers.row("shapira23", "mnist")


def of(name: str, **options: int) -> Study:
    content = ROW.study("small").model_dump(mode="json")
    return from_mapping({**content, "data": {"name": name, **options}})


def row(name: str, other: str | None = None) -> papers.Row:
    return dataclasses.replace(
        ROW, study=lambda scale: of(name), substitute=None if other is None else lambda scale: of(other)
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MNIST, and two classes of Tiny ImageNet."""
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    for wnid in ("n00000001", "n00000002"):
        (tmp_path / f"tiny-imagenet-200/train/{wnid}").mkdir(parents=True)
    return small_mnist.write(tmp_path)


def test_data_at_hand_are_used(root: Path) -> None:
    found = settled(row("mnist", "digits"), "paper", (), root)
    assert (found.study.data.name, found.used, found.sentence, found.mark) == ("mnist", (), "", "")


def test_a_substitute_takes_their_place(root: Path) -> None:
    found = settled(row("cifar100", "mnist"), "small", ["evaluate.alphas=5"], root)
    assert (found.study.data.name, found.study.evaluate.alphas) == ("mnist", 5)
    assert found.sentence == (
        "cifar100 is not at hand, so mnist takes its place: tables, figures and verdicts say so, and are not the"
        " paper's."
    )


def test_a_part_of_a_data_set_is_enough_at_small_scale_alone(root: Path) -> None:
    small, paper = (settled(row("tiny_imagenet", "mnist"), scale, (), root) for scale in ("small", "paper"))
    assert (small.used, paper.used) == ((), ("mnist",))
    with pytest.raises(MissingData) as told:
        settled(row("tiny_imagenet"), "paper", (), root)
    assert str(told.value) == (
        "shapira23 mnist at paper scale needs all of data set tiny_imagenet (not 2 of 200 classes), which is not at"
        f" hand: fetch it and put it below {root}."
    )
    asked = settled(row("tiny_imagenet"), "paper", ["data.classes=2"], root)  # whoever asks for so many
    assert asked.study.data.options == {"classes": 2}


def test_where_nothing_takes_their_place_it_is_told_what_to_fetch(root: Path) -> None:
    with pytest.raises(MissingData) as told:
        settled(row("cifar100", "cinic10"), "small", (), root)
    assert str(told.value) == (
        "shapira23 mnist at small scale needs data set cifar100 (isthmus data fetch cifar100), which is not at hand,"
        f" and neither are the data that could take its place: fetch it and put it below {root}."
    )
    assert (
        settled(row("cifar100"), "small", (), root).study.data.name == "cifar100"
    )  # reading it tells where it belongs
    looked = settled(row("cifar100", "cinic10"), "small", (), root, at_all=False)
    assert (looked.study.data.name, looked.used) == ("cifar100", ())


def test_variants_by_set_are_refused_where_a_row_has_none(root: Path) -> None:
    with pytest.raises(BadInput, match="have no variants; use isthmus run"):
        settled(row("mnist"), "small", ["variants.a={}"], root)
    assert override({}, ["variants.a={}"])  # which is what was asked for


def test_what_is_left_says_so(drawn: dict[str, Figure]) -> None:
    tables = {"claims": Table.of([{"claim": "a", "verdict": "held"}]), "pairs": Table.of([{"k1": 1}])}
    own = Settled(of("mnist"), of("mnist"))
    assert labelled(tables, own) == tables
    other = Settled(of("mnist"), of("cifar100"), missing=("cifar100", "weights/a.pth"), used=("mnist",))
    found = labelled(tables, other)
    assert found["claims"].rows == ({"claim": "a", "verdict": "held", "substitute": "mnist"},)
    assert found["substitute"].rows == ({"missing": "cifar100 and weights/a.pth", "used": "mnist"},)
    assert found["pairs"] == tables["pairs"]
    with plots.marked(other.mark):
        figure, _ = plots.canvas(title="A title", note="A note.")
    plain, _ = plots.canvas(title="A title", note="A note.")
    assert figure.texts[1].get_text().replace("\n", " ") == (
        "SUBSTITUTE DATA: mnist instead of cifar100 and weights/a.pth. A note."
    )
    assert plain.texts[1].get_text() == "A note."


def test_what_takes_the_place_is_told_with_its_options_and_without_what_stays(root: Path) -> None:
    both = of("tiny_imagenet", classes=2)
    row_of_two = dataclasses.replace(ROW, study=lambda scale: of("tiny_imagenet"), substitute=lambda scale: both)
    found = settled(row_of_two, "paper", (), root)
    assert found.sentence.startswith("all of tiny_imagenet is not at hand, so tiny_imagenet(classes=2) takes its place")
    assert (found.own.data.options, found.study.data.options) == ({}, {"classes": 2})
    pair = Settled(both, both, missing=("cifar100", "cinic10"), used=("cifar10", "mnist", "spiral"))
    assert pair.sentence.startswith(
        "cifar100 and cinic10 are not at hand, so cifar10, mnist and spiral take their place:"
    )
