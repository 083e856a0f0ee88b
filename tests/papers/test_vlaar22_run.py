"""A row of Vlaar22 in miniature: two spirals, a small network, its numbers computed again from the stored weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from vlaar22_worlds import climb, label

from isthmus import datasets, papers
from isthmus.claims import judge
from isthmus.nodes import State
from isthmus.store import Store
from isthmus.study import InitToFinalStudy, Results, from_mapping, run
from isthmus.study.files import override

ROW = papers.row("vlaar22", "f3")
SETS = [
    'model={name="mlp", input_shape=[2], classes=2, hidden=[9, 7]}',
    'data={name="spiral", train=200, test=90}',
    *("recipe.batch_size=40", "recipe.augment={}", "seeds=[3, 8]", 'recipe.schedule.milestones=["4ep"]'),
    *('train.to="8ep"', 'train.blocks=["layer2"]', "evaluate.alphas=9", 'evaluate.on=["test"]'),
]
MAIN = "initial->final"
WHOLE = {"variant": "random init", "path": MAIN, "block": "all", "metric": "loss"}


def small(*sets: str) -> InitToFinalStudy:
    """Row f3, its networks pre-trained for 8 epochs, early ones after 4."""
    content = ROW.study("small").model_dump(mode="json", exclude_unset=True)
    for variant in content["variants"].values():
        start = variant.get("start")
        if start:
            start["pretrain"]["to"] = "8ep"
        if "train" in variant:
            variant["train"]["to"] = "4ep"
    found = from_mapping(override(content, [*SETS, *sets]))
    assert isinstance(found, InitToFinalStudy)
    return found


@pytest.fixture(scope="module")
def found(store: Store) -> Results:
    return run(small(), store, workers=0, threads=1)


@pytest.fixture(scope="module")
def tables(found: Results) -> Any:
    return ROW.tables(found)


def weights(store: Store, node: State) -> dict[str, Tensor]:
    found = load_file(store.blob_path(store.get(node.key)))
    return {name.removeprefix("weights/"): tensor for name, tensor in found.items() if name.startswith("weights/")}


def forward(of: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The network written out."""
    for index in (1, 2, 3):
        x = F.linear(x, of[f"layer{index}.weight"], of[f"layer{index}.bias"])
        x = F.relu(x) if index < 3 else x
    return x


def part(split: str) -> tuple[Tensor, Tensor]:
    data = getattr(datasets.load("spiral", train=200, test=90), split)
    return torch.from_numpy(data.inputs.copy()), torch.from_numpy(data.labels.copy())


