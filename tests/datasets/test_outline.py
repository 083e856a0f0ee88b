"""The sizes of data sets that are not at hand, compared with those that loading and altering gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import small_mnist
from isthmus import datasets
from isthmus.datasets.altering import alter
from isthmus.datasets.outline import Outline, altered
from isthmus.errors import BadInput

PUBLISHED = {
    "mnist": (60_000, 10_000, 10, (1, 28, 28)),
    "cifar10": (50_000, 10_000, 10, (3, 32, 32)),
    "cifar100": (50_000, 10_000, 100, (3, 32, 32)),
    "cinic10": (90_000, 90_000, 10, (3, 32, 32)),
    "tiny_imagenet": (100_000, 10_000, 200, (3, 64, 64)),
}


def sizes(found: Outline) -> tuple[Any, ...]:
    return found.train, found.test, found.classes, found.input_shape


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name: str) -> None:
    found = datasets.outline(name)
    assert sizes(found) == PUBLISHED[name]
    assert len(found.mean) == len(found.std) == found.input_shape[0]


def test_options_that_change_them() -> None:
    assert sizes(datasets.outline("cifar100", labels="coarse", examples=700))[:3] == (700, 10_000, 20)
    assert sizes(datasets.outline("cinic10", valid="train", random_labels=3)) == (180_000, 90_000, 10, (3, 32, 32))
    assert sizes(datasets.outline("Tiny-ImageNet", classes=20, size=32)) == (10_000, 1_000, 20, (3, 32, 32))
    assert datasets.outline("tiny_imagenet", size=[48, 40]).input_shape == (3, 48, 40)
    with pytest.raises(BadInput, match="takes no argument 'label'; did you mean \"labels\""):
        datasets.outline("cifar100", label="coarse")
    for name in ("npz", "my.module:data"):
        with pytest.raises(BadInput, match=f"Data set {name} is nowhere published"):
            datasets.outline(name)


@given(st.data())
def test_altering_an_outline_is_outlining_what_is_altered(data: st.DataObject) -> None:
    draw = data.draw
    options: dict[str, Any] = {}
    digits = datasets.load("digits")
    if draw(st.booleans()):
        parts = draw(st.integers(1, 7))
        options["part"] = (draw(st.integers(1, parts)), parts)
    if draw(st.booleans()):
        options |= draw(st.sampled_from([{"examples": 90}, {"per_class": 3}, {"random_labels": 4}]))
    if draw(st.booleans()):
        options["size"] = draw(st.sampled_from([4, (6, 5)]))
    whole = Outline(len(digits.train), len(digits.test), 10, digits.input_shape, digits.mean, digits.std)
    found = alter(digits, **options)
    expected = Outline(len(found.train), len(found.test), 10, found.input_shape, found.mean, found.std)
    assert altered(whole, options) == expected


def test_what_is_at_hand_at_a_glance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    assert datasets.at_hand("digits") == datasets.at_hand("spiral", tmp_path) == ""
    assert datasets.at_hand("mnist") is None
    assert datasets.at_hand("mnist", tmp_path) is None
    assert datasets.at_hand("mnist", small_mnist.write(tmp_path)) == ""
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path))
    assert datasets.at_hand("MNIST") == ""
    for wnid in range(3):
        (tmp_path / f"tiny-imagenet-200/train/n{wnid:08}").mkdir(parents=True)
    assert datasets.at_hand("tiny_imagenet") == "3 of 200 classes"
    (tmp_path / "cifar-100-python.tar.gz").touch()
    assert datasets.at_hand("cifar100") == ""
    assert datasets.at_hand("cifar10") is None


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_file_that_a_set_is_read_from_is_among_its_places(name: str, tmp_path: Path) -> None:
    """What is fetched is seen."""
    for source in datasets.entry(name)[1].sources[-1:]:
        place = tmp_path / source.place
        if source.unpack:
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True)
            place.touch()
    assert datasets.at_hand(name, tmp_path) is not None


@pytest.mark.data
@pytest.mark.parametrize(("name", "options"), [("mnist", {}), ("cifar10", {}), ("tiny_imagenet", {"classes": 20})])
def test_the_published_data_have_these_sizes(name: str, options: dict[str, Any]) -> None:
    if datasets.at_hand(name) is None:
        pytest.skip("not at hand")
    real, told = datasets.load(name, **options), datasets.outline(name, **options)
    assert sizes(told) == (len(real.train), len(real.test), real.classes, real.input_shape)
    assert np.array_equal([told.mean, told.std], [real.mean, real.std])
