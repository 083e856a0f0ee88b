"""Shapira23 on CIFAR-10 and Tiny ImageNet: set-ups, every claim seen held and failed, figures of each variant."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from shapira23_worlds import PLAIN, World, at, tables, together

from isthmus import papers
from isthmus.claims import judge
from isthmus.papers.shapira23.released import CIFAR10, beside
from isthmus.papers.shapira23.tabulate import Published
from isthmus.study import BranchStudy, ModelSpec, from_mapping, run, variants
from isthmus.study.files import override
from isthmus.tables import Table

C10, TINY = papers.row("shapira23", "cifar10"), papers.row("shapira23", "tiny_imagenet")


# --- the set-ups --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "scale", "expected"),
    [
        # network, batch, epochs, steps an epoch, steps, k1, repeats, examples of the training set
        (C10, "paper", ("reduced_vgg", 128, 29, 390, 11_310, None, 2, 50_000)),
        (C10, "small", ("reduced_vgg", 128, 10, 390, 3_900, (0, 1, 5), 2, 50_000)),
        (TINY, "paper", ("alexnet", 64, 9, 1_562, 14_058, tuple(range(9)), 2, 100_000)),
        (TINY, "small", ("alexnet", 64, 9, 156, 1_404, None, 2, 10_000)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_set_ups(row: papers.Row, scale: papers.Scale, expected: tuple[Any, ...]) -> None:
    """Shapira 2023, Table 1 and Algorithm 1; one main branch, a child with its optimiser at each k1, k2 every epoch."""
    network, batch, epochs, per_epoch, steps, k1s, repeats, examples = expected
    found = row.study(scale)
    assert isinstance(found, BranchStudy)
    recipe, optimizer, parting = found.recipe, found.recipe.optimizer, found.branch
    assert (found.model.name, recipe.batch_size, recipe.drop_last, len(found.seeds)) == (network, batch, True, repeats)
    assert (optimizer.name, optimizer.lr, optimizer.betas, optimizer.weight_decay) == ("adam", 1e-3, (0.9, 0.999), 0)
    assert not recipe.schedule.milestones
    assert recipe.steps_per_epoch(examples) == per_epoch
    assert parting.to is not None
    assert parting.to.steps(per_epoch) == epochs * per_epoch == steps
    at = [start.steps(per_epoch) / per_epoch for start in parting.at]
    assert at == sorted(at)
    assert at[0] == 0
    assert k1s is None or at == list(k1s)
    assert (str(parting.every), parting.children, parting.buffers) == ("1ep", 2, "keep")
    assert parting.trunk_is_child
    assert parting.trunk_at_k
    assert (len(found.evaluate.points), found.merge) == (25, None)


def test_what_is_special_about_cifar10() -> None:
    for scale in ("small", "paper"):
        found = C10.study(scale)
        assert (found.recipe.augment.crop, found.recipe.augment.flip) == (4, True)
        assert (found.data.mean, found.data.std) == ((0.5,) * 3, (0.5,) * 3)
        assert found.evaluate.norm_stats == "interpolate"
        assert (found.model.arguments, found.evaluate.augmented) == ({"form": "released"}, True)
    assert not C10.study("small").variants
    forms = {
        name: (one.model.arguments["form"], one.evaluate.augmented)
        for name, one in variants(C10.study("paper")).items()
    }
    assert forms == {
        "released form": ("released", True),
        "pictures as they are": ("released", False),
        "text form": ("paper", True),
        "later form": ("later", True),
    }
    dense = [int(str(k1).removesuffix("ep")) for k1 in C10.study("paper").branch.at]  # type: ignore[attr-defined]
    assert {0, 1, 5} <= set(dense)
    assert len(dense) >= 10


def test_what_is_special_about_tiny_imagenet() -> None:
    small, paper = (variants(TINY.study(scale)) for scale in ("small", "paper"))
    norms = {name: one.evaluate.norm_stats for name, one in paper.items()}
    assert norms == {
        "interpolate": "interpolate",
        "init": "init",
        "recompute": "recompute",
        "224 pixels, interpolate": "interpolate",
        "224 pixels, init": "init",
        "224 pixels, recompute": "recompute",
    }
    assert list(small) == ["interpolate", "init", "recompute"]
    native = {"form": "64", "input_shape": [3, 64, 64]}
    assert small["init"].model.arguments == {**native, "width": 16, "classes": 20}
    assert small["init"].data.options == {"classes": 20}
    assert paper["recompute"].model.arguments == {**native, "classes": 200}
    wide = paper["224 pixels, init"]
    assert wide.model.arguments == {"form": "224", "input_shape": [3, 224, 224], "classes": 1000}
    assert (wide.data.options, wide.recipe.batch_size) == ({"size": 224}, 64)


# --- CIFAR-10: claims ---------------------------------------------------------------------------------------

HEIGHTS = {0: 0.4, 1: 0.08}


def height(r: int, k1: int, k2: int) -> float:
    return HEIGHTS.get(k1, -0.004) * min(k2 / 4, 1.2 if k1 == 0 else 1.0)


BARRIER = World(
    height=height,
    train_height=height,
    error_height=lambda r, k1, k2: {0: 0.1, 1: 0.01}.get(k1, 0.0),
    accuracy=lambda r, k: 0.714 - 0.614 * math.exp(-0.9 * k) + 0.0005 * r,
    l2=lambda r, k1, k2: (15.9 if k1 == 0 else 11.5) * k2**0.505,
)
"""A barrier at k1 = 0 that grows until k2 = 4.8, little of it at k1 = 1."""


def c10(world: World = BARRIER, **options: Any) -> Any:
    found = tables(world, **{"k1s": (0, 1, 5), **options})
    return found | {"released": beside(found["pairs"], CIFAR10)}


def number(row: Mapping[str, Any]) -> float:
    return float(row["values"].split(";")[0].removeprefix("0: "))


def test_in_a_world_like_the_papers_every_claim_about_cifar10_holds() -> None:
    found = judge(C10.claims, c10())
    assert set(found["verdict"]) == {"held"}
    numbers = {row["claim"]: number(row) for row in found}
    expected = {
        "accuracy": 0.714 - 0.614 * math.exp(-9),
        "barrier-at-0": 0.48,
        "error-barrier-at-0": 0.1,
        "barrier-at-1": 0.08 - 0.12,
        "falls-with-k1": -0.08,
        "train-like-test": 0.0,
        "connected-before-accurate": 0.614 * (math.exp(-0.9) - math.exp(-9)),
        "grows-with-k2-at-0": 0.08,
        "gap-stops-growing": -0.003,
        "no-barrier-at-5": -0.004,
        "turns-negative": -0.004,
        "barrier-stops-growing": 0.0,
    }
    assert {name: numbers[name] for name in expected} == pytest.approx(expected, abs=1e-12)


WORLDS: dict[str, tuple[dict[str, Any], set[str]]] = {
    # claim: what is otherwise in the world, which other claims fail with it
    "accuracy": ({"accuracy": lambda r, k: 0.70 - 0.6 * math.exp(-0.9 * k)}, set()),
    "barrier-at-0": ({"height": at(0, 10, 0.61, height)}, {"train-like-test"}),
    "error-barrier-at-0": ({"error_height": lambda r, k1, k2: 0.029 if k1 == 0 else 0.01}, set()),
    "barrier-at-1": ({"height": at(1, 9, 0.13, height)}, {"barrier-stops-growing"}),
    "falls-with-k1": (
        {"height": at(5, 5, 0.11, height)},
        {"no-barrier-at-5", "turns-negative", "gap-stops-growing", "train-like-test", "barrier-stops-growing"},
    ),
    "train-like-test": ({"train_height": at(0, 10, 0.37, height)}, set()),
    "highest-near-middle": ({"top": lambda r, k1, k2: 0.25}, set()),
    "connected-before-accurate": (
        {"accuracy": lambda r, k: 0.714 - 0.1 * math.exp(-0.9 * k)},
        set(),
    ),
    "grows-with-k2-at-0": ({"height": at(0, 4, 0.49, height)}, set()),
    "gap-stops-growing": ({"height": at(5, 1, -0.03, height)}, set()),
    "no-barrier-at-5": ({"height": at(5, 5, 0.006, height)}, {"turns-negative"}),
    "turns-negative": ({"height": at(5, 5, 0.001, height)}, set()),
    "distance-grows-with-k2": ({"l2": at(1, 3, 40.0, BARRIER.l2)}, set()),
    "predictions-drift-with-k2": ({"predictions": at(1, 1, 0.9, PLAIN.predictions)}, set()),
    "predictions-drift-at-end": ({"predictions": at(0, 10, 0.11, PLAIN.predictions)}, set()),
    "barrier-stops-growing": ({"height": at(1, 9, 0.101, height)}, set()),
    "distance-as-released": ({"l2": at(0, 9, 36.0, BARRIER.l2)}, set()),
}


def test_every_claim_about_cifar10_has_its_counterexample() -> None:
    assert set(WORLDS) == {claim.id for claim in C10.claims}


@pytest.mark.parametrize("name", WORLDS)
def test_each_claim_about_cifar10_fails_where_it_is_false(name: str) -> None:
    changes, others = WORLDS[name]
    found = judge(C10.claims, c10(dataclasses.replace(BARRIER, **changes)))
    assert set(found.where(verdict="failed")["claim"]) == {name, *others}


def test_claims_about_cifar10_are_about_the_form_of_the_published_numbers() -> None:
    """The text form, a variant beside it, changes no verdict."""
    flat = dataclasses.replace(BARRIER, height=lambda r, k1, k2: -0.1, accuracy=lambda r, k: 0.5)
    both = together(c10(variant="released form"), c10(flat, variant="text form"))
    assert set(judge(C10.claims, both)["verdict"]) == {"held"}
    other = together(c10(flat, variant="released form"), c10(variant="text form"))
    assert "barrier-at-0" in judge(C10.claims, other).where(verdict="failed")["claim"]
    assert set(judge(C10.claims, c10(variant="text form"))["reason"]) == {"there are no numbers"}


def test_gates_of_cifar10_belong_to_paper_scale() -> None:
    small = {claim.id for claim in C10.claims_at("small")}
    assert {claim.id for claim in C10.claims_at("paper")} - small == {"accuracy", "turns-negative"}


def test_pairs_of_cifar10_that_were_not_run_are_named() -> None:
    found = {row["claim"]: row["reason"] for row in judge(C10.claims, c10(k1s=(1,), epochs=3))}
    assert found["barrier-at-1"].startswith("seed 0: there is no pair with k1 = 0")
    assert found["no-barrier-at-5"].startswith("seed 0: there is no pair with k1 = 5")
    short = {row["claim"]: row["reason"] for row in judge(C10.claims, c10(k1s=(0,), epochs=3))}
    assert short["grows-with-k2-at-0"].startswith("seed 0: there is no pair with k1 = 0 and k2 = 4")


def test_the_released_values_beside_ours() -> None:
    found = c10(variant="released form", k1s=(0, 1))["released"]
    assert [(row["repeat"], row["k1"], row["k2"]) for row in found] == [
        (repeat, k1, k2) for repeat in (0, 1) for k1 in (0, 1) for k2 in (1, 5, 9)
    ]
    row = found.rows[2]
    assert (row["variant"], row["l2"], row["released_l2"]) == ("released form", 15.9 * 9**0.505, 48.238)
    assert row["l2_ratio"] == pytest.approx(15.9 * 9**0.505 / 48.238, rel=1e-15)
    assert (row["chord"], row["released_chord"]) == (pytest.approx(0.48, abs=1e-12), 0.311)


def test_the_claim_about_released_distances() -> None:
    def told(found: Any) -> tuple[str, str]:
        (row,) = judge(C10.claims, found).where(claim="distance-as-released")
        return row["verdict"], row["reason"]

    far = dataclasses.replace(BARRIER, l2=at(0, 9, 60.0, BARRIER.l2))
    near = dataclasses.replace(BARRIER, l2=at(0, 5, 25.0, BARRIER.l2))
    for world, share in ((far, 60.0 / 48.238 - 1), (near, 1 - 25.0 / 35.564)):
        found = judge(C10.claims, c10(world)).where(claim="distance-as-released")
        assert found["verdict"] == ["failed"]
        assert number(found.rows[0]) == pytest.approx(share, rel=1e-12)
    none = "seed 0: there is no pair of k1 = 0 that the released values have as well"
    assert told(c10(repeats=1, k1s=(1, 5))) == ("undecided", none)
    other = {name: table for name, table in c10(repeats=1).items() if name != "released"}
    assert told(other) == ("undecided", "seed 0: nothing was run that the released values are of")


# --- Tiny ImageNet: claims --------------------------------------------------------------------------------------

K1 = (0, 1, 3, 6)


def falling(top: float) -> World:
    def height(r: int, k1: int, k2: int) -> float:
        return top / (1 + k1)

    return dataclasses.replace(BARRIER, height=height, train_height=height)


def tiny(init: World, recompute: World, **options: Any) -> Any:
    norms = {"init": init, "recompute": recompute}
    parts = [tables(w, variant=name, **{"k1s": K1, "epochs": 9, **options}) for name, w in norms.items()]
    return together(*parts)


def verdicts(found: Table) -> dict[str, str]:
    return dict(zip(found["claim"], found["verdict"], strict=True))


def test_claims_about_tiny_imagenet_hold_and_fail() -> None:
    held = judge(TINY.claims, tiny(falling(0.8), falling(0.3)))
    assert set(held["verdict"]) == {"held"}
    (higher,) = held.where(claim="init-is-higher")
    assert number(higher) == pytest.approx(0.5 * (1 + 1 / 2 + 1 / 4 + 1 / 7) / 4)
    swapped = verdicts(judge(TINY.claims, tiny(falling(0.3), falling(0.8))))
    assert swapped == {"falls-with-k1-init": "held", "falls-with-k1-recompute": "held", "init-is-higher": "failed"}
    rising = dataclasses.replace(BARRIER, height=at(6, 3, 0.5, lambda r, k1, k2: 0.8 / (1 + k1)))
    assert verdicts(judge(TINY.claims, tiny(rising, falling(0.3))))["falls-with-k1-init"] == "failed"
    assert verdicts(judge(TINY.claims, tiny(falling(2.0), rising))) == {
        "falls-with-k1-init": "held",
        "falls-with-k1-recompute": "failed",
        "init-is-higher": "held",
    }
    small = dataclasses.replace(falling(0.8), height=lambda r, k1, k2: {0: 0.8, 1: 0.015, 3: 0.019, 6: 0.012}[k1])
    (negligible,) = judge(TINY.claims, tiny(small, falling(0.3))).where(claim="falls-with-k1-init")
    assert negligible["verdict"] == "held"
    assert number(negligible) == pytest.approx(0.019 - 0.02)
    none = judge(TINY.claims, tiny(falling(0.039), falling(0.3))).where(claim="falls-with-k1-init")
    assert none["reason"][0].startswith("seed 0: there is hardly a barrier at k1 = 0 (0.039), nothing that could fall")
    lacking = judge(TINY.claims, tiny(falling(0.8), falling(0.3), k1s=(0, 1)))
    assert lacking["reason"][0].startswith("seed 0: there is no pair with k1 = 3")
    assert "no column 'variant'" in judge(TINY.claims, c10()).where(claim="init-is-higher")["reason"][0]


# --- figures --------------------------------------------------------------------------------------------------


def test_figures_of_each_variant(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    found = tiny(falling(0.8), falling(0.3), k1s=(0, 3))
    files = TINY.figures(found, tmp_path)
    names = [f"F{index}-{norm}" for norm in ("init", "recompute") for index in range(1, 6)]
    assert [file.name for file in files] == list(drawn) == names
    for norm, top in (("init", 0.8), ("recompute", 0.3)):
        figure = drawn[f"F1-{norm}"]
        assert figure.texts[0].get_text().replace("\n", " ").endswith(f"AlexNet on Tiny ImageNet, {norm}")
        assert np.asarray(figure.axes[0].get_lines()[0].get_ydata()).max() == pytest.approx(top)
    one = TINY.figures(tiny(falling(0.8), falling(0.3), repeats=1, k1s=(0,), splits=("test",)), tmp_path)
    assert len(one) == 10
    forms = together(c10(variant="released form"), c10(variant="text form"))
    assert [file.name for file in C10.figures(forms, tmp_path)][::5] == ["F1-released-form", "F1-text-form"]
    assert C10.figures(c10(), tmp_path)[0].name == "F1"


def test_accuracies_at_the_split_are_with_the_networks_own_statistics(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    """Under ``init`` a network is hardly better than chance; the split is as good as what was trained."""
    found = tables(falling(0.8), variant="init", k1s=(0, 3), epochs=9)
    own = [{**row, "start_own_stats": row["start"] / 2} for row in found["pairs"]]
    TINY.figures({**found, "pairs": Table.of(own)}, tmp_path)
    at_split = drawn["F2-init"].axes[0].get_lines()[1]
    expected = [(1 - BARRIER.accuracy(r, 3)) / 2 for r in (0, 1)]
    assert np.asarray(at_split.get_xdata()).tolist() == pytest.approx(expected)


# --- a run in miniature -------------------------------------------------------------------------------------------

SETS = (
    'data={name="digits"}',
    "recipe.batch_size=400",
    'branch.at=["0ep", "1ep"]',
    "branch.to=2ep",
    "evaluate.alphas=3",
    'evaluate.on=["train:50", "test"]',
)


@pytest.mark.parametrize("row", [C10, TINY], ids=lambda row: row.name)
def test_a_run_in_miniature(row: papers.Row, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    """Every table and verdict of a run of the row on digits, with variants as the row has them."""
    scale: papers.Scale = "paper" if row is C10 else "small"
    network = {"input_shape": [1, 8, 8]} if row is C10 else {"input_shape": [1, 19, 19], "width": 2, "classes": 10}
    content = override(row.study(scale).model_dump(mode="json"), SETS)
    content["model"] |= network
    content["data"] |= {} if row is C10 else {"size": 19}
    if row is TINY:
        content["evaluate"]["stats_examples"] = 64
    results = run(from_mapping(content), tmp_path, workers=0, threads=1)
    found = dict(row.tables(results))
    names = (
        ["released form", "pictures as they are", "text form", "later form"]
        if row is C10
        else ["interpolate", "init", "recompute"]
    )
    for name in ("pairs", "curves", "networks", "seeds", "table1", "setup"):
        assert list(dict.fromkeys(found[name]["variant"])) == names, name
    pairs = [(r["repeat"], r["variant"], r["k1"], r["k2"], r["split"], r["metric"]) for r in found["pairs"]]
    assert sorted(pairs) == sorted(
        (repeat, name, k1, k2, split, metric)
        for repeat in (0, 1)
        for name in names
        for k1, k2 in ((0, 1), (0, 2), (1, 1))
        for split in ("train", "test")
        for metric in ("loss", "error")
    )
    for one in found["table1"]:
        last = found["pairs"].where(repeat=one["repeat"], variant=one["variant"], k1=1, k2=1, metric="error")
        (error,) = (r.get("start_own_stats") or r["start"] for r in last.where(split="test"))
        assert one["test_accuracy"] == pytest.approx(1 - error)
        assert (one["steps"], one["training_examples"], one["published_test_accuracy"]) == (6, 1437, None)
    by_variant = found["table1"].groups("variant")
    if row is C10:  # three networks, the first of them looked at in two ways
        sizes = {name: by_variant[(name,)]["parameters"][0] for name in names}
        fc: dict[str, tuple[int, ...]] = dict.fromkeys(names[:2], (64 * 4, 128, 10))
        fc |= {"text form": (64 * 4, 203, 10), "later form": (64 * 4, 256, 128, 10)}
        convolutions = 32 * 9 + 32 + 64 * 32 * 9 + 64
        for name, units in fc.items():
            assert sizes[name] == convolutions + sum(a * b + b for a, b in pairwise(units))
    else:  # one network, looked at in three ways
        accuracies = [by_variant[(name,)]["test_accuracy"] for name in names]
        assert accuracies == [accuracies[0]] * 3
        assert set(found["pairs"].where(variant="init")["norm_stats"]) == {"init"}
    judged = judge(row.claims_at(scale), found)
    assert set(judged["verdict"]) <= {"held", "failed", "undecided"}
    assert all(row["verdict"] == "undecided" for row in judged if row["reason"])
    if row is TINY:
        assert len(row.figures(found, tmp_path)) == len(drawn) == 3 * 5


def test_published_numbers_are_of_the_whole_network_and_data() -> None:
    published = Published("alexnet", "tiny_imagenet", 1437, 60_000_000, 14_058, 0.4064)
    from small_studies import data

    ground = dataclasses.replace(data(), name="tiny_imagenet", train=1437)
    assert published.is_of(ModelSpec(name="alexnet"), ground)
    assert not published.is_of(ModelSpec.model_validate({"name": "alexnet", "width": 16}), ground)
    assert not published.is_of(ModelSpec(name="alexnet"), dataclasses.replace(ground, train=1400))
