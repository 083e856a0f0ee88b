"""Training is a pure function: cut anywhere it gives the same bits, those of a plain loop around ``torch.optim``."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import isthmus
from isthmus import training
from isthmus.errors import BadInput
from isthmus.examples import Augmenter, Examples
from isthmus.networks import NetworkState, load_into
from isthmus.noise import Noise
from isthmus.recipe import Recipe, Until
from small_networks import NETWORKS, make, pictures
from small_training import EXAMPLES, NOISE, OPTIMIZERS, STOP, raw, recipe, run, same
from untouched import awkward

# --- cut anywhere

CASES: dict[str, tuple[str, dict[str, Any], Any]] = {
    **{name: (name, {}, None) for name in NETWORKS},
    **{f"by {name}": ("functional", {"optimizer": fields}, None) for name, fields in OPTIMIZERS.items()},
    "tied by adam": ("tied", {"optimizer": OPTIMIZERS["adam"]}, None),
    "bf16": ("attending", {"precision": "bf16"}, None),
    "bf16, adam, batch norm": ("convolutional", {"precision": "bf16", "optimizer": OPTIMIZERS["adam"]}, None),
    "drop_last": ("functional", {"drop_last": True}, None),
    "batches larger than the data": ("drawing", {"drop_last": True, "batch_size": 40}, None),
    "crop and flip": ("convolutional", {"augment": {"crop": 2, "flip": True}}, raw),
    "channels last": ("convolutional", {"augment": {"crop": 1}}, lambda: raw(channels_last=True)),
    "channels last, adam": ("convolutional", {"optimizer": OPTIMIZERS["adam"]}, lambda: raw(channels_last=True)),
    "schedule": ("functional", {"schedule": {"warmup": "9it", "milestones": ["2ep"], "cosine": "4ep"}}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_cut_anywhere_training_gives_the_same_bits(case: str) -> None:
    network, fields, make_data = CASES[case]
    how, data = recipe(**fields), make_data() if make_data else pictures(EXAMPLES)
    whole, log = run(network, how=how, data=data)
    assert whole.step == STOP
    assert len(log.losses) == STOP
    assert np.isfinite(log.losses).all()
    template = NetworkState.of(make(network, 5)).weights
    for cuts in ([8], [1, 5, 6, 12]):  # inside an epoch; after a step, on both sides of epochs' ends
        state, lost = None, []
        for stop in [*cuts, STOP]:
            state, part = run(network, stop, state=state, how=how, data=data)
            lost += part.losses.tolist()
            torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002 - between two parts people draw
            state = NetworkState.from_tensors(state.tensors(), state.step, template)  # as it is stored
        assert state is not None
        assert same(state, whole)
        assert lost == log.losses.tolist()


def test_what_the_cases_are_named_for_acts() -> None:
    """Without what they are named for, the cases above end elsewhere."""
    for case in ("bf16", "drop_last", "crop and flip", "channels last", "schedule", "by nesterov", "by adam, decay"):
        network, fields, make_data = CASES[case]
        data = make_data() if make_data else None
        assert not same(run(network, how=recipe(**fields), data=data)[0], run(network, data=data)[0])


# --- against a plain loop


def plain_loop(
    model: nn.Module, how: Recipe, data: Examples, noise: Noise, stop: int, *, fused: bool = True
) -> tuple[Any, list[Tensor]]:
    """The optimiser and losses of training as anyone would write it; the model is trained in place.

    The update is torch's fused one, which rounds differently from its loop over tensors in the last bits.
    """
    spec, rates = how.optimizer, how.rates(0, stop, how.steps_per_epoch(EXAMPLES))
    common: dict[str, Any] = {"lr": 1.0, "weight_decay": spec.weight_decay, "fused": fused}
    optimizer: torch.optim.Optimizer
    if spec.name == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), momentum=spec.momentum, nesterov=spec.nesterov, **common)
    else:
        kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
        optimizer = kind(model.parameters(), betas=spec.betas, eps=spec.eps, **common)
    losses, step = [], 0
    for epoch in range(stop):
        order = torch.from_numpy(noise.epoch_order(EXAMPLES, epoch))
        augmenter = Augmenter(how.augment, noise, EXAMPLES, epoch, torch.device("cpu"))
        for begin in range(0, EXAMPLES, how.batch_size):
            where = order[begin : begin + how.batch_size]
            if step == stop or (how.drop_last and len(where) < how.batch_size):
                break
            inputs, targets = data.batch(where, augmenter if how.augment.acts else None)
            seed = noise.dropout_seed(step)
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            optimizer.param_groups[0]["lr"] = float(rates[step])
            optimizer.zero_grad()
            losses.append(F.cross_entropy(model.train()(inputs), targets))
            losses[-1].backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
    return optimizer, [loss.detach() for loss in losses]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("network", ["functional", "drawing", "convolutional"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_bits_of_a_plain_loop(optimizer: str, network: str, drop_last: bool) -> None:
    augment = {"crop": 1, "flip": True} if network == "convolutional" else {}
    schedule = {"milestones": ["7it"], "factor": 0.5}
    how = recipe(optimizer=OPTIMIZERS[optimizer], drop_last=drop_last, augment=augment, schedule=schedule)
    data = raw() if augment else Examples.of(pictures(EXAMPLES))
    state, log = run(network, how=how, data=data)
    model = make(network, 5)
    with torch.random.fork_rng():
        expected, losses = plain_loop(model, how, data, NOISE, STOP)
    assert log.losses.tolist() == torch.stack(losses).tolist()
    assert log.examples == (60 if drop_last else 4 * 13 + 3 * 2)
    for name, tensor in model.state_dict().items():
        assert torch.equal(state.weights[name], tensor)
    for name, parameter in model.named_parameters():
        slots = {slot: value for slot, value in expected.state[parameter].items() if value is not None}
        assert slots.keys() == state.optimizer.get(name, {}).keys()
        assert all(torch.equal(state.optimizer[name][slot], value) for slot, value in slots.items())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_near_the_loop_over_tensors(optimizer: str) -> None:
    """What is fused differs by rounding alone: an ulp or two a step, of numbers below 1, grown over 15 steps."""
    how, data = recipe(optimizer=OPTIMIZERS[optimizer]), Examples.of(pictures(EXAMPLES))
    state, _ = run("functional", how=how, data=data)  # no bias before a norm: Adam would blow its rounding up
    model = make("functional", 5)
    with torch.random.fork_rng():
        plain_loop(model, how, data, NOISE, STOP, fused=False)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(state.weights[name], tensor, rtol=1e-4, atol=1e-5)


class TurnTaking(nn.Module):
    """Its second layer has no gradient before the third step."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.calls = nn.Linear(60, 3), nn.Linear(60, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = x.flatten(1)
        return cast(Tensor, self.first(x) + (self.second(x) if self.calls > 2 else 0.0))


