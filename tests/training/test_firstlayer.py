"""The first layer's shortcut by itself: where it stands in, when its outputs still hold, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from isthmus import paths
from isthmus.firstlayer import FirstLayer
from isthmus.paths import Path
from small_networks import make, pictures

ROUNDING: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
"""Float32: sixty products of order 1; an output of interpolated weights, or interpolated outputs."""


def shortcut(model: nn.Module, make_path: Callable[[Any, Any], Path] = paths.line) -> FirstLayer:
    """The shortcut of a model between itself and its weights times -1.5, plus 0.25."""
    a = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    b = {name: tensor * -1.5 + 0.25 if tensor.is_floating_point() else tensor for name, tensor in a.items()}
    found = FirstLayer.find(model.eval(), make_path(a, b), sample(model))
    assert found is not None
    return found


def sample(model: nn.Module) -> Tensor:
    return pictures(5)[0].flatten(1) if isinstance(model, nn.Linear) else pictures(5)[0]


@pytest.mark.parametrize("network", ["plain", "convolutional", "functional", "scaled"])
def test_between_the_ends_it_gives_the_output_of_the_weights_between(network: str) -> None:
    model = make(network, 3)
    layer = shortcut(model)
    inputs = torch.randn(4, 2, 6, 5) if network == "convolutional" else torch.randn(4, 60)
    copy = make(network, 3).get_submodule(layer.name)
    with torch.no_grad(), layer:
        for at in (0.0, 0.3, 1.0, 1.4):
            layer.move(at)
            copy.load_state_dict({key: layer.path.at(at)[f"{layer.name}.{key}"] for key in copy.state_dict()})
            torch.testing.assert_close(layer.module(inputs), copy(inputs), **ROUNDING)
            if at in (0.0, 1.0):
                assert torch.equal(layer.module(inputs), copy(inputs))


def test_a_model_that_is_its_first_layer() -> None:
    layer = shortcut(nn.Linear(60, 3, bias=False))
    assert layer.name == ""
    assert list(layer.ends[0]) == ["weight"]
    with torch.no_grad(), layer:
        layer.move(0.5)
        found = layer.module(input=sample(layer.module))
        torch.testing.assert_close(found, sample(layer.module) @ layer.path.at(0.5)["weight"].T, **ROUNDING)


# --- when its outputs still hold


def counted(layer: FirstLayer, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    seen: list[Tensor] = []
    original = layer._at_ends

    def spy(inputs: Tensor) -> list[Tensor]:
        seen.append(inputs.clone())
        return original(inputs)

    monkeypatch.setattr(layer, "_at_ends", spy)
    return seen


def test_the_ends_are_run_anew_exactly_where_the_input_has_other_values(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = shortcut(make("functional", 3))
    seen = counted(layer, monkeypatch)
    inputs = torch.randn(4, 60)

    def runs(given: Tensor, at: float) -> int:
        before = len(seen)
        layer.move(at)
        weights = {key: layer.path.at(at)[f"first.{key}"] for key in ("weight", "bias")}
        torch.testing.assert_close(layer.module(given), given @ weights["weight"].T + weights["bias"], **ROUNDING)
        return len(seen) - before

    with torch.no_grad(), layer:
        assert runs(inputs, 0.25) == 1
        assert runs(inputs, 0.5) == 0
        assert runs(inputs.clone(), 0.75) == 0  # the same values in other memory
        assert runs(inputs[:3], 0.75) == 1
        assert runs(inputs, 0.5) == 1
        inputs[2, 7] += 1.0  # the same memory, other values
        assert runs(inputs, 0.5) == 1
        assert runs(inputs, 0.0) == 0
        assert runs(inputs.view(4, 60), 0.1) == 0
        assert runs(inputs.reshape(60, 4).T.contiguous(), 0.1) == 1
    assert layer.input is None
    assert not layer.outputs


def test_what_comes_out_may_be_changed_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = shortcut(make("functional", 3))
    seen, inputs = counted(layer, monkeypatch), torch.randn(4, 60)
    with torch.no_grad(), layer:
        for at in (0.0, 0.5, 1.0):
            layer.move(at)
            kept = layer.module(inputs).clone()
            layer.module(inputs).zero_()
            assert torch.equal(layer.module(inputs), kept)
    assert len(seen) == 1


def test_where_its_tensors_go_different_ways_the_layer_itself_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block-wise path that moves the weight and leaves the bias is linear too, but not with one alpha."""
    model = make("functional", 3)
    layer = shortcut(model, lambda a, b: paths.blocks(a, b, ["first.weight", "last.*"]))
    seen, inputs = counted(layer, monkeypatch), torch.randn(4, 60)
    with torch.no_grad(), layer:
        for at in (0.0, 0.5):
            layer.move(at)
            assert torch.equal(layer.module(inputs), nn.functional.linear(inputs, *layer.module.parameters()))
        assert seen == []
        layer.move(1.0)  # where they meet again
        layer.module(inputs)
        assert len(seen) == 1


