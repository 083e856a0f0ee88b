"""The claims of Vlaar22's rows on made-up tables: where they hold, where they fail, what decides nothing."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from vlaar22_worlds import MAIN, World, among, barrier, plateau, slope, tables, world

from isthmus import papers
from isthmus.claims import Claim, judge
from isthmus.tables import Table

FRESH, AWAY = "fresh->final", "initial->fresh"
TEN, FIVE = tuple(range(10)), tuple(range(5))
LN2 = math.log(2)


def alone(variant: str, runs: dict[str, Any], route: str = MAIN) -> dict[tuple[str, str, str], Any]:
    return {(variant, block, route): run for block, run in runs.items()}


DECAYS = world({"0": 60.0, "less": 65.0, "base": 70.0, "more": 66.0}, blocks=("all", "stage3"))
F3 = {"random init": 60.0, "before the top": 60.5, "top": 60.6, "after the top": 60.4}
EARLY = {"random init until the first drop": 50.0, "top until the first drop": 52.0}
TRAIN = {("random init", "train"): 90.0, **{(name, "train"): 91.0 for name in list(F3)[1:]}}
F2A = world(
    {"scratch": 70.0, "pre-trained": 73.0, "ResNet-50 scratch": 50.0, "ResNet-50 pre-trained": 55.0}, blocks=("all",)
)
SIZES = {"base": 70.0, "half of the data": 60.0, "a fifth of the data": 45.0, "no augmentation": 64.0}
SIZES |= {"half, no augmentation": 55.0, "brightness": 70.0}

PLAIN: dict[str, World] = {
    "f1b": world({"base": 92.2, "VGG-11": 91.9}).but(
        curves=alone("base", {"stage2": barrier(0.1, 1.0), "stage3": barrier(0.4, 1.0), "stage4": barrier(0.04, 1.0)})
    ),
    "f7": DECAYS.but(
        curves={("0", "all", MAIN): among(barrier(0.4), slope()), ("less", "all", MAIN): slope()},
    ),
    "f8": world({"base": 72.0, "0.1": 60.0, "0.01": 70.0, "0.001": 50.0}, blocks=("all",)).but(
        curves={("0.1", "all", MAIN): slope(), ("0.01", "all", MAIN): barrier(0.3), ("0.001", "all", MAIN): slope()},
        distance={"0.1": 1.03, "0.01": 0.88, "0.001": 0.22},
    ),
    "f1a": World(
        {
            ("MNIST", "all", MAIN): slope(2.3, 0.1),
            ("MNIST", "all", FRESH): slope(2.31, 0.1),
            ("MNIST", "all", AWAY): slope(2.3, 2.2),
            ("spiral", "all", MAIN): barrier(0.2, LN2, 0.01),
            ("spiral", "all", FRESH): barrier(0.4, LN2, 0.01),
            ("spiral", "all", AWAY): slope(LN2, LN2),
        },
        {("MNIST", "test"): 96.0, ("spiral", "test"): 99.9},
        seeds=TEN,
    ),
    "a17": World(
        {
            ("50", "all", MAIN): barrier(0.4, LN2, 0.01),
            ("500", "all", MAIN): barrier(0.1, LN2, 0.01),
            ("500x4, 25x2", "all", MAIN): slope(LN2, 0.01),
            ("500x4, 25x4", "all", MAIN): barrier(0.05, LN2, 0.01),
        },
        {(name, "test"): 99.95 for name in ("50", "500", "500x4, 25x2", "500x4, 25x4")},
        classes=2,
    ),
    "a18": World(
        {
            ("base", "all", MAIN): plateau(),
            ("base", "stage3", MAIN): barrier(0.4, 1.0),
            ("base", "running statistics", MAIN): barrier(0.3, 1.0),
            ("base", "all but statistics", MAIN): slope(0.7),
        },
        {("base", "test"): 70.0},
    ),
    "f2a": F2A.but(
        curves={
            **{(name, "all", MAIN): slope() for name in ("pre-trained", "ResNet-50 pre-trained")},
            **{(name, "all", FRESH): plateau() for name in ("scratch", "pre-trained", "ResNet-50 pre-trained")},
        },
    ),
    "f2b": world({"scratch": 65.0, "random labels": 60.0}, reached={"random labels": True}).but(
        curves={("random labels", "all", MAIN): barrier(0.8)}
        | alone("scratch", {"stage2": barrier(0.1, 1.0)})
        | alone("random labels", {"stage2": barrier(0.3, 1.0), "stage3": barrier(0.2, 1.0)}),
    ),
    "f3": world({**F3, **EARLY}, blocks=("all",)).but(
        curves={(name, "all", MAIN): barrier(0.3) if name == "random init" else slope() for name in F3},
        accuracy=TRAIN,
        seeds=FIVE,
    ),
    "f6": world(SIZES).but(
        curves=alone("base", {"stage2": barrier(0.1, 1.0), "stage3": barrier(0.4, 1.0), "stage4.0": barrier(0.2, 1.0)})
        | alone("no augmentation", {"stage3": barrier(0.3, 1.0)})
        | alone("a fifth of the data", {"all": slope(), "stage2": barrier(0.06, 1.0)}),
    ),
}
"""A world for each row in which all of its claims hold."""

ROWS = {name: papers.row("vlaar22", name) for name in PLAIN}
CLAIMS = [(name, claim.id) for name, row in ROWS.items() for claim in row.claims]


def claim(row: str, name: str) -> Claim:
    return next(each for each in ROWS[row].claims if each.id == name)


def number(row: Any, seed: int | str = 0) -> float:
    values = dict(text.split(": ") for text in row["values"].split("; "))
    return float(values[str(seed)] if str(seed) in values else values["all"])


@pytest.mark.parametrize("row", PLAIN)
def test_where_all_claims_hold(row: str) -> None:
    found = judge(ROWS[row].claims, tables(PLAIN[row]))
    assert {each["claim"]: (each["verdict"], each["reason"]) for each in found} == {
        each.id: ("held", "") for each in ROWS[row].claims
    }


NUMBERS = {
    # of the worlds above, the first seed
    ("f1b", "accuracy"): 92.2,
    ("f1b", "accuracy-beside-vgg11"): 0.3,
    ("f1b", "plateau-at-chance"): 2.3,
    ("f1b", "late-drop"): 0.6 / 2.3,
    ("f1b", "blocks-with-barriers"): 0.4,
    ("f1b", "fc-without-barrier"): 0.0,
    ("f7", "best-at-base"): 4.0,
    ("f7", "mixed-at-0"): 2.0,
    ("f8", "distance-falls-with-rate"): 0.15,
    ("f8", "best-at-0.01"): 10.0,
    ("f8", "only-0.01-non-monotone"): 0.3,
    ("f1a", "mnist-monotone"): 0.0,
    ("f1a", "mnist-between-initial-weights"): 2.2,
    ("f1a", "spiral-barrier"): 0.2,
    ("f1a", "spiral-barrier-higher-from-elsewhere"): 0.2,
    ("a17", "wide-without-barrier"): 0.1,
    ("a17", "wide-early-layers-6"): 0.2,
    ("a17", "wide-early-layers-8"): 0.15,
    ("f2a", "better"): 3.0,
    ("f2a", "resnet50-better"): 5.0,
    ("f2b", "worse"): 5.0,
    ("f2b", "higher-block-barriers"): 0.4,
    ("f2b", "higher-barrier"): 0.8,
    ("f3", "better"): 0.4,
    ("f3", "monotone"): 0.0,
    ("f3", "faster"): 2.0,
    ("f3", "better-in-training"): 1.0,
    ("f6", "less-data-worse"): 10.0,
    ("f6", "less-data-lower-block-barriers"): 1 - 0.06 / 0.5,  # block 4.0 is a part of block 4
    ("f6", "no-augmentation-worse"): 6.0,
    ("f6", "no-augmentation-lower-block-barriers"): 0.4,
}


@pytest.mark.parametrize(("row", "name"), NUMBERS)
def test_the_numbers_of_claims(row: str, name: str) -> None:
    (found,) = judge([claim(row, name)], tables(PLAIN[row]))
    assert number(found) == pytest.approx(NUMBERS[row, name], abs=1e-9)


WORLDS: dict[tuple[str, str], tuple[dict[str, Any], float, set[str]]] = {
    # claim: what is otherwise in the world, the number of seed 0 in it, which other claims fail with it
    ("f1b", "accuracy"): ({"accuracy": {("base", "test"): 95.0}}, 95.0, {"accuracy-beside-vgg11"}),
    ("f1b", "accuracy-beside-vgg11"): ({"accuracy": {("VGG-11", "test"): 90.5}}, 1.7, set()),
    ("f1b", "plateau-at-chance"): ({"curves": alone("base", {"all": slope()})}, 2.3 - 1.7 * 0.6, set()),
    ("f1b", "late-drop"): ({"curves": alone("base", {"all": plateau(end=1.84)})}, 0.8, set()),
    ("f1b", "blocks-with-barriers"): (
        {"curves": alone("base", {"stage2": slope(), "stage3": barrier(0.04, 1.0), "stage4": barrier(0.3)})},
        0.04,
        set(),
    ),
    ("f1b", "fc-without-barrier"): ({"curves": alone("base", {"fc": barrier(0.03, 1.0)})}, 0.03, set()),
    ("f7", "plateau-at-base"): ({"curves": {("base", "all", MAIN): among(plateau(), slope())}}, 0.0, set()),
    ("f7", "plateau-above"): ({"curves": {("more", "all", MAIN): barrier(0.4)}}, 0.0, set()),
    ("f7", "monotone-below"): ({"curves": {("less", "all", MAIN): among(slope(), plateau())}}, 0.0, set()),
    ("f7", "best-at-base"): ({"accuracy": {("more", "test"): 71.0}}, -1.0, set()),
    ("f7", "mixed-at-0"): ({"curves": {("0", "all", MAIN): slope()}}, 1.0, set()),
    ("f8", "distance-falls-with-rate"): ({"distance": {"0.001": 0.9}}, -0.02, set()),
    ("f8", "best-at-0.01"): ({"accuracy": {("0.001", "test"): 70.5}}, -0.5, set()),
    ("f8", "only-0.01-non-monotone"): ({"curves": {("0.001", "all", MAIN): barrier(0.4)}}, -0.1, set()),
    ("f1a", "mnist-monotone"): ({"curves": {("MNIST", "all", MAIN): barrier(0.02)}}, 0.02, set()),
    ("f1a", "mnist-monotone-from-elsewhere"): ({"curves": {("MNIST", "all", FRESH): barrier(0.06)}}, 0.06, set()),
    ("f1a", "mnist-between-initial-weights"): (
        {"curves": {("MNIST", "all", AWAY): barrier(0.3, 2.3, 2.3)}},
        2.6,
        set(),
    ),
    ("f1a", "spiral-barrier"): (
        {"curves": {("spiral", "all", MAIN): among(slope(LN2, 0.01), barrier(0.06, LN2, 0.01))}},
        0.06,
        set(),
    ),
    ("f1a", "spiral-barrier-higher-from-elsewhere"): (
        {"curves": {("spiral", "all", FRESH): barrier(0.1, LN2, 0.01)}},
        -0.1,
        set(),
    ),
    ("a17", "wide-without-barrier"): ({"curves": {("500", "all", MAIN): barrier(0.3, LN2)}}, -0.1, set()),
    ("a17", "wide-early-layers-6"): ({"curves": {("500x4, 25x2", "all", MAIN): barrier(0.25, LN2)}}, -0.05, set()),
    ("a17", "wide-early-layers-8"): ({"curves": {("500x4, 25x4", "all", MAIN): barrier(0.25, LN2)}}, -0.05, set()),
    ("a18", "statistics-govern-block-3"): (
        {"curves": alone("base", {"running statistics": slope(0.7), "all but statistics": barrier(0.4, 1.0)})},
        math.nan,
        set(),
    ),
    ("f2a", "monotone"): ({"curves": {("pre-trained", "all", MAIN): barrier(0.03)}}, 0.03, set()),
    ("f2a", "better"): ({"accuracy": {("scratch", "test"): 72.5}}, 0.5, set()),
    ("f2a", "plateau-from-fresh"): ({"curves": {("pre-trained", "all", FRESH): slope()}}, 0.0, set()),
    ("f2a", "resnet50-monotone"): ({"curves": {("ResNet-50 pre-trained", "all", MAIN): barrier(0.03)}}, 0.03, set()),
    ("f2a", "resnet50-better"): ({"accuracy": {("ResNet-50 scratch", "test"): 54.5}}, 0.5, set()),
    ("f2a", "resnet50-plateau-from-fresh"): (
        {"curves": {("ResNet-50 pre-trained", "all", FRESH): slope()}},
        0.0,
        set(),
    ),
    ("f2b", "worse"): ({"accuracy": {("random labels", "test"): 64.5}}, 0.5, set()),
    ("f2b", "higher-block-barriers"): ({"curves": alone("scratch", {"fc": barrier(0.6, 1.0)})}, -0.2, set()),
    ("f2b", "higher-barrier"): ({"curves": alone("random labels", {"all": plateau()})}, 0.0, set()),
    ("f3", "better"): ({"accuracy": {("after the top", "test"): 60.2}}, 0.2, set()),
    ("f3", "monotone"): ({"curves": {("before the top", "all", MAIN): barrier(0.03)}}, 0.03, set()),
    ("f3", "faster"): ({"accuracy": {("top until the first drop", "test"): 49.0}}, -1.0, set()),
    ("f3", "better-in-training"): ({"accuracy": {("top", "train"): 89.5}}, -0.5, set()),
    ("f6", "less-data-worse"): ({"accuracy": {("a fifth of the data", "test"): 61.0}}, -1.0, set()),
    ("f6", "less-data-lower-block-barriers"): (
        {"curves": alone("a fifth of the data", {"stem": barrier(0.4, 1.0)})},
        1 - 0.46 / 0.5,
        set(),
    ),
    ("f6", "less-data-monotone"): ({"curves": alone("a fifth of the data", {"all": barrier(0.03)})}, 0.03, set()),
    ("f6", "no-augmentation-worse"): ({"accuracy": {("no augmentation", "test"): 71.0}}, -1.0, set()),
    ("f6", "no-augmentation-lower-block-barriers"): (
        {"curves": alone("no augmentation", {"stem": barrier(0.15, 1.0)})},
        0.1,
        set(),
    ),
}


def test_every_claim_has_its_counterexample() -> None:
    assert set(WORLDS) == set(CLAIMS)


@pytest.mark.parametrize(("row", "name"), WORLDS)
def test_each_claim_fails_where_it_is_false(row: str, name: str) -> None:
    changes, expected, others = WORLDS[row, name]
    found = judge(ROWS[row].claims, tables(PLAIN[row].but(**changes)))
    assert set(found.where(lambda each: each["verdict"] != "held")["claim"]) == {name, *others}
    (row_found,) = found.where(claim=name)
    assert row_found["verdict"] == "failed"
    if not math.isnan(expected):
        assert number(row_found) == pytest.approx(expected, abs=1e-9)


def test_a_tie_is_not_above() -> None:
    level = PLAIN["f8"].but(curves={("0.01", "all", MAIN): slope()})
    (found,) = judge([claim("f8", "only-0.01-non-monotone")], tables(level))
    assert (found["verdict"], number(found)) == ("failed", 0.0)


def test_nearer_is_a_mean_of_differences() -> None:
    """Curves at 0.3 and at 0.1 above the block's, all the way: 0.2 nearer."""
    level = slope(1.0)
    changes = {"stage3": level, "all but statistics": slope(1.3, 0.9), "running statistics": slope(0.9, 0.5)}
    (found,) = judge(ROWS["a18"].claims, tables(PLAIN["a18"].but(curves=alone("base", changes))))
    assert number(found) == pytest.approx(0.2, abs=1e-12)


