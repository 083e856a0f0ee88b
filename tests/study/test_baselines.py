"""What a merge is compared with at an equal cost of training, each number computed by other means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import isthmus
from isthmus import datasets, models, noise
from isthmus.errors import BadInput, BadStudy
from isthmus.evaluation import evaluate_ensemble, evaluate_path
from isthmus.graph import walk
from isthmus.losses import pooled
from isthmus.networks import NetworkState
from isthmus.nodes import Init, Merge, NormSpec, Part, PathMeasure, PathSpec, State, Train, advance
from isthmus.noise import Noise
from isthmus.store import Store
from isthmus.study import Results, expand, from_mapping
from isthmus.study.comparing import ema_shares
from isthmus.study.files import override
from isthmus.tables import Table
from small_studies import BRANCH, MODEL, arrays, branch, data, normed, ran, recipe, state

SCHEDULE = {"milestones": ["3ep"], "factor": 0.3}  # step 15: after the merge at 12, while the longer network trains
SETS = (
    "seeds=[4]",
    'branch={at=["7it"], lengths=["1ep"]}',
    'merge={after="4it", every="2it"}',
    f"recipe.schedule={{milestones=['3ep'], factor={SCHEDULE['factor']}}}",
    'baselines={ensemble=true, ema={every="2it", half_life="0.6ep"}, longer={factor=[0.1, 1.0], go_on=true}}',
)


@pytest.fixture(scope="module")
def found(store: Store) -> Results:
    return ran(branch(*SETS), store)


def nodes(found: Results, **labels: Any) -> list[tuple[Mapping[str, Any], PathMeasure]]:
    requests = [r for r in found.expansion.requests if r.table == "networks" and labels.items() <= r.labels.items()]
    return [(request.labels, request.whole) for request in requests]


def network(found: Results, **labels: Any) -> State:
    ((_, measure),) = nodes(found, **labels)
    (end,) = measure.path.ends
    return end


def rows(found: Results, **labels: Any) -> Table:
    return found["networks"].where(**labels)


def examples(split: str) -> tuple[Tensor, Tensor]:
    whole = datasets.load("spiral", train=190, test=70)
    part = getattr(whole, split)
    return torch.from_numpy(part.inputs.copy()), torch.from_numpy(part.labels.copy()).long()


def train(start: NetworkState | None, stream: Noise, stop: int, factor: float = 1.0) -> NetworkState:
    """Training on by the public function, at the learning rates written out."""
    model = models.initialise("mlp", 4, input_shape=(2,), classes=2, hidden=(7,))
    start = start or NetworkState.of(model)
    rates = np.array([0.1 * factor * (0.3 if step >= 15 else 1.0) for step in range(start.step, stop)])
    return isthmus.train(start, recipe(), examples("train"), stream, start.step, stop, model=model, rates=rates)[0]


TRUNK = Noise.of(noise.derive(4, "trunk"))
CHILDREN = [Noise.of(noise.derive(4, "child", index)) for index in range(2)]


# --- the ensemble -----------------------------------------------------------------------------------------------------


def test_the_ensemble_is_the_mean_of_the_probabilities(found: Results, store: Store) -> None:
    ends = [train(train(None, TRUNK, 7).without_buffers(), stream, 12) for stream in CHILDREN]
    inputs, labels = examples("test")
    shares = []
    for end in ends:
        w = {name: tensor.double() for name, tensor in end.weights.items()}
        first, last = sorted({name.rpartition(".")[0] for name in w})
        hidden = torch.relu(inputs.double().flatten(1) @ w[f"{first}.weight"].T + w[f"{first}.bias"])
        outputs = hidden @ w[f"{last}.weight"].T + w[f"{last}.bias"]
        shares.append(outputs.exp() / outputs.exp().sum(1, keepdim=True))
    mean = torch.stack(shares).mean(0)
    loss = -mean[range(len(labels)), labels].log()
    (row,) = rows(found, network="ensemble")
    assert row["loss"] == pytest.approx(float(loss.mean()), rel=1e-5)  # the networks themselves are run in float32
    assert row["error"] == float((mean.argmax(1) != labels).double().mean())
    assert (row["accuracy"], row["after_steps"], row["examples"]) == (1 - row["error"], 0, 70)
    ((_, measure),) = nodes(found, network="ensemble")
    kept = arrays(store, measure)
    assert kept["loss"][0] == pytest.approx(loss.numpy(), rel=1e-4, abs=1e-6)
    assert np.unpackbits(kept["error_bits"], axis=1)[0, :70].tolist() == (mean.argmax(1) != labels).int().tolist()
    assert not math.isclose(row["loss"], rows(found, network="merge", after_steps=0)["loss"][0], rel_tol=1e-4)


@pytest.mark.parametrize("mode", ["recompute", "interpolate", "keep", "batch", "init"])
def test_each_member_has_normalisation_statistics_of_its_own(mode: str) -> None:
    members = [normed_state(seed) for seed in (1, 2, 3)]
    inputs, labels = examples("test")
    stats, _ = examples("train")
    how: dict[str, Any] = {"norm_stats": mode, "stats_data": stats, "stats_batch": 64, "batch_size": 25}
    found = evaluate_ensemble(normed(), members, (inputs, labels), **how)
    mean = torch.zeros(70, 2, dtype=torch.float64)
    for member in members:
        model = normed()
        model.load_state_dict(member)
        mean += by_hand(model, mode, stats, inputs).double().softmax(1) / 3
    expected = -mean[range(70), labels].log()
    assert found.per_example_loss[0] == pytest.approx(expected.numpy(), rel=1e-5)
    assert found.norm_stats.mode == mode
    alone = evaluate_ensemble(normed(), members[:1], (inputs, labels), **how)
    line = isthmus.paths.line(members[0], members[0])
    same = evaluate_path(normed(), line, (inputs, labels), alphas=[0.0], **how)
    assert alone.per_example_loss == pytest.approx(same.per_example_loss, rel=1e-6)


def normed_state(seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = normed()
        found = model.state_dict()
        found["1.running_mean"] = torch.randn(6)
        found["1.running_var"] = torch.rand(6) + 0.5
    return dict(found)


def by_hand(model: nn.Module, mode: str, stats: Tensor, inputs: Tensor) -> Tensor:
    """The outputs with normalisation written out."""
    first, norm, _, _, last = model.children()
    assert isinstance(norm, nn.BatchNorm1d)
    with torch.no_grad():
        hidden = first(inputs)
        if mode == "recompute":
            mean, variance = first(stats).mean(0), first(stats).var(0)
        elif mode == "init":
            mean, variance = torch.zeros(6), torch.ones(6)
        else:
            mean, variance = norm.running_mean, norm.running_var
        if mode == "batch":
            parts = [
                (part - part.mean(0)) / (part.var(0, unbiased=False) + norm.eps).sqrt() for part in hidden.split(25)
            ]
            normal = torch.cat(parts)
        else:
            normal = (hidden - mean) / (variance + norm.eps).sqrt()
        outputs: Tensor = last(torch.relu(normal * norm.weight + norm.bias))
        return outputs


def test_an_ensemble_in_a_study_recomputes_for_each_child(tmp_path: Path) -> None:
    content = {**BRANCH, "model": {"name": "small_studies:normed"}, "branch": {"at": ["3it"], "lengths": ["4it"]}}
    sets = ["merge={}", "baselines.ensemble=true", "evaluate.stats_batch=32", "evaluate.stats_examples=100"]
    found, store = ran(from_mapping(override(content, sets)), tmp_path), Store(tmp_path)
    (row,) = rows(found, network="ensemble")
    assert row["norm_stats"] == "recompute (batch 32, examples 100)"
    stats = torch.from_numpy(noise.order(190, "statistics", "train")[:100])
    mean = torch.zeros(70, 2, dtype=torch.float64)
    for child in ("child1", "child2"):
        model = normed()
        model.load_state_dict(dict(state(store, network(found, network=child)).weights))
        mean += by_hand(model, "recompute", examples("train")[0][stats], examples("test")[0]).double().softmax(1) / 2
    assert row["loss"] == pytest.approx(float(-mean[range(70), examples("test")[1]].log().mean()), rel=1e-5)


@given(st.integers(1, 4), st.integers(0, 2**16))
def test_pooled_outputs_predict_the_mean_of_the_probabilities(count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    many = torch.randn(count, 5, 3, 2, generator=generator, dtype=torch.float64) * 4
    mean = many.softmax(2).mean(0)
    assert torch.allclose(pooled(list(many)).softmax(1), mean, rtol=1e-12, atol=0)
    assert torch.allclose(pooled(list(many)).exp(), mean, rtol=1e-12, atol=0)
    single = many[:, :, :1, 0]
    assert torch.allclose(pooled(list(single)).sigmoid(), single.sigmoid().mean(0), rtol=1e-12, atol=0)


def test_what_no_ensemble_can_be_made_of() -> None:
    with pytest.raises(BadInput, match=r"of one shape of at least one network, found \(2, 3\), \(2, 4\)\.$"):
        pooled([torch.zeros(2, 3), torch.zeros(2, 4)])
    with pytest.raises(BadInput, match=r"^An ensemble needs at least one network, found none\.$"):
        evaluate_ensemble(normed(), [], examples("test"))
    with pytest.raises(BadInput, match="needs stats_data"):
        evaluate_ensemble(normed(), [normed_state(1)], examples("test"), norm_stats="recompute")


# --- moving averages --------------------------------------------------------------------------------------------------


def test_the_moving_average_of_each_child_along_its_way(found: Results, store: Store) -> None:
    trunk = train(None, TRUNK, 7)
    for index, name in enumerate(("child1", "child2")):
        average = {key: tensor.numpy().astype(np.float64) for key, tensor in trunk.weights.items()}
        start, before = trunk.without_buffers(), 7
        for step in (9, 11, 12):  # every two steps, and at the end
            now = train(start, CHILDREN[index], step)
            moved = 1 - 2.0 ** (-(step - before) / 3)  # half-life: 0.6 epochs of 5 steps
            average = {k: (1 - moved) * old + moved * now.weights[k].numpy() for k, old in average.items()}
            before = step
        node = network(found, network=f"ema {name}")
        assert isinstance(node, Merge)
        assert (node.step, [one.step for one in node.networks]) == (12, [7, 9, 11, 12])
        stored = state(store, node)
        assert (stored.step, stored.optimizer) == (12, {})
        for key, tensor in stored.weights.items():
            assert tensor.numpy() == pytest.approx(average[key], rel=1e-5, abs=1e-6)  # float32
        (row,) = rows(found, network=f"ema {name}")
        model = models.initialise("mlp", 4, input_shape=(2,), classes=2, hidden=(7,))
        model.load_state_dict(dict(stored.weights))
        inputs, labels = examples("test")
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        assert row["loss"] == pytest.approx(float(loss), rel=1e-5)
        assert row["after_steps"] == 0


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.floats(0.5, 80))
def test_shares_are_those_of_the_recursion(gaps: list[int], half_life: float) -> None:
    steps = [3, *(3 + int(step) for step in np.cumsum(gaps))]
    shares = ema_shares(steps, half_life)
    assert math.fsum(shares) == pytest.approx(1, abs=1e-12)
    values = [math.sin(step) for step in steps]
    average = values[0]
    for gap, value in zip(gaps, values[1:], strict=True):
        average += (1 - 0.5 ** (gap / half_life)) * (value - average)
    assert math.fsum(s * v for s, v in zip(shares, values, strict=True)) == pytest.approx(average, abs=1e-12)


def test_nothing_is_trained_for_moving_averages() -> None:
    sets = [one for one in SETS if not one.startswith("baselines")]
    plain = expand(branch(*sets))
    more = expand(branch(*sets, 'baselines.ema={every="2it", half_life="3it"}'))

    def last(expansion: Any) -> dict[str, int]:
        found: dict[str, int] = {}
        for end in walk(expansion.targets).values():
            if isinstance(end, Train):
                found[end.trajectory] = max(found.get(end.trajectory, 0), end.stop)
        return found

    assert last(more) == last(plain)


def test_merging_networks_of_several_steps_says_where_it_stands() -> None:
    early, late = train(None, TRUNK, 3), train(None, TRUNK, 8)
    with pytest.raises(BadInput, match=r"at the same step, found \[3, 8\]"):
        isthmus.merge([early, late])
    assert isthmus.merge([early, late], step=8).step == 8


# --- one longer training ----------------------------------------------------------------------------------------------


def test_one_network_trained_as_long_as_all_children_together(found: Results, store: Store) -> None:
    trunk = train(None, TRUNK, 7).without_buffers()
    for factor in (0.1, 1.0):
        name = f"longer, lr x {factor:g}"
        afters = (-5, 0, 2, 4)
        assert rows(found, network=name)["after_steps"] == list(afters)
        for after in afters:
            wanted = train(trunk, CHILDREN[0], 7 + 2 * 5 + after, factor)
            assert state(store, network(found, network=name, after_steps=after)).digest() == wanted.digest()
    child = network(found, network="child1", after_steps=0)
    assert network(found, network="longer, lr x 1", after_steps=-5).key == child.key  # at its own rate it is that child


def test_the_longer_network_of_other_copies() -> None:
    """Kept buffers, three children, a trunk that is one of them, parts of the training set."""
    base = ("seeds=[4]", "merge={}", "baselines.longer.factor=0.5")

    def ways(*sets: str) -> list[Train]:
        requests = [r for r in expand(branch(*base, *sets)).requests if r.labels.get("network") == "longer, lr x 0.5"]
        ends = [end for request in requests for end in request.measure.path.ends]
        assert all(isinstance(end, Train) for end in ends)
        return [end for end in ends if isinstance(end, Train)]

    three = ways('branch={at=["7it"], lengths=["1ep"], children=3, buffers="keep"}')
    assert [way.stop for way in three] == [12, 17, 22]
    assert all((way.root.step, way.buffers, way.noise) == (7, "keep", CHILDREN[0]) for way in three)
    trunk = ways('branch={at=["7it"], lengths=["1ep"], trunk_is_child=true}')
    assert all((way.root.step, way.buffers, way.noise) == (0, "keep", TRUNK) for way in trunk)
    rates = trunk[-1].rates()
    assert rates.tolist() == [0.1] * 7 + [0.05] * 10
    apart = ways('branch={at=["7it"], lengths=["1ep"], disjoint=true}')
    assert all(way.part is None for way in apart)


# --- in a study -------------------------------------------------------------------------------------------------------


def test_baselines_stand_beside_every_merge_and_change_nothing_else(found: Results) -> None:
    plain = expand(branch(*(one for one in SETS if not one.startswith("baselines"))))
    own = {node.key for node in plain.targets}
    assert own < {node.key for node in found.expansion.targets}
    two = ('branch={at=["0ep", "7it"], lengths=["2it", "4it", "1ep"]}', 'merge.at=["4it", "1ep"]')
    wanted = [*two, 'baselines={ensemble=true, ema={every="3it", half_life="3it"}}']
    labels = [r.labels for r in expand(branch(*wanted)).requests if r.labels.get("network") in ("ensemble", "merge")]
    assert [(one["k"], one["s"]) for one in labels if one["network"] == "ensemble"] == [
        (one["k"], one["s"]) for one in labels if one["network"] == "merge"
    ]
    assert {row["network"] for row in found["seeds"].where(lambda row: row["network"] is not None)} == {
        *("merge", "child1", "child2", "ensemble", "ema child1", "ema child2", "longer, lr x 0.1", "longer, lr x 1")
    }


def test_pinned_keys() -> None:
    """As in tests/graph/test_nodes.py: results lie under these names."""
    init = Init(MODEL, 3)
    a, b = (advance(init, recipe(), data(), Noise.of(seed), 12) for seed in (5, 6))
    ensemble = PathMeasure(PathSpec("ensemble", (a, b)), data(), Part("test"), (0.0,), NormSpec("recompute"))
    average = Merge((init, a), (0.25, 0.75))
    assert {"ensemble": ensemble.key[:16], "average": average.key[:16]} == PINNED
    assert ensemble.label == "ensemble of 2 on test"
    assert ensemble.cost == 2 * (70 + 190)


PINNED = {"ensemble": "bdc642217fcc8321", "average": "876ca8ce1a63a1df"}


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (("baselines={}",), "baselines: expected at least one of ensemble, ema and longer, found none."),
        (("merge=0", "baselines.ensemble=true"), "merge: expected a table of fields, found 0."),
        (("baselines.longer.factor=0",), "baselines.longer.factor.0: expected a number above 0, found 0."),
        (
            ("baselines.longer.factor=[0.1, 0.1]",),
            "baselines.longer.factor: expected distinct factors, at least one, found 0.1 more than once.",
        ),
        (
            ('baselines.ema={every="0ep", half_life="1ep"}',),
            "baselines.ema: expected every above 0, found 0ep.",
        ),
        (
            ('baselines.ema={every="2ep", half_life="1ep"}',),
            "baselines.ema.every: expected at most the s of a merge, 1ep, found 2ep.",
        ),
        (
            ('baselines.ema={every="0.01ep", half_life="1ep"}',),
            "baselines.ema.every: expected at least one step (an epoch has 5), found 0.01ep.",
        ),
        (
            ("baselines.longer.go_on=true",),
            "baselines.longer.go_on: expected merge.after beside it, as long as which it goes on, found none.",
        ),
    ],
)
def test_baselines_that_cannot_be(sets: tuple[str, ...], told: str) -> None:
    with pytest.raises(BadStudy) as caught:
        expand(branch("merge.buffers=reset", *sets))
    assert told in [problem.removeprefix("study: ") for problem in caught.value.problems]


def test_baselines_need_a_merge() -> None:
    with pytest.raises(BadStudy) as caught:
        expand(branch("baselines.ensemble=true"))
    told = "baselines: expected [merge] beside it, which they are compared with, found none."
    assert list(caught.value.problems) == [told]
