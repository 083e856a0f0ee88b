"""Rows of Iyer24 run for real in miniature: every number of the claims computed again from single measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus import papers, quadratic
from isthmus.claims import judge
from isthmus.nodes import Selection
from isthmus.store import Store
from isthmus.study import Results, from_mapping
from isthmus.study.overlay import laid_over
from small_studies import arrays, ran, state

TINY: dict[str, Any] = {
    "model": {"name": "mlp", "input_shape": [2], "classes": 2, "hidden": [7]},
    "recipe": {"batch_size": 40, "augment": None, "schedule": {"milestones": ["12ep"]}},
}
DATA = {"name": "spiral", "train": 190, "test": 70}
"""Five steps an epoch."""
DIGITS: dict[str, Any] = {"name": "digits", "examples": 190}
"""The same, of what is learnt within a few of them."""


def tiny(name: str, store: Store, data: Mapping[str, Any] = DATA, **more: Any) -> Results:
    content = papers.row("iyer24", name).study("small").model_dump(mode="json", exclude_none=True)
    content = laid_over(laid_over({**content, "model": {}, "data": {}}, {**TINY, "data": data}), more)
    content["recipe"].pop("augment")
    return ran(from_mapping(content), store)


def accuracy(results: Results, store: Store, keep: Callable[[Any], bool], alpha: float = 0.0) -> dict[Any, float]:
    """Of each seed, in points, from the errors of single examples."""
    found = {}
    for request in results.expansion.requests:
        if keep(request.labels):
            stored = arrays(store, request.whole)
            place = request.whole.alphas.index(alpha)
            wrong = np.unpackbits(stored["error_bits"], axis=1)[place, : stored["loss"].shape[1]]
            if isinstance(request.measure, Selection):
                wrong = wrong[store.get(request.measure.choice.key).summary["value"][request.measure.index]]
            found[request.labels["seed"]] = 100 * (1 - float(wrong.sum()) / len(wrong))
    return found


def test_f3(store: Store, tmp_path: Path) -> None:
    row = papers.row("iyer24", "f3")
    results = tiny("f3", store)
    found = row.tables(results)
    assert {name: len(table) for name, table in found.items()} == {
        "setup": 1,
        "gains": 3 * 5,
        "lines": 3 * 5 * 5,
        "networks": 3 * (1 + 3 * 9),
        "drops": 1,
    }

    def network(name: str, after: int) -> dict[Any, float]:
        return accuracy(results, store, lambda at: at.get("network") == name and at["after_steps"] == after)

    children = [network(name, 0) for name in ("child1", "child2")]
    merge = network("merge", 0)
    after = [int(quarter * 1.25 + 0.5) for quarter in range(1, 9)]  # a quarter of an epoch of five steps
    on = {name: [network(name, step) for step in after] for name in ("merge", "child1", "child2")}
    judged = {one["claim"]: one for one in judge(row.claims, found)}
    for seed in (0, 1, 2):
        g0 = merge[seed] - (children[0][seed] + children[1][seed]) / 2
        later = np.mean([one[seed] for one in on["merge"]])
        copies = np.mean([one[seed] for name in ("child1", "child2") for one in on[name]])
        wanted = {
            "gain": g0,
            "better-than-both": merge[seed] - max(child[seed] for child in children),
            "drop": merge[seed] - later - max(g0, 0.0) / 3,
            "no-difference-left": abs(later - copies) - max(1.0, g0 / 3),
        }
        for id, value in wanted.items():
            values = dict(part.split(": ") for part in judged[id]["values"].split("; "))
            assert float(values[str(seed)]) == pytest.approx(value, abs=1e-9), id
    assert {file.name for file in row.figures(found, tmp_path)} == {"F3.png", "F3.svg"}


def test_f5(store: Store, tmp_path: Path) -> None:
    row = papers.row("iyer24", "f5")
    results = tiny("f5", store)
    found = row.tables(results)
    assert found["splits"]["split"] == [f"train/{i}" for i in range(1, 5)]
    assert sum(found["splits"]["examples"]) == 190
    assert found["splits"]["mean"] == sorted(found["splits"]["mean"])
    for split in found["splits"]["split"]:
        copies = [
            accuracy(
                results,
                store,
                lambda at: at.get("network") == name and at["after_steps"] == 0 and at["split"] == split,  # noqa: B023
            )
            for name in ("child1", "child2")
        ]
        merge, later = (
            accuracy(
                results,
                store,
                lambda at: at.get("network") == "merge" and at["after_steps"] == after and at["split"] == split,  # noqa: B023
            )
            for after in (0, 5)
        )
        for one in found["table1"].where(split=split):
            seed = one["seed"]
            before, then = (copies[0][seed] + copies[1][seed]) / 2, merge[seed]
            if one["change"] != "by the merge":
                before, then = merge[seed], later[seed]
            assert one["points"] == pytest.approx(then - before, abs=1e-9)
            if before > 1e-9:
                assert one["relative_accuracy"] == pytest.approx((then - before) / before, abs=1e-9)
            if before < 100 - 1e-9:
                assert one["relative_error"] == pytest.approx((before - then) / (100 - before), abs=1e-9)
    assert len(judge(row.claims, found)) == 10
    assert len(row.figures(found, tmp_path)) == 4


def test_text(store: Store) -> None:
    """Merged at epoch 10, dropped at 12; unbranched runs of ten seeds; lengths of their own where k is large."""
    row = papers.row("iyer24", "text")
    results = tiny(
        "text",
        store,
        merge={"after": "4ep", "every": "2ep"},
        variants={"unbranched": {"branch": {"at": ["9ep", "14ep"]}}},
    )
    found = row.tables(results)
    merged = accuracy(
        results,
        store,
        lambda at: at.get("network") == "merge" and at["after_steps"] == 20 and at["split"] == "test",
    )
    alone = accuracy(results, store, lambda at: at["variant"] == "unbranched" and at["k"] == "14ep")
    judged = {one["claim"]: one for one in judge(row.claims, found)}
    values = dict(part.split(": ") for part in judged["converges-alike"]["values"].split("; "))
    assert {int(seed): float(value) for seed, value in values.items()} == pytest.approx(
        {seed: merged[seed] - (alone[seed] + alone[seed + 5]) / 2 for seed in range(5)}, abs=1e-9
    )
    half = accuracy(
        results, store, lambda at: at["variant"] == "merged" and "pair" in at and at["split"] == "train", alpha=0.5
    )
    middle = found["gains"].where(variant="merged", split="train")
    assert {one["seed"]: 100 * one["interpolant"] for one in middle} == pytest.approx(half, abs=1e-9)
    assert found["drops"]["epoch"] == [12] * 3


# --- beside -------------------------------------------------------------------------------------------------------


def losses(results: Results, store: Store, network: str, after: int, variant: str = "lr .1") -> dict[Any, float]:
    """Of each seed, the mean over single examples."""
    found = {}
    for request in results.expansion.requests:
        labels = request.labels
        if (labels["variant"], labels.get("network"), labels.get("after_steps")) == (variant, network, after):
            found[labels["seed"]] = float(np.mean(arrays(store, request.measure)["loss"][0], dtype=np.float64))
    return found


def squared_distances(results: Results, store: Store, seed: int) -> dict[int, float]:
    """By s, from the weights of the copies."""
    found = {}
    for request in results.expansion.variants["lr .1"].requests:
        if request.table == "pairs" and request.labels["seed"] == seed:
            first, second = (state(store, end).weights for end in request.measure.path.ends)
            parts = [(first[name].double() - second[name].double()).square().sum().item() for name in first]
            found[request.labels["s_steps"]] = sum(parts)
    return found


def predicted(squared: dict[int, float], steps: int, factor: float) -> float:
    """The share of the gain that is left, step by step: variances of copies, of their mean, of training on from it."""
    found = quadratic.fit(list(squared), list(squared.values()), spectrum=True)
    first = last = 0.0
    for r, size in zip(found.decays, found.sizes, strict=True):
        copy = mean = size / 2
        for _ in range(max(squared)):
            mean = r**2 * mean + (1 - r**2) * copy / 2
        first += (1 - r) * (copy - mean)
        for _ in range(steps):
            mean = (1 - factor * (1 - r)) ** 2 * mean + factor**2 * (1 - r**2) * copy
        last += (1 - r) * (copy - mean)
    return last / first


def test_beside(store: Store, tmp_path: Path) -> None:
    row = papers.row("iyer24", "beside")
    results = tiny("beside", store, DIGITS, model={"input_shape": [1, 8, 8], "classes": 10})
    found = row.tables(results)
    assert {name: len(found[name]) for name in ("baselines", "distances", "course")} == {
        "baselines": 3 * 6,
        "distances": 3 * 5,
        "course": 3 * (9 + 5),
    }

    def points(name: str, after: int = 0) -> dict[Any, float]:
        at_merge = {"variant": "lr .1", "network": name, "after_steps": after}
        return accuracy(results, store, lambda at: at_merge.items() <= at.items())

    low = "longer, lr x 0.1"
    networks = {  # by kind and cost: of what it is the mean, and passes
        ("copy", 5): ([points("child1"), points("child2")], 1),
        ("merge", 10): ([points("merge")], 1),
        ("ensemble", 10): ([points("ensemble")], 2),
        ("ema", 5): ([points("ema child1"), points("ema child2")], 1),
        (low, 5): ([points(low, -25)], 1),
        (low, 10): ([points(low)], 1),
    }
    mean = {kind: {i: sum(one[i] for one in own) / len(own) for i in range(3)} for kind, (own, _) in networks.items()}
    for one in found["baselines"]:
        kind, seed = (one["kind"], one["epochs"]), one["seed"]
        own, passes = networks[kind]
        assert (one["passes"], one["networks"], one["variant"]) == (passes, len(own), "lr .1")
        wanted = mean[kind][seed]
        assert 100 * one["accuracy"] == pytest.approx(wanted, abs=1e-9)
        assert one["gain"] == pytest.approx(wanted - mean["copy", 5][seed], abs=1e-9)
        assert one["over_merge"] == pytest.approx(wanted - mean["merge", 10][seed], abs=1e-9)
    assert len({round(mean[kind][0], 6) for kind in mean}) > 3  # no one network under several names

    shares = {}
    for seed in range(3):
        squared = squared_distances(results, store, seed)
        assert {one["s_steps"]: one["squared"] for one in found["distances"].where(seed=seed)} == pytest.approx(
            squared, rel=1e-5
        )
        assert found["distances"].where(seed=seed)["s_epochs"] == [1, 2, 3, 4, 5]
        for factor, variant in ((1.0, "lr .1"), (0.1, "lr .01")):
            rows = found["course"].where(seed=seed, variant=variant)
            assert rows["after_steps"] == [0, 1, 3, 4, 5, 6, 8, 9, 10][: 9 if factor == 1.0 else 5]
            for one in rows:
                after = one["after_steps"]
                copies = [losses(results, store, f"child{i}", after)[seed] for i in (1, 2)]
                gain = sum(copies) / 2 - losses(results, store, "merge", after, variant)[seed]
                assert (one["factor"], one["after"], one["children_at"]) == (factor, after / 5, after)
                assert one["gain"] == pytest.approx(gain, abs=1e-6)
                start = rows["gain"][0]
                assert one["measured"] == (pytest.approx(gain / start, rel=2e-3, abs=1e-3) if start > 0 else None)
                assert one["predicted"] == pytest.approx(predicted(squared, after, factor), rel=0, abs=1e-4)
                shares[seed, variant, after] = (one["measured"], one["predicted"])
    assert any(measured is not None for measured, _ in shares.values())

    judged = {one["claim"]: one for one in judge(row.claims, found)}
    values = {
        id: {
            int(seed): float(value) for seed, value in (part.split(": ") for part in one["values"].split("; ") if part)
        }
        for id, one in judged.items()
    }
    merge, copy = mean["merge", 10], mean["copy", 5]
    for seed in range(3):
        expected = {
            "ensemble-at-least-as-good": mean["ensemble", 10][seed] - merge[seed],
            "average-along-the-way-gains": mean["ema", 5][seed] - copy[seed] - (merge[seed] - copy[seed]) / 2,
            "longer-at-low-rate-at-least-as-good": mean[low, 10][seed] - merge[seed],
        }
        if shares[seed, "lr .1", 0][0] is not None:
            missed = [measured - told for measured, told in (shares[seed, "lr .1", after] for after in (1, 3, 4, 5))]
            expected["course-as-predicted"] = float(np.mean(np.abs(missed)))
            expected["low-rate-keeps"] = shares[seed, "lr .01", 5][0]
        assert {id: own[seed] for id, own in values.items() if seed in own} == pytest.approx(expected, abs=1e-9)
    assert {file.name for file in row.figures(found, tmp_path)} == {"beside.png", "beside.svg"}
