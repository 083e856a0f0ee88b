"""Losses against their definitions in numpy, what counts as an error, and targets that fit nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from isthmus import losses
from isthmus.errors import BadData, BadInput

Array = npt.NDArray[np.float64]
ROUNDING = 3e-6
"""Float32: a logarithm of a sum of a few terms of order 1 to 30."""


def logits(seed: int, *shape: int, scale: float = 4.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def labels(seed: int, classes: int, *shape: int) -> Tensor:
    return torch.randint(0, classes, shape, generator=torch.Generator().manual_seed(seed))


def minus_log_p(values: Tensor) -> Array:
    """``-log softmax`` over dimension 1, from the definition in float64."""
    x = values.double().numpy()
    p = np.exp(x - x.max(axis=1, keepdims=True))
    found: Array = -np.log(p / p.sum(axis=1, keepdims=True))
    return found


# --- values


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(2, 7))
def test_cross_entropy_of_classes(seed: int, count: int, classes: int) -> None:
    outputs, targets = logits(seed, count, classes), labels(seed, classes, count)
    expected = minus_log_p(outputs)[np.arange(count), targets.numpy()]
    np.testing.assert_allclose(losses.cross_entropy(outputs, targets), expected, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(
        losses.mean("cross_entropy", outputs, targets), expected.mean(), rtol=ROUNDING, atol=ROUNDING
    )


def test_cross_entropy_of_several_positions_is_their_mean() -> None:
    outputs, targets = logits(3, 6, 5, 4, 2), labels(3, 5, 6, 4, 2)
    every = np.take_along_axis(minus_log_p(outputs), targets.numpy()[:, None], axis=1)
    found = losses.cross_entropy(outputs, targets)
    np.testing.assert_allclose(found, every.reshape(6, -1).mean(axis=1), rtol=ROUNDING)
    np.testing.assert_allclose(losses.mean("cross_entropy", outputs, targets), every.mean(), rtol=ROUNDING)


def test_cross_entropy_of_probabilities() -> None:
    outputs, targets = logits(3, 6, 5), torch.softmax(logits(4, 6, 5), 1)
    expected = (minus_log_p(outputs) * targets.double().numpy()).sum(axis=1)
    np.testing.assert_allclose(losses.cross_entropy(outputs, targets), expected, rtol=ROUNDING)
    np.testing.assert_allclose(losses.mean("cross_entropy", outputs, targets), expected.mean(), rtol=ROUNDING)


@pytest.mark.parametrize("shape", [(9,), (9, 1)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float32, torch.float64])
def test_binary_cross_entropy(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    outputs, targets = logits(5, *shape), labels(6, 2, 9).to(dtype)
    z, y = outputs.double().numpy().reshape(9), targets.double().numpy()
    expected = np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - y * z
    for wanted in (targets, targets[:, None]):
        found = losses.binary_cross_entropy(outputs, wanted)
        assert found.shape == (9,)
        np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=1e-7)
        mean = losses.mean("binary_cross_entropy", outputs, wanted)
        np.testing.assert_allclose(mean, expected.mean(), rtol=ROUNDING)


@pytest.mark.parametrize("name", losses.LOSSES)
@pytest.mark.parametrize(
    ("given", "computed"),
    [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")],
)
def test_computed_in_single_precision_at_least(name: str, given: str, computed: str) -> None:
    outputs = logits(8, 5, 3 if name == "cross_entropy" else 1).to(getattr(torch, given))
    targets = labels(9, 2, 5)
    found = losses.LOSSES[name](outputs, targets)
    assert str(found.dtype) == f"torch.{computed}"
    assert torch.equal(found, losses.LOSSES[name](outputs.to(getattr(torch, computed)), targets))
    assert losses.mean(name, outputs, targets).dtype == found.dtype


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.bool])
def test_labels_of_any_integer_type(dtype: torch.dtype) -> None:
    outputs, targets = logits(3, 6, 5), labels(7, 2, 6)
    assert torch.equal(losses.cross_entropy(outputs, targets.to(dtype)), losses.cross_entropy(outputs, targets))
    assert torch.equal(
        losses.mean("cross_entropy", outputs, targets.to(dtype)), losses.mean("cross_entropy", outputs, targets)
    )


def test_nan_and_infinite_logits_are_kept() -> None:
    outputs = torch.tensor([[0.5, float("nan")], [float("inf"), 0.1], [-float("inf"), 0.3], [0.2, 0.1]])
    found = losses.cross_entropy(outputs, torch.tensor([0, 1, 0, 1]))
    assert found[:2].isnan().all()
    assert found[2] == float("inf")
    assert found[3].isfinite()


# --- errors


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(2, 7))
def test_an_error_is_a_class_that_is_not_the_largest(seed: int, count: int, classes: int) -> None:
    outputs, targets = logits(seed, count, classes), labels(seed, classes, count)
    expected = outputs.numpy().argmax(axis=1) != targets.numpy()
    found = losses.error(outputs, targets)
    assert found is not None
    assert found.tolist() == expected.tolist()


def test_the_error_of_several_positions_is_their_share() -> None:
    outputs, targets = logits(3, 6, 5, 4, 2), labels(3, 5, 6, 4, 2)
    found = losses.error(outputs, targets)
    assert found is not None
    assert found.tolist() == (outputs.argmax(1) != targets).numpy().reshape(6, -1).mean(axis=1).tolist()


@pytest.mark.parametrize("outputs", [(9,), (9, 1)])
@pytest.mark.parametrize("targets", [(9,), (9, 1)])
def test_a_single_logit_is_right_by_its_sign(outputs: tuple[int, ...], targets: tuple[int, ...]) -> None:
    given, wanted = logits(5, *outputs, scale=0.3), labels(6, 2, *targets)
    found = losses.error(given, wanted)
    assert found is not None
    assert found.tolist() == ((given.reshape(9) > 0) != (wanted.reshape(9) == 1)).tolist()


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (logits(1, 4, 3), torch.rand(4)),
        (logits(1, 4, 3), torch.rand(4, 3)),
        (logits(1, 4, 3), torch.zeros(4, dtype=torch.complex64)),
        (logits(1, 4, 3), labels(1, 3, 4, 3)),
        (logits(1, 4), torch.tensor([0, 1, 2, 0])),
    ],
)
def test_no_error_where_targets_are_no_classes(outputs: Tensor, targets: Tensor) -> None:
    assert losses.error(outputs, targets) is None


# --- what is refused


@pytest.mark.parametrize(
    ("name", "outputs", "targets", "sentence"),
    [
        ("cross_entropy", (4, 3), [0, 1, 3, 2], r"in 0\.\.2 for a model with 3 outputs, found 0\.\.3"),
        ("cross_entropy", (4, 3), [0, -1, 2, 1], r"found -1\.\.2"),
        ("binary_cross_entropy", (4, 1), [0, 1, 2, 1], r"targets from 0 to 1, found 0\.\.2"),
        ("binary_cross_entropy", (4, 1), [0.5, -0.25, 1.0, 0.0], r"targets from 0 to 1, found -0\.25\.\.1"),
    ],
)
def test_labels_that_the_model_has_no_output_for(name: str, outputs: Any, targets: Any, sentence: str) -> None:
    with pytest.raises(BadData, match=sentence):
        losses.LOSSES[name](torch.zeros(outputs), torch.tensor(targets))


@pytest.mark.parametrize(
    ("name", "outputs", "targets", "sentence"),
    [
        ("cross_entropy", (4,), labels(1, 2, 4), r"\(examples, classes\), .* found \(4,\); a single logit"),
        ("cross_entropy", (4, 1), labels(1, 2, 4), "takes the loss binary_cross_entropy"),
        ("cross_entropy", (4, 3), torch.rand(4), r"found floats of shape \(4,\) for outputs of shape \(4, 3\)"),
        ("cross_entropy", (4, 3), labels(1, 3, 4, 1), "one label for each prediction"),
        ("cross_entropy", (4, 3, 2), labels(1, 3, 4), "one label for each prediction"),
        ("cross_entropy", (8, 3), labels(1, 3, 4), r"each of the 4 examples of a batch, found .* \(8, 3\)"),
        ("cross_entropy", (), labels(1, 3, 4), r"each of the 4 examples of a batch, found .* \(\)"),
        ("binary_cross_entropy", (4, 3), labels(1, 2, 4), r"one output an example, found outputs of shape \(4, 3\)"),
        ("binary_cross_entropy", (2, 2), labels(1, 2, 4), "each of the 4 examples"),
        ("binary_cross_entropy", (), labels(1, 2, 4), "each of the 4 examples"),
    ],
)
def test_shapes_that_fit_nothing(name: str, outputs: Any, targets: Tensor, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        losses.LOSSES[name](torch.zeros(outputs), targets)


def test_a_batch_is_checked_against_all_targets() -> None:
    losses.check("cross_entropy", torch.zeros(4, 3), torch.tensor([0, 1, 2, 0, 1]), 4)
    with pytest.raises(BadData, match=r"found 0\.\.7"):
        losses.check("cross_entropy", torch.zeros(4, 3), torch.tensor([0, 1, 2, 0, 7]), 4)
    with pytest.raises(BadInput, match="each of the 4 examples"):
        losses.check("cross_entropy", torch.zeros(5, 3), torch.tensor([0, 1, 2, 0, 1]), 4)


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (lambda outputs, _: outputs.sum(), r"shape \(\)"),
        (lambda outputs, _: outputs, r"shape \(4, 3\)"),
        (lambda *_: 1.5, "float"),
        (lambda *_: None, "NoneType"),
    ],
)
def test_a_loss_gives_one_number_an_example(loss: Any, found: str) -> None:
    with pytest.raises(BadInput, match=rf"shape \(4,\), found {found}"):
        losses.per_example(loss, torch.zeros(4, 3), labels(1, 3, 4))
    assert losses.per_example(lambda outputs, _: outputs.sum(1), torch.ones(4, 3), labels(1, 3, 4)).tolist() == [3] * 4
