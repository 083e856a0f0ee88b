"""What rows cost: the file in the package is what their studies say, counted again here for some of them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from isthmus import papers
from isthmus.models.counting import multiply_accumulates
from isthmus.papers import costs
from isthmus.papers.costs import Cost
from isthmus.speed import Machine

DOCS = Path(__file__).parents[2] / "docs"
ROWS = [(paper, name) for paper, names in papers.names().items() for name in names]
SCALES: tuple[papers.Scale, ...] = ("small", "paper")
AGAIN = "run `python docs/costs.py`: a study is another one than its cost was counted of"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("costs_of_rows", DOCS / "costs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(costs.__file__).with_name(costs.FILE).read_text(encoding="utf-8"))
    return found


def test_every_row_has_the_cost_of_the_study_that_it_has_now() -> None:
    found = written()
    assert list(found) == [f"{paper} {name}" for paper, name in ROWS], AGAIN
    for paper, name in ROWS:
        for scale in SCALES:
            study = papers.row(paper, name).study(scale)
            assert found[f"{paper} {name}"][scale]["study"] == costs.study_digest(study), f"{paper} {name}: {AGAIN}"
            assert costs.costs(paper, name, scale, study)


@pytest.mark.parametrize(("paper", "name"), [("shapira23", "mnist"), ("vlaar22", "f2a"), ("iyer24", "f1")])
def test_costs_counted_again(paper: str, name: str) -> None:
    entry = generator().cost(papers.row(paper, name), "small")
    assert entry == written()[f"{paper} {name}"]["small"], AGAIN


@pytest.mark.slow
def test_all_costs_counted_again() -> None:
    assert json.loads(generator().text()) == written(), AGAIN


def test_the_cost_of_shapira23_on_mnist_by_hand() -> None:
    """Two repeats: the main branch and children of 10, 9, 8, 5 and 3 epochs of 58 batches of 1,024; each k2 a line."""
    (found,) = costs.costs("shapira23", "mnist", "paper")
    children = (10, 9, 8, 5, 3)
    epochs = 2 * (10 + sum(children))
    lines, networks = 2 * sum(children), 2 * len(children)
    lenet = {"activation": "relu", "activate": "before"}
    assert found == Cost(
        "lenet5",
        lenet,
        found.multiply_accumulates,
        12,
        epochs * 58,
        epochs * 58 * 1024,
        (25 * lines + networks) * 20_000,
    )


def test_learning_rates_are_networks_of_their_own() -> None:
    """Vlaar22 F8: three fixed rates beside the base, three seeds, one trajectory but for the rates."""
    (found,) = costs.costs("vlaar22", "f8", "small")
    per_epoch, epochs = 79, 30
    assert found.networks == 4 * 3
    assert found.steps < found.networks * per_epoch * epochs  # what two of them share is trained once


MILLIONS = {  # multiply-accumulates an example of pictures of CIFAR-10's size, as the architectures are published
    ("resnet20", ()): 40.8,
    ("resnet56", ()): 125.8,
    ("vgg16", ()): 313,
    ("vgg11", ()): 153,
    ("resnet18", (("stem", "3x3"), ("max_pool", True))): 140,
    ("resnet18", (("stem", "3x3"), ("max_pool", False))): 555,
    ("resnet50", (("stem", "3x3"), ("max_pool", False))): 1298,
    ("reduced_vgg", (("form", "released"),)): 6.13,
    ("reduced_vgg", (("form", "later"),)): 6.7,
}


@pytest.mark.parametrize("name", MILLIONS, ids=lambda name: f"{name[0]} {dict(name[1])}")
def test_multiply_accumulates(name: tuple[str, tuple[tuple[str, Any], ...]]) -> None:
    # published with three digits or two
    assert multiply_accumulates(name[0], dict(name[1]), (3, 32, 32)) / 1e6 == pytest.approx(MILLIONS[name], rel=0.008)


def test_multiply_accumulates_of_alexnet() -> None:
    assert multiply_accumulates("alexnet", {"classes": 1000}, (3, 224, 224)) / 1e6 == pytest.approx(714, rel=0.002)
    native = {"form": "64", "input_shape": [3, 64, 64], "classes": 200}
    assert multiply_accumulates("alexnet", native, (3, 64, 64)) / 1e6 == pytest.approx(212, rel=0.002)


def test_times() -> None:
    machine = Machine(core=1e11, cores=3)
    cost = Cost("resnet20", {}, 2_000_000, networks=4, steps=50, trained=7000, evaluated=90_000)
    training, evaluation = 1e11 * 0.61, 1e11 * 0.78
    expected = (7000 * 6 * 2e6 / training + 90_000 * 2 * 2e6 / evaluation) / 3
    assert costs.seconds([cost, cost], machine) == pytest.approx(2 * expected)
    assert costs.on_h100([cost]) == pytest.approx((7000 * 6 + 90_000 * 2) * 2e6 / 1e13)
    tiny = Cost("mlp", {}, 10, networks=1, steps=40_000, trained=100, evaluated=100)
    assert costs.on_h100([tiny]) == pytest.approx(2.0)  # 50 microseconds a step
    assert costs.networks([cost, tiny]) == 5
    assert costs.costs("vlaar22", "nothing", "small") == ()
    other = papers.row("shapira23", "cifar10").study("small")
    assert costs.costs("shapira23", "mnist", "small", other) == ()
