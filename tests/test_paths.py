"""Paths: coefficients, ends bit for bit, blocks, and networks small enough to know their loss in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from isthmus import curves, paths, weights
from isthmus.errors import BadInput, BadWeights
from isthmus.paths import Path
from isthmus.weights import Kind, Weights

State = dict[str, Tensor]
GRID = np.linspace(0, 1, 25)
seeds = st.integers(0, 10**6)
alphas = st.floats(-2, 3)


def state(seed: int, dtype: torch.dtype = torch.float64) -> State:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"one.weight": (3, 2), "one.bias": (3,), "two.weight": (5, 3), "two.bias": (5,), "three.weight": (1, 5)}
    made = {n: torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for n, s in shapes.items()}
    return {**made, "steps": torch.randint(0, 1000, (), generator=generator)}


def same_bits(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return weights.digest(a) == weights.digest(b)


def close(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-12)


# --- the line ----------------------------------------------------------------------------------


@given(seeds, seeds, alphas)
def test_a_line_is_lerp(seed: int, other: int, alpha: float) -> None:
    a, b = state(seed), state(other)
    assert same_bits(paths.line(a, b).at(alpha), weights.lerp(a, b, alpha))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_every_path_has_its_ends_bit_for_bit(dtype: torch.dtype) -> None:
    a, b, c = (state(seed, dtype) for seed in (1, 2, 3))
    for path in (paths.line(a, b), paths.blocks(a, b, "*"), paths.cumulative(a, b, ["two.*", "one.*"])):
        assert same_bits(path.at(0.0), a)
        assert same_bits(path.at(1.0), b)
    flat = paths.plane(a, b, c)
    for corner, end in (((0.0, 0.0), a), ((1.0, 0.0), b), ((0.0, 1.0), c)):
        assert same_bits(flat.at(corner), end)


@pytest.mark.parametrize("alpha", [0.25, 1.0])
def test_points_are_new_memory(alpha: float) -> None:
    a, b = state(1), state(2)
    kept = weights.digest(a), weights.digest(b)
    for tensor in paths.line(a, b).at(alpha).values():
        tensor.add_(1)
    assert (weights.digest(a), weights.digest(b)) == kept


@pytest.mark.parametrize("scalar", [0.25, np.float64(0.25), np.float32(0.25), torch.tensor(0.25), (0.25,), [0.25]])
def test_any_number_is_a_coordinate_of_a_line(scalar: float) -> None:
    a, b = state(1), state(2)
    assert same_bits(paths.line(a, b).at(scalar), weights.lerp(a, b, 0.25))


def test_whole_numbers_are_coordinates_as_well() -> None:
    a, b = state(1), state(2)
    for one in (1, np.int64(1), True):
        assert same_bits(paths.line(a, b).at(one), b)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, (0.1, 0.2), ()])
def test_a_line_takes_one_finite_number(bad: float | tuple[float, ...]) -> None:
    with pytest.raises(BadInput, match="A line path takes 1 finite number"):
        paths.line(state(1), state(2)).at(bad)


@pytest.mark.parametrize("bad", [0.5, (0.5,), (0.1, 0.2, 0.3), (0.5, math.nan)])
def test_a_plane_takes_two_finite_numbers(bad: float | tuple[float, ...]) -> None:
    with pytest.raises(BadInput, match="A plane path takes 2 finite number"):
        paths.plane(state(1), state(2), state(3)).at(bad)


def test_ends_that_do_not_match_are_refused_when_the_path_is_made() -> None:
    a, bad = state(1), state(2)
    bad["two.bias"] = torch.ones(6, dtype=torch.float64)
    says = r"'two.bias' has shape \(5,\) in end point 1 and \(6,\) in end point"
    makes: list[Callable[[], Path]] = [
        lambda: paths.line(a, bad),
        lambda: paths.blocks(a, bad, "one.*"),
        lambda: paths.cumulative(a, bad, ["one.*"]),
        lambda: paths.plane(a, state(3), bad),
    ]
    for make in makes:
        with pytest.raises(BadWeights, match=says):
            make()
    with pytest.raises(BadInput, match="at least one end point"):
        Path((), lambda *_: (), "empty")


# --- writing in place --------------------------------------------------------------------------


@given(seeds, alphas, st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]))
def test_writing_in_place_gives_the_same_bits(seed: int, alpha: float, dtype: torch.dtype) -> None:
    a, b, c = (state(seed + i, dtype) for i in range(3))
    made = [paths.line(a, b), paths.blocks(a, b, "one.*"), paths.cumulative(a, b, ["one.*", "two.*"])]
    points: list[tuple[Path, float | tuple[float, ...]]] = [(path, alpha) for path in made]
    points.append((paths.plane(a, b, c), (alpha, 0.3)))
    for path, at in points:
        into = state(seed + 9, dtype)
        addresses = {name: tensor.data_ptr() for name, tensor in into.items()}
        path.write(at, into)
        assert same_bits(into, path.at(at))
        assert {name: tensor.data_ptr() for name, tensor in into.items()} == addresses


def test_writing_into_parameters_that_require_gradients() -> None:
    a, b = state(1), state(2)
    into = {n: nn.Parameter(torch.zeros_like(t)) if t.is_floating_point() else t.clone() for n, t in a.items()}
    paths.line(a, b).write(0.3, into)
    assert same_bits(into, weights.lerp(a, b, 0.3))
    assert all(tensor.requires_grad and tensor.grad_fn is None for tensor in into.values() if tensor.ndim)


def test_writing_into_another_memory_layout() -> None:
    a, b = ({"w": torch.randn(4, 3, 5, 2, generator=torch.Generator().manual_seed(i))} for i in (1, 2))
    into = {"w": torch.zeros(4, 3, 5, 2).to(memory_format=torch.channels_last)}
    paths.line(a, b).write(0.3, into)
    assert into["w"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(into["w"], weights.lerp(a, b, 0.3)["w"])


def test_only_the_named_tensors_are_written() -> None:
    a, b, into = state(1), state(2), state(3)
    before = {name: tensor.clone() for name, tensor in into.items()}
    paths.line(a, b).write(0.3, into, names=["one.bias", "steps"])
    expected = {**before, **{name: weights.lerp(a, b, 0.3)[name] for name in ("one.bias", "steps")}}
    assert same_bits(into, expected)


# --- blocks ------------------------------------------------------------------------------------


@given(seeds, seeds, alphas, st.sampled_from(["a", "b"]))
def test_only_the_block_moves(seed: int, other: int, alpha: float, rest: str) -> None:
    a, b = state(seed), state(other)
    found = paths.blocks(a, b, ["two.*"], rest=rest).at(alpha)  # type: ignore[arg-type]
    whole = weights.lerp(a, b, alpha)
    stays = a if rest == "a" else b
    expected = {name: whole[name] if name.startswith("two.") else stays[name] for name in a}
    assert same_bits(found, expected)


def test_the_ends_of_a_block_wise_path() -> None:
    a, b = state(1), state(2)
    path = paths.blocks(a, b, "two.*")
    assert same_bits(path.at(1.0), b)  # by default the rest is at the final weights
    assert same_bits(path.at(0.0), {name: a[name] if name.startswith("two.") else b[name] for name in a})
    assert same_bits(paths.blocks(a, b, "two.*", rest="a").at(0.0), a)


@given(seeds, seeds, alphas)
def test_all_blocks_together_are_the_full_path(seed: int, other: int, alpha: float) -> None:
    a, b = state(seed), state(other)
    patterns = ["one.*", "two.*", "three.*", "steps"]
    for rest in ("a", "b"):
        path = paths.blocks(a, b, patterns, rest=rest)
        assert same_bits(path.at(alpha), paths.line(a, b).at(alpha))


@given(seeds, seeds)
def test_squared_lengths_of_block_wise_paths_add_up(seed: int, other: int) -> None:
    a, b = state(seed), state(other)
    lengths = [weights.distance(paths.blocks(a, b, f"{block}.*").at(0.0), b) for block in ("one", "two", "three")]
    assert math.fsum(length**2 for length in lengths) == pytest.approx(weights.distance(a, b) ** 2, rel=1e-12)


@given(seeds, seeds, alphas)
def test_rest_a_and_rest_b_are_each_others_mirror(seed: int, other: int, alpha: float) -> None:
    a, b = state(seed), state(other)
    close(
        {n: t for n, t in paths.blocks(a, b, "one.*", rest="a").at(alpha).items() if n != "steps"},
        paths.blocks(b, a, "one.*", rest="b").at(1 - alpha),
    )


def test_bad_blocks_are_refused() -> None:
    with pytest.raises(BadWeights, match=r"No tensor matches the pattern 'tow.\*'"):
        paths.blocks(state(1), state(2), ["one.*", "tow.*"])
    with pytest.raises(BadInput, match='rest must be "a" or "b", found \'c\''):
        paths.blocks(state(1), state(2), "one.*", rest="c")  # type: ignore[arg-type]


def test_integer_buffers_follow_their_own_tensor() -> None:
    a = Weights({"bn.weight": torch.ones(2), "bn.num_batches_tracked": torch.tensor(3), "n": torch.tensor([1, 2])})
    later = {"bn.weight": torch.full((2,), 5.0), "bn.num_batches_tracked": torch.tensor(8)}
    b = a.like({**later, "n": torch.tensor([7, 9])})
    found = paths.blocks(a, b, "bn.*").at(0.25)
    assert (found["bn.num_batches_tracked"].item(), found["n"].tolist()) == (3, [7, 9])
    assert paths.line(a, b).at(0.5)["n"].tolist() == [1, 2]
    assert paths.line(a, b).at(0.51)["n"].tolist() == [7, 9]
    assert paths.plane(a, b, b).at((0.3, 0.45))["n"].tolist() == [7, 9]
    assert found.kinds["n"] is Kind.INTEGER_BUFFER


# --- cumulative --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 7, 22, 49])
def test_at_j_of_n_the_first_j_groups_have_arrived_bit_for_bit(count: int) -> None:
    """49 / 49 by steps of 1 / 49 does not land on whole numbers in floating point; the path does."""
    tiny = 1e-18  # beside it a step of one rounding error towards the other end would be seen
    a = {f"w{i}": torch.tensor([1.5 + i, tiny], dtype=torch.float64) for i in range(count)}
    b = {f"w{i}": torch.tensor([-tiny, 0.7 * i + 2], dtype=torch.float64) for i in range(count)}
    path = paths.cumulative(a, b, [f"w{i}" for i in range(count)])
    for j in range(count + 1):
        expected = {name: b[name] if i < j else a[name] for i, name in enumerate(a)}
        for at in (j / count, j * (1 / count), 1 - (count - j) / count):
            assert same_bits(path.at(at), expected)


@given(seeds, st.floats(-0.5, 1.5))
def test_the_cumulative_path_by_a_loop(seed: int, t: float) -> None:
    a, b = state(seed), state(seed + 1)
    groups = [["two.*"], ["one.weight", "one.bias"], ["steps"]]  # "three" is in none: it goes with the last
    index = {"two.weight": 0, "two.bias": 0, "one.weight": 1, "one.bias": 1, "three.weight": 2}
    found = paths.cumulative(a, b, groups).at(t)
    for name, group in index.items():
        position = min(max(3 * t - group, 0.0), 1.0)
        torch.testing.assert_close(found[name], (1 - position) * a[name] + position * b[name], rtol=0, atol=1e-11)


def test_a_tensor_moves_in_one_group_only() -> None:
    with pytest.raises(BadWeights, match=r"'one\.bias' is in groups 1 and 3; name it once"):
        paths.cumulative(state(1), state(2), ["one.*", "two.*", "*.bias"])
    with pytest.raises(BadInput, match="at least one group"):
        paths.cumulative(state(1), state(2), [])
    with pytest.raises(BadWeights, match="No tensor matches the pattern"):
        paths.cumulative(state(1), state(2), ["one.*", "four.*"])


# --- plane -------------------------------------------------------------------------------------


@given(seeds, st.floats(-1, 2), st.floats(-1, 2))
def test_the_plane_by_its_formula(seed: int, u: float, v: float) -> None:
    origin, x, y = (state(seed + i) for i in range(3))
    found = paths.plane(origin, x, y).at((u, v))
    for name in weights.parameters(found):
        expected = origin[name] + u * (x[name] - origin[name]) + v * (y[name] - origin[name])
        torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-12)


@given(seeds, st.floats(-1, 2))
def test_the_edges_of_the_plane_are_lines(seed: int, u: float) -> None:
    origin, x, y = (state(seed + i) for i in range(3))
    surface = paths.plane(origin, x, y)
    for corner, line in (
        ((u, 0.0), paths.line(origin, x)),
        ((0.0, u), paths.line(origin, y)),
        ((1 - u, u), paths.line(x, y)),
    ):
        names = weights.parameters(origin)
        close({n: surface.at(corner)[n] for n in names}, {n: line.at(u)[n] for n in names})


# --- one's own path ----------------------------------------------------------------------------


@given(seeds, st.floats(0, 1))
def test_a_path_is_one_rule(seed: int, t: float) -> None:
    """A quadratic Bezier curve in one line, coefficients (1-t)^2, 2t(1-t), t^2."""
    a, m, b = (state(seed + i) for i in range(3))

    def rule(_: str, at: float | tuple[float, ...]) -> tuple[float, ...]:
        assert isinstance(at, float)
        return (1 - at) ** 2, 2 * at * (1 - at), at**2

    path = Path((a, m, b), rule, "bezier")
    names = list(weights.parameters(a))
    first, second = weights.lerp(a, m, t), weights.lerp(m, b, t)
    by_de_casteljau = weights.lerp(first, second, t)
    close({n: path.at(t)[n] for n in names}, by_de_casteljau)
    assert same_bits(path.at(0.0), a)
    assert same_bits(path.at(1.0), b)


def test_points_keep_the_kinds_and_ties_of_the_first_end() -> None:
    a = Weights({"s": torch.ones(2), "w": torch.ones(3), "v": torch.ones(3)}, {"s": Kind.FLOAT_BUFFER}, {"v": "w"})
    b = a.like({name: tensor * 4 for name, tensor in a.items()})
    for path, at in ((paths.line(a, b), 0.5), (paths.plane(a, b, b), (0.2, 0.3))):
        found = path.at(at)
        assert dict(found.kinds) == dict(a.kinds)
        assert dict(found.ties) == {"v": "w"}


# --- losses known in closed form ---------------------------------------------------------------


def losses(path: Path, loss: Callable[[Weights], Tensor]) -> npt.NDArray[np.float64]:
    return np.array([float(loss(path.at(alpha))) for alpha in GRID.tolist()])


def inputs(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_quadratic_loss_has_a_gap_of_its_curvature() -> None:
    """gap = -alpha (1 - alpha) d'Hd / 2."""
    root = inputs(1, 4, 4)
    H, g = root + root.T, inputs(2, 4)  # indefinite: the gap may have either sign
    for seed in range(3, 9):
        a, b = {"w": inputs(seed, 4)}, {"w": inputs(seed + 50, 4)}
        d = b["w"] - a["w"]
        found = curves.gap(GRID, losses(paths.line(a, b), lambda w: w["w"] @ H @ w["w"] / 2 + g @ w["w"] + 3))
        expected = -GRID * (1 - GRID) * float(d @ H @ d) / 2
        assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-12)


