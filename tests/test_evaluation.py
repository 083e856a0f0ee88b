"""Evaluation along paths against a loop that copies the model at every point; nothing of the caller's is touched."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import isthmus
from isthmus import firstlayer, paths
from isthmus.errors import BadData, BadInput, BadWeights, IsthmusWarning
from isthmus.evaluation import arguments, evaluate_path, predict
from isthmus.examples import Examples
from small_networks import NETWORKS, make, pictures
from untouched import awkward, generators, portrait

Shares = Callable[[str], tuple[float, ...]]
ALPHAS = [-0.25, 0.0, 0.3, 0.5, 1.0, 1.4]
ROUNDING = 3e-5
"""Float32: a few hundred terms of order 1, on a loss of order 1."""


def ends(name: str, count: int = 2) -> tuple[nn.Module, list[dict[str, Tensor]]]:
    """A model with weights that nobody asks for, and other states of it."""
    return make(name, 77), [dict(make(name, seed).state_dict()) for seed in range(count)]


def copied(model: nn.Module, states: list[dict[str, Tensor]], shares: Shares) -> nn.Module:
    """A copy of the model at a point, in eval mode: the weighted sum in float64, counters from the nearer end."""
    made = copy.deepcopy(model)
    weights = {}
    for name, first in states[0].items():
        found = shares(name)
        if first.is_floating_point():
            total = sum(share * state[name].double() for share, state in zip(found, states))
            assert isinstance(total, Tensor)
            weights[name] = total.to(first.dtype)
        else:
            weights[name] = states[max(range(len(found)), key=lambda i: found[i])][name]
    made.load_state_dict(weights)
    return made.eval()


def naive(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Cross-entropy by its definition, in float64, and errors."""
    with torch.no_grad():
        logits = model(inputs.clone()).double()
    chosen = logits[torch.arange(len(labels)), labels.long()]
    return (torch.logsumexp(logits, 1) - chosen).numpy(), (logits.argmax(1) != labels).numpy()


def evaluate(model: nn.Module, path: paths.Path, data: Any, **options: Any) -> isthmus.PathResult:
    """With statistics interpolated, and no warning about it."""
    return evaluate_path(model, path, data, **{"norm_stats": "interpolate", **options})


@pytest.mark.parametrize("name", NETWORKS)
def test_a_line_equals_a_loop_over_copies(name: str) -> None:
    model, (a, b) = ends(name)
    inputs, labels = pictures(23)
    found = evaluate(model, paths.line(a, b), (inputs, labels), alphas=ALPHAS, batch_size=9)
    assert found.per_example_loss.shape == (len(ALPHAS), 23)
    for index, alpha in enumerate(ALPHAS):
        loss, wrong = naive(copied(model, [a, b], lambda _, at=alpha: (1 - at, at)), inputs, labels)  # type: ignore[misc]
        np.testing.assert_allclose(found.per_example_loss[index], loss, rtol=ROUNDING, atol=ROUNDING)
        assert found.per_example_error is not None
        np.testing.assert_array_equal(found.per_example_error[index], wrong)
        assert found.loss[index] == pytest.approx(loss.mean(), rel=ROUNDING)
        assert found.error[index] == wrong.mean()


PATHS: Mapping[str, tuple[int, Callable[..., paths.Path], list[Any], Callable[[str, Any], tuple[float, ...]]]] = {
    "blocks": (
        2,
        lambda a, b: paths.blocks(a, b, ["last.*", "first.weight"]),
        [0.0, 0.3, 1.0],
        lambda name, at: (1 - at, at) if name != "first.bias" else (0.0, 1.0),
    ),
    "blocks, the rest at a": (
        2,
        lambda a, b: paths.blocks(a, b, "last.*", rest="a"),
        [0.0, 0.3, 0.6, 1.0],
        lambda name, at: (1 - at, at) if name.startswith("last") else (1.0, 0.0),
    ),
    "cumulative": (
        2,
        lambda a, b: paths.cumulative(a, b, ["first.*", ["last.*"]]),
        [0.0, 0.2, 0.5, 0.8, 1.0],
        lambda name, at: (1 - (s := min(max(2 * at - name.startswith("last"), 0), 1)), s),
    ),
    "plane": (
        3,
        paths.plane,
        [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.3, -0.2)],
        lambda name, at: (1 - at[0] - at[1], at[0], at[1]),
    ),
}