def test_a_layer_whose_gradient_comes_late_begins_with_that_gradient_as_momentum() -> None:
    how = recipe(optimizer={"lr": 0.02, "momentum": 0.9})
    with torch.random.fork_rng():
        torch.manual_seed(8)
        model, ours = TurnTaking(), TurnTaking()
    ours.load_state_dict(model.state_dict())
    data = Examples.of(pictures(EXAMPLES))
    state, _ = run(ours, 5, how=how, data=data)
    expected, _ = plain_loop(model, how, data, NOISE, 5, fused=False)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(state.weights[name], tensor, rtol=1e-5, atol=1e-6)
    buffer = expected.state[model.second.weight]["momentum_buffer"]
    torch.testing.assert_close(state.optimizer["second.weight"]["momentum_buffer"], buffer, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["momentum, decay", "adam, decay", "adamw"])
def test_other_rates_and_decays_by_block(optimizer: str) -> None:
    """The first rule that fits a parameter is its own; what is frozen keeps its bits and its optimiser's buffers."""
    rules: list[dict[str, Any]] = [
        {"blocks": ["last.bias"], "factor": 0.0},
        {"blocks": ["last.*"], "factor": 0.25, "weight_decay": 0.2},
    ]
    plain = recipe(optimizer=OPTIMIZERS[optimizer])
    ruled = recipe(optimizer={**OPTIMIZERS[optimizer], "by_block": rules}, schedule={"milestones": ["7it"]})
    start, _ = run("functional", 4, how=plain)
    found, _ = run("functional", state=start, how=ruled)
    model = make("functional", 5)
    load_into(model, start.weights)
    names = dict(model.named_parameters())
    spec = plain.optimizer
    groups = [
        {"params": [names["last.weight"]], "weight_decay": 0.2, "factor": 0.25},
        {"params": [names["first.weight"], names["first.bias"]], "weight_decay": spec.weight_decay, "factor": 1.0},
    ]
    kinds: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    options = {"momentum": spec.momentum} if spec.name == "sgd" else {"betas": spec.betas, "eps": spec.eps}
    torchs = kinds[spec.name](groups, lr=spec.lr, fused=True, **options)
    for name in ("last.weight", "first.weight", "first.bias"):
        torchs.state[names[name]] = {slot: value.clone() for slot, value in start.optimizer[name].items()}
    data = Examples.of(pictures(EXAMPLES))
    with torch.random.fork_rng():
        for step in range(4, STOP):
            epoch, position = divmod(step, 6)
            where = torch.from_numpy(NOISE.epoch_order(EXAMPLES, epoch))[4 * position : 4 * position + 4]
            inputs, targets = data.batch(where)
            torch.manual_seed(NOISE.dropout_seed(step))
            model.zero_grad()
            F.cross_entropy(model.train()(inputs), targets).backward()  # type: ignore[no-untyped-call]
            for group in torchs.param_groups:
                group["lr"] = spec.lr * (0.1 if step >= 7 else 1.0) * group["factor"]
            torchs.step()
    for name, parameter in names.items():
        assert torch.equal(found.weights[name], parameter), name
    assert torch.equal(found.weights["last.bias"], start.weights["last.bias"])
    assert not torch.equal(found.weights["last.weight"], start.weights["last.weight"])
    for slot, value in start.optimizer["last.bias"].items():
        assert torch.equal(found.optimizer["last.bias"][slot], value)
    halfway, _ = run("functional", 9, state=start, how=ruled)
    assert same(run("functional", state=halfway, how=ruled)[0], found)


