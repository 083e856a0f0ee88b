"""The figures of both families of study from tables made up for them: which lines, where, and what is said below."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isthmus import figures
from isthmus.study import Results, Study, expand
from isthmus.tables import Table
from small_studies import PER_EPOCH, branch, to_final

ALPHAS = (0.0, 0.25, 1.0)


def results(study: Study, **tables: list[dict[str, Any]]) -> Results:
    return Results(study, {name: Table.of(rows) for name, rows in tables.items()}, expand(study), 0)


def loss(seed: int, pair: int, k: int, s: int, alpha: float) -> float:
    return 0.1 * seed + 0.02 * pair + 0.3 * k + 0.5 * s + alpha * (1 - alpha)


def branching(
    seeds: tuple[int, ...], pairs: int = 1, splits: tuple[str, ...] = ("test",), norm: str = "none"
) -> dict[str, list[dict[str, Any]]]:
    """Pairs and curves for k = 0 (s = 1, 2) and k = 2 (s = 1), rows in no order of k."""
    found: dict[str, list[dict[str, Any]]] = {"pairs": [], "curves": []}
    for split in splits:
        for k, s in ((2, 1), (0, 2), (0, 1)):
            for seed in seeds:
                for pair in range(pairs):
                    labels = {"seed": seed, "k": f"{k}ep", "s": f"{s}ep", "k_steps": k * PER_EPOCH}
                    labels |= {"s_steps": s * PER_EPOCH, "split": split, "pair": f"pair{pair}"}
                    found["pairs"].append({**labels, "metric": "loss", "examples": 1234, "norm_stats": norm})
                    for alpha in ALPHAS:
                        value = loss(seed, pair, k, s, alpha)
                        found["curves"].append({**labels, "alpha": alpha, "loss": value, "error": value / 10})
    return found


def curves(axes: Axes) -> dict[str, list[float]]:
    """The lines of a panel by their label."""
    return {str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()}


def note(figure: Figure) -> str:
    return figure.texts[1].get_text().replace("\n", " ")


# --- branch ----------------------------------------------------------------------------------------------


def test_a_line_for_each_k_at_its_longest_s(drawn: dict[str, Figure], tmp_path: Path) -> None:
    study = branch("seeds=[3, 5]", 'branch.lengths=["1ep", "2ep"]', 'evaluate.on=["test", "train:100"]')
    tables = branching((3, 5), splits=("test", "train:100"))
    assert figures.draw(results(study, **tables), tmp_path) == [tmp_path / "lines"]
    panels = drawn["lines"].axes
    assert [axes.get_title(loc="left") for axes in panels] == ["test", "test", "train:100", "train:100"]
    assert [axes.get_ylabel() for axes in panels] == ["loss (nats)", "error rate (share)"] * 2
    for index, axes in enumerate(panels):
        expected = {
            f"k = {k}ep, s = {s}ep": [0.4 + 0.3 * k + 0.5 * s + alpha * (1 - alpha) for alpha in ALPHAS]
            for k, s in ((0, 2), (2, 1))
        }
        found = curves(axes)
        assert list(found) == list(expected)
        for name, values in expected.items():
            assert found[name] == pytest.approx([value / 10 ** (index % 2) for value in values], abs=1e-12)
        assert len(axes.collections) == 2  # bands
    assert note(drawn["lines"]) == (
        "mlp on spiral. Mean of 2 seeds, band from the lowest to the highest."
        " test: 1,234 examples, train:100: 1,234 examples."
    )


@pytest.mark.parametrize(
    ("seeds", "pairs", "norm", "said", "bands"),
    [
        ((3,), 1, "none", "One seed. test: 1,234 examples.", 0),
        ((3,), 3, "none", "One seed, mean of its 3 pairs, band from the lowest to the highest. test", 1),
        ((3, 5), 3, "none", "Mean of 2 seeds with 3 pairs each, band from the lowest to the highest. test", 1),
        ((3,), 1, "recompute (batch 256)", "Normalisation statistics: recompute (batch 256).", 0),
    ],
)
def test_the_note_says_what_the_line_and_the_band_are(
    drawn: dict[str, Figure], tmp_path: Path, seeds: tuple[int, ...], pairs: int, norm: str, said: str, bands: int
) -> None:
    study = branch(f"seeds={list(seeds)}", 'branch.lengths=["1ep", "2ep"]')
    figures.draw(results(study, **branching(seeds, pairs, norm=norm)), tmp_path)
    assert said in note(drawn["lines"])
    axes = drawn["lines"].axes[0]
    assert len(axes.collections) == 2 * bands
    middle = [0.1 * np.mean(seeds) + 0.02 * (pairs - 1) / 2 + 1 + alpha * (1 - alpha) for alpha in ALPHAS]
    assert curves(axes)["k = 0ep, s = 2ep"] == pytest.approx(middle, abs=1e-12)


def merging(seeds: tuple[int, ...], copies: tuple[str, ...], go_on: bool = True) -> list[dict[str, Any]]:
    """Networks for k = 0 and 2, s = 1 and 2; only after s = 1 (k = 2) and s = 2 (k = 0) is there training on."""
    rows = []
    for k, s, afters in ((2, 1, (0, 2, 4)), (2, 2, (0,)), (0, 1, (0,)), (0, 2, (0, 2, 4))):
        for seed in seeds:
            for index, network in enumerate(("merge", *copies)):
                for after in afters if go_on or network == "merge" else (0,):
                    accuracy = 0.5 + 0.1 * (network == "merge") + 0.01 * (k + s + index) + 0.02 * seed + 0.03 * after
                    labels = {"seed": seed, "k": f"{k}ep", "s": f"{s}ep", "k_steps": 5 * k, "s_steps": 5 * s}
                    labels |= {"split": "test", "network": network, "after_steps": after}
                    rows.append({**labels, "accuracy": accuracy, "examples": 70, "norm_stats": "none"})
            rows.append({**rows[-1], "network": "trunk at k", "s": "0ep", "s_steps": 0, "accuracy": 9.0})
    return rows


@pytest.mark.parametrize("go_on", [True, False])
def test_the_merge_and_the_copies_as_training_goes_on(drawn: dict[str, Figure], tmp_path: Path, go_on: bool) -> None:
    merge = ('merge.after="4it"', 'merge.every="2it"', f"merge.children_go_on={str(go_on).lower()}")
    study = branch("seeds=[1, 2]", 'branch.lengths=["1ep", "2ep"]', "branch.children=3", *merge)
    networks = merging((1, 2), ("child1", "child2", "child3"), go_on)
    assert figures.draw(results(study, networks=networks), tmp_path) == [tmp_path / "after-merge"]
    panels = drawn["after-merge"].axes
    assert [axes.get_title(loc="left") for axes in panels] == ["k = 0ep, s = 2ep", "k = 2ep, s = 1ep"]
    for axes, k_and_s in zip(panels, (2, 3), strict=True):
        for line in axes.get_lines():
            merged = line.get_label() == "merge"
            times = [0, 2 / 5, 4 / 5] if merged or go_on else [0]
            assert np.asarray(line.get_xdata()).tolist() == times
            middle = 0.5 + 0.1 * merged + 0.01 * (k_and_s + (0 if merged else 2)) + 0.02 * 1.5
            expected = [middle + 0.03 * 5 * time for time in times]
            assert np.asarray(line.get_ydata()).tolist() == pytest.approx(expected, abs=1e-12)
        assert [str(line.get_label()) for line in axes.get_lines()] == ["merge", "copies"]
        assert len({line.get_color() for line in axes.get_lines()}) == 2
        assert len({line.get_marker() for line in axes.get_lines()}) == 2
    assert "Mean of 2 seeds with 3 copies each, band" in note(drawn["after-merge"])


def test_what_a_merge_is_compared_with_is_drawn_beside_it(drawn: dict[str, Figure], tmp_path: Path) -> None:
    networks = [row for row in merging((1, 2), ("child1", "child2")) if row["k_steps"] == 10 and row["s_steps"] == 5]
    for row in [row for row in networks if row["network"] == "child1"]:
        networks.append({**row, "network": "longer, lr x 0.1", "accuracy": row["accuracy"] + 0.2})
        if not row["after_steps"]:
            networks += [{**row, "network": f"ema child{i}", "accuracy": 0.3 + i * row["seed"] / 10} for i in (1, 2)]
            networks.append({**row, "network": "ensemble", "accuracy": 0.9})
            networks.append({**row, "network": "longer, lr x 0.1", "after_steps": -5, "accuracy": 9.0})
    study = branch("seeds=[1, 2]", 'merge={after="4it", every="2it"}', "baselines.ensemble=true")
    figures.draw(results(study, networks=networks), tmp_path)
    (axes,) = drawn["after-merge"].axes
    points = {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.get_lines()}
    assert list(points) == ["merge", "copies", "longer, lr x 0.1", "moving averages of copies", "ensemble"]
    assert points["ensemble"].tolist() == [[0, 0.9]]
    assert points["moving averages of copies"].ravel().tolist() == pytest.approx([0, 0.3 + 1.5 * 1.5 / 10])
    assert points["longer, lr x 0.1"][:, 0].tolist() == points["merge"][:, 0].tolist() == [0, 2 / 5, 4 / 5]
    copies = [row["accuracy"] for row in networks if row["network"] == "child1"]
    assert points["longer, lr x 0.1"][:, 1] == pytest.approx(np.reshape(copies, (2, 3)).mean(0) + 0.2)
    assert "Mean of 2 seeds with 2 copies each, band" in note(drawn["after-merge"])
    assert len({line.get_color() for line in axes.get_lines()}) == 5


def test_without_training_on_there_is_no_such_figure(drawn: dict[str, Figure], tmp_path: Path) -> None:
    networks = [row for row in merging((1,), ("child1",)) if not row["after_steps"]]
    assert figures.draw(results(branch(), networks=networks), tmp_path) == []
    assert figures.draw(results(branch()), tmp_path) == []
    assert not drawn


# --- initial to final ---------------------------------------------------------------------------------------


def along(blocks: list[str], paths: tuple[str, ...] = ("initial->final",)) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {"paths": [], "curves": []}
    for path in paths:
        for split in ("test", "train:100"):
            for at, block in enumerate(blocks):
                for seed in (3, 5):
                    labels = {"seed": seed, "path": path, "block": block, "split": split}
                    found["paths"].append({**labels, "examples": 70, "norm_stats": "interpolate"})
                    for alpha in ALPHAS:
                        value = 2.0 - alpha + 0.1 * at + 0.01 * seed
                        found["curves"].append({**labels, "alpha": alpha, "loss": value, "error": value / 10})
    return found


def test_a_figure_for_each_path_and_split(drawn: dict[str, Figure], tmp_path: Path) -> None:
    study = to_final("seeds=[3, 5]", 'train.paths=["initial->final", "final->fresh"]')
    figures.draw(results(study, **along(["all", "fc1", "fc2"], ("initial->final", "final->fresh"))), tmp_path)
    assert list(drawn) == [
        f"path-{path}-{split}" for path in ("initial-to-final", "final-to-fresh") for split in ("test", "train-100")
    ]
    for name, figure in drawn.items():
        title, said = (text.get_text() for text in figure.texts)
        assert title.startswith("small: initial->final" if "initial" in name else "small: final->fresh")
        assert "interpolate" in said
        for axes, scale in zip(figure.axes, (1, 10), strict=True):
            assert axes.get_xlabel() == (
                "alpha (0: initial, 1: final)" if "initial" in name else "alpha (0: final, 1: fresh)"
            )
            for at, (block, values) in enumerate(curves(axes).items()):
                assert block == ["all", "fc1", "fc2"][at]
                assert values == pytest.approx([(2.04 - a + 0.1 * at) / scale for a in ALPHAS], abs=1e-12)


def test_many_blocks_are_still_told_apart_from_each_other_and_from_the_whole(
    drawn: dict[str, Figure], tmp_path: Path
) -> None:
    figures.draw(results(to_final("seeds=[3, 5]"), **along(["all", *(f"block{i}" for i in range(20))])), tmp_path)
    for axes in drawn["path-initial-to-final-test"].axes:
        whole, *blocks = axes.get_lines()
        looks = {(line.get_color(), str(line._dash_pattern)) for line in blocks}  # type: ignore[attr-defined]
        assert len(looks) == 20
        assert whole.get_color() not in {line.get_color() for line in blocks}
        assert whole.get_linewidth() > max(line.get_linewidth() for line in blocks)


# --- anything ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_numbers_that_are_none(drawn: dict[str, Figure], tmp_path: Path, value: float | None) -> None:
    def spoilt(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "loss": value} if row.get("alpha") == 0.25 else row for row in rows]

    tables: Mapping[str, Any] = {name: spoilt(rows) for name, rows in branching((3, 5)).items()}
    study = branch("seeds=[3, 5]", 'branch.lengths=["1ep", "2ep"]')
    figures.draw(results(study, **tables), tmp_path)
    for values in curves(drawn["lines"].axes[0]).values():
        assert np.isfinite(values).tolist() == [True, False, True]  # a gap, not a line across it


def test_the_files_of_a_study(tmp_path: Path) -> None:
    files = figures.draw(results(branch('branch.lengths=["1ep", "2ep"]'), **branching((0,))), tmp_path)
    assert files == [tmp_path / "lines.png", tmp_path / "lines.svg"]
    assert all(file.stat().st_size > 2000 for file in files)
