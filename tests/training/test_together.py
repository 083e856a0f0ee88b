"""Replicas trained together: the bits of each are those that it has alone, whatever is stacked and whoever leaves."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from isthmus import models, optimizers, together
from isthmus.errors import BadData, BadInput
from isthmus.examples import Examples
from isthmus.execute.queue import STACKED
from isthmus.networks import NetworkState
from isthmus.noise import Noise
from isthmus.recipe import Recipe, Until
from isthmus.stacking import Stack, operations, stackable
from isthmus.together import Replica, train_together
from isthmus.training import Log, train
from isthmus.weights import same_bits
from small_networks import make
from small_training import OPTIMIZERS, raw

EXAMPLES = 37
"""In batches of 5: eight steps an epoch, the last batch of 2."""
Found = list[tuple[NetworkState, Log]]


def points(classes: int = 3, seed: int = 1) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    inputs = torch.randn(EXAMPLES, 6, generator=draws)
    return inputs, (2 * inputs[:, 0] + inputs[:, 1] * inputs[:, 2]).argsort().argsort() * classes // EXAMPLES


def network(seed: int, kind: str = "relu") -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        relu = nn.ReLU(inplace=True)  # one layer in two places
        made = {
            "relu": [nn.Flatten(), nn.Linear(6, 11), relu, nn.Linear(11, 7), relu, nn.Linear(7, 3)],
            "tanh": [
                nn.Linear(6, 13),
                nn.Tanh(),
                nn.Identity(),
                nn.Linear(13, 9, bias=False),
                nn.Sigmoid(),
                nn.Linear(9, 3),
            ],
            "single": [nn.ReLU(), nn.Linear(6, 19), nn.ReLU(), nn.Linear(19, 1)],
        }
        return nn.Sequential(*made[kind])


def recipe(**fields: Any) -> Recipe:
    return Recipe.model_validate({"batch_size": 5, "optimizer": {"lr": 0.05, "momentum": 0.9}, **fields})


def starts(count: int, kind: str = "relu") -> list[tuple[NetworkState, Noise]]:
    return [(NetworkState.of(network(seed, kind)), Noise.of(100 + seed)) for seed in range(count)]


def both(
    begin: list[tuple[NetworkState, Noise]], how: Recipe, stop: int, kind: str = "relu", **more: Any
) -> tuple[Found, Found]:
    """Together, and each alone."""
    more = {"data": points(), "start": begin[0][0].step, "model": network(77, kind), **more}
    found = train_together([Replica(*one) for one in begin], how, stop=stop, **more)
    return found, [train(state, how, noise=noise, stop=stop, **more) for state, noise in begin]


def check(found: Found, alone: Found) -> None:
    assert [state.digest() for state, _ in found] == [state.digest() for state, _ in alone]
    assert [state.step for state, _ in found] == [state.step for state, _ in alone]
    for (_, log), (_, own) in zip(found, alone, strict=True):
        assert log.losses.tobytes() == own.losses.tobytes()
        assert (log.examples, log.stopped, log.reached) == (own.examples, own.stopped, own.reached)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short trainings are stacked too, and what is known of an operation is known of the one in place."""
    monkeypatch.setattr(together, "LEAST", 10)


