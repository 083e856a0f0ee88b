"""Every claim of every row of Iyer24 seen held and failed, on results made up for it; numbers computed by hand."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from iyer24_worlds import SPLIT, At, World, child, gain, hard, results, tables, verdicts

from isthmus import papers
from isthmus.claims import Claim, judge
from isthmus.papers import Row, Scale
from isthmus.papers.iyer24.splits import table_1
from isthmus.tables import Table

ROWS = {name: papers.row("iyer24", name) for name in papers.names("iyer24")}
SCALES: tuple[Scale, ...] = ("small", "paper")
CASES = [(name, claim.id) for name, row in ROWS.items() for claim in row.claims]


@functools.cache
def plain(name: str, scale: Scale) -> Mapping[str, Table]:
    return tables(ROWS[name], World(), scale)


def claim(name: str, id: str) -> tuple[Row, Claim, Scale]:
    """The row, the claim, the smallest scale at which it is judged."""
    (found,) = [one for one in ROWS[name].claims if one.id == id]
    return ROWS[name], found, "small" if "small" in found.scales else "paper"


def numbers(judged: Mapping[str, Any]) -> dict[int, float]:
    return {int(seed): float(value) for seed, value in (part.split(": ") for part in judged["values"].split("; "))}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("scale", SCALES)
def test_in_a_world_like_the_papers_every_claim_holds(name: str, scale: Scale) -> None:
    found = judge(ROWS[name].claims_at(scale), plain(name, scale))
    assert set(verdicts(found).values()) == {"held"}, found.where(lambda row: row["verdict"] != "held").rows
    assert set(found["reason"]) == {""}
    source = "beyond the paper: " if name == "beside" else "Iyer 2024"
    assert all(row["source"].startswith(source) for row in found)


def _half_of(at: At) -> float:
    return 0.1 if hard(at) < 3 else 0.01


def _rivalled(kind: str, share: float) -> World:
    """A kind gains this share of what the merge gains, the others twice as much."""
    return World(
        rival=lambda at, name: (
            child(replace(at, after=0)) + 0.002 + (share if name.startswith(kind) else 2.0) * gain(at)
        )
    )


HIGH = World(merged=lambda at: 0.99)
FAILS: Mapping[str, World] = {
    "gain": World(gain=lambda at: -0.01),
    "gain-everywhere": World(gain=lambda at: -0.01 if (at.k, at.s) == (20, 10) else 0.04),
    "better-than-both": World(apart=lambda at: 0.1),
    "drop": HIGH,
    **{f"drop-warm-{steps}": HIGH for steps in (100, 390, 1000, 2000)},
    "no-difference-left": HIGH,
    "drops-everywhere": HIGH,
    "stalls": World(merged=lambda at: child(at) + (0.002 if at.after <= 5 else 0.2)),
    "first-epoch-drop": HIGH,
    "poor-at-0": World(gain=lambda at: 0.0),
    "better-early": World(gain=lambda at: 0.0),
    "slower-as-k-grows": World(gain=lambda at: -0.01 * at.k),
    "equal-late": World(gain=lambda at: 0.03 + 0.001 * at.seed),
    "size-of-the-gain": World(gain=lambda at: 0.01 + 0.01 * at.k),
    "no-drop-at-low-rate": World(merged=lambda at: 0.3),
    "early-drop-costs": World(trunk=lambda at: 0.7),
    "low-rate-costs": World(merged=lambda at: 0.7),
    "more-noticeable": World(gain=lambda at: 0.03 if at.variant == "no augmentation" else 0.04),
    "smaller-gain": World(gain=lambda at: 0.05 if at.variant == "layer norm" else 0.04),
    "harder-gain-more": World(child=lambda at: 0.5, gain=lambda at: 0.05 - 0.01 * hard(at)),
    "gain-in-the-hard-half": World(child=lambda at: 0.5, gain=_half_of),
    "drop-in-the-hard-half": World(child=lambda at: 0.5, gain=lambda at: 0.1, merged=lambda at: 0.6 - _half_of(at)),
    "easiest-hardly-gain": World(child=lambda at: 0.5, gain=lambda at: 0.1),
    **{f"table-1-split-{split}-merge": World(gain=lambda at: 0.3) for split in (2, 3, 4)},
    **{f"table-1-split-{split}-after": World(merged=lambda at: 0.05) for split in (2, 3, 4)},
    "converges-alike": World(merged=lambda at: 0.9),
    "half-way-is-best": World(bump=lambda alpha: 1.0 if alpha == 0.75 else 0.5 * (0 < alpha < 1)),
    "hardly-depends-on-s": World(gain=lambda at: 0.01 * at.s),
    "gain-in-training": World(gain=lambda at: -0.01 if at.split == "train" else 0.04),
    "training-accuracy-falls": HIGH,
    "training-accuracy-rises": World(merged=lambda at: 0.6 - 0.001 * at.after),
    "ensemble-at-least-as-good": _rivalled("ensemble", 0.9),
    "average-along-the-way-gains": _rivalled("ema", 0.4),
    "longer-at-low-rate-at-least-as-good": _rivalled("longer", 0.9),
    "course-as-predicted": World(squared=lambda at: 3.0 * at.s),
    "low-rate-keeps": World(merged=lambda at: child(at) + 0.002 + 0.9 * gain(replace(at, after=0))),
}


def test_every_claim_has_its_counterexample() -> None:
    assert set(FAILS) == {id for _, id in CASES}


@pytest.mark.parametrize(("name", "id"), CASES)
def test_each_claim_fails_where_it_is_false(name: str, id: str) -> None:
    row, one, scale = claim(name, id)
    (found,) = judge([one], tables(row, FAILS[id], scale))
    assert (found["verdict"], found["reason"]) == ("failed", "")


@pytest.mark.parametrize("name", ROWS)
def test_one_seed_decides_no_rule_about_three(name: str) -> None:
    """A rule that wants every one of three seeds stays open with one; one about a mean is counted."""
    row = ROWS[name]
    found = tables(row, World(), "small", seeds=1)
    for judged, one in zip(judge(row.claims_at("small"), found), row.claims_at("small"), strict=True):
        assert judged["rule"] == "count"
        wanted = "undecided" if one.count else "held"
        assert judged["verdict"] == ("undecided" if judged["claim"] == "converges-alike" else wanted)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("missing", ["gains", "networks", "lines", "table1", "baselines", "course"])
def test_what_was_not_run_is_said_in_a_sentence(name: str, missing: str) -> None:
    scale: Scale = "small"
    whole = plain(name, scale)
    judged = judge(ROWS[name].claims_at(scale), {key: table for key, table in whole.items() if key != missing})
    for row in judged:
        assert row["verdict"] == "held" or (row["verdict"] == "undecided" and row["reason"])
    if missing == "gains" and name not in ("f5", "f7", "f13", "beside"):
        assert "undecided" in judged["verdict"]
    if name == "beside":
        assert judged["verdict"].count("undecided") == {"baselines": 3, "course": 2}.get(missing, 0)


@pytest.mark.parametrize("name", [name for name in ROWS if len(ROWS[name].study("paper").variants or {}) > 1])
def test_a_variant_that_was_not_run_leaves_its_claims_open(name: str) -> None:
    whole = plain(name, "paper")
    for variant in ROWS[name].study("paper").variants or {}:
        parts = {
            key: Table(table.columns, tuple(row for row in table if row["variant"] != variant))
            if "variant" in table.columns
            else table
            for key, table in whole.items()
        }
        judged = judge(ROWS[name].claims_at("paper"), parts)
        assert set(verdicts(judged).values()) <= {"held", "undecided"}
        reasons = [row["reason"] for row in judged if row["verdict"] == "undecided"]
        assert all(reasons)
        assert reasons or variant in ("trunk", "all of the data")  # drawn beside what the claims are about


# --- by hand --------------------------------------------------------------------------------------------------


def test_numbers_of_a_merge() -> None:
    """G0 and what follows it: copies .60 and .62, half way .66, later .63 and .61 by turns, then a point more.

    Beyond two epochs everything is another number, which no rule is about.
    """
    world = World(
        child=lambda at: 0.60 + 0.01 * at.seed,
        apart=lambda at: 0.02,
        gain=lambda at: 0.05 if at.k == at.s else 0.02,
        merged=lambda at: (
            0.9 if at.after > 2 else (0.63 if (at.after * 4) % 2 else 0.61) + 0.01 * (at.after > 1) + 0.01 * at.seed
        ),
    )
    judged = {row["claim"]: row for row in judge(ROWS["f3"].claims_at("small"), tables(ROWS["f3"], world))}
    every = {
        "gain": 5.0,
        "better-than-both": 4.0,
        "drop": 66.0 - 62.5 - 5.0 / 3,
        "no-difference-left": abs(62.5 - 61.0) - 5.0 / 3,
    }
    for scale in SCALES:
        f1 = {row["claim"]: row for row in judge(ROWS["f1"].claims_at(scale), tables(ROWS["f1"], world, scale))}
        assert numbers(f1["drop"]) == pytest.approx(dict.fromkeys((0, 1, 2), every["drop"]), abs=1e-9)
    for id, wanted in every.items():
        assert numbers(judged[id]) == pytest.approx(dict.fromkeys((0, 1, 2), wanted), abs=1e-9)
    f4 = {row["claim"]: row for row in judge(ROWS["f4"].claims_at("small"), tables(ROWS["f4"], world))}
    assert numbers(f4["drop"]) == pytest.approx(dict.fromkeys((0, 1, 2), 66.0 - 62.0), abs=1e-9)  # .75 and 1 epoch
    f12 = {row["claim"]: row for row in judge(ROWS["f12"].claims_at("small"), tables(ROWS["f12"], world))}
    assert numbers(f12["drop"]) == pytest.approx(dict.fromkeys((0, 1, 2), 66.0 - 62.0), abs=1e-9)
    f14 = {row["claim"]: row for row in judge(ROWS["f14"].claims_at("small"), tables(ROWS["f14"], world))}
    assert numbers(f14["first-epoch-drop"]) == pytest.approx(dict.fromkeys((0, 1, 2), 4.0 - 0.3 * 5), abs=1e-9)
    f9 = {row["claim"]: row for row in judge(ROWS["f9"].claims_at("paper"), tables(ROWS["f9"], world, "paper"))}
    assert numbers(f9["gain-everywhere"])[1] == pytest.approx(2.0)  # the smallest, at k other than s; (1, 1) apart
    most, least = (4 * 2.0 + 5.0) / 5, 2.0  # of k or s from 2 on; of 1, whose pair with itself does not count
    assert numbers(f9["size-of-the-gain"])[1] == pytest.approx((most - least) / most)
    mean = (20 * (63.0 - 62.5 - 2 / 3) + 4 * (66.0 - 62.5 - 5 / 3)) / 24
    assert numbers(f9["drop"])[2] == pytest.approx(mean)


def test_late_is_the_second_half_of_ten_epochs() -> None:
    """Half way .55, trained on .8 for five epochs, then .50 and .52 by turns."""
    world = World(
        child=lambda at: 0.5,
        apart=lambda at: 0.0,
        gain=lambda at: 0.05,
        merged=lambda at: 0.8 if at.after <= 5 else 0.5 if (at.after * 4) % 2 else 0.52,
    )
    (judged,) = judge([claim("f4", "drop-warm-1000")[1]], tables(ROWS["f4"], world, "paper"))
    assert numbers(judged) == pytest.approx(dict.fromkeys((0, 1, 2), 55.0 - 51.0))


def test_an_accuracy_that_rises_after_a_loss_at_the_merge_is_no_drop() -> None:
    """Copies .60, half way .57, trained on .575: it rises by half a point, which is more than a third of -3."""
    world = World(child=lambda at: 0.6, apart=lambda at: 0.0, gain=lambda at: -0.03, merged=lambda at: 0.575)
    for name, id in (("f3", "drop"), ("f14", "first-epoch-drop")):
        (judged,) = judge([claim(name, id)[1]], tables(ROWS[name], world))
        assert judged["verdict"] == "failed"
        assert numbers(judged)[1] == pytest.approx(-0.5)


def test_a_drop_on_average_is_none_everywhere() -> None:
    """At five of the 24 merges of the grid accuracy rises: those that leave the trunk after 20 epochs."""
    world = World(merged=lambda at: 0.99 if at.k == 20 else child(at))
    judged = {row["claim"]: row for row in judge(ROWS["f9"].claims_at("paper"), tables(ROWS["f9"], world, "paper"))}
    assert numbers(judged["drops-everywhere"])[0] == pytest.approx(19 / 24)


def test_k_that_are_nearly_the_same_are_not_compared() -> None:
    """2,000 iterations are 45 more than five epochs."""
    world = World(gain=lambda at: 0.01 * min(at.k, 6) - 0.002 * (5 < at.k < 6))
    (judged,) = judge([claim("f2", "slower-as-k-grows")[1]], tables(ROWS["f2"], world, "paper"))
    assert numbers(judged)[0] == pytest.approx(100 * 0.01 * 1000 / 391)


@pytest.mark.parametrize("scale", SCALES)
def test_half_way_is_compared_with_a_quarter_to_either_side(scale: Scale) -> None:
    """Copies a point apart: the highest of 25 points is the neighbour of the middle, by .014."""
    world = World(child=lambda at: 0.6, apart=lambda at: 0.01, gain=lambda at: 0.04)
    (judged,) = judge([claim("text", "half-way-is-best")[1]], tables(ROWS["text"], world, scale))
    assert numbers(judged)[0] == pytest.approx(100 * (0.04 - 0.04 * 0.75 - 0.25 * 0.01))


def test_a_point_is_allowed_between_the_merge_and_the_copies_where_the_gain_is_small() -> None:
    world = World(child=lambda at: 0.60, apart=lambda at: 0.0, gain=lambda at: 0.021, merged=lambda at: 0.585)
    (judged,) = judge([claim("f3", "no-difference-left")[1]], tables(ROWS["f3"], world))
    assert numbers(judged)[0] == pytest.approx(1.5 - 1.0)


def test_numbers_of_the_grid_of_k() -> None:
    per_k = {0: -0.3, 196 / 391: 0.01, 2: 0.02}
    world = World(gain=lambda at: per_k[at.k] - 0.001 * at.s if at.k in per_k else 0.001 * (at.epoch - 50))
    judged = {row["claim"]: row for row in judge(ROWS["f2"].claims_at("small"), tables(ROWS["f2"], world))}
    assert numbers(judged["poor-at-0"])[0] == pytest.approx(-30.3)
    assert numbers(judged["better-early"])[0] == pytest.approx(1.8)
    assert numbers(judged["slower-as-k-grows"])[0] == pytest.approx(1.0)
    # epochs 50, 55 and 60 are after the last drop at 45
    assert numbers(judged["equal-late"])[0] == pytest.approx(0.1 * (0 + 5 + 10) / 3)


def test_a_merged_run_is_compared_with_its_own_two() -> None:
    world = World(trunk=lambda at: 0.5 + 0.01 * at.seed, merged=lambda at: 0.6)
    (judged,) = judge([claim("text", "converges-alike")[1]], tables(ROWS["text"], world))
    assert numbers(judged) == pytest.approx({i: 10.0 - (i + i + 5) / 2 for i in range(5)})


def test_seeds_of_another_variant_are_no_seeds_of_a_claim() -> None:
    """F12 has three seeds of merges and five of early drops."""
    judged = {row["claim"]: row for row in judge(ROWS["f12"].claims_at("small"), plain("f12", "small"))}
    assert {id: row["seeds"] for id, row in judged.items()} == {
        "drop": 3,
        "no-drop-at-low-rate": 3,
        "early-drop-costs": 5,
    }


def test_numbers_of_the_splits() -> None:
    """Of gains of 1, 2, 3, 4 points splits 3 and 4 have 7 of 10, of drops of 4, 1, 2, 3 they have half."""
    world = World(
        child=lambda at: 0.5,
        apart=lambda at: 0.0,
        gain=lambda at: 0.01 * hard(at),
        merged=lambda at: 0.5 + 0.01 * hard(at) - {1: 0.04, 2: 0.01, 3: 0.02, 4: 0.03, 0: 0.0}[hard(at)],
    )
    judged = {row["claim"]: row for row in judge(ROWS["f7"].claims_at("small"), tables(ROWS["f7"], world))}
    assert numbers(judged["harder-gain-more"])[0] == pytest.approx(0.02)
    assert numbers(judged["gain-in-the-hard-half"])[0] == pytest.approx(0.7)
    assert numbers(judged["drop-in-the-hard-half"])[1] == pytest.approx(0.5)
    assert numbers(judged["easiest-hardly-gain"])[2] == pytest.approx(0.02)


def test_no_gain_has_no_share() -> None:
    world = World(child=lambda at: 0.5, gain=lambda at: -0.01, merged=lambda at: 0.6)
    judged = {row["claim"]: row for row in judge(ROWS["f5"].claims_at("small"), tables(ROWS["f5"], world))}
    for id in ("gain", "drop"):
        row = judged[f"{id}-in-the-hard-half"]
        change = {"gain": "gains anything by the merge", "drop": "loses anything over the next epoch"}[id]
        assert row["verdict"] == "undecided"
        assert row["reason"].startswith(f"seed 0: no split {change}")


def test_a_split_that_loses_has_no_part_in_a_gain() -> None:
    """Gains of -3, 1, 2, 2: of the five points gained splits 3 and 4 have four."""
    points = {0: 0.0, 1: -0.03, 2: 0.01, 3: 0.02, 4: 0.02}
    world = World(child=lambda at: 0.5, apart=lambda at: 0.0, gain=lambda at: points[hard(at)])
    judged = {row["claim"]: row for row in judge(ROWS["f5"].claims_at("small"), tables(ROWS["f5"], world))}
    assert numbers(judged["gain-in-the-hard-half"])[0] == pytest.approx(0.8)


def test_numbers_of_long_training_on() -> None:
    world = World(
        child=lambda at: 0.5, apart=lambda at: 0.0, gain=lambda at: 0.04, merged=lambda at: 0.5 + 0.001 * at.after
    )
    judged = {row["claim"]: row for row in judge(ROWS["f13"].claims_at("small"), tables(ROWS["f13"], world))}
    assert numbers(judged["training-accuracy-falls"])[0] == pytest.approx(54 - 50.1)
    assert numbers(judged["training-accuracy-rises"])[0] == pytest.approx(0.1 * 38 - 0.1)  # epochs 36 to 40


# --- Table 1 --------------------------------------------------------------------------------------------------


def test_table_1_from_levels() -> None:
    table = plain("f5", "small")["table1"]
    assert len(table) == 3 * 4 * 2
    for row in table.where(seed=0):
        level, gain, later = SPLIT[int(row["split"][-1])]
        child = level + 0.002  # the mean of two copies that are .004 apart
        merge = child + gain
        before, after = (child, merge) if row["change"] == "by the merge" else (merge, later)
        assert (row["before"], row["after"]) == pytest.approx((before, after), abs=1e-12)
        assert row["points"] == pytest.approx(100 * (after - before))
        assert row["relative_accuracy"] == pytest.approx(after / before - 1)
        assert row["relative_error"] == pytest.approx((1 - after) / (1 - before) - 1)


def test_the_published_table() -> None:
    """Iyer 2024, Table 1; it hangs together: from the two relative changes follow the levels that the text gives."""
    table = plain("f5", "paper")["table1"].where(seed=0)
    rows = {(row["split"], row["change"]): row for row in table}
    published = {key: (row["published_accuracy"], row["published_error"]) for key, row in rows.items()}
    wanted = {
        1: ((0.00285, -0.98367), (-0.0049, math.inf)),
        2: ((0.03166, -0.94480), (-0.04067, 27.21314)),
        3: ((0.13364, -0.7386), (-0.14097, 3.6074)),
        4: ((0.18621, -0.14679), (-0.17065, 0.19244)),
    }
    for split, (by, over) in wanted.items():
        assert published[f"train/{split}", "by the merge"] == by
        assert published[f"train/{split}", "over the next epoch"] == over
        accuracy = by[1] / (by[1] - by[0])  # x with (1 + a) x + (1 + e) (1 - x) = 1
        assert accuracy == pytest.approx({1: 0.997, 2: 0.968, 3: 0.847, 4: 0.441}[split], abs=0.001)
    assert "published_accuracy" not in plain("f7", "paper")["table1"].columns


def test_no_error_left_is_no_number_to_divide_by() -> None:
    world = World(child=lambda at: 0.9, apart=lambda at: 0.0, gain=lambda at: 0.1, merged=lambda at: 0.95)
    table = tables(ROWS["f5"], world)["table1"].where(seed=0, split="train/1")
    assert table["relative_error"] == [pytest.approx(-1.0), math.inf]
    perfect = World(child=lambda at: 1.0, apart=lambda at: 0.0, gain=lambda at: 0.0, merged=lambda at: 1.0)
    rows = tables(ROWS["f5"], perfect)["table1"].where(seed=0, split="train/1")
    assert all(math.isnan(value) for value in rows["relative_error"])


def test_table_1_leaves_out_what_was_not_measured() -> None:
    found = {key: table for key, table in plain("f5", "small").items() if key != "table1"}
    networks = found["networks"].where(lambda row: row["after"] == 0 and row["split"] != "train/2")
    table = table_1({**found, "networks": networks}, "copies")
    assert {(row["split"], row["change"]) for row in table} == {
        (f"train/{split}", "by the merge") for split in (1, 3, 4)
    }
    assert len(table_1({}, "copies")) == 0


# --- tables ---------------------------------------------------------------------------------------------------


def test_the_tables_say_when_rates_drop() -> None:
    found = plain("f2", "paper")
    assert found["drops"].where(variant="to the end")["epoch"] == [80, 120]
    rows = found["gains"].where(variant="to the end", k="5ep", seed=0)
    left = {row["k_epochs"] + row["s_epochs"]: row["drops_left"] for row in rows}
    assert {epoch: left[epoch] for epoch in (10, 80, 85, 120, 125, 160)} == {
        10: 2, 80: 2, 85: 1, 120: 1, 125: 0, 160: 0,
    }  # fmt: skip
    it = found["gains"].where(variant="early", k="500it", s="3ep", seed=0).rows[0]
    assert (it["k_epochs"], it["s_epochs"]) == (500 / 391, 3)


def test_pairs_of_other_copies_are_refused() -> None:
    from isthmus.errors import BadInput
    from isthmus.study import Results, from_mapping
    from isthmus.study.files import override

    row = ROWS["f3"]
    for change in ("branch.children=3", "branch.trunk_is_child=true"):
        study = from_mapping(override(row.study("small").model_dump(mode="json"), [change]))
        made = results(row, World())
        with pytest.raises(BadInput, match="iyer24-f3: expected pairs of copies that leave the trunk, found others"):
            row.tables(Results(study, made.tables, made.expansion, 0))
