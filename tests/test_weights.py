"""Arithmetic on weights: bitwise ends, closed forms, kinds and ties, and every tensor type."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from isthmus import paths, weights
from isthmus.errors import BadWeights
from isthmus.weights import Kind, Weights

State = dict[str, Tensor]
FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128]
INTEGERS = [torch.int64, torch.int32, torch.uint8, torch.bool]
alphas = st.floats(-3, 4)
seeds = st.integers(0, 10**6)


def state(seed: int, dtype: torch.dtype = torch.float32) -> State:
    """Three float tensors of unlike shapes and a counter."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        parts = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
        return (torch.complex(parts[0], parts[1]) if dtype.is_complex else parts[0]).to(dtype)

    counter = torch.randint(1, 1000, (), generator=generator)
    return {"conv.weight": draw(3, 2, 5), "conv.bias": draw(3), "fc.weight": draw(4, 7), "steps": counter}


def bits(tensor: Tensor) -> bytes:
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist()) if tensor.numel() else b""


def same_bits(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return list(a) == list(b) and all(
        a[n].dtype == b[n].dtype and a[n].shape == b[n].shape and bits(a[n]) == bits(b[n]) for n in a
    )


def flat(tensor: Tensor) -> list[complex]:
    return [complex(value) for value in tensor.reshape(-1).tolist()]


# --- lerp --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_lerp_gives_the_ends_bit_for_bit(dtype: torch.dtype) -> None:
    a, b = state(1, dtype), state(2, dtype)
    for end, alpha in ((a, 0.0), (b, 1.0), (a, 0), (b, 1), (a, -0.0)):
        assert same_bits(weights.lerp(a, b, alpha), end)


def test_ends_keep_the_sign_of_zero_nan_and_infinity() -> None:
    odd = {"w": torch.tensor([-0.0, math.inf, -math.inf, math.nan, 1e-45])}
    other = {"w": torch.tensor([3.0, math.nan, math.inf, 2.0, -0.0])}
    assert same_bits(weights.lerp(odd, other, 0.0), odd)
    assert same_bits(weights.lerp(odd, other, 1.0), other)


@given(seeds, alphas, st.sampled_from(FLOATS))
def test_between_equal_ends_nothing_moves_by_a_bit(seed: int, alpha: float, dtype: torch.dtype) -> None:
    a = state(seed, dtype)
    assert same_bits(weights.lerp(a, a, alpha), a)


@given(seeds, seeds, alphas, st.sampled_from(FLOATS))
def test_lerp_by_its_formula(seed: int, other: int, alpha: float, dtype: torch.dtype) -> None:
    a, b = state(seed, dtype), state(other, dtype)
    found = weights.lerp(a, b, alpha)
    unit = torch.finfo(dtype).eps
    for name in ("conv.weight", "conv.bias", "fc.weight"):
        assert found[name].dtype == dtype
        for x, y, z in zip(flat(a[name]), flat(b[name]), flat(found[name])):
            # a difference, a product, a sum and alpha itself are each rounded once, the result as well
            bound = 5 * unit * (1 + abs(alpha)) * (abs(x) + abs(y))
            assert abs(z - ((1 - alpha) * x + alpha * y)) <= bound


@given(seeds, seeds, alphas)
def test_lerp_backwards_is_lerp_from_the_other_end(seed: int, other: int, alpha: float) -> None:
    a, b = state(seed, torch.float64), state(other, torch.float64)
    there, back = weights.lerp(a, b, alpha), weights.lerp(b, a, 1 - alpha)
    for name in weights.parameters(there):
        torch.testing.assert_close(there[name], back[name], rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integer_entries_come_from_the_nearer_end(dtype: torch.dtype) -> None:
    a, b = {"n": torch.tensor([0, 1, 1]).to(dtype)}, {"n": torch.tensor([1, 1, 0]).to(dtype)}
    for alpha in (-2.0, 0.0, 0.25, 0.5):
        assert same_bits(weights.lerp(a, b, alpha), a)
    for alpha in (0.5000001, 0.75, 1.0, 3.0):
        assert same_bits(weights.lerp(a, b, alpha), b)


def test_extrapolation() -> None:
    a, b = {"w": torch.tensor([1.0, -2.0])}, {"w": torch.tensor([3.0, 6.0])}
    assert weights.lerp(a, b, 1.5)["w"].tolist() == [4.0, 10.0]
    assert weights.lerp(a, b, -0.5)["w"].tolist() == [0.0, -6.0]


@pytest.mark.parametrize("alpha", [math.nan, math.inf, -math.inf])
def test_alpha_must_be_finite(alpha: float) -> None:
    with pytest.raises(BadWeights, match=f"alpha must be a finite number, found {alpha}"):
        weights.lerp(state(1), state(2), alpha)


def test_infinity_and_nan_inside_stay_visible() -> None:
    a, b = {"w": torch.tensor([math.inf, math.nan, 1.0])}, {"w": torch.tensor([1.0, 2.0, math.nan])}
    assert not torch.isfinite(weights.lerp(a, b, 0.5)["w"]).any()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_results_share_no_memory_no_graph_and_leave_the_ends_alone(alpha: float) -> None:
    a, b = state(3), state(4)
    for end in (a, b):
        for name in weights.parameters(end):
            end[name].requires_grad_()
    kept = copy.deepcopy(a), copy.deepcopy(b)
    found = weights.lerp(a, b, alpha)
    for name, tensor in found.items():
        assert not tensor.requires_grad
        assert tensor.untyped_storage().data_ptr() not in {e[name].untyped_storage().data_ptr() for e in (a, b)}
        tensor.add_(1)
    assert same_bits(a, kept[0])
    assert same_bits(b, kept[1])


def test_empty_tensors_and_empty_states() -> None:
    a, b = {"e": torch.empty(0, 3), "w": torch.tensor(2.0)}, {"e": torch.empty(0, 3), "w": torch.tensor(5.0)}
    assert weights.lerp(a, b, 0.5)["e"].shape == (0, 3)
    assert weights.distance(a, b) == 3.0
    assert len(weights.lerp({}, {}, 0.5)) == 0
    assert weights.distance({}, {}) == 0.0
    assert math.isnan(weights.distance({}, {}, relative=True))


# --- mismatches --------------------------------------------------------------------------------


def test_a_shape_mismatch_names_the_tensor_and_both_shapes() -> None:
    a, b = state(1), state(2)
    b["fc.weight"] = torch.ones(4, 8)
    for call in (
        lambda: weights.lerp(a, b, 0.5),
        lambda: weights.distance(a, b),
        lambda: weights.difference(a, b),
        lambda: weights.distance_by_block(a, b, {}),
        lambda: weights.weighted_sum([a, b], [0.5, 0.5]),
    ):
        with pytest.raises(BadWeights, match=r"'fc.weight' has shape \(4, 7\) in .* and \(4, 8\) in"):
            call()


def test_a_missing_tensor_is_named_with_its_side() -> None:
    a, b = state(1), state(2)
    del b["conv.bias"]
    with pytest.raises(BadWeights, match=r"'conv\.bias' is in the first weights but not in the second"):
        weights.lerp(a, b, 0.5)
    with pytest.raises(BadWeights, match=r"'conv\.bias' is in the second but not in the first weights"):
        weights.lerp(b, a, 0.5)
    with pytest.raises(BadWeights, match=r"'conv\.bias' is in A but not in B"):
        weights.check_match(a, b, names=("A", "B"))


def test_a_type_mismatch_names_both_types() -> None:
    a, b = state(1), state(2)
    b["conv.bias"] = b["conv.bias"].double()
    with pytest.raises(BadWeights, match=r"'conv.bias' is torch.float32 in .* and torch.float64 in"):
        weights.lerp(a, b, 0.5)


def test_the_order_of_names_is_no_mismatch() -> None:
    a, b = state(1), state(2)
    shuffled = dict(reversed(b.items()))
    assert same_bits(weights.lerp(a, shuffled, 0.3), weights.lerp(a, b, 0.3))
    assert weights.distance(a, shuffled) == weights.distance(a, b)


# --- weighted sums -----------------------------------------------------------------------------


@given(st.lists(st.tuples(seeds, st.floats(-2, 2)), min_size=1, max_size=4))
def test_a_weighted_sum_by_a_loop(terms: list[tuple[int, float]]) -> None:
    states, coefficients = [state(seed, torch.float64) for seed, _ in terms], [c for _, c in terms]
    found = weights.weighted_sum(states, coefficients)
    for name in ("conv.weight", "conv.bias", "fc.weight"):
        columns = zip(*(flat(one[name]) for one in states))
        expected = [math.fsum(c * value.real for c, value in zip(coefficients, column)) for column in columns]
        assert found[name].reshape(-1).tolist() == pytest.approx(expected, abs=1e-13)
    largest = max(range(len(terms)), key=coefficients.__getitem__)
    assert bits(found["steps"]) == bits(states[largest]["steps"])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_single_one_among_zeros_returns_that_state_bit_for_bit(dtype: torch.dtype, which: int) -> None:
    states = [state(seed, dtype) for seed in (5, 6, 7)]
    for other in states:
        other["conv.bias"][0] = math.inf  # 0 * inf must not leak
    states[which]["conv.bias"][0] = -0.0
    found = weights.weighted_sum(states, [1.0 if i == which else 0.0 for i in range(3)])
    assert same_bits(found, states[which])
    assert found["conv.bias"].data_ptr() != states[which]["conv.bias"].data_ptr()


@given(seeds, seeds, alphas)
def test_lerp_is_a_weighted_sum(seed: int, other: int, alpha: float) -> None:
    a, b = state(seed, torch.float64), state(other, torch.float64)
    one, two = weights.lerp(a, b, alpha), weights.weighted_sum([a, b], [1 - alpha, alpha])
    for name in weights.parameters(one):
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=1e-13)
    assert bits(one["steps"]) == bits(two["steps"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_sums_are_rounded_once(dtype: torch.dtype) -> None:
    """256 + 1 is lost in bfloat16; eight such steps in float32 are not."""
    parts = [{"w": torch.tensor([2048.0]).to(dtype)}] + [{"w": torch.tensor([1.0]).to(dtype)}] * 64
    found = weights.weighted_sum(parts, [1.0] * 65)["w"]
    assert found.dtype == dtype
    assert found.item() == torch.tensor([2112.0]).to(dtype).item()


@pytest.mark.parametrize(("count", "coefficients"), [(0, []), (2, [1.0]), (1, [0.5, 0.5])])
def test_as_many_coefficients_as_states(count: int, coefficients: list[float]) -> None:
    with pytest.raises(BadWeights, match=f"found {count} and {len(coefficients)}"):
        weights.weighted_sum([state(i) for i in range(count)], coefficients)


def test_a_weighted_sum_names_the_state_that_does_not_fit() -> None:
    bad = state(3)
    del bad["conv.bias"]
    with pytest.raises(BadWeights, match="is in state 1 but not in state 3"):
        weights.weighted_sum([state(1), state(2), bad], [0.2, 0.3, 0.5])


# --- distances ---------------------------------------------------------------------------------


def naive_norm(*tensors: Tensor) -> float:
    return math.sqrt(math.fsum(abs(value) ** 2 for tensor in tensors for value in flat(tensor)))


PARAMETERS = ("conv.weight", "conv.bias", "fc.weight")


@given(seeds, seeds, st.sampled_from(FLOATS))
def test_distance_by_a_loop(seed: int, other: int, dtype: torch.dtype) -> None:
    a, b = state(seed, dtype), state(other, dtype)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    expected = naive_norm(*(b[name].to(wide) - a[name].to(wide) for name in PARAMETERS))
    assert weights.distance(a, b) == pytest.approx(expected, rel=1e-13)
    assert weights.distance(b, a) == weights.distance(a, b)
    scale = naive_norm(*(a[name] for name in PARAMETERS))
    assert weights.norm(a) == pytest.approx(scale, rel=1e-13)
    assert weights.distance(a, b, relative=True) == pytest.approx(expected / scale, rel=1e-12)


@given(seeds, st.floats(-3, 3).filter(lambda c: abs(c - 1) > 1e-3))
def test_the_relative_distance_to_a_multiple(seed: int, c: float) -> None:
    a = state(seed, torch.float64)
    b = {name: tensor * c if tensor.is_floating_point() else tensor for name, tensor in a.items()}
    assert weights.distance(a, b, True) == pytest.approx(abs(c - 1), rel=1e-12)


@given(seeds, seeds, st.floats(-2, 3))
def test_distances_along_a_line_are_proportional(seed: int, other: int, alpha: float) -> None:
    a, b = state(seed, torch.float64), state(other, torch.float64)
    at = weights.lerp(a, b, alpha)
    whole = weights.distance(a, b)
    assert weights.distance(a, at) == pytest.approx(abs(alpha) * whole, abs=1e-12)
    assert weights.distance(at, b) == pytest.approx(abs(1 - alpha) * whole, abs=1e-12)


@given(seeds, seeds, seeds)
def test_a_distance_is_a_metric(i: int, j: int, k: int) -> None:
    a, b, c = (state(seed, torch.float64) for seed in (i, j, k))
    assert weights.distance(a, a) == 0.0
    assert weights.distance(a, c) <= weights.distance(a, b) + weights.distance(b, c) + 1e-12


@given(seeds, seeds)
def test_squared_distances_add_up_over_blocks(seed: int, other: int) -> None:
    a, b = state(seed), state(other)
    found = weights.distance_by_block(a, b, {"convolution": ["conv.*"], "head": ["fc.weight", "steps"]})
    assert list(found) == ["convolution", "head"]
    assert math.fsum(value**2 for value in found.values()) == pytest.approx(weights.distance(a, b) ** 2, rel=1e-13)
    assert found["head"] == pytest.approx(naive_norm(b["fc.weight"].double() - a["fc.weight"].double()), rel=1e-13)


def test_a_block_pattern_that_matches_nothing_is_named() -> None:
    with pytest.raises(BadWeights, match=r"No tensor matches the pattern 'convv\.\*'"):
        weights.distance_by_block(state(1), state(2), {"x": ["convv.*"]})


def test_counters_never_count_and_a_zero_start_has_no_relative_distance() -> None:
    a = {"w": torch.zeros(3), "n": torch.tensor(5)}
    b = {"w": torch.tensor([1.0, 2.0, 2.0]), "n": torch.tensor(90)}
    assert weights.distance(a, b) == weights.distance(a, b, buffers=True) == 3.0
    assert math.isnan(weights.distance(a, b, relative=True))


def test_distance_is_accumulated_in_double_precision() -> None:
    """A million equal steps: a float32 running sum is off by far more than 1e-7."""
    a, b = {"w": torch.zeros(1_000_001)}, {"w": torch.full((1_000_001,), 0.1)}
    step = float(torch.tensor(0.1))
    assert weights.distance(a, b) == pytest.approx(step * math.sqrt(1_000_001), rel=1e-10)
    tiny, large = {"w": torch.tensor([0.0], dtype=torch.float16)}, {"w": torch.tensor([6e4], dtype=torch.float16)}
    assert weights.distance(tiny, large) == float(large["w"])  # its square overflows float16 and not float64


def test_nan_and_infinity_reach_the_distance() -> None:
    a = {"w": torch.tensor([1.0, 2.0])}
    assert math.isnan(weights.distance(a, {"w": torch.tensor([math.nan, 2.0])}))
    assert weights.distance(a, {"w": torch.tensor([math.inf, 2.0])}) == math.inf


def test_the_difference_is_the_direction_of_the_line() -> None:
    a, b = state(1), state(2)
    found = weights.difference(a, b)
    assert list(found) == list(PARAMETERS)
    for name in PARAMETERS:
        assert bits(found[name]) == bits(b[name] - a[name])
    assert weights.norm(found) == pytest.approx(weights.distance(a, b), rel=1e-6)  # rounded to float32 once


# --- kinds and ties: what a module knows -------------------------------------------------------


class Tied(nn.Module):
    """A tied head, BatchNorm, an extra float buffer, a mask and a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("scale", torch.tensor([0.5, 2.0]))
        self.register_buffer("mask", torch.tensor([True, False, True]))
        self.register_buffer("cache", torch.ones(9), persistent=False)


def tied(seed: int) -> Tied:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Tied()
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape))
        model.norm.num_batches_tracked.fill_(seed)  # type: ignore[union-attr]
    return model


def test_kinds_as_the_module_knows_them() -> None:
    model = tied(1)
    found = Weights.from_module(model)
    assert list(found) == list(model.state_dict())
    assert dict(found.kinds) == {
        "embedding.weight": Kind.PARAMETER,
        "norm.weight": Kind.PARAMETER,
        "norm.bias": Kind.PARAMETER,
        "norm.running_mean": Kind.FLOAT_BUFFER,
        "norm.running_var": Kind.FLOAT_BUFFER,
        "norm.num_batches_tracked": Kind.INTEGER_BUFFER,
        "head.weight": Kind.PARAMETER,
        "scale": Kind.FLOAT_BUFFER,
        "mask": Kind.INTEGER_BUFFER,
    }
    assert dict(found.ties) == {"head.weight": "embedding.weight"}
    assert list(weights.parameters(found)) == ["embedding.weight", "norm.weight", "norm.bias"]
    counted = {n for n, kind in found.kinds.items() if kind is not Kind.INTEGER_BUFFER} - {"head.weight"}
    assert set(weights.parameters(found, buffers=True)) == counted
    assert repr(found) == "Weights(9 tensors, 21 parameters)"


def test_kinds_inferred_for_a_plain_state_dict() -> None:
    found = weights.kinds(tied(1).state_dict())
    assert {name: kind for name, kind in found.items() if kind is not Kind.PARAMETER} == {
        "norm.running_mean": Kind.FLOAT_BUFFER,
        "norm.running_var": Kind.FLOAT_BUFFER,
        "norm.num_batches_tracked": Kind.INTEGER_BUFFER,
        "mask": Kind.INTEGER_BUFFER,
    }
    assert weights.kinds({"running_mean": torch.ones(2)})["running_mean"] is Kind.FLOAT_BUFFER
    assert weights.kinds({"my_running_mean": torch.ones(2)})["my_running_mean"] is Kind.PARAMETER


def test_weights_share_the_memory_of_their_module_without_its_graph() -> None:
    model = tied(1)
    found = Weights.from_module(model)
    assert found["norm.weight"].data_ptr() == model.norm.weight.data_ptr()
    assert not any(tensor.requires_grad for tensor in found.values())
    cloned = found.clone()
    assert same_bits(cloned, found)
    assert cloned["norm.weight"].data_ptr() != found["norm.weight"].data_ptr()
    assert (dict(cloned.kinds), dict(cloned.ties)) == (dict(found.kinds), dict(found.ties))


def test_tied_tensors_and_buffers_count_as_asked() -> None:
    a, b = Weights.from_module(tied(3)), Weights.from_module(tied(8))
    own = [b[n].double() - a[n].double() for n in ("embedding.weight", "norm.weight", "norm.bias")]
    floats = [b[n].double() - a[n].double() for n in ("norm.running_mean", "norm.running_var", "scale")]
    assert weights.distance(a, b) == pytest.approx(naive_norm(*own), rel=1e-13)
    assert weights.distance(a, b, buffers=True) == pytest.approx(naive_norm(*own, *floats), rel=1e-13)
    blocks = weights.distance_by_block(a, b, {"one": ["embedding.*"], "two": ["norm.*", "head.*"]})
    assert math.hypot(*blocks.values()) == pytest.approx(weights.distance(a, b), rel=1e-13)
    assert weights.norm(weights.difference(a, b)) == pytest.approx(weights.distance(a, b), rel=1e-6)


def test_what_one_side_knows_holds_for_both() -> None:
    """A module's weights against a plain checkpoint of the same network, either way round."""
    a, b = Weights.from_module(tied(3)), Weights.from_module(tied(8))
    for relative in (False, True):
        for one, other in ((a, dict(b)), (dict(a), b)):
            assert weights.distance(one, other, relative) == weights.distance(a, b, relative)


def test_a_batch_norm_travels_with_its_statistics_and_keeps_its_counter() -> None:
    a, b = Weights.from_module(tied(3)), Weights.from_module(tied(8))
    found = weights.lerp(a, b, 0.75)
    expected = 0.25 * a["norm.running_var"].double() + 0.75 * b["norm.running_var"].double()
    torch.testing.assert_close(found["norm.running_var"].double(), expected, rtol=0, atol=1e-6)
    assert found["norm.num_batches_tracked"].item() == 8
    assert found["norm.num_batches_tracked"].dtype == torch.int64
    assert weights.lerp(a, b, 0.5)["norm.num_batches_tracked"].item() == 3
    assert (dict(found.kinds), dict(found.ties)) == (dict(a.kinds), dict(a.ties))
    assert bits(found["head.weight"]) == bits(found["embedding.weight"])
    tied(1).load_state_dict(dict(found))  # strict: fits the module


def test_one_module_under_two_names_is_tied_throughout() -> None:
    norm = nn.BatchNorm1d(3)
    found = Weights.from_module(nn.ModuleDict({"first": norm, "second": norm}))
    assert dict(found.ties) == {f"second.{n}": f"first.{n}" for n in norm.state_dict()}
    assert list(weights.parameters(found, buffers=True)) == [f"first.{n}" for n in list(norm.state_dict())[:4]]


def test_a_tied_tensor_left_out_of_the_state_dict_still_counts_once() -> None:
    """Some models drop the first of two tied names when they save; the other one then carries the tensor."""

    class Dropping(Tied):
        def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
            kept: dict[str, Any] = super().state_dict(*args, **kwargs)
            del kept["embedding.weight"]
            return kept

    found = Weights.from_module(Dropping())
    assert "head.weight" in weights.parameters(found)
    assert not found.ties


def test_weights_are_a_read_only_mapping_that_copies_and_travels() -> None:
    a = Weights.from_module(tied(3))
    assert isinstance(a, Mapping)
    with pytest.raises(TypeError):
        a["scale"] = torch.ones(2)  # type: ignore[index]
    with pytest.raises(TypeError):
        a.kinds["scale"] = Kind.PARAMETER  # type: ignore[index]
    for other in (copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        assert isinstance(other, Weights)
        assert same_bits(other, a)
        assert (dict(other.kinds), dict(other.ties)) == (dict(a.kinds), dict(a.ties))
        assert other["scale"].data_ptr() != a["scale"].data_ptr()


def test_a_part_of_weights_keeps_the_kinds_and_ties_that_it_still_has() -> None:
    a = Weights.from_module(tied(3))
    part = a.like({name: a[name] for name in ("head.weight", "scale")})
    assert dict(part.kinds) == {"head.weight": Kind.PARAMETER, "scale": Kind.FLOAT_BUFFER}
    assert not part.ties
    assert list(weights.parameters(part)) == ["head.weight"]


def test_kinds_may_be_given() -> None:
    found = Weights({"scale": torch.ones(2), "w": torch.ones(3)}, kinds={"scale": Kind.FLOAT_BUFFER})
    assert list(weights.parameters(found)) == ["w"]


# --- selection ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("conv.*", ("conv.weight", "conv.bias")),
        (["fc.*", "conv.bias"], ("conv.bias", "fc.weight")),
        (["*.weight", "conv.*"], ("conv.weight", "conv.bias", "fc.weight")),
        ("*", ("conv.weight", "conv.bias", "fc.weight", "steps")),
        (["conv.[bw]*"], ("conv.weight", "conv.bias")),
        ([], ()),
    ],
)
def test_select(patterns: Any, expected: tuple[str, ...]) -> None:
    assert weights.select(state(1), patterns) == expected
    assert weights.select(state(1), iter([patterns] if isinstance(patterns, str) else patterns)) == expected


@pytest.mark.parametrize("pattern", ["Conv.*", "conv", "conv.weigth", ""])
def test_a_pattern_that_matches_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(BadWeights, match="No tensor matches the pattern"):
        weights.select(state(1), ["fc.*", pattern])
    if pattern == "conv.weigth":
        with pytest.raises(BadWeights, match=r'did you mean "conv\.weight"'):
            weights.select(state(1), pattern)


# --- digests -----------------------------------------------------------------------------------


def test_pinned_digest() -> None:
    mixed = {
        "w": torch.tensor([[1.5, -2.25, 3.0]]),
        "h": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "n": torch.tensor(7),
        "m": torch.tensor([True, False]),
        "e": torch.empty(0, 3),
    }
    assert weights.digest(mixed) == "c424eb44add46bc7c954b242c4aed78be58b23e9e20f4cf8cb4927973e6c64ce", (
        "The digest of the same bits moved: every stored state would count as damaged. Updating this is right only"
        " together with the version in hashing.digest_arrays, in a release that means to orphan all stored results."
    )


def test_the_digest_of_one_tensor_by_hand() -> None:
    tensor = torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16)
    head = json.dumps(["h", "torch.bfloat16", [1, 2]], separators=(",", ":")).encode()
    data = bytes([0xC0, 0x3F, 0x00, 0xC0])  # 1.5 is 0x3FC0, -2 is 0xC000
    pre_image = len(head).to_bytes(8, "little") + head + len(data).to_bytes(8, "little") + data
    assert weights.digest({"h": tensor}) == hashlib.sha256(b"isthmus-arrays/1\0" + pre_image).hexdigest()


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS], ids=str)
def test_every_type_has_a_digest_of_its_own(dtype: torch.dtype) -> None:
    whole = torch.tensor([[0, 1, 1], [1, 0, 1]])
    values = whole.to(dtype)
    others = {weights.digest({"w": whole.to(other)}) for other in [*FLOATS, *INTEGERS] if other != dtype}
    found = weights.digest({"w": values})
    assert found not in others
    assert found != weights.digest({"w": values.t()})
    assert found == weights.digest({"w": values.t().contiguous().t()})  # layout is no part of it