@pytest.mark.parametrize("kind", PATHS)
def test_other_paths_equal_a_loop_over_copies(kind: str) -> None:
    count, make_path, points, shares = PATHS[kind]
    model, states = ends("functional", count)
    inputs, labels = pictures(11)
    found = evaluate(model, make_path(*states), (inputs, labels), alphas=points)
    for index, at in enumerate(points):
        loss, _ = naive(copied(model, states, lambda name, at=at: shares(name, at)), inputs, labels)  # type: ignore[misc]
        np.testing.assert_allclose(found.per_example_loss[index], loss, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("points", [2, 5])  # without and with the first layer's shortcut
def test_the_ends_are_the_end_networks_bit_for_bit(name: str, points: int) -> None:
    model, (a, b) = ends(name)
    inputs, labels = pictures(21)
    found = evaluate(model, paths.line(a, b), (inputs, labels), alphas=points, batch_size=8)
    for index, end in ((0, a), (-1, b)):
        whole = copy.deepcopy(model)
        whole.load_state_dict(end)
        whole.eval()
        with torch.no_grad():
            losses = [
                F.cross_entropy(whole(inputs[i : i + 8].clone()), labels[i : i + 8], reduction="none")
                for i in range(0, 21, 8)
            ]
        np.testing.assert_array_equal(found.per_example_loss[index], torch.cat(losses).numpy())


def test_blocks_end_at_b_bit_for_bit_and_all_blocks_are_the_line() -> None:
    model, (a, b) = ends("functional")
    data = pictures(13)
    line = evaluate(model, paths.line(a, b), data, alphas=5)
    every = evaluate(model, paths.blocks(a, b, "*"), data, alphas=5)
    np.testing.assert_array_equal(line.per_example_loss, every.per_example_loss)
    one = evaluate(model, paths.blocks(a, b, "first.*"), data, alphas=5)
    np.testing.assert_array_equal(one.per_example_loss[-1], line.per_example_loss[-1])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_model_and_the_generators_come_back_untouched(name: str) -> None:
    model, (a, b) = ends(name)
    awkward(model)
    inputs, labels = pictures(12)
    kept = {key: (tensor.clone(), tensor._version) for key, tensor in {**a, "inputs": inputs, "labels": labels}.items()}
    before = portrait(model), generators()
    for mode in ("interpolate", "recompute", "batch", "keep", "init"):
        evaluate(model, paths.line(a, b), (inputs, labels), alphas=3, norm_stats=mode, stats_data=(inputs, labels))
    predict(model, inputs_and(inputs, labels))
    assert (portrait(model), generators()) == before
    for key, tensor in {**a, "inputs": inputs, "labels": labels}.items():
        assert torch.equal(tensor, kept[key][0])
        assert tensor._version == kept[key][1]


def inputs_and(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return inputs, labels


class Failing(nn.Module):
    """Fails at its n-th call, having drawn from a generator and written to a buffer."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(60, 3), calls
        self.register_buffer("seen", torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        torch.rand(3)
        np.random.rand()  # noqa: NPY002
        self.seen.add_(1)  # type: ignore[operator]
        self.calls -= 1
        if self.calls < 0:
            raise OverflowError("as asked")
        return self.layer(x.flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("calls", [0, 1, 4])
def test_untouched_after_an_exception_in_the_model(calls: int) -> None:
    model = awkward(Failing(calls))
    path = paths.line(model.state_dict(), {name: tensor + 0.5 for name, tensor in model.state_dict().items()})
    before = portrait(model), generators(), torch.is_grad_enabled()
    with pytest.raises(OverflowError, match="as asked"):
        evaluate_path(model, path, pictures(7), alphas=5)
    assert (portrait(model), generators(), torch.is_grad_enabled()) == before


def test_untouched_after_an_exception_in_the_loss() -> None:
    model, (a, b) = ends("plain")
    awkward(model)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        raise OverflowError("as asked")

    before = portrait(model), generators(), torch.is_grad_enabled()
    with pytest.raises(OverflowError, match="as asked"):
        evaluate_path(model, paths.line(a, b), pictures(7), loss=loss)
    assert (portrait(model), generators(), torch.is_grad_enabled()) == before


def test_gradients_are_off_inside_and_as_they_were_outside() -> None:
    model, (a, b) = ends("plain")
    seen = []

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(outputs.requires_grad)
        return F.cross_entropy(outputs, targets, reduction="none")

    evaluate_path(model, paths.line(a, b), pictures(7), alphas=2, loss=loss)
    assert seen == [False, False]
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad])
def test_inside_the_callers_contexts(context: Any) -> None:
    model, (a, b) = ends("convolutional")
    data = pictures(9)
    expected = evaluate(model, paths.line(a, b), data, alphas=4)
    with context():
        made = tuple(part.clone() for part in data)
        found = evaluate(model, paths.line(a, b), made, alphas=4)
    np.testing.assert_array_equal(found.per_example_loss, expected.per_example_loss)


@pytest.mark.parametrize("batch_size", [1, 4, 10, 64])
def test_the_batch_size_does_not_matter(batch_size: int) -> None:
    model, (a, b) = ends("convolutional")
    data = pictures(10)
    expected = evaluate(model, paths.line(a, b), data, alphas=4)
    found = evaluate(model, paths.line(a, b), data, alphas=4, batch_size=batch_size)
    np.testing.assert_allclose(found.per_example_loss, expected.per_example_loss, rtol=ROUNDING, atol=ROUNDING)


def test_a_network_that_draws_in_eval_mode_gives_the_same_numbers_again() -> None:
    class Draws(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(60, 3)

        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(self.layer(x.flatten(1)), 0.5, True)

    model = Draws()
    path = paths.line(model.state_dict(), model.state_dict())
    first = evaluate_path(model, path, pictures(9), alphas=3)
    torch.rand(5)
    np.testing.assert_array_equal(
        first.per_example_loss, evaluate_path(model, path, pictures(9), alphas=3).per_example_loss
    )


# --- the first layer's shortcut


def _shortcuts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the layers for which the shortcut computes outputs at the ends."""
    used: list[str] = []
    original = firstlayer.FirstLayer._at_ends

    def spy(self: firstlayer.FirstLayer, inputs: Tensor) -> list[Tensor]:
        used.append(self.name)
        return original(self, inputs)

    monkeypatch.setattr(firstlayer.FirstLayer, "_at_ends", spy)
    return used


@pytest.mark.parametrize(("name", "layer"), [("plain", "1"), ("convolutional", "0"), ("functional", "first")])
def test_the_first_layer_runs_once_a_batch_and_end(name: str, layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used = _shortcuts(monkeypatch)
    model, (a, b) = ends(name)
    evaluate(model, paths.line(a, b), pictures(10), alphas=7, batch_size=4)
    assert used == [layer] * 3


@pytest.mark.parametrize("name", ["tied", "recurrent", "attending", "twice", "parametrised", "hooked"])
def test_no_shortcut_where_it_does_not_apply(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used = _shortcuts(monkeypatch)
    model, (a, b) = ends(name)
    evaluate(model, paths.line(a, b), pictures(10), alphas=7)
    assert used == []


def test_no_shortcut_past_a_forward_of_the_callers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    used = _shortcuts(monkeypatch)
    model, (a, b) = ends("plain")
    layer = model[1]  # type: ignore[index]
    layer.forward = lambda x: torch.tanh(F.linear(x, torch.ones(9, 60) / 9))
    found = evaluate(model, paths.line(a, b), pictures(10), alphas=3)
    loss, _ = naive(copied(model, [a, b], lambda _: (0.5, 0.5)), *pictures(10))
    np.testing.assert_allclose(found.per_example_loss[1], loss, rtol=ROUNDING, atol=ROUNDING)
    assert used == []


def test_no_shortcut_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    used = _shortcuts(monkeypatch)
    model, states = ends("plain")
    a, b = ({name: tensor.bfloat16() for name, tensor in state.items()} for state in states)
    inputs, labels = pictures(10)
    evaluate(model.bfloat16(), paths.line(a, b), (inputs.bfloat16(), labels), alphas=5)
    assert used == []


def test_a_model_that_takes_only_one_batch_size() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(60, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.view(5, 60))  # type: ignore[no-any-return]

    model = Fixed()
    path = paths.line(model.state_dict(), {name: 2 * tensor for name, tensor in model.state_dict().items()})
    assert evaluate_path(model, path, pictures(10), alphas=4, batch_size=5).loss.shape == (4,)


# --- tied weights and what a path lacks


def test_a_path_that_moves_one_of_two_tied_names_is_refused() -> None:
    model, (a, b) = ends("tied")
    with pytest.raises(BadWeights, match=r"'into\.weight' and 'out\.weight' are one tensor.*moves only one"):
        evaluate_path(model, paths.blocks(a, b, "into.*"), pictures(5))
    evaluate_path(model, paths.blocks(a, b, ["into.*", "out.weight"]), pictures(5))


def test_ends_that_untie_tied_names_are_refused() -> None:
    model, (a, b) = ends("tied")
    with pytest.raises(BadWeights, match=r"'into\.weight' and 'out\.weight' are one tensor.*differ"):
        evaluate_path(model, paths.line(a, {**b, "out.weight": b["out.weight"] + 1}), pictures(5))


def test_a_path_without_running_statistics() -> None:
    model, states = ends("convolutional")
    a, b = ({name: state[name] for name, _ in model.named_parameters()} for state in states)
    data = pictures(9)
    for mode in ("interpolate", "keep"):
        with pytest.raises(BadWeights, match=r"running statistics.*1\.running_mean"):
            evaluate_path(model, paths.line(a, b), data, norm_stats=mode)
    found = evaluate_path(model, paths.line(a, b), data, alphas=3, stats_data=data)
    full = evaluate_path(model, paths.line(*states), data, alphas=3, stats_data=data)
    np.testing.assert_array_equal(found.per_example_loss, full.per_example_loss)
    assert not found.stored_ends


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: {**state, "1.wait": state["1.bias"]}, r"'1\.wait' that the model has not.*1\.weight"),
        (lambda state: {key: value for key, value in state.items() if key != "3.bias"}, r"no tensor '3\.bias'"),
        (lambda state: {**state, "3.bias": torch.ones(4)}, r"'3\.bias' has shape \(3,\) in the model and \(4,\)"),
    ],
)
def test_a_path_of_another_architecture_is_refused(change: Any, sentence: str) -> None:
    model, (a, _) = ends("plain")
    with pytest.raises(BadWeights, match=sentence):
        evaluate_path(model, paths.line(change(a), change(a)), pictures(5))


# --- data


@pytest.mark.parametrize("kind", ["int32", "uint8", "uint16", "int64 big-endian", "bool-like list", "reversed"])
def test_labels_and_inputs_as_people_have_them(kind: str) -> None:
    model, (a, b) = ends("plain")
    inputs, labels = pictures(9)
    x, y = inputs.numpy().copy(), labels.numpy().copy()
    x.setflags(write=False)
    y.setflags(write=False)
    given: Any = {
        "int32": (x, y.astype(np.int32)),
        "uint8": (x, y.astype(np.uint8)),
        "uint16": (x, y.astype(np.uint16)),
        "int64 big-endian": (x, y.astype(">i8")),
        "bool-like list": (x.tolist(), y.tolist()),
        "reversed": (x[::-1].copy()[::-1], y[::-1].copy()[::-1]),
    }[kind]
    if kind == "bool-like list":
        given = (np.asarray(given[0], dtype=np.float32), given[1])
    expected = evaluate(model, paths.line(a, b), (inputs, labels), alphas=3)
    found = evaluate(model, paths.line(a, b), given, alphas=3)
    np.testing.assert_array_equal(found.per_example_loss, expected.per_example_loss)
    np.testing.assert_array_equal(found.error, expected.error)


@pytest.mark.parametrize("labels", [[0, 1, 3], [0, -1, 2]])
def test_labels_out_of_range(labels: list[int]) -> None:
    model, (a, b) = ends("plain")
    with pytest.raises(BadData, match=r"Labels must be in 0\.\.2 for a model with 3 outputs, found"):
        evaluate_path(model, paths.line(a, b), (pictures(3)[0], labels))


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        (torch.tensor([0.0, 1.0, 2.0]), "integer labels, or probabilities"),
        (torch.tensor([[0], [1], [2]]), "one label for each prediction"),
    ],
)
def test_targets_that_cross_entropy_does_not_take(targets: Tensor, sentence: str) -> None:
    model, (a, b) = ends("plain")
    with pytest.raises(BadInput, match=sentence):
        evaluate_path(model, paths.line(a, b), (pictures(3)[0], targets))


