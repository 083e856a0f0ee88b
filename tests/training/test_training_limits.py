"""What training leaves alone, which networks it takes, and where it says in one sentence that it cannot."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import isthmus
from isthmus.errors import BadData, BadInput, BadWeights
from isthmus.examples import Examples
from isthmus.networks import NetworkState
from isthmus.recipe import Until
from isthmus.training import train
from small_networks import NETWORKS, make, pictures
from small_training import EXAMPLES, NOISE, OPTIMIZERS, raw, recipe, run, same
from untouched import awkward, generators, portrait

# --- what is the caller's


class Failing(nn.Module):
    """Fails at its fourth call, having drawn and written."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(60, 3), 0
        self.register_buffer("seen", torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        torch.rand(3), np.random.rand(), random.random()  # noqa: NPY002
        self.seen.add_(1)  # type: ignore[operator]
        self.calls += 1
        if self.calls == 4:
            raise OverflowError("as asked")
        return self.layer(x.flatten(1))  # type: ignore[no-any-return]


def _watch_fails(step: int) -> bool:
    raise OverflowError("as asked")


@pytest.mark.parametrize("network", [*NETWORKS, "failing", "watch"])
def test_nothing_of_the_callers_is_touched(network: str) -> None:
    model = awkward(Failing() if network == "failing" else make("plain" if network == "watch" else network, 5))
    data = pictures(EXAMPLES)
    start, _ = (
        run(copy.deepcopy(model).requires_grad_(), 2) if network != "failing" else (NetworkState.of(model, 2), None)
    )
    start = start.without_buffers()
    digest, versions = start.digest(), [tensor._version for tensor in start.weights.values()]
    pixels = [tensor.clone() for tensor in data]
    before = portrait(model), generators(), torch.is_grad_enabled(), model.__dict__.get("calls")
    if network in ("failing", "watch"):
        with pytest.raises(OverflowError, match="as asked"):
            run(model, state=start, data=data, watch=_watch_fails if network == "watch" else None)
    else:
        state, _ = run(model, state=start, data=data, until=Until(accuracy=1.0))
        for tensor in state.tensors().values():
            tensor.zero_()
        for tensor in state.weights.values():
            tensor.zero_()
    assert (portrait(model), generators(), torch.is_grad_enabled(), model.__dict__.get("calls")) == before
    assert (start.digest(), [tensor._version for tensor in start.weights.values()]) == (digest, versions)
    assert all(torch.equal(now, then) for now, then in zip(data, pixels))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    "context", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_the_callers_contexts_change_no_bit(context: Callable[[], Any], precision: str) -> None:
    expected, _ = run("functional", how=recipe(precision=precision))
    with context():
        model, data = make("functional", 5), pictures(EXAMPLES)
        found, _ = run(model, how=recipe(precision=precision), data=data, until=Until(accuracy=1.0))
    assert same(found, expected)


def test_in_the_callers_autocast_a_path_in_bf16_still_moves() -> None:
    """Autocast caches cast weights, and ours are written in place: a path would be as flat as its first point."""
    path = isthmus.paths.line(make("plain", 1).state_dict(), make("plain", 2).state_dict())
    expected = isthmus.evaluate_path(make("plain", 3), path, pictures(9), alphas=4, precision="bf16")
    with torch.autocast("cpu", torch.bfloat16):
        found = isthmus.evaluate_path(make("plain", 3), path, pictures(9), alphas=4, precision="bf16")
    assert np.array_equal(found.per_example_loss, expected.per_example_loss)


def test_the_callers_default_type_changes_no_bit() -> None:
    model, data = make("functional", 5), raw()
    expected, _ = run(model, data=data)
    torch.set_default_dtype(torch.float64)
    try:
        found, _ = run(model, data=data)
    finally:
        torch.set_default_dtype(torch.float32)
    assert same(found, expected)


# --- odd networks and what is refused


class Sequence(nn.Module):
    """Integers in, a class for each position out."""

    def __init__(self, sparse: bool = False) -> None:
        super().__init__()
        self.embedding, self.last = nn.Embedding(9, 4, sparse=sparse), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.embedding(x)).transpose(1, 2)  # type: ignore[no-any-return]


