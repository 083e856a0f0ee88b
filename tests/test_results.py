"""What follows from per-example losses along a path, against loops over points and examples."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import curves
from isthmus.errors import BadInput
from isthmus.results import NormStats, PairResult, PathResult

ALPHAS = np.array([0.0, 0.25, 0.5, 0.8, 1.0])
LOSSES = np.array(
    [[0.5, 2.0, 1.25], [1.5, 2.5, 0.25], [3.0, 4.5, 2.25], [2.0, 1.0, 3.5], [0.25, 0.75, 1.5]], dtype=np.float32
)
ERRORS = np.array([[0, 1, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1], [0, 0, 1]], dtype=np.float32)


def result(errors: bool = True) -> PathResult:
    return PathResult(ALPHAS, LOSSES, ERRORS if errors else None, NormStats("interpolate"))


def test_means_by_point() -> None:
    found = result()
    assert found.loss.tolist() == pytest.approx([math.fsum(map(float, row)) / 3 for row in LOSSES], abs=1e-15)
    assert found.error.tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1 / 3, 1 / 3], abs=1e-15)
    assert (found.accuracy == 1 - found.error).all()
    assert found.loss.dtype == found.error.dtype == np.float64
    assert (found.curve("loss") == found.loss).all()
    assert (found.curve("error") == found.error).all()


@given(st.integers(1, 6), st.integers(1, 4000), st.integers(0, 99))
def test_means_are_taken_in_double_precision(points: int, examples: int, seed: int) -> None:
    losses = (1e4 + np.random.default_rng(seed).random((points, examples))).astype(np.float32)
    found = PathResult(np.linspace(0, 1, points), losses, None, NormStats("none")).loss
    exact = [math.fsum(map(float, row)) / examples for row in losses]
    assert found.tolist() == pytest.approx(exact, rel=1e-13)  # float32 would be off by 1e-7


@pytest.mark.parametrize("metric", ["loss", "error"])
def test_barriers_are_those_of_the_curve(metric: str) -> None:
    found = result()
    curve = found.loss if metric == "loss" else found.error
    for name in curves.DEFINITIONS:
        expected = curves.barrier(ALPHAS, curve, name)
        assert found.barrier(name, metric) == expected  # type: ignore[arg-type]
        assert found.barriers(metric)[name] == expected  # type: ignore[arg-type]
    assert (found.gap(metric) == curves.gap(ALPHAS, curve)).all()  # type: ignore[arg-type]
    assert found.barrier() == found.barrier("chord", "loss")


def test_the_shape_is_that_of_the_loss() -> None:
    assert result().shape(10) == curves.shape(ALPHAS, result().loss, 10) == "B"


def test_targets_that_are_no_classes_have_no_error() -> None:
    found = result(errors=False)
    assert found.error.shape == (5,)
    assert np.isnan(found.error).all()
    assert all(math.isnan(value) for value in found.barriers("error").values())
    assert not math.isnan(found.barrier())


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(BadInput, match="found 'accuracy'"):
        result().curve("accuracy")  # type: ignore[arg-type]


def test_nan_and_infinity_are_kept() -> None:
    losses = LOSSES.copy()
    losses[2, 1] = np.inf
    found = PathResult(ALPHAS, losses, ERRORS, NormStats("none"))
    assert found.loss[2] == math.inf
    assert found.barrier() == math.inf
    losses[2, 0] = np.nan
    assert math.isnan(PathResult(ALPHAS, losses, ERRORS, NormStats("none")).barrier())


def test_the_table_of_a_line_reads_back_exactly(tmp_path: Path) -> None:
    found = result()
    found.to_csv(tmp_path / "curve.csv")
    with open(tmp_path / "curve.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["alpha", "loss", "error"]
    assert [float(row["alpha"]) for row in rows] == ALPHAS.tolist()
    assert [float(row["loss"]) for row in rows] == found.loss.tolist()
    assert [float(row["error"]) for row in rows] == found.error.tolist()


def test_to_pandas() -> None:
    pytest.importorskip("pandas")
    frame = result().to_pandas()
    assert list(frame.columns) == ["alpha", "loss", "error"]
    assert frame["loss"].tolist() == result().loss.tolist()


def test_a_plane_has_two_coordinates_and_no_barrier() -> None:
    grid = np.array([[0.0, 0.0], [0.25, 0.5], [1.0, 0.75]])
    found = PathResult(grid, LOSSES[:3], ERRORS[:3], NormStats("none"))
    assert found.table().columns == ("coordinate_0", "coordinate_1", "loss", "error")
    assert found.table()["coordinate_1"] == [0.0, 0.5, 0.75]
    with pytest.raises(BadInput, match="a result on 2 coordinates has none"):
        found.barrier()


def test_points_outside_the_segment_are_left_out_of_barriers() -> None:
    found = PathResult(np.array([-0.5, 0.0, 0.5, 1.0, 1.5]), LOSSES, ERRORS, NormStats("none"))
    assert len(found.table()) == 5
    inside = PathResult(np.array([0.0, 0.5, 1.0]), LOSSES[1:4], ERRORS[1:4], NormStats("none"))
    for metric in ("loss", "error"):
        assert found.barriers(metric) == inside.barriers(metric)
        assert found.gap(metric).tolist() == inside.gap(metric).tolist()
    assert found.shape(10) == inside.shape(10)
    with pytest.raises(ValueError, match="rise from 0 to 1"):
        PathResult(np.array([-0.5, 0.1, 0.5, 1.0, 1.5]), LOSSES, ERRORS, NormStats("none")).barrier()


def test_the_repr_is_a_line_that_says_what_was_found() -> None:
    found = PathResult(ALPHAS, LOSSES, ERRORS, NormStats("recompute", 256, 1024))
    text = repr(found)
    assert text.startswith(f"PathResult(5 points, {LOSSES.shape[1]} examples; ")
    assert f"{found.loss.max():.4g}" in text
    assert "recompute (batch 256, examples 1024)" in text


def test_norm_stats_say_what_they_depend_on() -> None:
    assert str(NormStats("interpolate")) == "interpolate"
    assert str(NormStats("recompute", batch=256, examples=10_240)) == "recompute (batch 256, examples 10240)"
    assert NormStats("batch", batch=128).describe() == {"mode": "batch", "batch": 128}
    assert NormStats("recompute", 256, 512) != NormStats("recompute", 128, 512)


def test_some_of_the_examples() -> None:
    numbers = np.random.default_rng(3)
    losses, wrong = numbers.random((3, 5)).astype(np.float32), numbers.integers(0, 2, (3, 5)).astype(np.float32)
    entropies = numbers.random((2, 5)).astype(np.float32)
    pair = PairResult(entropies[0], entropies[1], np.array([True, False, True, True, False]))
    alphas = np.array([0.0, 0.4, 1.0])
    whole = PathResult(alphas, losses, wrong, NormStats("init"), {"a": (0.1, 0.2)}, ("a note",), pair)
    some = whole.take([4, 0, 0])  # in this order, and more than once, as a bootstrap draws
    assert some.per_example_loss.tolist() == losses[:, [4, 0, 0]].tolist()
    assert some.error.tolist() == wrong[:, [4, 0, 0]].mean(1, dtype=np.float64).tolist()
    assert some.pair is not None
    assert some.pair.cross_entropy_ba.tolist() == pair.cross_entropy_ba[[4, 0, 0]].tolist()
    assert some.pair.means()["disagreement"] == 2 / 3
    assert (some.alphas.tolist(), some.norm_stats, some.notes) == ([0.0, 0.4, 1.0], NormStats("init"), ("a note",))
    assert (whole.stored_ends, some.stored_ends) == ({"a": (0.1, 0.2)}, {})
    bare = PathResult(alphas, losses, None, NormStats("none")).take(np.arange(2))
    assert (bare.per_example_error, bare.pair, bare.per_example_loss.shape) == (None, None, (3, 2))
    with pytest.raises(BadInput, match=r"expected places from 0 to 4, found 5"):
        whole.take([1, 5])