def test_probabilities_as_targets() -> None:
    model, (a, b) = ends("plain")
    inputs, labels = pictures(6)
    found = evaluate_path(model, paths.line(a, b), (inputs, F.one_hot(labels, 3).float()), alphas=3)
    expected = evaluate_path(model, paths.line(a, b), (inputs, labels), alphas=3)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-6)
    assert np.isnan(found.error).all()


@pytest.mark.parametrize("data", [None, 3, (torch.zeros(3),), (torch.zeros(3, 2), torch.zeros(4)), ("ab", "cd")])
def test_data_that_is_none(data: Any) -> None:
    model, (a, b) = ends("plain")
    with pytest.raises(BadData):
        evaluate_path(model, paths.line(a, b), data)


def test_float64_models() -> None:
    model, states = ends("convolutional")
    a, b = ({n: t.double() if t.is_floating_point() else t for n, t in state.items()} for state in states)
    inputs, labels = pictures(9)
    found = evaluate(model.double(), paths.line(a, b), (inputs.double(), labels), alphas=[0.0, 0.3, 1.0])
    loss, _ = naive(copied(model, [a, b], lambda _: (0.7, 0.3)), inputs.double(), labels)
    np.testing.assert_allclose(found.per_example_loss[1], loss.astype(np.float32), rtol=2e-7)