class Complex(nn.Module):
    """Complex weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(60, 3, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
        )

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1).to(torch.complex64) @ self.weight).abs() / 9


def integers() -> tuple[Tensor, Tensor]:
    inputs = torch.randint(0, 9, (EXAMPLES, 6), generator=torch.Generator().manual_seed(4))
    return inputs, inputs * 2 % 5


ODD: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "integers in, positions out": (Sequence, integers),
    "complex": (Complex, None),
    "double": (
        lambda: make("vector_norm", 1).double(),
        lambda: (pictures(EXAMPLES)[0].double(), pictures(EXAMPLES)[1]),
    ),
    "half": (lambda: make("plain", 1).bfloat16(), lambda: (pictures(EXAMPLES)[0].bfloat16(), pictures(EXAMPLES)[1])),
}


@pytest.mark.parametrize("optimizer", ["momentum, decay", "adam"])
@pytest.mark.parametrize("kind", ODD)
def test_odd_networks_learn_and_may_be_cut(kind: str, optimizer: str) -> None:
    build, make_data = ODD[kind]
    model, data, how = build(), make_data() if make_data else None, recipe(optimizer=OPTIMIZERS[optimizer])
    whole, log = run(model, 60, data=data, how=how)
    assert log.losses[-6:].mean() < 0.9 * log.losses[:6].mean()
    part, _ = run(model, 8, data=data, how=how)
    assert same(run(model, 60, state=part, data=data, how=how)[0], whole)


def test_half_precision_learns_as_by_a_loop_over_tensors() -> None:
    inputs, labels = pictures(EXAMPLES)
    model = make("plain", 1).bfloat16()
    _, log = run(model, 60, data=(inputs.bfloat16(), labels), how=recipe(optimizer=OPTIMIZERS["momentum, decay"]))
    assert log.losses[-6:].mean() < 0.1 * log.losses[:6].mean()


def test_a_run_that_diverges_says_so() -> None:
    _, log = run("plain", how=recipe(optimizer={"lr": 1e30}))
    assert np.isfinite(log.losses[0])
    assert np.isnan(log.losses[-1])


class Pair(nn.Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.flatten(1)), x


class Detached(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1)).detach()


class Rows(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(-1, 30))


INPUTS, LABELS = pictures(EXAMPLES)
BAD: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "a stop before the start": (lambda: {"stop": -1}, "at the state's step 0 and ends later, found 0 -> -1"),
    "rates of another length": (lambda: {"rates": np.ones(14)}, r"needs 15 rates, found shape \(14,\)"),
    "precision auto": (lambda: {"how": recipe(precision="auto")}, 'Resolve precision "auto"'),
    "until a test accuracy": (lambda: {"until": Until(accuracy=0.5, on="test")}, 'on="test" needs test_data'),
    "until without classes": (
        lambda: {"data": (INPUTS, torch.rand(EXAMPLES, 3)), "until": Until(accuracy=0.5)},
        "Accuracy needs integer labels",
    ),
    "nothing to train": (
        lambda: {"network": make("plain", 5).requires_grad_(False)},
        "Sequential has no parameter that",
    ),
    "a pair of outputs": (lambda: {"network": Pair(60, 3)}, "one tensor, found tuple"),
    "outputs without a gradient": (lambda: {"network": Detached(60, 3)}, "depend on none of its trained parameters"),
    "another number of outputs": (
        lambda: {"network": Rows(30, 3)},
        r"each of the 4 examples of a batch, found .* \(8, 3\)",
    ),
    "a last batch of one": (
        lambda: {"network": "vector_norm", "data": pictures(21)},
        "a batch of one example .* drop_last",
    ),
    "inputs of another type": (
        lambda: {"data": (INPUTS.half(), LABELS)},
        "inputs of type torch.float16, its weights being torch.float32",
    ),
    "a sparse gradient": (
        lambda: {"network": Sequence(sparse=True), "data": integers()},
        "'embedding.weight' is sparse",
    ),
    "vectors augmented": (
        lambda: {"data": (INPUTS.flatten(1), LABELS), "how": recipe(augment={"flip": True})},
        "Crops and flips",
    ),
    "float labels": (lambda: {"data": (INPUTS, LABELS.float())}, "convert the labels to integers"),
    "no examples": (lambda: {"data": Examples.of((INPUTS, LABELS)).subset(torch.arange(0))}, "at least one example"),
    "buffers of another optimiser": (
        lambda: {"state": run("plain", 3)[0], "how": recipe(optimizer=OPTIMIZERS["adam"])},
        r"'1\.weight' \(momentum_buffer of shape \(9, 60\)\) are not those .*\(exp_avg, exp_avg_sq, step",
    ),
    "buffers that plain SGD has not": (
        lambda: {"state": run("plain", 3)[0], "how": recipe(optimizer={"lr": 0.1})},
        r"not those of the recipe's optimiser \(none",
    ),
    "buffers of another network": (
        lambda: {
            "state": NetworkState(NetworkState.of(make("plain", 1)).weights, {"wait": {"momentum_buffer": LABELS}})
        },
        "optimiser buffers for 'wait', which the model does not train",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_one_sentence_where_training_is_impossible(case: str) -> None:
    given, sentence = BAD[case]
    fields = given()
    with pytest.raises(BadInput, match=sentence) as caught:
        run(**{"network": "plain", **fields})
    assert "\n" not in str(caught.value)


def test_labels_are_checked_all_at_once_and_weights_before_anything() -> None:
    labels = LABELS.clone()
    labels[int(NOISE.epoch_order(EXAMPLES, 0)[-1])] = 3  # met in the last step of the epoch only
    with pytest.raises(BadData, match=r"in 0\.\.2 for a model with 3 outputs, found 0\.\.3"):
        run("plain", 1, data=(INPUTS, labels))
    with pytest.raises(BadWeights, match=r"'1\.weight' is in the model but not in the given weights"):
        run("plain", state=NetworkState.of(make("functional", 1)))
    state = NetworkState.of(make("plain", 1), step=3)
    with pytest.raises(BadInput, match="step 3 and ends later, found 2 -> 5"):
        train(state, recipe(), (INPUTS, LABELS), NOISE, 2, 5, model=make("plain", 1))
    with pytest.raises(BadInput, match=r"must be one such as NetworkState\.of\(model\), found OrderedDict"):
        train(make("plain", 1).state_dict(), recipe(), (INPUTS, LABELS), NOISE, 0, 5, model=make("plain", 1))  # type: ignore[arg-type]
