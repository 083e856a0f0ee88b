"""Shapira23 on MNIST: the published set-up, and a reproduction in small whose every number is computed again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from shapira23_worlds import EPOCHS, K1, NAMES, barriers
from torch import Tensor

import small_mnist
from isthmus import datasets, papers
from isthmus.claims import judge
from isthmus.errors import BadInput, UnknownName
from isthmus.nodes import Init, State, Train
from isthmus.store import Store
from isthmus.study import BranchStudy, Results, Study, expand, from_mapping, run
from isthmus.study.files import override
from isthmus.study.requests import Expansion
from isthmus.tables import Table
from small_studies import branch

ROW = papers.row("shapira23", "mnist")
CLAIMS = {claim.id: claim for claim in ROW.claims}


def study(*sets: str, scale: papers.Scale = "small") -> Study:
    return from_mapping(override(ROW.study(scale).model_dump(mode="json"), sets))


# --- the set-up ------------------------------------------------------------


@pytest.mark.parametrize("scale", ["small", "paper"])
def test_the_published_set_up(scale: papers.Scale) -> None:
    """Shapira 2023, Table 1 and Algorithm 1; Adam's and MNIST's usual numbers where it gives none."""
    found = ROW.study(scale)
    assert isinstance(found, BranchStudy)
    recipe, optimizer, parting, on = found.recipe, found.recipe.optimizer, found.branch, found.evaluate
    assert (found.model.name, found.model.arguments) == ("lenet5", {"activation": "relu", "activate": "before"})
    assert (found.data.name, found.data.options, found.data.mean, found.data.std) == ("mnist", {}, None, None)
    assert (optimizer.name, optimizer.lr, optimizer.betas, optimizer.weight_decay) == ("adam", 1e-3, (0.9, 0.999), 0)
    assert (recipe.batch_size, recipe.drop_last, recipe.precision) == (1024, True, "float32")
    assert not recipe.augment.acts
    assert not recipe.schedule.milestones
    assert recipe.steps_per_epoch(60_000) == 58
    assert parting.to is not None
    assert parting.to.steps(58) == 580 == EPOCHS * 58
    assert [at.steps(58) for at in parting.at] == [58 * k1 for k1 in K1]
    assert (str(parting.every), parting.lengths, parting.children) == ("1ep", (), 2)
    assert (parting.trunk_is_child, parting.buffers, parting.trunk_at_k) == (True, "keep", True)
    assert parting.differ == ("order", "augmentation", "dropout")
    assert len(on.points) == 25
    assert (on.on, on.norm_stats, on.precision) == (("train:10000", "test"), "interpolate", "float32")
    assert (len(found.seeds), found.merge) == (2, None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_mnist.write(tmp_path_factory.mktemp("data"))


def main_and_child(expansion: Expansion) -> Iterator[tuple[int, int, int, State, State]]:
    for request in expansion.requests:
        if request.table == "pairs":
            k, s = int(request.labels["k_steps"]), int(request.labels["s_steps"])
            first, second = request.measure.path.ends
            yield int(request.labels["seed"]), k, s, first, second


def test_algorithm_1(data: Path) -> None:
    """One main branch a repeat; from its checkpoint at k1 one child, with its optimiser, every k2 on its way."""
    per_epoch = 6
    expansion = expand(study("recipe.batch_size=16", 'evaluate.on=["test"]'), data_root=data)
    pairs = list(main_and_child(expansion))
    wanted = [(seed, k1, k2) for seed in (0, 1) for k1 in K1 for k2 in range(1, EPOCHS + 1 - k1)]
    assert sorted((seed, k // per_epoch, s // per_epoch) for seed, k, s, _, _ in pairs) == wanted
    roots: dict[Any, set[str]] = {}
    for seed, k, s, first, second in pairs:
        assert first.step == second.step == k + s
        roots.setdefault(("main", seed, k + s), set()).add(first.key)
        assert isinstance(first, Train)
        assert isinstance(first.root, Init)
        assert isinstance(second, Train)
        roots.setdefault(("child", seed, k), set()).add(second.trajectory)
        assert second.buffers == "keep"
        assert second.root.key == (first.root if k == 0 else first.at(k)).key
        assert second.noise != first.noise
    assert all(len(names) == 1 for names in roots.values())
    assert len({key for names in roots.values() for key in names}) == len(roots)


# --- a reproduction in small ------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def small(data: Path, store: Store) -> Results:
    sets = ["recipe.batch_size=16", "branch.to=3ep", 'branch.at=["0ep", "2ep"]']
    sets += ['evaluate.on=["train:50", "test"]', "evaluate.alphas=7"]
    return run(study(*sets), store, data_root=data, workers=0, threads=1)


PAIRS = [
    (r, k1, k2, split) for r in (0, 1) for k1, k2 in ((0, 1), (0, 2), (0, 3), (2, 1)) for split in ("train", "test")
]


def test_the_tables_have_a_row_for_everything(small: Results) -> None:
    found = ROW.tables(small)
    assert sorted(found) == ["curves", "networks", "pairs", "seeds", "setup", "table1"]
    pairs, curves, networks = found["pairs"], found["curves"], found["networks"]
    keys = [(row["repeat"], row["k1"], row["k2"], row["split"], row["metric"]) for row in pairs]
    assert sorted(keys) == sorted((*key, metric) for key in PAIRS for metric in ("loss", "error"))
    points = [(row["repeat"], row["k1"], row["k2"], row["split"], row["alpha"]) for row in curves]
    assert sorted(points) == sorted((*key, i / 6) for key in PAIRS for i in range(7))
    assert [(row["repeat"], row["k1"], row["k2"], row["split"]) for row in networks] == [
        (r, k1, 0, split) for r in (0, 1) for k1 in (0, 2) for split in ("train", "test")
    ]
    assert (
        {row["k1_steps"] - 6 * row["k1"] for row in pairs} == {row["k2_steps"] - 6 * row["k2"] for row in pairs} == {0}
    )
    assert {(row["split"], row["examples"]) for row in pairs} == {("train", 50), ("test", 40)}
    assert set(pairs["norm_stats"]) == {"none"}


def test_every_number_of_the_pairs_follows_from_the_curves(small: Results) -> None:
    found = ROW.tables(small)
    groups = found["curves"].groups("repeat", "k1", "k2", "split")
    for row in found["pairs"]:
        curve = groups[row["repeat"], row["k1"], row["k2"], row["split"]]
        values = curve[row["metric"]]
        assert (row["start"], row["end"], row["points"]) == (values[0], values[-1], 7)
        expected = barriers(curve["alpha"], values)
        assert {name: row[name] for name in NAMES} == pytest.approx(expected, abs=1e-13)


def lenet5(flat: Mapping[str, Tensor], pictures: Tensor) -> Tensor:
    """Log-probabilities of LeNet-5 with ReLU before average pooling, from stored tensors."""
    w = {name.removeprefix("weights/"): tensor for name, tensor in flat.items() if name.startswith("weights/")}
    x = F.avg_pool2d(F.conv2d(pictures, w["conv1.weight"], w["conv1.bias"], padding=2).clamp(min=0), 2)
    x = F.avg_pool2d(F.conv2d(x, w["conv2.weight"], w["conv2.bias"]).clamp(min=0), 2).flatten(1)
    for layer in ("fc1", "fc2"):
        x = F.linear(x, w[f"{layer}.weight"], w[f"{layer}.bias"]).clamp(min=0)
    return F.log_softmax(F.linear(x, w["fc3.weight"], w["fc3.bias"]).double(), 1)


def test_the_ends_their_distance_and_predictions_from_the_stored_networks(
    small: Results, store: Store, data: Path
) -> None:
    test = datasets.load("mnist", data).test
    pictures = (torch.tensor(test.inputs.tolist()) / 255 - 0.1307) / 0.3081
    labels = torch.tensor(test.labels.tolist())
    found = ROW.tables(small)["pairs"].where(split="test")
    for seed, k, s, first, second in main_and_child(small.expansion):
        a, b = (load_file(store.blob_path(store.get(end.key))) for end in (first, second))
        log_p, log_q = lenet5(a, pictures), lenet5(b, pictures)
        loss, error = found.where(repeat=seed, k1_steps=k, k2_steps=s).rows
        # float32 networks, two orders of summation
        assert loss["start"] == pytest.approx(F.nll_loss(log_p, labels).item(), rel=1e-5)
        assert loss["end"] == pytest.approx(F.nll_loss(log_q, labels).item(), rel=1e-5)
        assert error["end"] == pytest.approx((log_q.argmax(1) != labels).double().mean().item(), abs=1e-9)
        cross = -(log_p.exp() * log_q).sum(1).mean().item()
        assert loss["prediction_cross_entropy"] == pytest.approx(cross, rel=1e-5)
        names = [name for name in a if name.startswith("weights/")]
        apart = math.sqrt(math.fsum(((a[n].double() - b[n].double()) ** 2).sum().item() for n in names))
        size = math.sqrt(math.fsum((a[n].double() ** 2).sum().item() for n in names))
        assert loss["l2"] == pytest.approx(apart, rel=1e-6)
        assert loss["relative_distance"] == pytest.approx(apart / size, rel=1e-6)
        assert sum(a[n].numel() for n in names) == 61_706


def test_table_1(small: Results) -> None:
    (setup,) = ROW.tables(small)["setup"]
    expected = {"network": "lenet5(activation=relu, activate=before)", "parameters": 61_706, "data": "mnist"}
    expected |= {"examples": 96, "k": "0ep 2ep", "seeds": 2}
    assert {name: setup[name] for name in expected} == expected
    assert setup["s"] == "every 1ep to 3ep in all"
    rows = ROW.tables(small)["table1"].rows
    assert [row["repeat"] for row in rows] == [0, 1]
    pairs = ROW.tables(small)["pairs"]
    for row in rows:
        last = pairs.where(repeat=row["repeat"], k1=2, k2=1, metric="error")
        assert {part["split"]: 1 - part["start"] for part in last} == {
            "train": row["train_accuracy"],
            "test": row["test_accuracy"],
        }
        assert (row["steps"], row["epochs"], row["training_examples"], row["batch_size"]) == (18, 3.0, 96, 16)
        assert (row["network"], row["data"], row["optimizer"], row["learning_rate"]) == (
            "lenet5",
            "mnist",
            "adam",
            1e-3,
        )
        assert row["parameters"] == 61_706
        names = ("published_parameters", "published_steps", "published_test_accuracy")
        assert [row[name] for name in names] == [None] * 3  # these are not the paper's data


def test_claims_of_the_small_run(small: Results) -> None:
    found = ROW.tables(small)
    judged = judge(ROW.claims, found)
    assert judged["claim"] == list(CLAIMS)
    missing = {row["claim"]: row["reason"] for row in judged if row["reason"].startswith("seed ")}
    assert set(missing) == {
        *("gap-stops-growing", "distance-falls-with-k1", "distance-grows-with-k2"),
        *("predictions-drift-with-k2", "barrier-stops-growing"),
    }
    assert missing["distance-falls-with-k1"].startswith("seed 0: there is no pair with k1 = 1; seed 1: ")
    assert missing["barrier-stops-growing"].startswith("seed 0: there are no two k2 to compare for any k1 >= 1; ")


# --- the registry of rows ------------------------------------------------------------


def test_rows_are_found_by_name() -> None:
    assert papers.names("Shapira-23") == papers.names()["shapira23"] == ("cifar10", "mnist", "tiny_imagenet")
    assert papers.row("SHAPIRA23", "MNIST") is ROW
    with pytest.raises(UnknownName, match=r"no paper named 'shapira24'; did you mean \"shapira23\""):
        papers.names("shapira24")
    with pytest.raises(UnknownName, match=r"no row of shapira23 named 'minst'; did you mean \"mnist\""):
        papers.row("shapira23", "minst")


def test_two_claims_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match="Row shapira23 mnist: two claims are called accuracy"):
        dataclasses.replace(ROW, claims=(*ROW.claims, CLAIMS["accuracy"]))


@pytest.mark.parametrize(
    "sets", [("branch.children=3", "branch.trunk_is_child=true"), ("branch.trunk_is_child=false",)]
)
def test_pairs_of_other_copies_are_refused(sets: tuple[str, ...]) -> None:
    found = branch(*sets)
    results = Results(found, {"pairs": Table.of([])}, expand(found), 0)
    with pytest.raises(BadInput, match="small: expected pairs of the main branch and one child, found other copies"):
        ROW.tables(results)
