"""Iyer24: the published set-ups, written out from the paper, the small ones, and which rows share their training."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from isthmus import papers
from isthmus.graph import walk
from isthmus.nodes import Train
from isthmus.papers import Scale
from isthmus.papers.setup import described
from isthmus.recipe import Recipe
from isthmus.study import BranchStudy, Study, expand, from_mapping, variants
from isthmus.study.requests import Expansion

NAMES = ("beside", *(f"f{i}" for i in (*range(1, 15), 16, 18)), "text")
GRID = "1ep 2ep 5ep 10ep 20ep"
KS = "0ep 500it 1000it 2000it 5ep 10ep"
TO_10 = " ".join(f"{s}ep" for s in range(1, 11))
TO_5 = " ".join(f"{s}ep" for s in range(1, 6))
EARLY, END = {"k": KS, "s": "1ep 2ep 3ep 5ep", "merged": None}, {"k": KS, "s": "every 5ep to 160ep in all"}
F1 = {"k": "10ep", "s": TO_10, "merged": "at 10ep, then 10ep"}
AT_10 = {"k": "10ep", "s": "10ep", "merged": "at 10ep, then 10ep"}
MERGES = {"k": GRID, "s": GRID, "merged": "at every s, then 2ep"}
ELEVEN: dict[str, Any] = {"alphas": 11}
LAYER = {"network": "resnet20(norm=layer)", "schedule": "warm-up over 100it, x 0.1 at 80ep 120ep"}
SPLITS = {
    "k": "5ep",
    "s": TO_5,
    "merged": "at 5ep, then 5ep",
    "seeds": 5,
    "on": "test and 4 parts of train by el2n (10 runs to 10ep)",
}

PUBLISHED: dict[str, Any] = {
    "network": "resnet20",
    "data": "cifar10",
    "batch": 128,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "by_block": "",
    "schedule": "x 0.1 at 80ep 120ep",
    "augment": "crop 4 flip",
    "start": "initial weights",
    "alphas": 25,
    "on": "test",
    "norm_stats": "recompute",
    "measured_on": "10240 in batches of 256",
    "seeds": 3,
}
"""What is the same wherever a row does not say otherwise (Iyer 2024, section on the set-up; alphas and seeds ours)."""


def _other(network: str, data: str) -> dict[str, dict[str, Any]]:
    own = {"network": network, "data": data}
    return {"k and s": own | MERGES, "early": own | EARLY | ELEVEN, "to the end": own | END | ELEVEN}


BESIDE = "ensemble; ema every 0.25ep, half-life 1ep; longer at lr x "
"""Beyond the paper."""

PAPER: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "beside": {
        "lr .1": F1 | {"baselines": f"{BESIDE}1 0.1"},
        "lr .01": AT_10 | {"merged": "at 10ep, then 10ep at lr x 0.1", "baselines": None},
    },
    "f1": {"copies": F1, "trunk": {"k": TO_10.removesuffix(" 10ep"), "s": "the trunk alone"}},
    "f2": {"early": EARLY | ELEVEN, "to the end": END | ELEVEN},
    "f3": {"copies": {"k": "5ep 10ep 20ep", "s": TO_5, "merged": "at 5ep, then 5ep"}},
    "f4": {
        "lr .1": AT_10,
        **{
            f"warm-up over {t}": AT_10 | {"merged": f"at 10ep, then 10ep with warm-up over {t}it"}
            for t in (100, 390, 1000, 2000)
        },
    },
    "f5": {"copies": SPLITS},
    "f6": {
        "layer norm": LAYER | EARLY | ELEVEN,
        "layer norm, to the end": LAYER | END | ELEVEN,
        "batch norm": EARLY | ELEVEN,
    },
    "f7": {"layer norm": LAYER | SPLITS},
    "f8": {"layer norm": LAYER | MERGES, "batch norm": MERGES},
    "f9": {"k and s": MERGES},
    "f10": {"no augmentation": F1 | {"augment": "none"}, "augmented": F1},
    "f11": {"disjoint halves": F1 | {"s": f"{TO_10}, on disjoint parts of the data"}, "all of the data": F1},
    "f12": {
        "lr .1": AT_10 | {"merged": "at 10ep, then 140ep"},
        "lr .01": AT_10 | {"merged": "at 10ep, then 140ep at lr x 0.1"},
    },
    "f13": {
        "copies": {
            "k": "5ep",
            "s": "5ep",
            "merged": "at every s, then 150ep",
            "schedule": "constant",
            "on": "test train",
        }
    },
    "f14": _other("vgg16(init=kaiming)", "cifar10"),
    "f16": _other("resnet56(classes=100)", "cifar100"),
    "f18": _other("resnet20", "cinic10"),
    "text": {
        "merged": {"k": "5ep", "s": "5ep", "merged": "at every s, then 150ep", "on": "test train"},
        "unbranched": {"k": " ".join(f"{k}ep" for k in range(10, 161, 10)), "s": "the trunk alone", "seeds": 6},
        "k = 20": {"k": "20ep", "s": "2ep 5ep 10ep", "merged": None},
    },
}


def test_every_figure_and_table_has_its_row() -> None:
    assert papers.names("iyer24") == NAMES
    assert papers.row("iyer24", "beside").shows == ("beside F1",)  # no figure of the paper's
    shown = [figure for name in NAMES if name != "beside" for figure in papers.row("iyer24", name).shows]
    assert sorted(shown) == sorted({*(f"F{i}" for i in range(1, 20)), "F3a", "F3b", "T1", "text"})
    for figure in shown:
        assert figure in papers.row("iyer24", figure).shows


@pytest.mark.parametrize("name", NAMES)
def test_the_published_set_up(name: str) -> None:
    found = {row["variant"]: row for row in described(papers.row("iyer24", name).study("paper"))}
    assert set(found) == set(PAPER[name])
    for variant, own in PAPER[name].items():
        wanted = {**PUBLISHED, **own}
        assert {field: found[variant][field] for field in wanted} == wanted, variant
        if found[variant]["s"] != "the trunk alone":
            assert (found[variant]["children"], found[variant]["buffers"]) == (2, "reset")
    for study in variants(papers.row("iyer24", name).study("paper")).values():
        assert isinstance(study, BranchStudy)
        assert study.branch.differ == ("order", "augmentation", "dropout")
        assert (study.recipe.precision, study.recipe.drop_last, study.recipe.optimizer.nesterov) == (
            "float32",
            False,
            False,
        )
        if study.merge is not None:
            assert (study.merge.buffers, study.merge.weights) == ("reset", None)


SHORT = {"network": "resnet20(width=8)", "data": "cifar10(examples=10000)", "schedule": "x 0.1 at 30ep 45ep"}
FIVE = {"k": "5ep", "s": TO_5, "merged": "at 5ep, then 2ep"}
LAST = {"k": "5ep", "s": "5ep", "merged": "at 5ep, then 1ep"}
FEW = {
    "k": "5ep",
    "s": "1ep 2ep 3ep",
    "merged": "at 3ep, then 1ep",
    "alphas": 3,
    "data": "cifar10(examples=20000)",
    "on": "test and 4 parts of train by el2n (3 runs to 5ep)",
}
WAY = "6ep 12ep 14ep 18ep 24ep 30ep 32ep 36ep 40ep"
SMALL: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "beside": {
        "lr .1": FIVE | {"baselines": f"{BESIDE}0.1"},
        "lr .01": LAST | {"merged": "at 5ep, then 1ep at lr x 0.1", "baselines": None},
    },
    "f1": {"copies": FIVE, "trunk": {"k": "1ep 2ep", "s": "the trunk alone"}},
    "f2": {
        "early": {"k": "0ep 196it 2ep", "s": "1ep 2ep 3ep", "merged": None},
        "to the end": SHORT | {"k": "10ep", "s": "every 5ep to 60ep in all", "merged": None},
    },
    "f3": {"copies": FIVE},
    "f4": {
        "lr .1": LAST,
        "warm-up over 100": LAST | {"merged": "at 5ep, then 1ep with warm-up over 100it"},
        "warm-up over 390": LAST | {"merged": "at 5ep, then 1ep with warm-up over 390it"},
    },
    "f5": {"copies": FEW},
    "f6": {"layer norm": LAYER | FIVE | {"merged": None}, "batch norm": FIVE | {"merged": None}},
    "f7": {"layer norm": LAYER | FEW},
    "f8": {"layer norm": LAYER | FIVE, "batch norm": FIVE},
    "f9": {"k and s": FIVE},
    "f10": {"no augmentation": FIVE | {"augment": "none"}, "augmented": FIVE},
    "f11": {"disjoint halves": FIVE | {"s": f"{TO_5}, on disjoint parts of the data"}, "all of the data": FIVE},
    "f12": {
        "lr .1": LAST,
        "lr .01": LAST | {"merged": "at 5ep, then 1ep at lr x 0.1"},
        "dropped early": SHORT | {"k": WAY, "s": "the trunk alone", "schedule": "x 0.1 at 12ep", "seeds": 5},
        "dropped late": SHORT | {"k": WAY, "s": "the trunk alone", "schedule": "x 0.1 at 30ep", "seeds": 5},
    },
    "f13": {
        "copies": SHORT
        | {"k": "20ep", "s": "5ep", "merged": "at every s, then 40ep", "schedule": "constant", "on": "test train"}
    },
    "f14": {
        "k and s": FIVE
        | {
            "network": "vgg16(init=kaiming, width=16)",
            "data": "cifar10(examples=20000)",
            "merged": "at 5ep, then 1ep",
        }
    },
    "f16": {
        "k and s": FIVE
        | {
            "network": "resnet56(classes=100, width=8)",
            "data": "cifar100(examples=20000)",
            "merged": "at 5ep, then 1ep",
        }
    },
    "f18": {"k and s": FIVE | {"data": "cinic10(examples=20000)", "merged": "at 5ep, then 1ep"}},
    "text": {
        "merged": SHORT | {"k": "5ep", "s": "5ep", "merged": "at every s, then 50ep", "on": "test train", "seeds": 5},
        "unbranched": SHORT | {"k": "10ep 20ep 30ep 40ep 50ep 60ep", "s": "the trunk alone", "seeds": 10},
        "k = 20": SHORT | {"k": "20ep", "s": "2ep 5ep 10ep", "merged": None, "seeds": 5},
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_the_small_set_up(name: str) -> None:
    found = {row["variant"]: row for row in described(papers.row("iyer24", name).study("small"))}
    assert set(found) == set(SMALL[name])
    for variant, own in SMALL[name].items():
        wanted = {**PUBLISHED, "alphas": 5, **own}
        assert {field: found[variant][field] for field in wanted} == wanted, variant


EVERY = {("paper", "f12"): "1ep", ("paper", "f13"): "1ep", ("small", "f13"): "1ep"} | {
    (scale, "text"): "5ep" for scale in ("small", "paper")
}
"""How often networks are looked at after a merge, where that is not every quarter of an epoch."""
ALONE = {"small": {"f4", "f5", "f7", "f8", "f10", "f11", "f12", "f13", "f14", "f16", "f18", "text"}}
ALONE["paper"] = {"f4", "f12", "f13", "text"}
"""Rows without claims about copies that go on beside the merge."""


@pytest.mark.parametrize("scale", ["small", "paper"])
@pytest.mark.parametrize("name", NAMES)
def test_what_follows_a_merge(name: str, scale: Scale) -> None:
    merges = [row for row in described(papers.row("iyer24", name).study(scale)) if row.get("looked_at")]
    assert bool(merges) == (name not in ("f2", "f6"))
    for row in merges:
        assert row["looked_at"] == f"every {EVERY.get((scale, name), '0.25ep')}"
        assert row["merged_buffers"] == "reset"
        alone = name in ALONE[scale] or (name, row["variant"]) == ("beside", "lr .01")
        assert row["copies_go_on"] == ("no" if alone else "yes")


@pytest.mark.parametrize("name", NAMES)
def test_a_study_survives_being_written_out_and_read(name: str) -> None:
    """As ``--set`` does it."""
    for scale in ("small", "paper"):
        study = papers.row("iyer24", name).study(scale)
        assert from_mapping(study.model_dump(mode="json")).model_dump() == study.model_dump()


def test_data_that_are_not_at_hand_have_a_substitute() -> None:
    having = {name for name in NAMES if papers.row("iyer24", name).substitute is not None}
    assert having == {"f16", "f18"}
    for name, network in (("f16", "resnet56(classes=10"), ("f18", "resnet20")):
        row = papers.row("iyer24", name)
        assert row.substitute is not None
        for scale in ("small", "paper"):
            for found, own in zip(described(row.substitute(scale)), described(row.study(scale)), strict=True):
                changed = {field for field in own if own[field] != found[field]}
                assert changed == ({"network", "data"} if name == "f16" else {"data"})
                assert found["network"].startswith(network)
                assert found["data"].startswith("cifar10")


# --- on real data ---------------------------------------------------------------------------------------------

FROZEN = {
    "name": "f1-by-hand",
    "family": "branch",
    "seeds": [0, 1, 2],
    "model": {"name": "resnet20"},
    "data": {"name": "cifar10"},
    "recipe": {
        "batch_size": 128,
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
        "schedule": {"milestones": ["80ep", "120ep"]},
        "augment": {"crop": 4, "flip": True},
    },
    "branch": {"at": ["5ep"], "lengths": ["1ep", "2ep", "3ep", "4ep", "5ep"]},
    "merge": {"at": ["5ep"], "after": "2ep", "every": "0.25ep"},
    "evaluate": {"alphas": 5, "on": ["test"], "norm_stats": "recompute"},
    "variants": {
        "base": {},
        "warm-up 100": {"merge": {"after": "1ep", "warmup": "100it", "children_go_on": False}},
        "warm-up 390": {"merge": {"after": "1ep", "warmup": "390it", "children_go_on": False}},
        "lr / 10": {"merge": {"after": "1ep", "factor": 0.1, "children_go_on": False}},
    },
}
"""The small set-up of F1, F3, F4, F9 and F12 from the merge on, as results are stored under it."""


def keys(expansion: Expansion, *names: str) -> set[str]:
    return {node.key for name in names or expansion.variants for node in expansion.variants[name].targets}


@functools.cache
def _small(name: str) -> Expansion:
    return expand(papers.row("iyer24", name).study("small"))


@pytest.mark.data
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("f16", "f18")])
def test_the_small_study_expands(name: str) -> None:
    assert _small(name).requests


@pytest.mark.data
def test_rows_on_the_set_up_of_f1_train_nothing_twice() -> None:
    stored = expand(from_mapping(FROZEN))
    seen = keys(stored)
    for name, parts in {"f4": (), "f9": (), "f12": ("lr .1", "lr .01"), "f6": ("batch norm",)}.items():
        new = keys(_small(name), *parts) - seen
        assert len(new) == (3 if name in ("f6", "f9") else 0), name  # of each seed the trunk at k is looked at as well
    for name in ("f1", "f3"):
        assert keys(_small(name), "copies") >= keys(stored, "base")
        assert len(keys(_small(name), "copies") - seen) == 3
    assert keys(_small("f8"), "batch norm") | keys(_small("f10"), "augmented") <= keys(_small("f1"))
    assert keys(_small("f11"), "all of the data") <= keys(_small("f1"))


@pytest.mark.data
def test_what_goes_beyond_the_paper_is_beside_what_the_paper_trains() -> None:
    """Of the row "beside" nothing is new but its baselines, and of what is trained but one network a seed."""
    found, f1, f12, stored = _small("beside"), _small("f1"), _small("f12"), expand(from_mapping(FROZEN))
    assert keys(found, "lr .1") >= keys(f1, "copies") | keys(stored, "base") | keys(f12, "lr .1")
    assert keys(found, "lr .01") == keys(f12, "lr .01")
    shorter = {r.labels["s"] for r in stored.variants["lr / 10"].requests if r.measure.key not in keys(f12, "lr .01")}
    assert shorter == {"1ep", "2ep", "3ep", "4ep"}  # lines that are in lr .1 as well
    assert keys(found) >= keys(stored, "base", "lr / 10")
    known = keys(f1) | keys(f12)
    new = [r for r in found.variants["lr .1"].requests if r.measure.key not in known]
    told = [(r.labels["seed"], r.labels["network"], r.labels["after_steps"]) for r in new]
    names = [("ensemble", 0), ("ema child1", 0), ("ema child2", 0), *(("longer, lr x 0.1", at) for at in (-1955, 0))]
    assert told == [(seed, *name) for seed in (0, 1, 2) for name in names]


@pytest.mark.parametrize("scale", ["small", "paper"])
def test_what_is_trained_beyond_the_paper(scale: papers.Scale) -> None:
    """Beside what F1 and F12 train one way a seed: from the trunk at k, on the first child's noise, at a low rate.

    At paper scale the longer network at the full rate is the first child gone on.
    """
    ways = [_ways(expand(papers.row("iyer24", name).study(scale), published="all")) for name in ("beside", "f1", "f12")]
    beside, known = ways[0], ways[1] | ways[2]
    new = [way for way in beside if not any(_on_the_way(way, other) for other in known)]
    k = 5 if scale == "small" else 10
    assert [len(way.rates) for way in new] == [2 * k * 391] * 3
    assert all(set(way.rates) == {0.1 * 0.1} for way in new)
    children = {way.start for way in known if len(way.rates) >= k * 391}
    assert {way.start for way in new} <= children


@dataclass(frozen=True)
class Way:
    """A training: where it starts, on what noise and how (``start``), the rate of each step."""

    start: str
    rates: tuple[float, ...]


def _ways(expansion: Expansion) -> set[Way]:
    """The longest of those trainings that lie on each other's way."""
    nodes = [node for node in walk(expansion.targets).values() if isinstance(node, Train)]
    found: set[Way] = set()
    for node in sorted(nodes, key=lambda node: -node.stop):
        way = Way(node.trajectory, tuple(node.rates().tolist()))
        if not any(_on_the_way(way, other) for other in found):
            found.add(way)
    return found


