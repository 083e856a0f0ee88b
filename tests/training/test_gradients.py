"""Norms of the gradients of single examples: closed forms, and an oracle that takes one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from isthmus import gradients
from isthmus.errors import BadData, BadInput
from untouched import generators, portrait


def oracle(model: nn.Module, inputs: Tensor, targets: Tensor, loss: Any = None) -> npt.NDArray[np.float64]:
    """The norm of the gradient of each example alone, in eval mode, by the chain rule that torch has."""
    loss = loss or nn.functional.cross_entropy
    was = model.training
    model.eval()
    found = []
    for one, target in zip(inputs, targets, strict=True):
        model.zero_grad()
        loss(model(one[None]), target[None]).backward()
        squares = [float((p.grad.double() ** 2).sum()) for p in model.parameters() if p.grad is not None]
        found.append(sum(squares) ** 0.5)
    model.zero_grad()
    model.train(was)
    return np.array(found)


def drawn(shape: tuple[int, ...], classes: int, seed: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(shape, generator=generator) * 1.7 + 0.3
    return inputs, torch.randint(classes, (shape[0],), generator=generator)


def test_softmax_regression_has_a_closed_form() -> None:
    torch.manual_seed(5)
    model = nn.Linear(4, 3).double()
    inputs, labels = drawn((11, 4), 3)
    inputs = inputs.double()
    with torch.no_grad():
        wrong = model(inputs).softmax(1) - nn.functional.one_hot(labels, 3)
    wanted = wrong.norm(dim=1) * (inputs.square().sum(1) + 1).sqrt()
    np.testing.assert_allclose(gradients.norms(model, (inputs, labels)), wanted, rtol=1e-13)  # float64


def test_a_single_logit_has_a_closed_form() -> None:
    torch.manual_seed(6)
    model = nn.Linear(4, 1).double()
    inputs, labels = drawn((9, 4), 2)
    inputs = inputs.double()
    with torch.no_grad():
        wrong = model(inputs).sigmoid()[:, 0] - labels
    wanted = wrong.abs() * (inputs.square().sum(1) + 1).sqrt()
    found = gradients.norms(model, (inputs, labels), loss="binary_cross_entropy")
    np.testing.assert_allclose(found, wanted, rtol=1e-13)  # float64


class Deciding(nn.Module):
    """A network that decides by the values that it computes, which no batch of gradients can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(4, 5)
        self.last = nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        layer = self.first if float(inputs.detach().sum()) > 0 else self.second
        return self.last(torch.tanh(layer(inputs)))  # type: ignore[no-any-return]


def test_a_network_that_decides_by_its_values_is_taken_one_by_one() -> None:
    torch.manual_seed(7)
    model, (inputs, labels) = Deciding(), drawn((13, 4), 3)
    found = gradients.norms(model, (inputs, labels))
    np.testing.assert_allclose(found, oracle(model, inputs, labels), rtol=1e-5)  # float32
    assert {bool(one.sum() > 0) for one in inputs} == {True, False}


def normed() -> nn.Sequential:
    torch.manual_seed(8)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.4), nn.Flatten())
    model.append(nn.Linear(3 * 3 * 2, 4))
    for _ in range(3):
        model(torch.randn(16, 2, 5, 4) * 2 + 1)  # running statistics that are no identity
    return model


def test_examples_do_not_act_on_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (inputs, labels) = normed(), drawn((23, 2, 5, 4), 4)
    before, drawn_before = portrait(model), generators()
    found = gradients.norms(model, (inputs, labels))
    assert (portrait(model), generators()) == (before, drawn_before)
    np.testing.assert_allclose(found, oracle(model, inputs, labels), rtol=1e-5)  # float32
    others = [index for index in range(23) if index % 3]
    np.testing.assert_allclose(gradients.norms(model, (inputs[others], labels[others])), found[others], rtol=1e-5)
    assert found.tolist() == gradients.norms(model, (inputs, labels)).tolist()
    for size in (1, 4, 64):
        monkeypatch.setitem(gradients._BATCH, "cpu", size)
        np.testing.assert_allclose(gradients.norms(model, (inputs, labels)), found, rtol=1e-5)


def test_frozen_parameters_do_not_count_and_tied_ones_count_once() -> None:
    model, (inputs, labels) = normed(), drawn((6, 2, 5, 4), 4)
    model[0].requires_grad_(False)
    np.testing.assert_allclose(gradients.norms(model, (inputs, labels)), oracle(model, inputs, labels), rtol=1e-5)
    torch.manual_seed(9)
    first, last = nn.Linear(3, 3), nn.Linear(3, 3)
    last.weight = first.weight
    tied = nn.Sequential(first, nn.Tanh(), last)
    points = drawn((6, 3), 3)
    np.testing.assert_allclose(gradients.norms(tied, points), oracle(tied, *points), rtol=1e-5)


def test_weights_in_place_of_the_models_own_and_what_is_told_on_the_way() -> None:
    model, other, (inputs, labels) = normed(), normed(), drawn((70, 2, 5, 4), 4)
    with torch.no_grad():
        next(iter(other.parameters())).mul_(1.7)
    told: list[tuple[int, int]] = []
    found = gradients.norms(model, (inputs, labels), weights=other.state_dict(), progress=lambda *d: told.append(d))
    assert found.tolist() == gradients.norms(other, (inputs, labels)).tolist()
    assert told == [(16, 70), (32, 70), (48, 70), (64, 70), (70, 70)]


def test_what_has_no_gradient() -> None:
    model, points = nn.Linear(4, 3), drawn((5, 4), 3)
    with pytest.raises(BadInput, match=r"^There is no loss named 'cross_entrop'; did you mean \"cross_entropy\"\?"):
        gradients.norms(model, points, loss="cross_entrop")
    with pytest.raises(BadInput, match=r"^The model Linear has no parameter that requires a gradient\.$"):
        gradients.norms(nn.Linear(4, 3).requires_grad_(False), points)
    with pytest.raises(BadData, match=r"^Labels must be in 0\.\.2 for a model with 3 outputs, found"):
        gradients.norms(model, (points[0], points[1] + 2))