def test_mean_squared_error_of_a_linear_model() -> None:
    """gap = -alpha (1 - alpha) ||X d||^2 / n, whatever the targets."""
    X, y = inputs(1, 11, 3), inputs(2, 11)
    a, b = {"w": inputs(3, 3)}, {"w": inputs(4, 3)}
    found = curves.gap(GRID, losses(paths.line(a, b), lambda w: ((X @ w["w"] - y) ** 2).mean()))
    expected = -GRID * (1 - GRID) * float(((X @ (b["w"] - a["w"])) ** 2).sum()) / 11
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-12)


@given(seeds)
def test_softmax_regression_has_no_barrier(seed: int) -> None:
    X, targets = inputs(seed, 13, 3), torch.arange(13) % 4
    a, b = ({"w": 3 * inputs(seed + i, 4, 3), "b": inputs(seed + i + 9, 4)} for i in (1, 2))
    line = losses(paths.line(a, b), lambda w: nn.functional.cross_entropy(X @ w["w"].T + w["b"], targets))
    assert curves.gap(GRID, line).max() <= 1e-12
    assert curves.barrier(GRID, line, "signed") <= 1e-12


def two_layer(w: Weights, x: Tensor) -> Tensor:
    return torch.relu(x[:, None] @ w["w1"].T) @ w["w2"]