def test_bf16_is_near_float32_and_recorded_in_nothing_else() -> None:
    model, (a, b) = ends("convolutional")
    data = pictures(40)
    exact, rough = (evaluate(model, paths.line(a, b), data, alphas=3, precision=p) for p in ("float32", "bf16"))
    assert not np.array_equal(exact.per_example_loss, rough.per_example_loss)
    np.testing.assert_allclose(rough.loss, exact.loss, rtol=0.02)  # eight bits of mantissa: 2**-8 an operation
    with pytest.raises(BadInput, match="precision"):
        evaluate(model, paths.line(a, b), data, precision="half")


# --- points and losses


def test_points_that_do_not_run_from_0_to_1_have_losses_but_no_barrier() -> None:
    model, (a, b) = ends("plain")
    found = evaluate_path(model, paths.line(a, b), pictures(5), alphas=[0.25, 0.5])
    assert np.isfinite(found.loss).all()
    with pytest.raises(ValueError, match="rise from 0 to 1"):
        found.barrier()


@pytest.mark.parametrize(
    "alphas", [np.int64(5), np.linspace(0, 1, 5), torch.linspace(0, 1, 5), (0, 0.25, 0.5, 0.75, 1)]
)
def test_points_of_every_kind(alphas: Any) -> None:
    model, (a, b) = ends("plain")
    expected = evaluate_path(model, paths.line(a, b), pictures(5), alphas=5)
    found = evaluate_path(model, paths.line(a, b), pictures(5), alphas=alphas)
    np.testing.assert_array_equal(found.alphas, expected.alphas)
    np.testing.assert_array_equal(found.loss, expected.loss)
    assert found.barrier() == expected.barrier()