@pytest.mark.parametrize(("row", "name"), CLAIMS)
def test_a_seed_that_diverged_is_never_held(row: str, name: str) -> None:
    """NaN everywhere in one seed of three decides no rule that wants all of them, and never makes a number of it."""

    def spoilt(table: Table) -> Table:
        return Table.of(
            {
                key: math.nan if isinstance(value, float) and key != "alpha" and each.get("seed") == 1 else value
                for key, value in each.items()
            }
            | ({"shape": "NaN"} if each.get("shape") and each["seed"] == 1 else {})
            for each in table
        )

    plain = dataclasses.replace(PLAIN[row], seeds=(0, 1, 2))
    (found,) = judge([claim(row, name)], {key: spoilt(table) for key, table in tables(plain).items()})
    count = claim(row, name).count
    if name == "mixed-at-0":
        assert found["reason"] == "seed all: there is no label of a run of 0 whose loss is not a number"
    elif count is not None and count[0] <= 2:
        assert found["verdict"] == "held"
    else:
        assert found["verdict"] == "undecided"
        assert "1" in found["reason"] or "ask" in found["reason"]


@pytest.mark.parametrize(("row", "name"), CLAIMS)
def test_what_was_not_run_is_named(row: str, name: str) -> None:
    """Without any one table, and without any one variant, a claim is judged as well, or says in words what it lacks."""
    whole = tables(PLAIN[row])
    for lacking in whole:
        (found,) = judge([claim(row, name)], {key: table for key, table in whole.items() if key != lacking})
        if found["verdict"] != "held":
            assert "there is no" in found["reason"] or "reach" in found["reason"]
    for variant in dict.fromkeys(whole["paths"]["variant"]):
        rest = {key: without(table, variant) for key, table in whole.items()}
        (found,) = judge([claim(row, name)], rest)
        if found["verdict"] != "held":
            assert found["verdict"] == "undecided"
            assert any(words in found["reason"] for words in ("there is no", "are needed", "there are no"))


