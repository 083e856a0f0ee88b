"""What studies read, and how they are looked at where that is not at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import small_mnist
from isthmus.errors import BadStudy, MissingData
from isthmus.nodes import Graft, Import
from isthmus.store import Store
from isthmus.study import expand, from_mapping, prepare
from isthmus.study.needs import needs
from small_studies import COMMON

HUNDRED = {
    **COMMON,
    "family": "init-to-final",
    "model": {"name": "mlp", "hidden": [4], "classes": 100, "input_shape": [3, 32, 32]},
    "data": {"name": "cifar100", "examples": 1000},
    "recipe": {"batch_size": 300, "optimizer": {"lr": 0.1}},
    "train": {"to": "2ep"},
}
FILE = {"start": {"file": "weights/mine.pth", "new": ["layer2"]}}


def lengthened(**changes: Any) -> Any:
    return from_mapping({**HUNDRED, **changes})


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)


def test_what_a_study_reads(tmp_path: Path) -> None:
    pretrain = {"start": {"pretrain": {"to": "1ep", "data": {"name": "Tiny-ImageNet", "size": 32}}, "new": ["layer2"]}}
    found = lengthened(variants={"a": {}, "b": FILE, "c": pretrain, "d": {"data": {"name": "mnist"}}})
    told = [(need.name, need.is_data, need.there) for need in needs(found, tmp_path)]
    assert told == [
        ("cifar100", True, None),
        ("weights/mine.pth", False, None),
        ("tiny_imagenet", True, None),
        ("mnist", True, None),
    ]
    small_mnist.write(tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/mine.pth").touch()
    (tmp_path / "tiny-imagenet-200/train/n00000001").mkdir(parents=True)
    assert [need.there for need in needs(found, tmp_path)] == [None, "", "1 of 200 classes", ""]
    one = lengthened(data={"name": "tiny_imagenet", "classes": 1})
    assert [need.there for need in needs(one, tmp_path)] == [""]  # as many as the study asks for
    assert [need.there for need in needs(one, tmp_path / "weights")] == [None]
    assert [need.lacking for need in needs(found, tmp_path)][:3:2] == [
        "data set cifar100 (isthmus data fetch cifar100)",
        "all of data set tiny_imagenet (not 1 of 200 classes)",
    ]
    assert [need.there for need in needs(from_mapping({**HUNDRED, "data": {"name": "spiral"}}))] == [""]


def test_a_study_of_data_that_are_not_at_hand_is_expanded_by_their_published_sizes() -> None:
    study = lengthened(data={"name": "cifar100", "examples": 1000, "mean": [0.1] * 3, "std": [0.2] * 3})
    with pytest.raises(MissingData, match="Data set cifar100 needs files"):
        expand(study)
    for published in ("absent", "all"):
        found = expand(study, published=published)
        data = found.data
        assert (data.train, data.test, data.classes, data.input_shape) == (1000, 10_000, 100, (3, 32, 32))
        assert (data.mean, data.std, found.steps_per_epoch) == ((0.1,) * 3, (0.2,) * 3, 4)
    wrong = lengthened(data={"name": "cifar100", "labels": "fnie"})
    with pytest.raises(BadStudy, match=r"data: .*labels cannot be 'fnie'"):
        expand(wrong, published="all")


def test_files_that_are_at_hand_are_read_unless_all_are_taken_as_published(tmp_path: Path) -> None:
    small_mnist.write(tmp_path)
    study = lengthened(data={"name": "mnist"}, model={"name": "mlp", "hidden": [4]})
    assert expand(study, data_root=tmp_path, published="absent").data.train == 96
    told = expand(study, data_root=tmp_path, published="all").data
    assert told.train == 60_000
    assert told.digest != expand(study, data_root=tmp_path).data.digest  # nothing stored is taken for it
    spiral = from_mapping({**HUNDRED, "data": {"name": "spiral"}, "model": {"name": "mlp", "input_shape": [2]}})
    assert expand(spiral, published="all").data.digest == expand(spiral).data.digest  # drawn, not read


def test_weights_that_are_not_at_hand_are_taken_to_fit(tmp_path: Path, store: Store) -> None:
    digits = {"data": {"name": "digits"}, "model": {"name": "mlp", "hidden": [4], "input_shape": [1, 8, 8]}}
    with pytest.raises(MissingData, match=r"There is no file of weights weights/mine\.pth"):
        expand(lengthened(**FILE, **digits), data_root=tmp_path)
    study = lengthened(**FILE)
    expansion, found = prepare(study, store, data_root=tmp_path, published="absent")
    (start,) = {request.measure.path.ends[0] for request in expansion.requests}
    assert isinstance(start, Graft)
    assert isinstance(start.donor, Import)
    assert set(start.patterns) == {"layer1.weight", "layer1.bias"}
    assert {node.kind for node in found.pending.values()} == {"graft", "import", "init", "train", "path", "distance"}
    whole = lengthened(start={"file": "weights/mine.pth"})
    (alone,) = {request.measure.path.ends[0] for request in expand(whole, published="absent").requests}
    assert isinstance(alone, Import)
    wrong = lengthened(start={"file": "weights/mine.pth", "new": ["fc9"]})
    with pytest.raises(BadStudy, match="fc9"):
        expand(wrong, published="absent")
