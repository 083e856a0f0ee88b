"""Children on disjoint parts of the training set, and weighted merges, against the public functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import isthmus
from isthmus import datasets, models, noise, study
from isthmus.errors import BadStudy
from isthmus.execute import Setting
from isthmus.execute.compute import Stopped, Workshop
from isthmus.networks import NetworkState
from isthmus.nodes import Part, Share, State, Train
from isthmus.store import Store
from isthmus.study import Results, expand
from small_studies import branch, compute, data, recipe, state

SCHEDULE = {"milestones": ["2ep"], "factor": 0.3}  # step 10, which is inside s
SETS = (
    "seeds=[4]",
    'branch={at=["7it"], lengths=["1ep"], children=3, disjoint=true}',
    'merge={after="1ep", every="3it"}',
    f"recipe.schedule={{milestones=['2ep'], factor={SCHEDULE['factor']}}}",
)


@pytest.fixture(scope="module")
def found(store: Store) -> Results:
    return study.run(branch(*SETS), store, workers=0, threads=1)


def networks(found: Results, **labels: Any) -> list[State]:
    requests = [r for r in found.expansion.requests if r.table == "networks" and labels.items() <= r.labels.items()]
    return [request.measure.path.ends[0] for request in requests]


def by_hand() -> list[npt.NDArray[np.int64]]:
    """The random split of 190 examples into three parts, for seed 4."""
    mixed = noise.order(190, 4, "shares")
    return [np.sort(mixed[:64]), np.sort(mixed[64:127]), np.sort(mixed[127:])]


def train(start: NetworkState, seed: int, stop: int, where: Any = slice(None)) -> NetworkState:
    whole = datasets.load("spiral", train=190, test=70).train
    examples = torch.from_numpy(whole.inputs[where].copy()), torch.from_numpy(whole.labels[where].copy())
    how, model = recipe(schedule=SCHEDULE), models.initialise("mlp", 4, input_shape=(2,), classes=2, hidden=(7,))
    start = start if start is not INIT else NetworkState.of(model)
    rates = how.rates(start.step, stop, 5)  # by epochs of the whole set: 5 steps
    own = isthmus.Noise.of(seed)
    return isthmus.train(start, how, examples, own, start.step, stop, model=model, rates=rates)[0]


INIT = NetworkState(isthmus.weights.Weights({}))


@given(st.integers(1, 300), st.integers(1, 12), st.integers(0, 2**40))
def test_shares_are_disjoint_and_together_everything(examples: int, of: int, seed: int) -> None:
    parts = [Share(index, of, seed) for index in range(of)]
    found = [part.indices(examples) for part in parts]
    assert sorted(np.concatenate(found).tolist()) == list(range(examples))
    sizes = [len(part) for part in found]
    assert sizes == [part.count(examples) for part in parts] == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1
    assert all(np.array_equal(part, np.sort(part)) for part in found)


def test_each_child_trains_on_its_part_and_everything_after_the_merge_on_the_whole(
    found: Results, store: Store
) -> None:
    trunk = train(INIT, noise.derive(4, "trunk"), 7)
    seeds = [noise.derive(4, "child", index) for index in range(3)]
    ends = [train(trunk.without_buffers(), seed, 12, where) for seed, where in zip(seeds, by_hand(), strict=True)]
    names = ("child1", "child2", "child3")
    for index, name in enumerate(names):
        (child,) = networks(found, network=name, after_steps=0)
        assert isinstance(child, Train)
        assert child.part == Part("train", share=Share(index, 3, 4))
        assert (child.steps_per_epoch, child.stop) == (2, 12)  # 64, 63 and 63 examples in batches of 40
        assert state(store, child).digest() == ends[index].digest()
        (later,) = networks(found, network=name, after_steps=3)
        assert state(store, later).digest() == train(ends[index], seeds[index], 15).digest()
    (merged,) = networks(found, network="merge", after_steps=0)
    assert state(store, merged).digest() == isthmus.merge(ends).digest()
    (later,) = networks(found, network="merge", after_steps=3)
    wanted = train(isthmus.merge(ends), noise.derive(4, "merge"), 15)
    assert state(store, later).digest() == wanted.digest()


def test_parts_differ_between_seeds_and_are_named(found: Results) -> None:
    assert not np.array_equal(Share(0, 2, 4).indices(190), Share(0, 2, 5).indices(190))
    (child,) = networks(found, network="child1", after_steps=0)
    assert isinstance(child, Train)
    assert child.describe()["part"] == {"split": "train", "share": {"index": 0, "of": 3, "seed": 4}}
    plain = expand(branch(*SETS, "branch.disjoint=false"))
    others = {end.key for request in plain.requests for end in request.measure.path.ends}
    assert not {network.key for network in networks(found)} & others
    assert str(Part("train", share=Share(0, 2, 4))) == "train (share 1 of 2)"


@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_child_cut_anywhere_goes_on_to_the_same_bits(
    found: Results, store: Store, tmp_path: Path, after: int
) -> None:
    (child,) = networks(found, network="child2", after_steps=0)
    assert isinstance(child, Train)
    own = compute(Store(tmp_path), child.root)
    told = [0.0]
    workshop = Workshop(own, Setting(), lambda *progress: told.append(progress[0]), lambda: told[-1] >= after)
    with pytest.raises(Stopped, match=f"^stopped at step {7 + after}$"):
        workshop.compute(child)
    assert own.has(child.at(7 + after).key)
    compute(own, child)
    assert set(own.get(child.key).parents) == {child.at(7 + after).key}
    assert own.get(child.key).digest == store.get(child.key).digest


def test_what_does_not_go_with_disjoint_parts() -> None:
    with pytest.raises(BadStudy, match="branch: expected disjoint without trunk_is_child, found both: the trunk goes"):
        branch("branch.disjoint=true", "branch.trunk_is_child=true")
    told = r"^branch\.children: expected at most one a training example \(190\) with disjoint, found 191\.$"
    with pytest.raises(BadStudy, match=told):
        expand(branch("branch.disjoint=true", "branch.children=191"))
    alone = 'branch={at=["1ep"], lengths=["1ep"], differ=["augmentation"], disjoint=true}'
    assert expand(branch(alone)).requests  # other data make other networks


# --- weighted merges --------------------------------------------------------------------------------------------------

WEIGHTS = ((0.3, 0.7), (0.2, 0.5, 0.3), (0.0, 1.0), (0.25, 0.125, 0.5, 0.125))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_weighted_merge_is_the_weighted_mean(store: Store, weights: tuple[float, ...]) -> None:
    count = len(weights)
    base = f'branch={{at=["1ep"], lengths=["1ep"], children={count}}}'
    merged = study.run(branch(base, f"merge.weights={list(weights)}"), store, workers=0, threads=1)
    rows = merged["networks"]
    assert rows.columns[5:8] == ("network", "weights", "after_steps")
    assert rows["weights"] == [" ".join(map(str, weights)), *[None] * count]
    (merge,) = networks(merged, network="merge")
    children = [state(store, network) for network in networks(merged)[1:]]
    for name, tensor in state(store, merge).weights.items():
        oracle = sum(w * child.weights[name].numpy().astype(np.float64) for w, child in zip(weights, children))
        scale = sum(abs(w * child.weights[name].numpy()) for w, child in zip(weights, children))
        # float32: each product and each sum of so many terms is rounded once
        assert np.all(np.abs(tensor.numpy() - oracle) <= (count + 1) * 2.0**-24 * scale)
    means = merged["seeds"].where(network="merge", quantity="accuracy")
    assert means["weights"] == [" ".join(map(str, weights))]


def test_equal_weights_that_are_given_are_those_by_default() -> None:
    def keys(*sets: str) -> list[str]:
        return [node.key for node in expand(branch(*sets)).targets]

    assert keys("merge.weights=[0.5, 0.5]") == keys("merge.buffers=reset")
    assert keys("merge.weights=[0.5, 0.5]") != keys("merge.weights=[0.4, 0.6]")


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("[0.3, 0.6]", "merge.weights: expected weights that add up to 1, found [0.3, 0.6]."),
        ("[0.2, 0.3, 0.5]", "merge.weights: expected one weight a child, 2 of them, found 3."),
        ("[1.5, -0.5]", "merge.weights.1: expected a number of at least 0, found -0.5."),
        ("[]", "merge.weights: expected weights that add up to 1, found []."),
    ],
)
def test_weights_that_do_not_fit(weights: str, told: str) -> None:
    with pytest.raises(BadStudy) as caught:
        expand(branch(f"merge.weights={weights}"))
    assert [problem.removeprefix("study: ") for problem in caught.value.problems] == [told]
    assert data().train == 190