def test_a_permuted_pair() -> None:
    """relu(x) - relu(-x) = x against itself with units swapped: f = (1 - 2 alpha)^2 x, barrier E[x^2] at 1/2."""
    x = inputs(5, 37)
    a = {"w1": torch.tensor([[1.0], [-1.0]], dtype=torch.float64), "w2": torch.tensor([1.0, -1.0], dtype=torch.float64)}
    b = {name: tensor.flip(0) for name, tensor in a.items()}
    square = float((x**2).mean())
    found = losses(paths.line(a, b), lambda w: ((two_layer(w, x) - x) ** 2).mean())
    expected = 16 * GRID**2 * (1 - GRID) ** 2 * square
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-14)
    for name in ("chord", "midpoint", "mean", "signed", "signed_mean", "rise"):
        assert curves.barrier(GRID, found, name) == pytest.approx(square, rel=1e-13)


@pytest.mark.parametrize("c", [3.0, 0.2, 10.0])
def test_a_rescaled_pair(c: float) -> None:
    """w2 w1 x with (1, 1) and (c, 1/c): the product at 1/2 is (2 + c + 1/c) / 4."""
    x = inputs(6, 29)
    one = torch.tensor(1.0, dtype=torch.float64)
    a, b = {"w1": one, "w2": one}, {"w1": one / c, "w2": one * c}
    found = losses(paths.line(a, b), lambda w: ((w["w2"] * w["w1"] * x - x) ** 2).mean())
    expected = (c + 1 / c - 2) ** 2 / 16 * float((x**2).mean())
    assert curves.barrier(GRID, found) == pytest.approx(expected, rel=1e-12)
    assert curves.barrier(GRID, found, "midpoint") == pytest.approx(expected, rel=1e-12)


def test_block_by_block_in_a_linear_network_each_path_is_a_parabola() -> None:
    """w2 w1 x is linear in each factor: a block-wise path has a convex loss, its gap never above the chord."""
    x = inputs(7, 17)
    a = {"w1": torch.tensor(-0.7, dtype=torch.float64), "w2": torch.tensor(2.5, dtype=torch.float64)}
    b = {"w1": torch.tensor(1.25, dtype=torch.float64), "w2": torch.tensor(0.8, dtype=torch.float64)}
    square = float((x**2).mean())
    found = losses(paths.blocks(a, b, "w1"), lambda w: ((w["w2"] * w["w1"] * x - x) ** 2).mean())
    expected = -GRID * (1 - GRID) * (0.8 * (1.25 + 0.7)) ** 2 * square
    assert curves.gap(GRID, found).tolist() == pytest.approx(expected.tolist(), abs=1e-13)