@pytest.fixture
def stacked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many replicas went at once, step by step."""
    sizes: list[int] = []
    once = Stack.__call__

    def noted(self: Stack, inputs: Tensor, targets: Tensor) -> Tensor:
        sizes.append(self.count)
        return once(self, inputs, targets)

    monkeypatch.setattr(Stack, "__call__", noted)
    return sizes


# --- the bits ---------------------------------------------------------------------------------------------------------


@settings(max_examples=8)
@example(count=2, kind="relu", optimizer="momentum, decay", size=5, threads=2)
@given(
    count=st.integers(2, 5),
    kind=st.sampled_from(["relu", "tanh", "single"]),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    size=st.sampled_from([4, 5, 16, 37]),
    threads=st.sampled_from([1, 2]),
)
def test_each_has_the_bits_that_it_has_alone(count: int, kind: str, optimizer: str, size: int, threads: int) -> None:
    loss = "binary_cross_entropy" if kind == "single" else "cross_entropy"
    how = recipe(batch_size=size, optimizer=OPTIMIZERS[optimizer], loss=loss)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        data = points(2 if kind == "single" else 3)
        check(*both(starts(count, kind), how, 23, kind, data=data))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("width", [50, 128])
def test_at_the_size_that_is_studied_nothing_but_stacks_is_used(width: int, stacked: list[int]) -> None:
    draws = torch.Generator().manual_seed(3)
    pictures = torch.randint(0, 256, (700, 1, 28, 28), generator=draws).to(torch.uint8)
    data = Examples.of((pictures, torch.randint(0, 10, (700,), generator=draws)), mean=(0.1,), std=(0.3,), pixels=True)
    made = [models.initialise("mlp", seed, hidden=[width, 50]) for seed in range(3)]
    begin = [(NetworkState.of(model), Noise.of(seed)) for seed, model in enumerate(made)]
    how = recipe(batch_size=128, optimizer={"name": "adam", "lr": 1e-3})
    check(*both(begin, how, 25, data=data, model=made[0]))
    assert stacked == [3] * 25


@settings(max_examples=8)
@given(st.integers(0, 16), st.integers(0, 6), st.permutations(range(4)))
def test_cut_anywhere_and_gone_on_with_in_other_company(begin: int, short: int, order: list[int]) -> None:
    how, first = recipe(optimizer=OPTIMIZERS["adam"]), starts(4)
    stop = begin + together.LEAST + short
    options: dict[str, Any] = {"model": network(5), "data": points()}
    whole = [train(state, how, options["data"], noise, 0, stop, model=options["model"]) for state, noise in first]
    way = train_together([Replica(*one) for one in first], how, start=0, stop=begin, **options)
    split = [order[:3], order[3:]]
    for group in split:
        replicas = [Replica(way[index][0], first[index][1]) for index in group]
        for index, (state, _) in zip(
            group, train_together(replicas, how, start=begin, stop=stop, **options), strict=True
        ):
            assert state.digest() == whole[index][0].digest()


def test_blocks_with_rates_of_their_own_and_frozen_ones() -> None:
    rules = [{"blocks": ["3.*"], "factor": 0.3, "weight_decay": 0.2}, {"blocks": ["1.weight", "5.bias"], "factor": 0}]
    how = recipe(optimizer={"lr": 0.05, "momentum": 0.9, "by_block": rules})
    begin = starts(3)
    found, alone = both(begin, how, 20)
    check(found, alone)
    for (state, _), (first, _) in zip(found, begin, strict=True):
        moved = {name for name, tensor in state.weights.items() if not torch.equal(tensor, first.weights[name])}
        assert moved == {"1.bias", "3.weight", "3.bias", "5.weight"}
    lower = recipe(optimizer={"lr": 0.05, "by_block": [{"blocks": ["1.*", "3.*"], "factor": 0}]})
    check(*both(begin, lower, 20))


def test_rates_that_are_given_and_double_inputs() -> None:
    inputs, targets = points()
    rates = np.linspace(0.2, 0.01, 17)
    check(*both(starts(2), recipe(), 17, rates=rates, data=(inputs.double(), targets)))


def test_what_diverges_keeps_its_bits(stacked: list[int]) -> None:
    begin = starts(3)
    begin[1] = (
        NetworkState(begin[1][0].weights.like({n: 1e19 * t for n, t in begin[1][0].weights.items()})),
        begin[1][1],
    )
    found, alone = both(begin, recipe(), 24)
    check(found, alone)
    finite = [bool(np.isfinite(log.losses).all()) for _, log in found]
    assert finite == [True, False, True]
    assert stacked == [3] * 24


# --- leaving ----------------------------------------------------------------------------------------------------------


def test_whoever_reaches_its_accuracy_leaves_and_the_others_go_on(stacked: list[int]) -> None:
    ended: list[tuple[int, int]] = []
    begin, until = starts(5), Until(accuracy=0.9)
    how = recipe(optimizer={"name": "adam", "lr": 0.01})

    def told(index: int) -> Callable[[NetworkState, Log], None]:
        return lambda state, log: ended.append((index, state.step))

    replicas = [Replica(*one, ended=told(index)) for index, one in enumerate(begin)]
    found = train_together(replicas, how, points(), 0, 120, model=network(5), until=until)
    alone = [train(state, how, points(), noise, 0, 120, model=network(5), until=until) for state, noise in begin]
    check(found, alone)
    steps = [state.step for state, _ in found]
    assert len(set(steps)) > 2  # the case is worth its name
    assert ended == sorted(enumerate(steps), key=lambda one: (one[1], one[0]))
    assert stacked == [left for step in range(120) if (left := sum(step < end for end in steps)) > 1]


@pytest.mark.parametrize("on", ["train", "test"])
def test_accuracy_on_other_examples(on: Any) -> None:
    until = Until(accuracy=0.6, on=on)
    check(*both(starts(3), recipe(), 60, until=until, test_data=points(seed=8)))


def test_each_is_watched_by_its_own() -> None:
    """One is stopped by a watch, one at an epoch's end; all see what they see alone."""

    def watchers(seen: list[Any]) -> list[dict[str, Any]]:
        def watch(index: int, at: int) -> Callable[[int], bool]:
            def told(step: int) -> bool:
                seen.append((index, step))
                return step == at

            return told

        def each_epoch(index: int, at: int) -> Any:
            def told(step: int, losses: Any, here: Callable[[], NetworkState]) -> bool:
                seen.append((index, step, losses.tobytes(), here().digest()))
                return step == at

            return told

        return [
            {"watch": watch(0, 13)},
            {"each_epoch": each_epoch(1, 16)},
            {"watch": watch(2, -1), "each_epoch": each_epoch(2, -1)},
        ]

    here: list[Any] = []
    there: list[Any] = []
    begin, how = starts(3), recipe()
    replicas = [Replica(*one, **own) for one, own in zip(begin, watchers(here), strict=True)]
    found = train_together(replicas, how, points(), 0, 30, model=network(5))
    alone = [
        train(state, how, points(), noise, 0, 30, model=network(5), **own)
        for (state, noise), own in zip(begin, watchers(there), strict=True)
    ]
    check(found, alone)
    assert [log.stopped for _, log in found] == [True, True, False]
    assert sorted(here, key=lambda one: one[0]) == there