def without(table: Table, variant: str) -> Table:
    return table.where(lambda row: row["variant"] != variant)


def test_only_runs_with_a_barrier_count() -> None:
    """Of five runs three have one: a loss of accuracy in the others changes nothing; with two there is no verdict."""
    mixed = PLAIN["f3"].but(curves={("random init", "all", MAIN): among(slope(), barrier(0.3))})
    rows = tables(mixed)
    accuracy = Table.of(
        {**row, "accuracy": 0.1 if row["seed"] % 2 and row["variant"] == "top" else row["accuracy"]}
        for row in rows["accuracy"]
    )
    found = judge(ROWS["f3"].claims, {**rows, "accuracy": accuracy})
    assert {row["verdict"] for row in found} == {"held"}
    assert set(found["seeds"]) == {3}
    few = tables(PLAIN["f3"].but(curves={("random init", "all", MAIN): among(barrier(0.3), slope())}))
    for row in judge(ROWS["f3"].claims, few):
        assert row["verdict"] == "undecided"
        assert row["reason"] == "seed all: 2 of 5 runs reach 0.05, 3 are needed"


def test_blocks_that_hardly_rise_have_no_barriers_to_compare() -> None:
    """Rises of .04 and .01, which no one calls barriers, are not .75 lower."""
    low = world(SIZES).but(curves=alone("base", {"fc": barrier(0.04, 1.0)}))
    (found,) = judge([claim("f6", "no-augmentation-lower-block-barriers")], tables(low))
    assert found["verdict"] == "undecided"
    assert "no block of base or no augmentation has a barrier (largest rise 0.04)" in found["reason"]
    both = PLAIN["f2b"].but(curves={(name, b, MAIN): slope(1.0) for name, b, _ in PLAIN["f2b"].curves if b != "all"})
    (found,) = judge([claim("f2b", "higher-block-barriers")], tables(both))
    assert found["verdict"] == "undecided"