@pytest.mark.parametrize("alphas", [0, 1, True, 0.5, None, [], ["a"], [0.0, float("nan")], [0.0, (1.0, 2.0)], [(0, 1)]])
def test_points_that_are_none(alphas: Any) -> None:
    model, (a, b) = ends("plain")
    with pytest.raises(BadInput):
        evaluate_path(model, paths.line(a, b), pictures(5), alphas=alphas)


def test_a_plane_needs_pairs() -> None:
    model, states = ends("plain", 3)
    for alphas in (5, [0.0, 1.0], [(0.0, 1.0, 2.0)]):
        with pytest.raises(BadInput, match="plane"):
            evaluate_path(model, paths.plane(*states), pictures(5), alphas=alphas)


def test_25_points_by_default() -> None:
    model, (a, b) = ends("plain")
    found = evaluate_path(model, paths.line(a, b), pictures(5))
    np.testing.assert_allclose(found.alphas, np.linspace(0, 1, 25), rtol=1e-15)
    assert found.norm_stats.mode == "none"


def test_a_regression_has_losses_and_no_error() -> None:
    model, (a, b) = ends("plain")
    inputs, _ = pictures(8)
    targets = inputs.flatten(1)[:, :3].contiguous()

    def square(outputs: Tensor, wanted: Tensor) -> Tensor:
        return ((outputs - wanted) ** 2).mean(1)

    found = evaluate_path(model, paths.line(a, b), (inputs, targets), alphas=3, loss=square)
    middle = copied(model, [a, b], lambda _: (0.5, 0.5))
    with torch.no_grad():
        expected = square(middle(inputs), targets)
    np.testing.assert_allclose(found.per_example_loss[1], expected.numpy(), rtol=1e-5)
    assert np.isnan(found.error).all()
    assert np.isnan(found.barrier(metric="error"))
    assert found.pair is None


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (nn.CrossEntropyLoss(), r"shape \(\)"),
        (lambda outputs, _: outputs, r"shape \(6, 3\)"),
        (lambda *_: 1.5, "float"),
    ],
)
def test_a_loss_that_is_not_per_example(loss: Any, found: str) -> None:
    model, (a, b) = ends("plain")
    with pytest.raises(BadInput, match=rf"one number an example, shape \(6,\), found {found}"):
        evaluate_path(model, paths.line(a, b), pictures(6), loss=loss)