def test_the_seconds_of_all_are_those_that_passed() -> None:
    import time

    began = time.perf_counter()
    found = train_together([Replica(*one) for one in starts(4)], recipe(), points(), 0, 40, model=network(5))
    passed = time.perf_counter() - began
    assert 0.3 * passed < sum(log.seconds for _, log in found) <= passed


# --- nothing is trusted unseen ----------------------------------------------------------------------------------------


def broken(name: str, monkeypatch: pytest.MonkeyPatch, when: Callable[[Tensor], bool]) -> None:
    """An operation whose result is one unit in the last place off."""
    true = getattr(operations, name)

    def off(*operands: Tensor, out: Tensor) -> None:
        true(*operands, out=out)
        if when(out):
            first = out.reshape(-1)[:1]
            out.view(-1)[:1] = torch.nextafter(first, first + 1)

    off.__name__ = name
    monkeypatch.setattr(operations, name, off)


def test_an_operation_that_differs_in_a_stack_is_made_one_by_one(
    monkeypatch: pytest.MonkeyPatch, stacked: list[int]
) -> None:
    broken("affine", monkeypatch, lambda out: out.ndim == 3)
    check(*both(starts(3), recipe(), 20))
    assert stacked == [3] * 20


def test_an_operation_that_differs_in_the_memory_of_a_stack_is_made_in_its_own(
    monkeypatch: pytest.MonkeyPatch, stacked: list[int]
) -> None:
    broken("by_weight", monkeypatch, lambda out: out.ndim == 3 or out.storage_offset() > 0)
    check(*both(starts(3), recipe(), 20))
    assert stacked == [3] * 20


def test_functions_that_round_are_not_computed_over_replicas() -> None:
    """The last entries of a tensor may be computed by other instructions, which seldom tell."""
    draws = torch.Generator().manual_seed(2)
    x = 2 * torch.randn(400, 4, 13, generator=draws)
    for layer in (nn.Tanh(), nn.Sigmoid()):
        found, passed = torch.empty_like(x), torch.empty_like(x)
        forth, back = operations.ELEMENTWISE[type(layer)]
        forth(x, out=found)
        back(x, found, out=passed)
        for index, own in enumerate(x.clone().unbind()):
            leaf = own.clone().requires_grad_()
            alone = layer(leaf)
            (gradient,) = torch.autograd.grad(alone, leaf, own.clone())
            assert same_bits(found[index], alone.detach())
            assert same_bits(passed[index], gradient)