def test_rules_that_fit_nothing_or_leave_nothing() -> None:
    for blocks, told in (
        (["frist.*"], "by_block names 'frist\\.\\*', which matches no"),
        (["*"], "freezes every parameter"),
    ):
        how = recipe(optimizer={"lr": 0.1, "by_block": [{"blocks": blocks, "factor": 0.0}]})
        with pytest.raises(BadInput, match=told):
            run("functional", how=how)


@pytest.mark.parametrize("nesterov", [False, True])
def test_three_steps_of_softmax_regression_by_hand(nesterov: bool) -> None:
    """v <- m v + g + d w; w <- w - l v (with Nesterov: w - l (g + d w + m v))."""
    lr, momentum, decay, batch = 0.3, 0.7, 0.05, 4
    layer = nn.Linear(60, 3, bias=False).double()
    model = nn.Sequential(nn.Flatten(), layer)
    inputs, labels = pictures(batch)
    w = layer.weight.detach().numpy().copy()
    x, y, v = inputs.double().flatten(1).numpy(), np.eye(3)[labels.numpy()], 0.0
    for _ in range(3):
        p = np.exp(x @ w.T)
        slope = (p / p.sum(axis=1, keepdims=True) - y).T @ x / batch + decay * w
        v = momentum * v + slope
        w = w - lr * (slope + momentum * v if nesterov else v)
    fields = {"lr": lr, "momentum": momentum, "weight_decay": decay, "nesterov": nesterov}
    state, _ = run(model, 3, data=(inputs.double(), labels), how=recipe(optimizer=fields))
    np.testing.assert_allclose(state.weights["1.weight"].numpy(), w, rtol=1e-12, atol=1e-13)  # float64, other sums
    np.testing.assert_allclose(state.optimizer["1.weight"]["momentum_buffer"].numpy(), v, rtol=1e-11, atol=1e-12)


# --- noise


@pytest.mark.parametrize("stream", ["order", "augmentation", "dropout"])
@pytest.mark.parametrize("network", ["plain", "functional", "drawing"])
@pytest.mark.parametrize("augment", [{}, {"flip": True}, {"crop": 1}], ids=["none", "flip", "crop"])
def test_a_seed_changes_the_result_exactly_where_it_acts(stream: str, network: str, augment: dict[str, Any]) -> None:
    acts = {"order": True, "augmentation": bool(augment), "dropout": network != "plain"}[stream]
    base, other = (
        run(network, 4, how=recipe(augment=augment), noise=noise)[0] for noise in (NOISE, NOISE.but(**{stream: 92}))
    )
    assert same(base, other) is not acts