def test_every_number_of_a_path_computed_again(store: Store, found: Results, tables: Any) -> None:
    """Loss and error at each alpha, whole and where one block moves; ends, top, rise, label, distance."""
    inputs, labels = part("test")
    ln = math.log(2)
    lines = [request for request in found.expansion.requests if request.table == "paths"]
    assert len(lines) == 2 * (4 * 2 + 2)  # seeds; whole and block of four variants, whole of two
    for request in lines:
        at = {name: request.labels[name] for name in ("seed", "variant", "path", "block")}
        first, last = (weights(store, end) for end in request.measure.path.ends)
        points = sorted(tables["curves"].where(**at), key=lambda row: row["alpha"])
        for row in points:
            alpha = row["alpha"]
            mixed = {
                name: torch.lerp(first[name], last[name], alpha)
                if at["block"] in ("all", name.split(".")[0])
                else last[name]
                for name in first
            }
            logits = forward(mixed, inputs)
            # float32, another order of summation
            assert row["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
            assert row["error"] == pytest.approx((logits.argmax(1) != labels).double().mean().item(), abs=1e-9)
        loss, error = tables["paths"].where(**at)
        losses = [row["loss"] for row in points]
        assert (loss["start"], loss["end"], loss["top"]) == (losses[0], losses[-1], max(losses))
        assert loss["rise"] == pytest.approx(climb(losses), abs=1e-12)
        assert (loss["classes"], loss["split"], loss["examples"]) == (2, "test", 90)
        assert loss["shape_threshold"] == pytest.approx(max(0.05, 0.1 * min(losses[0], ln)))
        if len(losses) > 2:
            assert loss["shape"] == label(losses, 2, [row["alpha"] for row in points])
        assert error["accuracy"] == 1.0 - points[-1]["error"]
        assert error["shape"] is None
        moved = [name for name in first if at["block"] in ("all", name.split(".")[0])]
        apart = math.sqrt(sum((first[name] - last[name]).double().square().sum().item() for name in moved))
        size = math.sqrt(sum(first[name].double().square().sum().item() for name in moved))
        assert loss["relative_distance"] == pytest.approx(apart / size, rel=1e-6)


def test_accuracies_are_those_of_whole_splits(store: Store, found: Results, tables: Any) -> None:
    """Computed again from the weights; where paths are seen on fewer examples, still of all of them."""
    finals = {
        (request.labels["seed"], request.labels["variant"]): request.measure.path.ends[1]
        for request in found.expansion.requests
        if request.labels.get("path") == MAIN and request.labels["block"] == "all"
    }
    assert len(tables["accuracy"]) == 2 * 6 * 2  # seeds, variants, splits
    for row in tables["accuracy"]:
        inputs, labels = part(row["split"])
        logits = forward(weights(store, finals[row["seed"], row["variant"]]), inputs)
        assert row["accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item(), abs=1e-9)
        assert row["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
        assert row["examples"] == len(labels)
    scratch = ['variants={"random init" = {}}']
    fewer = ROW.tables(run(small('evaluate.on=["test:50"]', *scratch), store, workers=0))
    assert set(fewer["paths"]["examples"]) == {50}
    assert fewer["accuracy"].rows == tables["accuracy"].where(variant="random init").rows
    bare = small('evaluate={on=["test:50"], alphas=9, norm_stats="interpolate"}', *scratch)
    alone = ROW.tables(run(bare, store, workers=0))
    ends = alone["paths"].where(path=MAIN, block="all", metric="error")
    assert alone["accuracy"]["accuracy"] == [row["accuracy"] for row in ends]
    assert set(alone["accuracy"]["examples"]) == {50}


def test_labels_run_by_run_and_on_the_mean_curve(found: Results, tables: Any) -> None:
    shapes = tables["shapes"]
    assert len(shapes) == 4 * 2  # those of which only the ends are known have none
    for row in shapes:
        at = {name: row[name] for name in ("variant", "path", "block")}
        runs = tables["paths"].where(metric="loss", **at)
        assert row["labels"] == "; ".join(f"{run['seed']}: {run['shape']}" for run in runs)
        curves = [points["loss"] for points in tables["curves"].where(**at).groups("seed").values()]
        mean = [sum(losses) / 2 for losses in zip(*curves, strict=True)]
        assert (row["seeds"], row["mean_curve"]) == (2, label(mean, 2, [index / 8 for index in range(9)]))
        assert row["rise"] == pytest.approx(climb(mean), abs=1e-12)
    assert set(tables["starts"]["variant"]) == {*("before the top", "top", "after the top", "top until the first drop")}


def test_it_is_judged_and_drawn(tables: Any, tmp_path: Path) -> None:
    found = judge(ROW.claims_at("small"), tables)
    assert set(found["claim"]) == {"better", "monotone", "faster", "better-in-training"}
    known = sum(row["rise"] >= 0.05 for row in tables["paths"].where(**WHOLE))
    for row in found:
        assert row["verdict"] == "undecided"
        assert row["reason"] == f"seed all: {known} of 2 runs reach 0.05, 3 are needed"
    names = [f"{name}.{end}" for name in ("F3", "TA3-train", "TA3-test") for end in ("png", "svg")]
    assert [file.name for file in ROW.figures(tables, tmp_path)] == names
    ends = {(row["split"], row["variant"]): row["accuracy"] for row in tables["ta3"]}
    for (split, variant), accuracy in ends.items():
        own = tables["accuracy"].where(split=split, variant=variant)["accuracy"]
        assert accuracy == pytest.approx(100 * sum(own) / len(own))
    assert len(ends) == 2 * 4
    assert all("\n" not in str(row) for table in tables.values() for row in table)


def test_a_study_without_variants_has_one_called_base(store: Store) -> None:
    sets = [each for each in SETS if "milestones" not in each]
    content = papers.row("vlaar22", "f1b").study("small").model_dump(mode="json", exclude_unset=True)
    tables = papers.row("vlaar22", "f1b").tables(run(from_mapping(override(content, sets)), store, workers=0))
    for name in ("paths", "curves", "accuracy", "shapes"):
        assert set(tables[name]["variant"]) == {"base"}
    assert len(tables["shapes"]) == 2
    for row in judge(papers.row("vlaar22", "f1b").claims_at("small"), tables):
        missing = row["claim"] in ("blocks-with-barriers", "fc-without-barrier")
        assert ("there is no path initial->final of block" in row["reason"]) == missing