def _on_the_way(way: Way, other: Way) -> bool:
    return way.start == other.start and way.rates == other.rates[: len(way.rates)]


@pytest.mark.data
def test_rows_share_trunks_where_their_rates_agree() -> None:
    """F2's trunk of two epochs is F1's; short trainings are the same until rates drop."""
    ends = {end for r in _small("f2").variants["early"].requests if r.labels["k"] == "2ep" for end in _roots(r)}
    trunk = {r.measure.path.ends[0].key for r in _small("f1").variants["trunk"].requests if r.labels["k"] == "2ep"}
    assert ends == trunk
    assert len(trunk) == 3
    early, late, alone = _trunks("f12", "dropped early"), _trunks("f12", "dropped late"), _trunks("text", "unbranched")
    assert early[0, "12ep"] == late[0, "12ep"]
    assert early[0, "14ep"] != late[0, "14ep"]
    assert late[4, "30ep"] == alone[4, "30ep"]
    assert _copies("f13", "copies", "5ep") < _copies("text", "k = 20", "5ep")  # three seeds of five


def _roots(request: Any) -> set[str]:
    return {end.root.key for end in request.measure.path.ends}


def _trunks(name: str, variant: str) -> dict[tuple[int, str], str]:
    requests = _small(name).variants[variant].requests
    return {(r.labels["seed"], r.labels["k"]): r.measure.path.ends[0].key for r in requests}