def test_there_is_nothing_to_fall_from_0() -> None:
    lower = world(SIZES).but(curves=alone("no augmentation", {"fc": barrier(0.4, 1.0)}))
    (found,) = judge([claim("f6", "no-augmentation-lower-block-barriers")], tables(lower))
    assert found["verdict"] == "undecided"
    assert "there is nothing to fall from 0" in found["reason"]


def test_a_start_that_does_not_know_its_random_labels_tells_nothing() -> None:
    found = judge(ROWS["f2b"].claims, tables(PLAIN["f2b"].but(reached={"random labels": False})))
    assert set(found["verdict"]) == {"undecided"}
    assert all("the start of random labels does not know its random labels by heart" in row["reason"] for row in found)


def test_no_barrier_is_taken_away_where_there_is_none_or_a_network_was_not_trained() -> None:
    none = PLAIN["a17"].but(curves={("50", "all", MAIN): barrier(0.06, LN2, 0.01)})
    found = judge(ROWS["a17"].claims, tables(none))
    assert set(found["verdict"]) == {"undecided"}
    assert found["reason"][0] == "seed all: 0 of 3 runs reach 0.0693147, 3 are needed"
    some = PLAIN["a17"].but(curves={("50", "all", MAIN): among(slope(LN2, 0.01), barrier(0.4, LN2, 0.01))}, seeds=FIVE)
    found = judge(ROWS["a17"].claims, tables(some))  # the narrow one has a barrier in three runs of five
    assert (set(found["verdict"]), set(found["seeds"])) == ({"held"}, {3})
    found = judge(ROWS["a17"].claims, tables(PLAIN["a17"].but(accuracy={("500", "test"): 99.0})))
    assert [row["verdict"] for row in found] == ["undecided", "held", "held"]
    assert "500 has not learnt: its accuracy is 99 %, not 99.9" in found["reason"][0]


def test_paper_scale_alone_judges_its_gates() -> None:
    gates = {(name, each.id) for name, row in ROWS.items() for each in row.claims if each.scales == ("paper",)}
    assert gates == {
        ("f1b", "accuracy"),
        ("f1b", "accuracy-beside-vgg11"),
        *(("f2a", f"resnet50-{what}") for what in ("monotone", "better", "plateau-from-fresh")),
    }