@pytest.mark.parametrize("what", ["loss", "gradient", "optimiser"])
def test_a_step_with_other_bits_is_found_and_taken_back(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true, tried = Stack.__call__, []

    def off(self: Stack, inputs: Tensor, targets: Tensor) -> Tensor:
        found = true(self, inputs, targets)
        tried.append(len(inputs))
        if what == "gradient":
            self.layers[-1].gradients["bias"][1, 0, 2] *= 1 + 1e-5
        return found * (1 + 1e-6) if what == "loss" else found

    monkeypatch.setattr(Stack, "__call__", off)
    if what == "optimiser":
        join = optimizers.join
        decay = {"sgd": 0.01}

        def wrong(spec: Any, own: Any) -> Any:
            found = join(spec, own)
            for group in found.param_groups:
                group["weight_decay"] = decay["sgd"]
            return found

        monkeypatch.setattr(optimizers, "join", wrong)
    check(*both(starts(3), recipe(optimizer=OPTIMIZERS["adam"]), 20))
    assert tried == [15, 6]  # once with each size of batch, and never again


def test_zeros_of_another_sign_and_other_nans_are_other_bits() -> None:
    a = torch.tensor([1.5, 0.0, float("nan")])
    assert same_bits(a, a.clone())
    assert not same_bits(a, torch.tensor([1.5, -0.0, float("nan")]))
    other = a.clone()
    other.view(torch.int32)[2] ^= 1
    assert not same_bits(a, other)
    assert not same_bits(a, a[:2])
    assert not same_bits(a, a.double())


# --- what stacks ------------------------------------------------------------------------------------------------------


def zoo() -> dict[str, nn.Module]:
    return {name: models.build(name, **models._entries()[name].small) for name in models.names()}


def test_the_executor_hands_out_together_exactly_the_models_that_stack() -> None:
    assert {name for name, model in zoo().items() if stackable(model)} == STACKED
    assert not stackable(models.build("mlp", dropout=0.2))
    assert stackable(models.build("mlp", hidden=[50] * 6, input_shape=[2], outputs=1))


def hooked() -> nn.Module:
    model = network(3)
    model[1].register_forward_hook(lambda *_: None)  # type: ignore[index]
    return model


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    return model


def patched() -> nn.Module:
    model = network(3)
    model[2].forward = lambda x: x * 2  # type: ignore[index]
    return model


class Own(nn.Linear):
    pass


def frozen() -> nn.Module:
    model = network(3)
    next(model.parameters()).requires_grad_(False)
    return model


def transposed() -> nn.Module:
    model = network(3)
    model[1].weight.data = model[1].weight.data.t().contiguous().t()  # type: ignore[index]
    return model


def listening() -> nn.Module:
    model = network(3)
    next(model.parameters()).register_hook(lambda gradient: gradient)  # type: ignore[no-untyped-call]
    return model


NOT: dict[str, Callable[[], nn.Module]] = {
    "hooked": hooked,
    "tied": tied,
    "patched": patched,
    "frozen": frozen,
    "transposed": transposed,
    "listening": listening,
    "own layer": lambda: nn.Sequential(Own(6, 4), nn.ReLU(), nn.Linear(4, 3)),
    "twice": lambda: nn.Sequential(*[nn.Linear(6, 6)] * 2),
    "nested": lambda: nn.Sequential(network(3), nn.ReLU()),
    "dropout": lambda: nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.1), nn.Linear(4, 3)),
    "double": lambda: network(3).double(),
    "part flattened": lambda: nn.Sequential(nn.Flatten(0), nn.Linear(6, 4)),
    "large": lambda: nn.Sequential(nn.Linear(447, 447), nn.ReLU(), nn.Linear(447, 2)),
    "no parameters": lambda: nn.Sequential(nn.Flatten(), nn.ReLU()),
    "no sequence": lambda: nn.Linear(6, 3),
    "parametrised": lambda: make("parametrised", 3),
}


