"""Scores of examples in a study: by hand from the public functions, and every network on their splits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load
from torch import Tensor, nn

import isthmus
from isthmus import choices, datasets, models, noise, paths
from isthmus.errors import BadInput, BadStudy
from isthmus.execute import Setting
from isthmus.execute.compute import Workshop
from isthmus.networks import NetworkState
from isthmus.nodes import Scores, Train
from isthmus.store import Store
from isthmus.study import expand
from small_studies import branch, data, ran, recipe, to_final

SETS = ("seeds=[4, 9]", 'branch={at=["1ep"], lengths=["2ep"]}', 'merge={after="1ep", every="3it"}')


def scored(**options: Any) -> str:
    fields = {"splits": 3, "runs": 2, "at": "3ep", **options}
    return "evaluate.scores={" + ", ".join(f"{name}={value!r}" for name, value in fields.items()) + "}"


def pair(split: str = "train") -> tuple[Tensor, Tensor]:
    found = getattr(datasets.load("spiral", train=190, test=70), split)
    return torch.from_numpy(found.inputs.copy()), torch.from_numpy(found.labels.copy())


def network(state: NetworkState, outputs: int | None = None) -> nn.Module:
    model = mlp(0, outputs)
    model.load_state_dict(dict(state.weights))
    return model.eval()


def mlp(seed: int, outputs: int | None = None) -> nn.Module:
    return models.initialise("mlp", seed, input_shape=(2,), classes=2, hidden=(7,), outputs=outputs)


def run_of(index: int, stops: tuple[int, ...], **changes: Any) -> list[nn.Module]:
    """The networks of one run for scores at these steps."""
    outputs = 1 if changes else None
    model, how = mlp(noise.derive("scores", index, "init"), outputs), recipe(**changes)
    stream, state, found = isthmus.Noise.of(noise.derive("scores", index, "noise")), NetworkState.of(model), []
    for stop in stops:
        state, _ = isthmus.train(state, how, pair(), stream, state.step, stop, model=model)
        found.append(network(state, outputs))
    return found


def by_definition(score: str, where: Any = slice(None)) -> npt.NDArray[np.float64]:
    inputs, labels = (part[where] for part in pair())
    every = []
    for run in range(2):
        if score == "forgetting":
            looks = [(model(inputs).argmax(1) == labels).tolist() for model in run_of(run, (5, 10, 15))]
            own = list(zip(*looks, strict=True))
            every.append([sum(a and not b for a, b in pairwise(seen)) if any(seen) else 3 for seen in own])
            continue
        (model,) = run_of(run, (15,))
        if score == "el2n":
            every.append((model(inputs).softmax(1) - nn.functional.one_hot(labels, 2)).norm(dim=1).tolist())
        else:
            every.append(
                [
                    gradient_norm(model, nn.functional.cross_entropy(model(one[None]), label[None]))
                    for one, label in zip(inputs, labels, strict=True)
                ]
            )
    found: npt.NDArray[np.float64] = np.mean(np.array(every, dtype=np.float64), axis=0)
    return found


def gradient_norm(model: nn.Module, loss: Tensor) -> float:
    own = torch.autograd.grad(loss, list(model.parameters()))
    return float(torch.stack([gradient.square().sum() for gradient in own]).sum().sqrt())


@pytest.mark.parametrize("score", ["el2n", "grand", "forgetting"])
@pytest.mark.parametrize("examples", ["train", "train:80"])
def test_scores_and_parts_are_those_of_their_definition(store: Store, score: str, examples: str) -> None:
    found = ran(to_final(scored(score=score, examples=examples)), store)
    where = noise.order(190, "examples", "train")[:80] if examples == "train:80" else np.arange(190)
    wanted = by_definition(score, where)
    table, labels = found["scores"], pair()[1].numpy()
    assert table.columns == ("example", "label", "score", "split")
    assert table["example"] == where.tolist()
    assert table["label"] == labels[where].tolist()
    np.testing.assert_allclose(table["score"], wanted, rtol=1e-5, atol=1e-6)  # float32 logits
    mixed = noise.order(len(where), "equal scores") if score == "forgetting" else np.arange(len(where))
    order = mixed[np.argsort(np.array(table["score"])[mixed], kind="stable")]
    parts = np.array_split(order, 3)
    assert [len(part) for part in parts] == ([64, 63, 63] if len(where) == 190 else [27, 27, 26])
    for index, (row, part) in enumerate(zip(found["splits"], parts, strict=True)):
        own = np.array(table["score"])[part]
        assert row["split"] == f"{examples}/{index + 1}"
        assert set(table.where(split=row["split"])["example"]) == set(where[part].tolist())
        assert (row["examples"], row["min"], row["max"]) == (len(part), own.min(), own.max())
        assert row["mean"] == pytest.approx(own.mean(), rel=1e-12)
        assert [row[f"class_{label}"] for label in range(2)] == np.bincount(labels[where[part]]).tolist()
    assert score != "forgetting" or len(set(table["score"])) > 2


def test_parts_of_equal_counts_are_no_classes_where_examples_lie_by_class() -> None:
    found = {"scores": np.repeat([0.0, 2.0, 0.0, 2.0], 30)}  # two classes, one after the other
    plain, mixed = (choices.choose("splits", found, {"parts": 4, **how}) for how in ({}, {"mixed": True}))
    easy = [*range(30), *range(60, 90)]
    assert plain[:2] == [easy[:30], easy[30:]]
    assert sorted(mixed[0] + mixed[1]) == easy
    assert sorted(index for part in mixed for index in part) == list(range(120))
    assert all(8 <= sum(index < 60 for index in part) <= 22 for part in mixed)
    assert [part == sorted(part) for part in mixed] == [True] * 4


def test_counts_are_cut_in_a_mixed_order_and_scores_of_many_values_as_before() -> None:
    for score, how in (("el2n", {"parts": 3}), ("grand", {"parts": 3}), ("forgetting", {"parts": 3, "mixed": True})):
        choice = expand(branch(scored(score=score))).splits
        assert choice is not None
        assert choice.arguments == how


def test_scores_lie_in_the_store_too(store: Store) -> None:
    found = ran(to_final(scored()), store)
    assert found.expansion.splits is not None
    arrays = load(store.blob(store.get(found.expansion.splits.source.key)))
    assert arrays["scores"].tolist() == found["scores"]["score"]
    assert arrays["index"].tolist() == found["scores"]["example"]


def test_every_network_and_pair_is_evaluated_on_every_split(store: Store) -> None:
    found = ran(branch(*SETS, scored(), 'evaluate.on=["test", "train"]'), store)
    networks, splits = found["networks"], ("test", "train", "train/1", "train/2", "train/3")
    names = [("merge", 0), ("child1", 0), ("child2", 0), ("merge", 3), ("child1", 3), ("child2", 3)]
    for seed in (4, 9):
        for split in splits:
            rows = networks.where(seed=seed, split=split)
            assert list(zip(rows["network"], rows["after_steps"], strict=True)) == names
            assert len(found["pairs"].where(seed=seed, split=split)) == 2
    inputs, labels = pair()
    members = {split: found["scores"].where(split=split)["example"] for split in splits[2:]}
    for request in found.expansion.requests:
        name, split = request.labels.get("network"), request.labels["split"]
        if name is None or split not in members:
            continue
        blob = store.blob(store.get(request.measure.path.ends[0].key))
        flat = {key.removeprefix("weights/"): torch.from_numpy(array.copy()) for key, array in load(blob).items()}
        weights = {key: tensor for key, tensor in flat.items() if not key.startswith("optimizer/")}
        own = members[split]
        wanted = isthmus.evaluate_path(
            mlp(0), paths.line(weights, weights), (inputs[own], labels[own]), alphas=[0.0], norm_stats="keep"
        )
        row = networks.where(**dict(request.labels)).rows[0]
        assert row["loss"] == pytest.approx(wanted.loss[0], rel=1e-6)  # of another batch
        assert row["accuracy"] == 1.0 - wanted.error[0]
    whole = networks.where(network="merge", after_steps=3, seed=4)
    parts = [row for split in splits[2:] for row in whole.where(split=split)]
    (everything,) = whole.where(split="train")
    mean = sum(row["accuracy"] * row["examples"] for row in parts) / 190
    assert everything["accuracy"] == pytest.approx(mean, rel=1e-12)
    means = found["seeds"].where(network="merge", after_steps=3, split="train/3", quantity="accuracy")
    assert means["seeds"] == [2]


def test_replicates_and_lengths_of_training_share_the_splits() -> None:
    keys = set()
    for sets in (("seeds=[4]",), ("seeds=[9, 11]",), ("branch.lengths=['3ep']",), ("name=other",)):
        splits = expand(branch(*sets, scored())).splits
        assert splits is not None
        keys.add(splits.key)
    assert len(keys) == 1
    others: list[dict[str, Any]] = [
        {"score": "grand"},
        {"runs": 3},
        {"at": "2ep"},
        {"splits": 4},
        {"examples": "train:80"},
    ]
    found = [expand(branch(scored(**other))).splits for other in others]
    assert len({split.key for split in found if split} - keys) == len(others)


def test_ends_of_epochs_are_states_of_one_trajectory() -> None:
    choice = expand(branch(scored(score="forgetting", at="17it"))).splits
    assert choice is not None
    source = choice.source
    assert isinstance(source, Scores)
    runs = [source.networks[:3], source.networks[3:]]
    assert source.looks == 3
    for run in runs:
        assert [network.step for network in run] == [5, 10, 15]
        assert len({network.trajectory for network in run if isinstance(network, Train)}) == 1
    assert runs[0][0].parents()[0].key != runs[1][0].parents()[0].key
    plain = Scores(source.networks[:1], data(), source.part)
    assert "looks" not in plain.describe()
    assert "loss" not in plain.describe()


def test_a_single_logit_is_that_of_two_classes(store: Store) -> None:
    sets = ("recipe.loss=binary_cross_entropy", "model.outputs=1")
    inputs, labels = pair()
    for score in ("el2n", "grand"):
        found = ran(to_final(*sets, scored(score=score)), store)
        every = []
        for run in range(2):
            (model,) = run_of(run, (15,), loss="binary_cross_entropy")
            p = model(inputs).sigmoid()[:, 0].double()
            if score == "el2n":
                every.append((2**0.5 * (p - labels).abs()).tolist())  # both classes are wrong by as much
                continue
            loss = nn.functional.binary_cross_entropy_with_logits
            singles = (loss(model(inputs[i : i + 1]), labels[i : i + 1, None].float()) for i in range(190))
            every.append([gradient_norm(model, single) for single in singles])
        np.testing.assert_allclose(found["scores"]["score"], np.mean(every, axis=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"score": "eln2"},
            "evaluate.scores.score: expected a score, found 'eln2'; did you mean \"el2n\"? Known: el2n, forgetting,",
        ),
        ({"splits": 1}, "evaluate.scores.splits: expected a number of at least 2, found 1."),
        ({"splits": 191}, "evaluate.scores.splits: expected at most as many as there are examples (190), found 191."),
        ({"runs": 0}, "evaluate.scores.runs: expected a number of at least 1, found 0."),
        ({"at": "0ep"}, "evaluate.scores.at: expected at least one step (an epoch has 5), found 0ep."),
        (
            {"at": "9it", "score": "forgetting"},
            "evaluate.scores.at: expected at least 2ep for forgetting, which compares ends of epochs, found 9it.",
        ),
        ({"examples": "test"}, 'evaluate.scores.examples: expected training examples ("train", or such as'),
        ({"examples": "trian"}, 'evaluate.scores.examples: expected "train", "test" or a number of them such as'),
        ({"example": 3}, 'evaluate.scores.example: unknown field; did you mean "examples"? Known: at, examples, runs'),
    ],
)
def test_what_is_wrong_with_scores(options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadStudy) as caught:
        expand(branch(scored(**options)))
    (problem,) = caught.value.problems
    assert problem.removeprefix("study: ").startswith(told)
    assert problem.endswith(".")


def test_lengths_are_looked_at_beside_what_is_refused() -> None:
    with pytest.raises(BadStudy) as caught:
        branch(scored(at="9it", score="forgetting"), "branch.children=1")
    assert [problem.partition(": expected")[0] for problem in caught.value.problems] == [
        "study: branch.children",
        "study: evaluate.scores.at",
    ]


def test_a_node_of_a_score_that_is_none(store: Store) -> None:
    choice = expand(branch(scored())).splits
    assert choice is not None
    assert isinstance(choice.source, Scores)
    node = Scores(choice.source.networks, data(), choice.source.part, "el2")
    ran(to_final(scored()), store)
    with pytest.raises(BadInput, match=r"^There is no score named 'el2'; did you mean \"el2n\"\?"):
        Workshop(store, Setting()).compute(node)