def test_children_of_one_trunk() -> None:
    trunk, _ = run("functional", 8)
    ends = [run("functional", state=trunk, noise=Noise.of(seed))[0] for seed in (1, 1, 2)]
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])
    assert not same(ends[0], run("functional", noise=Noise.of(1))[0])


def test_a_child_inside_an_epoch_takes_the_rest_of_its_own_permutation() -> None:
    """Two steps of six are over: the child meets what its own order has at the third to sixth place."""
    state, noise = NetworkState.of(make("plain", 5), step=2), Noise.of(6)
    inputs, labels = pictures(EXAMPLES)
    rest = noise.epoch_order(EXAMPLES, 0)[8:]
    found, log = run("plain", 6, state=state, noise=noise)
    assert log.examples == len(rest)
    changed = inputs.clone()
    changed[torch.from_numpy(noise.epoch_order(EXAMPLES, 0)[:8])] = 9.0
    assert same(run("plain", 6, state=state, noise=noise, data=(changed, labels))[0], found)
    changed[int(rest[-1])] = 9.0
    assert not same(run("plain", 6, state=state, noise=noise, data=(changed, labels))[0], found)


# --- precision, rates, buffers


def test_bf16_keeps_weights_and_losses_in_single_precision_and_stays_near() -> None:
    exact, log = run("convolutional", 6)
    rough, other = run("convolutional", 6, how=recipe(precision="bf16"))
    assert {tensor.dtype for tensor in rough.weights.values()} == {torch.float32, torch.int64}
    assert log.losses.dtype == other.losses.dtype == np.float32
    np.testing.assert_allclose(other.losses, log.losses, rtol=0.1)  # 2**-8 an operation, grown over six steps
    assert isthmus.weights.distance(exact.weights, rough.weights, relative=True) < 0.02


def test_given_rates_stand_in_for_the_schedule() -> None:
    scheduled, _ = run("functional", how=recipe(schedule={"milestones": ["6it"]}))
    rates = np.where(np.arange(STOP) < 6, 0.02, 0.02 * 0.1)
    assert same(run("functional", rates=rates)[0], scheduled)
    assert same(run("functional", rates=rates.tolist())[0], scheduled)


def test_nothing_is_done_in_no_steps_and_nothing_learnt_at_rate_0() -> None:
    before, _ = run("functional", 5)
    after, log = run("functional", 5, state=before)
    assert same(before, after)
    assert log.losses.shape == (0,)
    assert log.examples == 0
    still, _ = run("functional", how=recipe(optimizer={"lr": 0, "momentum": 0.9}))
    assert isthmus.weights.distance(still.weights, make("functional", 5).state_dict()) == 0


def test_layouts_differ_in_rounding_only() -> None:
    plain, last = (run("convolutional", 4, data=raw(channels_last=on))[0] for on in (False, True))
    assert isthmus.weights.distance(plain.weights, last.weights, relative=True) < 1e-5  # float32, four steps


def test_running_statistics_and_counters_are_part_of_the_state() -> None:
    start = make("convolutional", 5)
    state, _ = run("convolutional", 7)
    assert state.weights["1.num_batches_tracked"] == start.state_dict()["1.num_batches_tracked"] + 7
    assert not torch.equal(state.weights["1.running_mean"], start.state_dict()["1.running_mean"])
    assert not [name for name in state.optimizer if "running" in name or "tracked" in name]


@pytest.mark.parametrize("network", ["functional", "convolutional"])
def test_the_mode_that_the_model_comes_in_does_not_matter(network: str) -> None:
    mixed = make(network, 5)
    for index, module in enumerate(mixed.modules()):
        module.training = index % 2 == 1
    expected, _ = run(make(network, 5).train())
    assert same(run(make(network, 5).eval())[0], expected)
    assert same(run(mixed)[0], expected)