def _copies(name: str, variant: str, s: str) -> set[tuple[int, frozenset[str]]]:
    """The pairs of copies of each seed after so long."""
    found = set()
    for request in _small(name).variants[variant].requests:
        ends = frozenset(end.key for end in request.measure.path.ends)
        if request.labels.get("s") == s and len(ends) == 2:
            found.add((request.labels["seed"], ends))
    assert found
    return found


def test_learning_rates_of_the_published_schedule() -> None:
    study: Study = papers.row("iyer24", "f2").study("paper")
    recipe: Recipe = study.recipe
    rates = recipe.rates(0, 160 * 391, 391)
    drops = {80 * 391: 0.1, 120 * 391: 0.01}
    for step in (0, 80 * 391 - 1, 80 * 391, 120 * 391 - 1, 120 * 391, 160 * 391 - 1):
        wanted = 0.1 * ([1.0] + [factor for at, factor in drops.items() if step >= at])[-1]
        assert rates[step] == pytest.approx(wanted, rel=1e-12)
    layer = variants(papers.row("iyer24", "f7").study("paper"))["layer norm"].recipe.rates(0, 200, 391)
    assert layer[:100].tolist() == pytest.approx([0.1 * (i + 1) / 100 for i in range(100)], rel=1e-12)
    assert set(layer[100:]) == {0.1}