def test_bits_names_and_shapes_count_order_and_wrapper_do_not() -> None:
    a = state(1)
    changed = dict(a, **{"conv.bias": a["conv.bias"].clone()})
    changed["conv.bias"][1] = torch.nextafter(changed["conv.bias"][1], torch.tensor(9.0))
    renamed = {("x" if name == "steps" else name): tensor for name, tensor in a.items()}
    assert len({weights.digest(s) for s in (a, changed, renamed)}) == 3
    assert weights.digest(dict(reversed(a.items()))) == weights.digest(Weights(a)) == weights.digest(a)
    zeros = {"w": torch.tensor([0.0])}, {"w": torch.tensor([-0.0])}
    assert weights.digest(zeros[0]) != weights.digest(zeros[1])


def test_lazy_conjugates_have_the_digest_of_their_values() -> None:
    tensor = torch.tensor([1 + 2j, 3 - 1j])
    assert weights.digest({"w": tensor.conj()}) == weights.digest({"w": tensor.conj().resolve_conj().clone()})
    assert weights.digest({"w": tensor.conj().imag}) == weights.digest({"w": torch.tensor([-2.0, 1.0])})
    assert weights.digest({"w": tensor[:1].conj().imag}) == weights.digest({"w": torch.tensor([-2.0])})