def test_frozen_parameters_stay_and_tied_ones_stay_tied() -> None:
    model = awkward(make("functional", 5))
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    state, _ = run(model)
    assert frozen
    assert state.optimizer.keys() == model.state_dict().keys() - frozen
    for name, tensor in model.state_dict().items():
        assert torch.equal(state.weights[name], tensor) == (name in frozen)
    tied, _ = run("tied")
    assert torch.equal(tied.weights["into.weight"], tied.weights["out.weight"])
    assert "out.weight" not in tied.optimizer


def test_a_branch_may_reset_the_optimisers_buffers() -> None:
    trunk, _ = run("functional", 8)
    kept, reset = (run("functional", state=state)[0] for state in (trunk, trunk.without_buffers()))
    assert not same(kept, reset)
    assert reset.step == STOP


# --- until and watch


def epochs_until(network: str, accuracy: float, data: Any, judged: Any) -> int:
    """Epochs until the accuracy, found by training one epoch after the other and predicting."""
    state, model = NetworkState.of(make(network, 5)), make(network, 5)
    for epoch in range(1, 60):
        state, _ = run(network, 6 * epoch, state=state, data=data)
        right = isthmus.predict(model, judged, weights=state.weights).argmax(axis=1) == judged[1].numpy()
        if right.mean() >= accuracy:
            return epoch
    raise AssertionError("the test needs a network that learns its data")


@pytest.mark.parametrize("network", ["vector_norm", "drawing"])
@pytest.mark.parametrize("on", ["train", "test"])
def test_until_an_accuracy(network: str, on: Any) -> None:
    data, test = pictures(EXAMPLES), pictures(17, seed=8)
    test[0][:9], test[1][:9] = data[0][:9] + 0.1, data[1][:9]
    accuracy = 20 / 23 if on == "train" else 11 / 17
    epochs = epochs_until(network, accuracy, data, data if on == "train" else test)
    assert epochs > 1
    until = Until(accuracy=accuracy, on=on)
    found, log = run(network, 400, data=data, until=until, test_data=test)
    assert log.reached is True
    assert not log.stopped
    assert len(log.losses) == 6 * epochs
    assert same(found, run(network, 6 * epochs, data=data)[0])  # looking on changes nothing
    early, log = run(network, 6 * epochs - 1, data=data, until=until, test_data=test)
    assert log.reached is False
    assert same(run(network, 400, state=early, data=data, until=until, test_data=test)[0], found)
    assert run(network, 3)[1].reached is None


def test_an_accuracy_of_so_many_percent_reaches_so_many_percent() -> None:
    model = nn.Linear(1, 2)
    model.load_state_dict({"weight": torch.zeros(2, 1), "bias": torch.tensor([0.25, 0.5])})
    for right in range(101):
        data = Examples.of((torch.rand(100, 1), [1] * right + [0] * (100 - right)))
        assert training.accuracy(model, data, 7) == float(f"{right}e-2")


def test_each_epoch_tells_where_training_is_and_leaves_it_alone() -> None:
    told: list[tuple[int, list[float], NetworkState]] = []

    def each_epoch(step: int, losses: Any, here: Callable[[], NetworkState]) -> bool:
        told.append((step, losses.tolist(), here()))
        return False

    found, log = run("drawing", 18, each_epoch=each_epoch)
    assert [step for step, _, _ in told] == [6, 12]  # not at the end itself
    for step, losses, state in told:
        assert losses == log.losses[:step].tolist()
        assert same(state, run("drawing", step)[0])
    assert same(found, run("drawing", 18)[0])


def test_each_epoch_stops_where_it_says() -> None:
    first, log = run("functional", each_epoch=lambda step, losses, here: step == 12)
    assert (first.step, log.stopped, len(log.losses)) == (12, True, 12)
    assert same(run("functional", state=first)[0], run("functional")[0])


def test_watch_stops_where_it_says() -> None:
    seen: list[int] = []

    def watch(step: int) -> bool:
        seen.append(step)
        return step in (8, STOP)

    first, log = run("functional", watch=watch)
    assert log.stopped
    assert first.step == 8
    assert same(first, run("functional", 8)[0])
    last, log = run("functional", state=first, watch=watch)
    assert not log.stopped  # at the last step there is nothing left to stop
    assert same(last, run("functional")[0])
    assert seen == list(range(1, STOP + 1))
