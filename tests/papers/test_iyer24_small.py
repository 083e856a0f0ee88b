"""Rows of Iyer24 run for real in miniature: every number of the claims computed again from single measurements."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus import papers
from isthmus.claims import judge
from isthmus.store import Store
from isthmus.study import Results, from_mapping
from isthmus.study.overlay import laid_over
from small_studies import arrays, ran

TINY: dict[str, Any] = {
    "model": {"name": "mlp", "input_shape": [2], "classes": 2, "hidden": [7]},
    "recipe": {"batch_size": 40, "augment": None, "schedule": {"milestones": ["12ep"]}},
}
DATA = {"name": "spiral", "train": 190, "test": 70}
"""Five steps an epoch."""


def tiny(name: str, store: Store, **more: Any) -> Results:
    content = papers.row("iyer24", name).study("small").model_dump(mode="json", exclude_none=True)
    content = laid_over(laid_over({**content, "model": {}, "data": {}}, {**TINY, "data": DATA}), more)
    content["recipe"].pop("augment")
    return ran(from_mapping(content), store)


def accuracy(results: Results, store: Store, keep: Callable[[Any], bool], alpha: float = 0.0) -> dict[Any, float]:
    """Of each seed, in points, from the errors of single examples."""
    found = {}
    for request in results.expansion.requests:
        if keep(request.labels):
            stored = arrays(store, request.measure)
            place = request.measure.alphas.index(alpha)
            wrong = np.unpackbits(stored["error_bits"], axis=1)[place, : stored["loss"].shape[1]]
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
            "drop": merge[seed] - later - g0 / 3,
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
