"""Predicted beside measured: tables made of known decays, and of a real miniature run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus import plots
from isthmus.errors import BadInput
from isthmus.papers import noisy_quadratic
from isthmus.tables import Table
from small_studies import branch, ran

DECAY = 0.9991
S = (390, 780, 1170, 1560, 1950)
AFTER = (0, 98, 195, 390)


def pairs(seeds: tuple[int, ...] = (3, 4), decay: float = DECAY) -> Table:
    """Distances that settle, two pairs a seed whose squares have the right mean, on two splits."""
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        for s in S:
            square = (1 + seed) * (1 - decay ** (2 * s))
            for pair, share in (("child1-child2", 0.9), ("child1-child3", 1.1)):
                labels = {"seed": seed, "k_steps": 1950, "s_steps": s, "pair": pair}
                rows += [{**labels, "split": split, "l2": math.sqrt(share * square)} for split in ("test", "train:50")]
    return Table.of(rows)


def networks(left: float, seeds: tuple[int, ...] = (3, 4), go_on: bool = True) -> Table:
    """A merge whose gain of half a nat is multiplied by ``left`` a step; children whose loss falls."""
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        for after in AFTER:
            loss = 1.0 - 0.0001 * after * go_on
            labels = {"seed": seed, "k_steps": 1950, "s_steps": 1950, "after_steps": after, "split": "test"}
            merged = {"loss": loss - 0.5 * left**after, "accuracy": 0.6 + 0.01 * seed}
            rows.append({**labels, "network": "merge", **merged})
            rows.append({**labels, "network": "ensemble", "loss": 99.0, "accuracy": 0.0})
            if go_on or not after:
                rows += [
                    {**labels, "network": f"child{i}", "loss": loss + 0.1 * (i - 2), "accuracy": 0.5 + 0.01 * i}
                    for i in (1, 2, 3)
                ]
            rows.append({**rows[-1], "split": "train:50", "loss": 50.0})
    return Table.of(rows)


def test_distances_measured_and_fitted() -> None:
    found = noisy_quadratic.distances(pairs())
    assert [(row["seed"], row["s_steps"]) for row in found] == [(seed, s) for seed in (3, 4) for s in S]
    for row in found:
        square = (1 + row["seed"]) * (1 - DECAY ** (2 * row["s_steps"]))
        assert row["squared"] == pytest.approx(square, rel=1e-12)
        assert row["fitted"] == pytest.approx(square, rel=1e-4)
        assert row["decay"] == pytest.approx(DECAY, abs=1e-6)
        assert DECAY ** (2 * row["half_life"]) == pytest.approx(0.5, abs=1e-3)
        assert (row["curvatures"], row["at_limit"]) == (1, "")
        assert row["fit_error"] < 1e-4
    assert set(noisy_quadratic.distances(pairs(), spectrum=True)["curvatures"]) != {1}


def test_the_gain_predicted_beside_the_gain_measured() -> None:
    merges = {1.0: networks(0.995), 0.1: networks(1.0, go_on=False)}
    found = noisy_quadratic.gains(pairs(), merges, children=3)
    assert [(row["factor"], row["seed"], row["after_steps"]) for row in found] == [
        (factor, seed, after) for factor in (1.0, 0.1) for seed in (3, 4) for after in AFTER
    ]
    for row in found.where(factor=1.0):
        t = row["after_steps"]
        assert row["gain"] == pytest.approx(0.5 * 0.995**t, abs=1e-12)
        assert row["measured"] == pytest.approx(0.995**t, abs=1e-12)
        assert row["predicted"] == pytest.approx(DECAY ** (2 * t), abs=1e-4)
        assert row["gain_accuracy"] == pytest.approx(0.6 + 0.01 * row["seed"] - 0.52, abs=1e-12)
        assert row["children_at"] == t
    for row in found.where(factor=0.1):
        t, e = row["after_steps"], 1 - DECAY
        assert row["children_at"] == t  # those of the run at factor 1
        v_merge = 1 - (2 / 3) * (1 - DECAY ** (2 * 1950))
        v_low = 0.1 * (2 - e) / (2 - 0.1 * e)
        left = (1 - 0.1 * e) ** (2 * t)
        assert row["predicted"] == pytest.approx((1 - left * v_merge - (1 - left) * v_low) / (1 - v_merge), abs=1e-3)
    alone = noisy_quadratic.gains(pairs(), {0.1: networks(1.0, go_on=False)}, children=3)
    assert set(alone["children_at"]) == {0}


def test_where_there_was_no_gain_there_is_no_share_of_it() -> None:
    worse = Table.of({**row, "loss": row["loss"] + (row["network"] == "merge")} for row in networks(0.99))
    assert set(noisy_quadratic.gains(pairs(), {1.0: worse})["measured"]) == {None}


def test_what_cannot_be_compared() -> None:
    two = Table.of([*pairs(), {**pairs().rows[0], "k_steps": 5}])
    with pytest.raises(BadInput, match=r"^Expected rows of one k_steps, found 5, 1950: cut the table down with where"):
        noisy_quadratic.distances(two)
    with pytest.raises(BadInput, match=r"^Seed 4: expected distances of its children, found none"):
        noisy_quadratic.gains(pairs((3,)), {1.0: networks(0.9)})
    with pytest.raises(BadInput, match="at least three lengths of training, found 2"):
        noisy_quadratic.distances(pairs().where(lambda row: row["s_steps"] < 1000))
    later = networks(0.9).where(lambda row: row["after_steps"] > 0)
    with pytest.raises(BadInput, match="the merge and its children at the merge, found them at other times only"):
        noisy_quadratic.gains(pairs(), {1.0: later})
    with pytest.raises(BadInput, match="Expected rows of one s_steps, found none"):
        noisy_quadratic.gains(pairs(), {1.0: networks(0.9).where(network="child1")})


def test_panels_of_one_seed_and_of_several(tmp_path: Path) -> None:
    for seeds in ((3, 4), (3,)):
        figure, (left, right) = plots.canvas(1, 2, title="Noisy quadratic")
        noisy_quadratic.draw_distances(left, noisy_quadratic.distances(pairs(seeds)), 390)
        merges = {1.0: networks(0.995, seeds), 0.1: networks(1.0, seeds)}
        noisy_quadratic.draw_gains(right, noisy_quadratic.gains(pairs(seeds), merges), 390)
        lines = {str(line.get_label()): line for line in right.get_lines()}
        assert list(lines)[:4] == [
            f"lr x {factor}, {what}" for factor in ("1", "0.1") for what in ("measured", "predicted")
        ]
        drawn = np.asarray(lines["lr x 1, measured"].get_xydata())
        assert drawn == pytest.approx(np.array([[after / 390, 0.995**after] for after in AFTER]))
        assert [str(line.get_label()) for line in left.get_lines()] == ["measured", "noisy quadratic, fitted"]
        assert len(plots.save(figure, tmp_path / "panels")) == 2


def test_what_a_seed_lacks_is_a_gap_in_its_lines() -> None:
    _, (left, right) = plots.canvas(1, 2, title="Noisy quadratic")
    table = noisy_quadratic.distances(pairs())
    noisy_quadratic.draw_distances(left, table.where(lambda row: (row["seed"], row["s_steps"]) != (4, 780)), 390)
    drawn = dict(zip(S, np.asarray(left.get_lines()[0].get_ydata()), strict=True))
    square = {s: 1 - DECAY ** (2 * s) for s in S}
    assert drawn == pytest.approx({s: (4 if s == 780 else 4.5) * square[s] for s in S})
    gains = noisy_quadratic.gains(pairs(), {1.0: networks(0.995)})
    noisy_quadratic.draw_gains(right, gains.where(lambda row: (row["seed"], row["after_steps"]) != (3, 0)), 390)
    assert np.asarray(right.get_lines()[0].get_ydata()) == pytest.approx([0.995**after for after in AFTER])


def test_a_real_study_has_what_it_takes(tmp_path: Path) -> None:
    study = branch(
        *(
            'branch={at=["5it"], lengths=["2it", "4it", "8it", "12it"]}',
            'merge={at=["12it"], after="6it", every="3it"}',
        ),
        "seeds=[1, 2]",
    )
    found = ran(study, tmp_path)
    table = noisy_quadratic.gains(found["pairs"], {1.0: found["networks"]}, spectrum=True)
    assert len(table) == 2 * 3
    for (seed,), own in table.groups("seed").items():
        rows = found["networks"].where(seed=seed, after_steps=6)
        mean = sum(row["loss"] for row in rows if row["network"] != "merge") / 2
        assert own["gain"][-1] == pytest.approx(mean - rows.where(network="merge")["loss"][0], rel=1e-12)
        assert own["predicted"][0] == pytest.approx(1.0)
        assert 0 < own["predicted"][-1] < own["predicted"][1] < 1
