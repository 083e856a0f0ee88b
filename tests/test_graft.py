"""Grafts of weights: each tensor is that of one network or of the other, bit for bit."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from isthmus import weights
from isthmus.errors import BadWeights
from isthmus.weights import Kind, Weights
from small_networks import Tied
from test_weights import bits, same_bits, state

NAMES = tuple(state(0))
globs = st.sets(st.sampled_from(["conv.*", "*.weight", "fc.weight", "steps", "*"]), min_size=1)


@given(globs, st.integers(0, 10**6), st.sampled_from([torch.float32, torch.bfloat16, torch.complex64]))
def test_each_tensor_is_the_donors_where_a_glob_matches_and_else_the_bases(
    patterns: set[str], seed: int, dtype: torch.dtype
) -> None:
    base, donor = state(seed, dtype), state(seed + 1, dtype)
    before = {name: bits(tensor) for name, tensor in (base | {f"d.{k}": v for k, v in donor.items()}).items()}
    found = weights.graft(base, donor, patterns)
    taken = {name for name in NAMES if any(fnmatchcase(name, glob) for glob in patterns)}
    assert list(found) == list(base)
    assert same_bits(found, {name: (donor if name in taken else base)[name] for name in base})
    rest = set(NAMES) - taken
    assert not rest or same_bits(weights.graft(donor, base, rest), found)  # the other way round: one and the same
    assert same_bits(weights.graft(found, donor, patterns), found)
    for tensor in found.values():
        tensor.zero_()  # shares no memory with either
    after = {name: bits(tensor) for name, tensor in (base | {f"d.{k}": v for k, v in donor.items()}).items()}
    assert after == before


def test_kinds_and_ties_are_those_of_the_base() -> None:
    def net(inputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))

    base, donor = Weights.from_module(net(4)), Weights.from_module(net(7))  # another architecture
    found = weights.graft(base, donor, ["1.*", "2.*"])
    assert found.kinds == base.kinds
    assert found.kinds["1.running_mean"] is Kind.FLOAT_BUFFER
    assert found.kinds["1.num_batches_tracked"] is Kind.INTEGER_BUFFER
    tied = Weights.from_module(Tied())
    both = weights.graft(tied, {name: tensor + 1 for name, tensor in tied.items()}, ["into.weight", "out.weight"])
    assert both.ties == tied.ties == {"out.weight": "into.weight"}
    assert torch.equal(both["out.weight"], both["into.weight"])


def test_the_strides_of_a_donor_do_not_matter() -> None:
    base, donor = {"w": torch.randn(3, 4, 5, 6)}, torch.randn(3, 4, 5, 6).to(memory_format=torch.channels_last)
    assert torch.equal(weights.graft(base, {"w": donor}, "w")["w"], donor)


def test_what_does_not_fit_is_told_with_the_name_of_the_tensor() -> None:
    base = {"a.weight": torch.zeros(3, 2), "b.weight": torch.zeros(5)}
    wrong: dict[str, tuple[dict[str, Tensor], str, str]] = {
        "shape": (
            {"a.weight": torch.zeros(3, 4)},
            "a.*",
            r"^Tensor 'a\.weight' has shape \(3, 2\) in the base and \(3, 4\) in the donor",
        ),
        "type": ({"a.weight": torch.zeros(3, 2).double()}, "a.*", r"'a\.weight' is torch\.float32 in the base and"),
        "missing": ({"b.weight": torch.zeros(5)}, "*", r"^Tensor 'a\.weight' is to be taken from the donor, which has"),
        "pattern": ({"a.weight": torch.zeros(3, 2)}, "c.*", r"^No tensor matches the pattern 'c\.\*'"),
    }
    for donor, patterns, told in wrong.values():
        with pytest.raises(BadWeights, match=told):
            weights.graft(base, donor, patterns)
    assert list(weights.graft(base, {"b.weight": torch.ones(5), "c": torch.ones(7)}, "b.*")) == list(base)
    with pytest.raises(BadWeights, match=r"^Expected a mapping of names to tensors"):
        weights.graft(base, nn.Linear(2, 3), "*")  # type: ignore[arg-type]
    tied = Weights.from_module(Tied())
    with pytest.raises(BadWeights, match=r"^Tensors 'into\.weight' and 'out\.weight' are one tensor in the base: take"):
        weights.graft(tied, dict(tied), "into.*")