def test_one_element_of_a_larger_tensor_has_the_digest_of_its_value() -> None:
    column = torch.tensor([[1.5, 2.5], [3.5, 4.5]])[:1, 1]  # contiguous, though its stride is 2
    assert weights.digest({"w": column}) == weights.digest({"w": torch.tensor([2.5])})


@pytest.mark.parametrize("wrong", [nn.Linear(2, 3), [torch.ones(2)], {"w": 1.5}])
def test_what_is_no_state_dict_is_refused(wrong: Any) -> None:
    right = {"w": torch.full((2,), 0.7)}
    calls: tuple[Callable[[], object], ...] = (
        lambda: weights.lerp(right, wrong, 0.3),
        lambda: weights.distance(wrong, right),
        lambda: weights.norm(wrong),
        lambda: paths.line(wrong, right),
    )
    for call in calls:
        with pytest.raises(BadWeights, match=r"Expected a mapping of names to tensors|must be a tensor"):
            call()


@pytest.mark.parametrize("coefficients", [(0.5, math.nan), (math.inf, 0.2)])
def test_coefficients_that_are_not_finite_are_refused(coefficients: tuple[float, float]) -> None:
    state = {"w": torch.full((2,), 0.7)}
    with pytest.raises(BadWeights, match="coefficients must be finite"):
        weights.weighted_sum([state, state], coefficients)
