"""Data sets of people's own code, by ``package.module:function``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from isthmus import datasets
from isthmus.errors import BadData, BadInput, IsthmusError, UnknownName
from isthmus.study import from_mapping
from isthmus.study import run as run_study

CODE = """
import numpy as np
from isthmus.datasets import load as load_set

def pictures(count=12, root=None):
    draw = np.random.default_rng(count)
    inputs = draw.integers(0, 256, (count + 6, 2, 3, 5), dtype=np.uint8)
    labels = np.arange(count + 6) % 3
    return {"x_train": inputs[:count], "y_train": labels[:count], "x_test": inputs[count:], "y_test": labels[count:]}

def ready():
    return load_set("spiral", train=20, test=10)

def place(root):
    raise FileNotFoundError(root / "lost")

def gap():
    return {**pictures(), "y_train": np.array([0, 2] * 6)}

def words():
    return "pictures"

def parts():
    return {"x_train": np.zeros((2, 3))}

number = 3
"""


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "people_data.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("people_data", None)


def test_arrays_become_a_data_set() -> None:
    found = datasets.load("people_data:pictures", count=15)
    assert (found.name, found.classes, found.input_shape) == ("people_data:pictures", 3, (2, 3, 5))
    assert (len(found.train), len(found.test)) == (15, 6)
    assert found.train.labels.tolist() == [0, 1, 2] * 5
    pixels = found.train.inputs / 255
    # to the four digits that constants are given in
    np.testing.assert_allclose(found.mean, pixels.mean((0, 2, 3)), rtol=0, atol=5.1e-5)
    np.testing.assert_allclose(found.std, pixels.std((0, 2, 3)), rtol=0, atol=5.1e-5)


def test_a_data_set_comes_as_it_is_and_takes_what_every_set_takes() -> None:
    assert datasets.load("people_data:ready").digest == datasets.load("spiral", train=20, test=10).digest
    assert len(datasets.load("people_data:pictures", examples=7).train) == 7


@pytest.mark.parametrize(
    ("name", "options", "kind", "told"),
    [
        ("people_data:pictures", {"cuont": 3}, BadInput, "takes no argument 'cuont'; did you mean \"count\"?"),
        ("people_data:picturse", {}, UnknownName, "named 'picturse'; did you mean \"pictures\"?"),
        ("people_dta:pictures", {}, BadInput, "importing people_dta failed with ModuleNotFoundError"),
        ("people_data:place", {}, BadInput, "the function raised FileNotFoundError: /somewhere/lost"),
        (
            "people_data:words",
            {},
            BadInput,
            "or a mapping of x_train, y_train, x_test, y_test, found str",
        ),
        ("people_data:parts", {}, BadInput, "x_test, y_test, found a mapping of x_train."),
        ("people_data:number", {}, BadInput, "expected a function, found int"),
        ("people_data:gap", {}, BadData, "y_train: expected labels from 0 with an example of each, found none of 1."),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    name: str, options: dict[str, object], kind: type[IsthmusError], told: str
) -> None:
    with pytest.raises(kind) as caught:
        datasets.load(name, "/somewhere", **options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_study_on_it_runs(tmp_path: Path) -> None:
    study = from_mapping(
        {
            "name": "own",
            "family": "branch",
            "model": {"name": "mlp", "input_shape": [2, 3, 5], "classes": 3, "hidden": [4]},
            "data": {"name": "people_data:pictures", "count": 20},
            "recipe": {"batch_size": 5, "optimizer": {"lr": 0.1}},
            "branch": {"at": ["1ep"], "lengths": ["1ep"]},
            "evaluate": {"alphas": 3},
        }
    )
    found = run_study(study, tmp_path / "store", workers=0)
    assert found["pairs"]["examples"] == [6, 6]
    assert run_study(study, tmp_path / "store", workers=0).computed == 0