def test_losses_by_name() -> None:
    model, (a, b) = ends("plain")
    with pytest.raises(BadInput, match=r'did you mean "cross_entropy"'):
        evaluate_path(model, paths.line(a, b), pictures(6), loss="crossentropy")


def test_nan_losses_are_kept() -> None:
    model, (a, b) = ends("plain")
    inputs, labels = pictures(6)
    inputs[4] = float("nan")
    found = evaluate_path(model, paths.line(a, b), (inputs, labels), alphas=3)
    assert np.isnan(found.per_example_loss[:, 4]).all()
    assert np.isfinite(np.delete(found.per_example_loss, 4, axis=1)).all()
    assert np.isnan(found.barrier())


def test_a_model_that_returns_no_tensor() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(60, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.layer(x.flatten(1)), x

    model = Pair()
    with pytest.raises(BadInput, match="must return one tensor, found tuple"):
        evaluate_path(model, paths.line(model.state_dict(), model.state_dict()), pictures(5))


def test_a_model_that_cannot_be_copied() -> None:
    model, (a, b) = ends("plain")
    model.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(BadInput, match=r"Sequential cannot be copied.*copy\.deepcopy\(model\) fails with TypeError"):
        evaluate_path(model, paths.line(a, b), pictures(5))
    with pytest.raises(BadInput, match=r"must be a torch\.nn\.Module, found function"):
        evaluate_path(make, paths.line(a, b), pictures(5))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"made by isthmus\.paths"):
        evaluate_path(model, (a, b), pictures(5))  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["batch_size", "stats_batch", "stats_examples"])
