"""The row beside F1: its numbers by hand on results made up for it, and what becomes of them where some are missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from iyer24_worlds import At, World, results, verdicts
from matplotlib.figure import Figure

from isthmus import papers, quadratic
from isthmus.claims import judge
from isthmus.papers.iyer24 import merges
from isthmus.study import Results
from isthmus.tables import Table

ROW = papers.row("iyer24", "beside")
LEFT = {0.25: 0.7, 0.5: 0.5, 0.75: 0.4, 1.0: 0.25}
"""The share of the gain in loss that is left in the world below, at the full rate."""

PER_EPOCH = 391


def _rival(at: At, name: str) -> float:
    own = {"ensemble": 0.68, "ema child1": 0.63, "ema child2": 0.64, "longer, lr x 0.1": 0.66 if at.after < 0 else 0.69}
    return own[name] - 0.01 * at.seed


def _merged(at: At) -> float:
    left = 1.0 + 0.1 * at.after if at.variant == "lr .01" else LEFT.get(at.after, 0.0)
    return 0.61 + 0.02 * at.after + 0.05 * left


WORLD = World(
    child=lambda at: 0.60 + 0.02 * at.after,
    apart=lambda at: 0.02,
    gain=lambda at: 0.05,
    merged=_merged,
    squared=lambda at: (2 + at.seed) * (1 - math.exp(-2 * 0.5 * at.s)),
    rival=_rival,
)
"""Copies .60 and .62, half way .66, losses the shares of errors; distances of one curvature, e-fold in two epochs."""


def changed(keep: Callable[[str, Mapping[str, Any]], bool]) -> Results:
    """What was found, but for some rows of raw tables."""
    made = results(ROW, WORLD)
    tables = {
        name: Table(table.columns, tuple(row for row in table if keep(name, row)))
        for name, table in made.tables.items()
    }
    return Results(made.study, tables, made.expansion, 0, made.parameters)


def judged(found: Mapping[str, Table]) -> dict[str, Mapping[str, Any]]:
    return {row["claim"]: row for row in judge(ROW.claims, found)}


def numbers(row: Mapping[str, Any]) -> dict[int, float]:
    return {int(seed): float(value) for seed, value in (part.split(": ") for part in row["values"].split("; ") if part)}


def test_accuracies_and_costs() -> None:
    found = ROW.tables(results(ROW, WORLD))["baselines"].where(seed=2)
    told = [(row["kind"], row["networks"], row["epochs"], row["passes"]) for row in found]
    assert told == [
        ("merge", 1, 10, 1),
        ("copy", 2, 5, 1),
        ("ensemble", 1, 10, 2),
        ("ema", 2, 5, 1),
        ("longer, lr x 0.1", 1, 5, 1),
        ("longer, lr x 0.1", 1, 10, 1),
    ]
    points = [66.0, 61.0, 66.0, 61.5, 64.0, 67.0]
    assert [100 * value for value in found["accuracy"]] == pytest.approx(points)
    assert [100 * (1 - value) for value in found["loss"]] == pytest.approx(points)
    assert found["gain"] == pytest.approx([value - 61 for value in points], abs=1e-9)
    assert found["over_merge"] == pytest.approx([value - 66 for value in points], abs=1e-9)


def test_numbers_of_the_claims() -> None:
    found = ROW.tables(results(ROW, WORLD))
    values = {id: numbers(row) for id, row in judged(found).items()}
    for seed in (0, 1, 2):
        assert values["ensemble-at-least-as-good"][seed] == pytest.approx(2.0 - seed)
        assert values["average-along-the-way-gains"][seed] == pytest.approx(2.5 - seed - 5.0 / 2)
        assert values["longer-at-low-rate-at-least-as-good"][seed] == pytest.approx(3.0 - seed)
        assert values["low-rate-keeps"][seed] == pytest.approx(1.1)
        # one curvature of .5 an epoch: exp(-t) is left at t (of whole steps)
        missed = [abs(left - math.exp(-round(t * PER_EPOCH + 0.25) / PER_EPOCH)) for t, left in LEFT.items()]
        assert values["course-as-predicted"][seed] == pytest.approx(np.mean(missed), abs=0.02)
    course = found["course"].where(seed=1)
    assert set(zip(course["variant"], course["factor"], strict=True)) == {("lr .1", 1.0), ("lr .01", 0.1)}
    measured = dict(zip(course.where(variant="lr .1")["after"], course.where(variant="lr .1")["measured"], strict=True))
    assert list(measured.values()) == pytest.approx([1.0, *LEFT.values(), *[0.0] * 4], abs=1e-9)
    assert list(measured)[-1] == 2.0


def test_distances_are_fitted_with_several_curvatures() -> None:
    """Two of them cannot be told by one."""
    two = World(squared=lambda at: 7 * (1 - math.exp(-2 * 2.5 * at.s)) + 11 * (1 - math.exp(-2 * 0.05 * at.s)))
    found = ROW.tables(results(ROW, two))["distances"].where(seed=0)
    squared = [two.squared(At("", 0, 5, s, "test")) for s in range(1, 6)]
    assert found["squared"] == pytest.approx(squared)
    assert found["fitted"] == pytest.approx(squared, rel=0.01)
    assert found["s_epochs"] == [1, 2, 3, 4, 5]
    assert quadratic.fit(range(1, 6), squared).error > 0.02


def test_baselines_are_no_copies() -> None:
    """A merge has two copies, whatever is evaluated beside it."""
    (cell,) = merges.cells(
        dict(ROW.tables(changed(lambda name, row: row["seed"] == 1 if "seed" in row else True))), "lr .1"
    )
    assert len(cell.children) == 2
    assert [after for after, _ in cell.children[1]] == [after for after, _ in cell.merge]
    assert merges.apart(cell) == pytest.approx(abs(np.mean([100 * 0.05 * left for left in LEFT.values()]) / 2))


CASES: Mapping[str, tuple[Callable[[str, Mapping[str, Any]], bool], dict[str, str]]] = {
    "no ensemble": (
        lambda name, row: row.get("network") != "ensemble",
        {"ensemble-at-least-as-good": "there is no 'ensemble' on the test set in 'lr .1'"},
    ),
    "one moving average": (
        lambda name, row: row.get("network") != "ema child2",
        {"average-along-the-way-gains": "there is no 'ema' on the test set in 'lr .1'"},
    ),
    "half of the longer training": (
        lambda name, row: not (row.get("network") == "longer, lr x 0.1" and row["after_steps"] == 0),
        {"longer-at-low-rate-at-least-as-good": "there is no 'longer, lr x 0.1' on the test set in 'lr .1'"},
    ),
    "too few distances": (
        lambda name, row: name != "pairs" or row["s_steps"] > 3 * PER_EPOCH,
        dict.fromkeys(("course-as-predicted", "low-rate-keeps"), "there is no table 'course'"),
    ),
    "no end of the epoch": (
        lambda name, row: not (row.get("network") == "merge" and row["after_steps"] == PER_EPOCH),
        {
            "course-as-predicted": "there is no course of the gain in 'lr .1' up to 1 epoch after the merge",
            "low-rate-keeps": "there is no course of the gain in 'lr .01' up to 1 epoch after the merge",
        },
    ),
    "copies that stop": (
        lambda name, row: not (str(row.get("network")).startswith("child") and row["after_steps"] > 0),
        {
            "course-as-predicted": "there are no copies that went on to compare the merge in 'lr .1' with",
            "low-rate-keeps": "there are no copies that went on to compare the merge in 'lr .01' with",
        },
    ),
    "no merge at the low rate": (
        lambda name, row: not (row.get("network") == "merge" and row["variant"] == "lr .01"),
        {"low-rate-keeps": "there is no course of the gain in 'lr .01' up to 1 epoch after the merge"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_seed_lacks_is_said(case: str, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    """It is lacking in seed 1 alone, and the other seeds keep their numbers."""
    keep, told = CASES[case]
    found = ROW.tables(changed(lambda name, row: row.get("seed") != 1 or keep(name, row)))
    whole = judged(ROW.tables(results(ROW, WORLD)))
    for id, row in judged(found).items():
        assert row["reason"].startswith(f"seed 1: {told[id]}") if id in told else "seed 1" not in row["reason"]
        wanted = numbers(whole[id])
        assert numbers(row) == {seed: value for seed, value in wanted.items() if seed != 1 or id not in told}
    ROW.figures(found, tmp_path)
    assert set(drawn) == {"beside"}


def test_where_nothing_was_gained_in_loss_no_share_is_left() -> None:
    found = ROW.tables(results(ROW, World(gain=lambda at: -0.01)))
    assert set(found["course"]["measured"]) == {None}
    row = judged(found)["course-as-predicted"]
    assert row["verdict"] == "undecided"
    assert "there is no gain in loss at the merge in 'lr .1', of which a share could be left" in row["reason"]


def test_what_the_figure_shows(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    ROW.figures(ROW.tables(results(ROW, WORLD)), tmp_path)
    left, middle, right = drawn["beside"].axes
    assert [text.get_text() for text in left.texts] == [
        "copies (mean of two): 5 epochs, 1 pass",
        "merge: 10 epochs, 1 pass",
        "ensemble: 10 epochs, 2 passes",
        "moving average (mean of two): 5 epochs, 1 pass",
        "longer, lr x 0.1: 5 epochs, 1 pass",
        "longer, lr x 0.1: 10 epochs, 1 pass",
    ]
    drawn_at = [np.asarray(line.get_xydata()) for line in left.get_lines() if line.get_linestyle() == "None"]
    assert drawn_at[4] == pytest.approx(np.array([[68.0, 2], [67.0, 2], [66.0, 2]]))  # the seeds of the ensemble
    assert [xy[0, 0] for xy in drawn_at[1::2]] == pytest.approx([61.0, 66.0, 67.0, 62.5, 65.0, 68.0])
    (measured, fitted) = middle.get_lines()
    assert np.asarray(measured.get_xdata()) == pytest.approx([1, 2, 3, 4, 5])
    assert np.asarray(measured.get_ydata()) == pytest.approx([3 * (1 - math.exp(-s)) for s in range(1, 6)])
    assert np.asarray(fitted.get_ydata()) == pytest.approx(np.asarray(measured.get_ydata()), rel=0.01)
    lines = {str(line.get_label()): np.asarray(line.get_xydata()) for line in right.get_lines()}
    assert lines["lr x 0.1, measured"][:, 1] == pytest.approx([1, 1.025, 1.05, 1.075, 1.1])
    assert lines["lr x 1, measured"][:5, 1] == pytest.approx([1, *LEFT.values()])
    assert lines["lr x 1, predicted"][4] == pytest.approx([1, math.exp(-1)], abs=0.02)
    note = drawn["beside"].texts[1].get_text().replace("\n", " ")
    assert "3 seeds" in note
    assert "Large: means; small: seeds." in note


def test_the_row_by_the_name_of_what_it_shows() -> None:
    assert papers.row("iyer24", "beside f1") is ROW
    assert papers.row("iyer24", "F1").name == "f1"
    assert verdicts(judge(ROW.claims, ROW.tables(results(ROW, WORLD))))["low-rate-keeps"] == "held"