# --- where it does not stand in


class Skips(nn.Module):
    """Its first layer with weights is called only in a batch of more than two."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(60, 60), nn.Linear(60, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x.flatten(1)
        return self.last(self.first(hidden) if len(x) > 7 else hidden)  # type: ignore[no-any-return]


class Own(nn.Linear):
    """A layer of somebody's own, not known to be linear in its weights."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * self.weight.norm()  # type: ignore[no-any-return]


class Declared(Own):
    """One that says it is."""

    linear_in_weights = True


def wrapped(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), layer, nn.Tanh(), nn.Linear(7, 3))


def hooked_before() -> nn.Module:
    model = wrapped(nn.Linear(60, 7))
    model[1].register_forward_pre_hook(lambda _, inputs: (inputs[0] * 2,))  # type: ignore[index]
    return model


@pytest.mark.parametrize(
    "build",
    [
        lambda: wrapped(Own(60, 7)),
        hooked_before,
        lambda: make("plain", 1).bfloat16(),
        lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(60), nn.Linear(60, 3)),
        nn.Flatten,
        *(lambda name=name: make(name, 1) for name in ("tied", "recurrent", "twice", "parametrised", "hooked")),
    ],
)
def test_there_is_none_where_outputs_are_not_linear_in_the_first_layers_weights(build: Callable[[], nn.Module]) -> None:
    model = build().eval()
    inputs = pictures(5)[0].to(next((p.dtype for p in model.parameters()), torch.float32))
    assert FirstLayer.find(model, paths.line(model.state_dict(), model.state_dict()), inputs) is None
    assert not any(module._forward_pre_hooks for module in model.modules()) or build is hooked_before


def test_there_is_none_on_a_plane_or_where_the_model_takes_no_such_batch() -> None:
    model = make("plain", 1).eval()
    state = model.state_dict()
    assert FirstLayer.find(model, paths.line(state, state), pictures(5)[0]) is not None
    assert FirstLayer.find(model, paths.plane(state, state, state), pictures(5)[0]) is None
    assert FirstLayer.find(model, paths.line(state, state), torch.zeros(2, 7)) is None
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_first_layer_is_the_first_called_and_may_be_declared_linear() -> None:
    skipping = Skips().eval()
    found = FirstLayer.find(skipping, paths.line(skipping.state_dict(), skipping.state_dict()), pictures(5)[0])
    assert found is not None
    assert found.name == "last"
    declared = wrapped(Declared(60, 7)).eval()
    found = FirstLayer.find(declared, paths.line(declared.state_dict(), declared.state_dict()), pictures(5)[0])
    assert found is not None
    assert found.name == "1"


def test_the_model_is_as_it_was_afterwards_even_after_an_exception() -> None:
    layer = shortcut(make("functional", 3))
    layer.move(0.5)

    def run() -> None:
        with layer:
            layer.module(torch.zeros(3, 7))

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        run()
    assert "forward" not in vars(layer.module)
    assert layer.input is None
