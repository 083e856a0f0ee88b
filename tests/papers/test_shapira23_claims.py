"""Every claim of Shapira23 on MNIST seen held, failed and undecided, on tables made up for it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from shapira23_worlds import PLAIN, World, at, tables

from isthmus import papers
from isthmus.claims import judge
from isthmus.tables import Table

ROW = papers.row("shapira23", "mnist")
CLAIMS = {claim.id: claim for claim in ROW.claims}


def number(row: Mapping[str, Any]) -> float:
    """The number of repeat 0."""
    return float(row["values"].split(";")[0].removeprefix("0: "))


def test_in_a_world_like_the_papers_every_claim_holds() -> None:
    found = judge(ROW.claims, tables(World()))
    assert set(found["verdict"]) == {"held"}
    none = ("negligible-at-0", "negligible-at-0-any-k2", "falls-with-k1", "train-like-test", "barrier-stops-growing")
    assert {row["claim"]: number(row) for row in found} == pytest.approx(
        {
            **dict.fromkeys((*none, "extreme-near-middle", "gap-stops-growing"), 0.0),
            "accuracy": 0.98 - 0.85 * math.exp(-10),
            "connected-before-accurate": 0.85 * (math.exp(-1) - math.exp(-10)),
            "gap-negative": -0.0022,
            "distance-falls-with-k1": -0.5,
            "distance-grows-with-k2": 0.3,
            "predictions-drift-with-k2": 0.04,
            "predictions-drift-at-end": 0.14,
        },
        abs=1e-12,
    )


WORLDS: dict[str, tuple[dict[str, Any], float, set[str]]] = {
    # claim: what is otherwise in the world, the number of repeat 0 in it, which other claims fail with it
    "accuracy": ({"accuracy": lambda r, k: 0.95 - 0.8 * math.exp(-k)}, 0.95 - 0.8 * math.exp(-10), set()),
    "negligible-at-0": ({"height": at(0, 10, 0.05, PLAIN.height)}, 0.05, {"negligible-at-0-any-k2", "train-like-test"}),
    "negligible-at-0-any-k2": ({"height": at(0, 4, 0.03, PLAIN.height)}, 0.03, set()),
    "falls-with-k1": ({"height": at(2, 8, 0.007, PLAIN.height)}, 0.007, {"gap-negative", "gap-stops-growing"}),
    "train-like-test": ({"train_height": at(5, 5, 0.011, PLAIN.train_height)}, 0.011, set()),
    "extreme-near-middle": ({"top": at(1, 9, 0.75, PLAIN.top)}, 0.25, set()),
    "connected-before-accurate": (
        {"error_height": lambda r, k1, k2: 0.03 if k1 < 5 else 0.001},
        0.85 * (math.exp(-5) - math.exp(-10)),
        set(),
    ),
    "gap-negative": ({"height": at(7, 2, 0.0003, PLAIN.height)}, 0.0003, set()),
    "gap-stops-growing": ({"height": at(5, 1, -0.0095, PLAIN.height)}, 0.007, set()),
    "distance-falls-with-k1": ({"l2": at(5, 5, 4.2, PLAIN.l2)}, 0.2, set()),
    "distance-grows-with-k2": ({"l2": at(2, 5, 2.70, PLAIN.l2)}, -0.1, set()),
    "predictions-drift-with-k2": ({"predictions": at(7, 1, 0.17, PLAIN.predictions)}, -0.01, set()),
    "predictions-drift-at-end": ({"predictions": at(0, 10, 0.15, PLAIN.predictions)}, -0.01, set()),
    "barrier-stops-growing": (
        {"height": at(1, 9, 0.025, PLAIN.height)},
        0.025,
        {"falls-with-k1", "train-like-test"},
    ),
}


def test_every_claim_has_its_counterexample() -> None:
    assert set(WORLDS) == set(CLAIMS)


@pytest.mark.parametrize("name", WORLDS)
def test_each_claim_fails_where_it_is_false(name: str) -> None:
    changes, expected, others = WORLDS[name]
    found = judge(ROW.claims, tables(dataclasses.replace(PLAIN, **changes)))
    (row,) = found.where(claim=name)
    assert row["verdict"] == "failed"
    assert number(row) == pytest.approx(expected, abs=1e-12)
    assert set(found.where(verdict="failed")["claim"]) == {name, *others}


@pytest.mark.parametrize("name", CLAIMS)
def test_one_repeat_decides_nothing_that_two_have_to(name: str) -> None:
    """A second repeat that was not run leaves a rule about both undecided, and one about the mean is counted."""
    (row,) = judge([CLAIMS[name]], tables(PLAIN, repeats=1))
    assert row["verdict"] == ("undecided" if CLAIMS[name].count else "held")
    assert row["seeds"] == 1


@pytest.mark.parametrize("name", CLAIMS)
def test_a_repeat_that_diverged_decides_nothing(name: str) -> None:
    """NaN everywhere in one repeat: never held, never failed; nor is a single NaN lost among numbers."""

    def spoilt(table: Table, where: Callable[[Any], bool]) -> Table:
        return Table.of(
            {k: math.nan if isinstance(v, float) and k != "alpha" and where(row) else v for k, v in row.items()}
            for row in table
        )

    made = {name: table for name, table in tables(PLAIN).items() if name != "table1"}
    whole = {name: spoilt(table, lambda row: row["repeat"] == 1) for name, table in made.items()}
    (row,) = judge([CLAIMS[name]], whole)
    assert row["verdict"] == "undecided"
    assert row["reason"] == "seed 1: not a number"
    ends = {
        name: spoilt(table, lambda row: row["repeat"] == 1 and (row["k1"], row["k2"]) in {(0, 10), (5, 5), (7, 3)})
        for name, table in made.items()
    }
    (row,) = judge([CLAIMS[name]], ends)
    assert row["verdict"] == "undecided"


@pytest.mark.parametrize("name", [name for name, claim in CLAIMS.items() if claim.count is None])
def test_three_repeats_that_disagree_leave_a_mean_undecided(name: str) -> None:
    changes: dict[str, dict[str, Any]] = {
        "accuracy": {"accuracy": lambda r, k: 0.98 + 0.003 * (r - 1) - 0.85 * math.exp(-k)},
        "negligible-at-0": {"height": lambda r, k1, k2: 0.018 * r},
        "connected-before-accurate": {"error_height": lambda r, k1, k2: 0.03 if k1 < 5 * (r == 2) else 0.001},
    }
    (row,) = judge([CLAIMS[name]], tables(dataclasses.replace(PLAIN, **changes[name]), repeats=3))
    assert (row["rule"], row["verdict"], row["seeds"]) == ("mean", "undecided", 3)
    assert row["reason"] == "the interval straddles the threshold"


def test_pairs_that_were_not_run_are_named() -> None:
    found = judge(ROW.claims, tables(PLAIN, k1s=(1, 2)))
    reasons = {row["claim"]: row["reason"] for row in found.where(verdict="undecided")}
    assert reasons["negligible-at-0"] == "seed 0: there is no pair with k1 = 0; seed 1: there is no pair with k1 = 0"
    assert "no pair with k1 = 0" in reasons["distance-falls-with-k1"]
    assert set(reasons) == {
        *("negligible-at-0", "negligible-at-0-any-k2", "distance-falls-with-k1", "predictions-drift-at-end"),
    }
    without = {name: table for name, table in tables(PLAIN).items() if name != "networks"}
    (row,) = judge([CLAIMS["connected-before-accurate"]], without)
    assert row["reason"].startswith("seed 0: there is no table 'networks'")