def test_counts_below_one(option: str) -> None:
    model, (a, b) = ends("plain")
    wrong: dict[str, Any] = {option: 0}
    with pytest.raises(BadInput, match=f"{option} must be at least 1, found 0"):
        evaluate_path(model, paths.line(a, b), pictures(5), **wrong)


def test_two_networks_predictions_are_compared_where_the_grid_has_both() -> None:
    model, (a, b) = ends("functional")
    inputs, labels = pictures(14)
    pair = evaluate_path(model, paths.line(a, b), (inputs, labels), alphas=3, batch_size=5).pair
    assert pair is not None
    p, q = (
        torch.softmax(torch.from_numpy(predict(model, (inputs, labels), weights=end)).double(), 1) for end in (a, b)
    )
    np.testing.assert_allclose(pair.cross_entropy_ab, -(p * q.log()).sum(1).numpy(), rtol=1e-5)
    np.testing.assert_allclose(pair.cross_entropy_ba, -(q * p.log()).sum(1).numpy(), rtol=1e-5)
    np.testing.assert_array_equal(pair.disagreement, (p.argmax(1) != q.argmax(1)).numpy())
    assert evaluate_path(model, paths.line(a, b), (inputs, labels), alphas=[0.0, 0.5]).pair is None


def test_predictions_are_those_of_eval_mode() -> None:
    model = make("vector_norm", 3).train()
    data = pictures(9)
    with torch.no_grad():
        expected = copy.deepcopy(model).eval()(data[0]).numpy()
    np.testing.assert_allclose(predict(model, data, batch_size=4), expected, rtol=1e-5, atol=1e-6)
    assert model.training


def test_pictures_are_scaled_and_normalised() -> None:
    model, (a, b) = ends("functional")
    generator = np.random.default_rng(5)
    raw, labels = generator.integers(0, 256, (9, 2, 6, 5), dtype=np.uint8), pictures(9)[1]
    mean, std = (0.3, 0.6), (0.2, 0.7)
    data = Examples.of((raw, labels), mean=mean, std=std, pixels=True)
    ready = (raw / 255.0 - np.reshape(mean, (1, 2, 1, 1))) / np.reshape(std, (1, 2, 1, 1))
    found = evaluate(model, paths.line(a, b), data, alphas=3)
    expected = evaluate(model, paths.line(a, b), (ready.astype(np.float32), labels), alphas=3)
    np.testing.assert_allclose(found.per_example_loss, expected.per_example_loss, rtol=ROUNDING, atol=ROUNDING)


def test_progress_reaches_the_end() -> None:
    model, (a, b) = ends("plain")
    told: list[tuple[int, int]] = []
    evaluate_path(model, paths.line(a, b), pictures(10), alphas=3, batch_size=4, progress=lambda *at: told.append(at))
    assert told == [(12, 30), (24, 30), (30, 30)]


def test_no_warning_for_models_without_normalisation_and_none_where_the_mode_is_given() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, (a, b) = ends("plain")
        evaluate_path(model, paths.line(a, b), pictures(5), alphas=3)
        model, (a, b) = ends("vector_norm")
        evaluate_path(model, paths.line(a, b), pictures(5), alphas=3, norm_stats="interpolate")


def test_one_warning_where_statistics_were_interpolated_unasked() -> None:
    model, (a, b) = ends("convolutional")
    with pytest.warns(IsthmusWarning, match="running statistics were interpolated") as caught:
        found = evaluate_path(model, paths.line(a, b), pictures(10), alphas=3, batch_size=4)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert found.norm_stats.mode == "interpolate"
    assert found.notes == (str(caught[0].message),)


def test_a_batch_of_a_million_numbers() -> None:
    for device, expected in (("cpu", [2048, 1024, 256]), ("cuda", [16384, 8192, 2048])):
        inputs = (torch.zeros(3, numbers) for numbers in (2, 784, 3072))
        sizes = [arguments.batch_size(Examples.of((x, [0, 1, 2])), torch.device(device)) for x in inputs]
        assert sizes == expected