@pytest.mark.parametrize("name", sorted(NOT))
def test_what_does_not_stack(name: str) -> None:
    assert stackable(network(3))
    assert not stackable(NOT[name]())


@pytest.mark.parametrize("name", ["hooked", "tied", "transposed", "own layer", "dropout", "double", "no sequence"])
def test_what_does_not_stack_is_trained_one_after_the_other(name: str, stacked: list[int]) -> None:
    model = NOT[name]()
    begin = []
    for seed in range(3):
        own = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in own.parameters():
                parameter.mul_(1 + 0.1 * seed)
        begin.append((NetworkState.of(own), Noise.of(seed)))
    targets = points(6 if name == "tied" else 3)
    inputs = targets[0].double() if name == "double" else targets[0]
    check(*both(begin, recipe(), 15, model=model, data=(inputs, targets[1])))
    assert not stacked


def test_pictures_that_are_augmented_or_narrower_floats_are_not_stacked(stacked: list[int]) -> None:
    shape = raw().inputs[0].numel()
    made = [nn.Sequential(nn.Flatten(), nn.Linear(shape, 5), nn.ReLU(), nn.Linear(5, 3)) for _ in range(2)]
    begin = [(NetworkState.of(model), Noise.of(seed)) for seed, model in enumerate(made)]
    check(*both(begin, recipe(augment={"flip": True}), 12, data=raw(), model=made[0]))
    check(*both(begin, recipe(precision="bf16"), 12, data=raw(), model=made[0]))
    assert not stacked
    check(*both(begin, recipe(), 12, data=raw(channels_last=True), model=made[0]))
    assert stacked


def test_one_alone_a_short_way_and_states_with_different_buffers_are_not_stacked(stacked: list[int]) -> None:
    begin = starts(2)
    check(*both(begin[:1], recipe(), 30))
    check(*both(begin, recipe(), together.LEAST - 1))
    (moved, _), _ = both(begin, recipe(), 3)[0]
    rest = NetworkState(begin[1][0].weights, {}, 3)
    check(*both([(moved, begin[0][1]), (rest, begin[1][1])], recipe(), 30))
    assert not stacked


def test_what_is_wrong_is_said_as_alone() -> None:
    inputs, targets = points()
    begin, model = starts(2), network(5)
    with pytest.raises(BadData, match=r"^Labels must be in 0\.\.2 for a model with 3 outputs, found 0\.\.9"):
        both(begin, recipe(), 20, data=(inputs, targets * 9 // 2))
    with pytest.raises(BadInput, match=r"^Training starts at the state's step 0 and ends later, found 2 -> 30"):
        both(begin, recipe(), 30, start=2)
    with pytest.raises(BadInput, match=r"needs 20 rates, found shape \(3,\)"):
        both(begin, recipe(), 20, rates=np.ones(3))
    with pytest.raises(BadInput, match="needs test_data"):
        both(begin, recipe(), 20, until=Until(accuracy=0.5, on="test"))
    with pytest.raises(BadInput, match=r"^The state of each replica must be"):
        train_together([Replica(model, Noise.of(1))] * 2, recipe(), points(), 0, 20, model=model)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="build the model with outputs=1"):
        both(begin, recipe(loss="binary_cross_entropy"), 20, data=(inputs, targets.clamp(max=1)))


def test_nothing_of_the_callers_is_touched() -> None:
    begin, model, data = starts(3), network(5).eval(), points()
    before = [state.digest() for state, _ in begin], NetworkState.of(model).digest(), data[0].clone()
    torch.manual_seed(11)
    generator = torch.get_rng_state()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = train_together([Replica(*one) for one in begin], recipe(), data, 0, 20, model=model)
    assert torch.equal(torch.get_rng_state(), generator)
    after = [state.digest() for state, _ in begin], NetworkState.of(model).digest()
    assert after == before[:2]
    assert torch.equal(data[0], before[2])
    assert not model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    check(found, both(begin, recipe(), 20)[1])
    held = [list(state.weights.values()) for state, _ in found]
    held += [list(slots.values()) for state, _ in found for slots in state.optimizer.values()]
    places = [tensor.untyped_storage().data_ptr() for tensors in held for tensor in tensors]
    assert len(set(places)) == len(places)
