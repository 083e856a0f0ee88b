"""States on their way to a file and back, private copies, weights written into a module, generators as they were."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from isthmus import generators, weights
from isthmus.errors import BadInput, BadWeights
from isthmus.networks import NetworkState, forward, load_into, private_copy
from small_networks import NETWORKS, make, pictures
from small_training import OPTIMIZERS, recipe, run, same
from untouched import awkward, portrait
from untouched import generators as global_generators

CPU = torch.device("cpu")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", ["momentum, decay", "adam"])
def test_a_state_survives_its_tensors(network: str, optimizer: str) -> None:
    state, _ = run(network, 2, how=recipe(optimizer=OPTIMIZERS[optimizer]))
    flat = state.tensors()
    assert len({tensor.untyped_storage().data_ptr() for tensor in flat.values()}) == len(flat)
    assert all(tensor.is_contiguous() and not tensor.requires_grad for tensor in flat.values())
    again = NetworkState.from_tensors(flat, 2, weights.Weights.from_module(make(network, 9)))
    assert same(again, state)
    assert again.weights.kinds == state.weights.kinds
    assert again.weights.ties == state.weights.ties
    assert {name: set(slots) for name, slots in again.optimizer.items()} == {
        name: set(slots) for name, slots in state.optimizer.items()
    }
    assert same(NetworkState.from_tensors(flat, 2), state)


def test_tensors_for_a_file_share_no_memory_even_where_the_state_does() -> None:
    model = make("tied", 3)
    flat = NetworkState(weights.Weights.from_module(model)).tensors()
    pointers = [tensor.data_ptr() for tensor in (*flat.values(), *model.parameters())]
    assert len(set(pointers)) == len(pointers)


def test_a_state_is_a_copy_and_its_digest_knows_every_bit() -> None:
    model = make("convolutional", 3)
    state = NetworkState.of(model, step=4)
    assert (state.step, state.optimizer) == (4, {})
    first = state.digest()
    with torch.no_grad():
        model[0].weight.zero_()  # type: ignore[index]
    assert state.digest() == first != NetworkState.of(model).digest()
    buffer = torch.full((4, 2, 3, 3), 0.5)
    full = NetworkState(state.weights, {"0.weight": {"momentum_buffer": buffer}}, 4)
    second = full.digest()
    assert second != first == full.without_buffers().digest()
    buffer[1, 1, 2, 0] = float(np.nextafter(np.float32(0.5), np.float32(1)))
    assert full.digest() not in (first, second)


def test_loading_keeps_memory_layout_flags_and_ties() -> None:
    model = awkward(make("convolutional", 3)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before = portrait(model)
    source = make("convolutional", 4).state_dict()
    load_into(model, source)
    after = portrait(model)
    assert weights.digest(model.state_dict()) == weights.digest(source)
    for unchanged in ("identities", "strides", "modes", "flags", "grads"):
        assert before[unchanged] == after[unchanged]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: {**state, "more": torch.ones(2)}, "'more' is in the given weights but not in the model"),
        (lambda state: {k: v for k, v in state.items() if k != "last.bias"}, "'last.bias' is in the model but not"),
        (lambda state: {**state, "last.bias": torch.ones(4)}, r"shape \(3,\) in the model and \(4,\) in the given"),
        (lambda state: {**state, "last.bias": torch.ones(3).double()}, "float32 in the model and torch.float64"),
        (lambda state: {**state, "out.weight": state["out.weight"] + 1}, "'into.weight' and 'out.weight' are one"),
    ],
)
def test_weights_that_do_not_fit_write_nothing(change: Any, sentence: str) -> None:
    model = make("tied", 3)
    before = weights.digest(model.state_dict())
    with pytest.raises(BadWeights, match=sentence):
        load_into(model, change(dict(make("tied", 4).state_dict())))
    assert weights.digest(model.state_dict()) == before


class Extra(nn.Linear):
    """Its state is more than tensors."""

    def get_extra_state(self) -> Any:
        return {"seen": 3}

    def set_extra_state(self, state: Any) -> None:
        pass


@pytest.mark.parametrize("take", [private_copy, NetworkState.of])
def test_modules_whose_state_is_no_set_of_tensors(take: Any) -> None:
    with pytest.raises(BadInput, match=r"'1\.weight' has no shape yet: call the model on a batch first"):
        take(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)))
    with pytest.raises(BadInput, match=r"'0\._extra_state' that is no tensor \(dict\)"):
        take(nn.Sequential(Extra(2, 3)))
    with pytest.raises(BadInput, match=r"must be a torch\.nn\.Module, found OrderedDict"):
        take(make("plain", 1).state_dict())


def test_a_copy_is_private_or_refused() -> None:
    model = awkward(make("tied", 3))
    made, before = private_copy(model), portrait(model)
    with torch.no_grad():
        for tensor in made.state_dict().values():
            tensor.zero_()
    assert portrait(model) == before
    assert made.into.weight is made.out.weight  # type: ignore[union-attr]
    model.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(BadInput, match=r"Tied cannot be copied.*copy\.deepcopy\(model\) fails with TypeError"):
        private_copy(model)


def test_outputs_in_a_precision_and_failures_explained() -> None:
    model, inputs = make("plain", 3), pictures(5)[0]
    assert torch.equal(forward(model, inputs), model(inputs))
    rough = forward(model, inputs, "bf16")
    assert rough.dtype == torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")
    assert torch.equal(forward(model, inputs.double()), model(inputs))  # numpy's type unless told otherwise
    wide = make("plain", 3).double()
    assert torch.equal(forward(wide, inputs.double()), wide(inputs.double()))
    with pytest.raises(BadInput, match=r"inputs of type torch\.uint8, its weights being torch\.float32.*: convert"):
        forward(model, inputs.to(torch.uint8))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):  # nobody's type: torch says it best
        forward(model, inputs[:, :1])


# --- the global generators


def draws() -> tuple[list[float], float, float]:
    return torch.rand(3).tolist(), float(np.random.rand()), random.random()  # noqa: NPY002


def test_inside_a_function_of_the_seed_and_outside_as_they_were() -> None:
    before = global_generators()
    found = []
    for value in (5, 2**63 - 1, 5, 6):
        with generators.forked(CPU):
            generators.seed(value, CPU)
            found.append(draws())
        assert global_generators() == before
    assert found[0] == found[2]
    for other in (found[1], found[3]):
        assert all(a != b for a, b in zip(found[0], other))
    generator = torch.Generator().manual_seed(2**63 - 1)
    assert found[1][0] == torch.rand(3, generator=generator).tolist()


def test_they_come_back_after_an_exception_too() -> None:
    before = global_generators()

    def fail() -> None:
        with generators.forked(CPU):
            generators.seed(3, CPU)
            draws()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert global_generators() == before


def test_forward_keeps_gradients_where_they_are_wanted() -> None:
    model = make("plain", 3)
    leaf: Tensor = pictures(5)[0].requires_grad_()
    forward(model, leaf, "bf16").float().sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
