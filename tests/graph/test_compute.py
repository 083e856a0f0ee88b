"""Each kind of node against the same computed without the graph."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import isthmus
from isthmus import datasets, models, noise, paths, weights
from isthmus.checkpoints import read_weights
from isthmus.errors import BadData, BadInput, BadWeights, Damaged
from isthmus.execute import Setting
from isthmus.execute.compute import Stopped, Workshop
from isthmus.execute.records import restored, summarise
from isthmus.networks import NetworkState
from isthmus.nodes import (
    Choose,
    Distance,
    Graft,
    Import,
    Init,
    Merge,
    ModelRef,
    Node,
    NormSpec,
    Part,
    PathMeasure,
    PathSpec,
    Point,
    Scores,
    Selection,
    State,
    Train,
    advance,
)
from isthmus.noise import Noise
from isthmus.recipe import Buffers, Schedule, Until
from isthmus.store import Store
from small_studies import MODEL, arrays, compute, data, digests, recipe, state

NORMED = ModelRef("small_studies:normed", {})
RECIPE = recipe(schedule=Schedule.model_validate({"milestones": ["9it"], "factor": 0.3}), weight_decay=0.01)
A_NOISE, B_NOISE = Noise.of(5), Noise.of(8)


def to(stop: int, start: State, stream: Noise = A_NOISE, **options: Any) -> Train:
    found = advance(start, RECIPE, data(), stream, stop, **options)
    assert isinstance(found, Train)
    return found


INIT = Init(NORMED, 3)
TRUNK = to(7, INIT)
A, B = to(12, TRUNK), to(12, TRUNK, B_NOISE, buffers="reset")
LINE = PathSpec("line", (A, B))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return compute(Store(tmp_path_factory.mktemp("store")), A, B)


@functools.cache
def spiral() -> datasets.DataSet:
    return datasets.load("spiral", train=190, test=70)


def pair(split: Literal["train", "test"] = "test", where: Any = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
    found = getattr(spiral(), split)
    return torch.from_numpy(found.inputs.copy())[where], torch.from_numpy(found.labels.copy())[where]


def model(node: State = INIT) -> nn.Module:
    return models.build(node.model.name, **node.model.arguments)


def train(start: NetworkState, stream: Noise, stop: int, **options: Any) -> NetworkState:
    return isthmus.train(start, RECIPE, pair("train"), stream, start.step, stop, model=model(), **options)[0]


def same(found: NetworkState, wanted: NetworkState) -> None:
    assert found.step == wanted.step
    assert found.digest() == wanted.digest()


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", [MODEL, NORMED])
def test_init(store: Store, ref: ModelRef) -> None:
    node = Init(ref, 4)
    compute(store, node)
    wanted = NetworkState.of(models.initialise(ref.name, 4, **ref.arguments))
    same(state(store, node), wanted)
    count = sum(parameter.numel() for parameter in model(node).parameters())
    assert store.get(node.key).summary == {"step": 0, "parameters": count}


def test_train_a_trunk_and_its_children(store: Store) -> None:
    start = NetworkState.of(models.initialise(NORMED.name, 3))
    trunk = train(start, A_NOISE, 7)
    same(state(store, TRUNK), trunk)
    same(state(store, A), train(start, A_NOISE, 12))
    same(state(store, B), train(trunk.without_buffers(), B_NOISE, 12))
    kept = to(12, TRUNK, B_NOISE)
    compute(store, kept)
    same(state(store, kept), train(trunk, B_NOISE, 12))
    assert len({store.get(node.key).digest for node in (A, B, kept)}) == 3


def test_a_record_pins_what_it_descends_from(store: Store) -> None:
    digest = {node: store.get(node.key).digest for node in (INIT, TRUNK, B)}
    found = store.get(B.key)
    assert found.parents == {TRUNK.key: digest[TRUNK]}
    assert found.ancestry == {INIT.key: digest[INIT], TRUNK.key: digest[TRUNK]} | {
        at.key: found.ancestry[at.key]
        for at in (TRUNK.at(5), B.at(10))  # ends of epochs, not stored
    }
    assert found.digest == state(store, B).digest()
    assert [step for step, _ in found.summary["epochs"]] == [10, 12]
    assert found.made["threads"] == 1


def test_train_until_an_accuracy(store: Store) -> None:
    for on, accuracy in (("train", 0.55), ("test", 0.99)):
        goal = Until.model_validate({"accuracy": accuracy, "on": on})
        node = to(38, INIT, until=goal)
        compute(store, node)
        start = NetworkState.of(models.initialise(NORMED.name, 3))
        wanted, log = isthmus.train(
            start, RECIPE, pair("train"), A_NOISE, 0, 38, model=model(), until=goal, test_data=pair()
        )
        same(state(store, node), wanted)
        summary = store.get(node.key).summary
        assert (summary["reached"], summary["step"]) == (log.reached, wanted.step) == (on == "train", wanted.step)
        assert (wanted.step < 38) == (on == "train")
        longer = replace(node, pieces=(replace(node.pieces[0], stop=44),), stop=44)
        compute(store, longer)  # sets out from a state that has reached it, and stays there
        assert (state(store, longer).step < 44) == (on == "train")


@pytest.mark.parametrize("buffers", get_args(Buffers))
@pytest.mark.parametrize("shares", [(0.3, 0.7), (0.2, 0.5, 0.3)])
def test_merge(store: Store, buffers: Buffers, shares: tuple[float, ...]) -> None:
    networks = (A, B, to(12, TRUNK, Noise.of(9)))[: len(shares)]
    node = Merge(networks, shares, buffers)
    on = to(15, node, Noise.of(21))
    compute(store, on)
    wanted = isthmus.merge([state(store, one) for one in networks], shares, buffers=buffers)
    same(state(store, node), wanted)
    assert bool(wanted.optimizer) == (buffers != "reset")
    same(state(store, on), train(wanted, Noise.of(21), 15))
    name = "0.weight"
    by_hand = sum(np.float64(s) * state(store, one).weights[name].numpy() for s, one in zip(shares, networks))
    np.testing.assert_allclose(wanted.weights[name].numpy(), by_hand, rtol=1e-6)  # a float32 rounding or two


def top(offset: int = 0) -> Choose:
    return Choose(PathMeasure(LINE, data(), Part("test"), (0.0, 0.3, 0.6, 1.0)), "top", {"offset": offset})


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    "spec",
    [
        LINE,
        PathSpec("blocks", (INIT, A), ("0.*",)),
        PathSpec("blocks", (INIT, A), ("1.*", "4.bias"), "a"),
    ],
)
def test_point(store: Store, spec: PathSpec, restart: bool) -> None:
    node = Point(spec, 0.35, restart)
    compute(store, node)
    a, b = (state(store, end).weights for end in spec.ends)
    path = paths.line(a, b) if spec.form == "line" else paths.blocks(a, b, spec.patterns, rest=spec.rest)
    same(state(store, node), NetworkState(path.at(0.35), {}, 0 if restart else 12))


def test_a_point_at_a_chosen_place_and_training_on_from_it(store: Store) -> None:
    node = Point(LINE, top(), restart=True)
    on = to(4, node)
    compute(store, on)
    at = store.get(top().key).summary["value"]
    assert store.get(node.key).summary["at"] == at
    a, b = (state(store, end).weights for end in (A, B))
    same(state(store, on), train(NetworkState(paths.line(a, b).at(at)), A_NOISE, 4))


@pytest.mark.parametrize("form", ["safetensors", "pt", "state_dict"])
def test_import(store: Store, tmp_path: Path, form: str) -> None:
    tensors = dict(models.initialise(NORMED.name, 11).state_dict())
    file = tmp_path / f"net.{'safetensors' if form == 'safetensors' else 'pt'}"
    if form == "safetensors":
        save_file(tensors, file)
    else:
        torch.save({"state_dict": tensors, "epoch": 3} if form == "state_dict" else tensors, file)
    node = Import(NORMED, weights.digest(tensors), str(file))
    own = Store(tmp_path / "store")
    compute(own, node)
    same(state(own, node), NetworkState.of(models.initialise(NORMED.name, 11)))
    other = replace(node, tensors="ab" * 32)
    with pytest.raises(BadInput, match=f"^The file {file} changed since the study was expanded; run the command"):
        Workshop(own, Setting()).compute(other)
    with pytest.raises(BadWeights):
        Workshop(own, Setting()).compute(replace(node, architecture=MODEL))


def test_a_graft_takes_what_it_names_from_a_file_of_any_architecture(store: Store, tmp_path: Path) -> None:
    outside = {"1.weight": torch.arange(6.0), "1.running_mean": torch.full((6,), 0.3), "else": torch.ones(2, 5)}
    save_file(outside, tmp_path / "part.safetensors")
    file = Import(NORMED, weights.digest(outside), str(tmp_path / "part.safetensors"), whole=False)
    node = Graft(A, file, ("1.weight", "1.running_*n"))
    compute(store, node)
    found, base = state(store, node), state(store, A)
    assert (found.step, found.optimizer, set(found.weights)) == (0, {}, set(base.weights))
    for name, tensor in found.weights.items():
        assert torch.equal(tensor, outside.get(name, base.weights[name]))
    with pytest.raises(BadWeights, match=r"^Tensor '0\.weight' is to be taken from the donor, which has none"):
        Workshop(store, Setting()).compute(replace(node, patterns=("0.weight",)))


def test_an_imported_checkpoint_may_have_been_saved_inside_a_wrapper(tmp_path: Path) -> None:
    tensors = {f"module.{name}": tensor for name, tensor in models.initialise(NORMED.name, 11).state_dict().items()}
    save_file(tensors, tmp_path / "net.safetensors")
    node = Import(NORMED, weights.digest(tensors), str(tmp_path / "net.safetensors"))
    own = compute(Store(tmp_path / "store"), node)
    same(state(own, node), NetworkState.of(models.initialise(NORMED.name, 11)))


def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"^There is no file of weights at {tmp_path}/none.pt\\.$"):
        read_weights(f"{tmp_path}/none.pt")
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
    torch.save(nn.Linear(2, 3), tmp_path / "module.pt")  # a pickle that would run code
    for name in ("bad.safetensors", "module.pt"):
        with pytest.raises(BadInput, match=f"{name} is no safetensors and no weights-only torch file: "):
            read_weights(f"{tmp_path}/{name}")
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    with pytest.raises(BadInput, match=r"list.pt must hold a flat mapping of names to tensors \(a state dict\)\.$"):
        read_weights(f"{tmp_path}/list.pt")


# --- measurements -----------------------------------------------------------------------------------------------------

ALPHAS = (0.0, 0.3, 0.8, 1.0)
MEASURES: dict[str, tuple[PathMeasure, dict[str, Any]]] = {
    "line": (PathMeasure(LINE, data(), Part("test"), ALPHAS), {"norm_stats": "interpolate"}),
    "recomputed": (
        PathMeasure(LINE, data(), Part("train"), ALPHAS, NormSpec("recompute", batch=32, examples=100)),
        {"norm_stats": "recompute", "stats_batch": 32, "stats_examples": 100},
    ),
    "by batch": (
        PathMeasure(LINE, data(), Part("test"), ALPHAS, NormSpec("batch"), batch_size=33),
        {"norm_stats": "batch", "batch_size": 33},
    ),
    "kept": (PathMeasure(LINE, data(), Part("test"), ALPHAS, NormSpec("keep")), {"norm_stats": "keep"}),
    "bf16": (
        PathMeasure(LINE, data(), Part("train", 60), ALPHAS, precision="bf16"),
        {"norm_stats": "interpolate", "precision": "bf16"},
    ),
    "block": (
        PathMeasure(PathSpec("blocks", (INIT, A), ("1.*",)), data(), Part("test"), ALPHAS),
        {"norm_stats": "interpolate"},
    ),
    "point": (PathMeasure(PathSpec("point", (B,)), data(), Part("test"), (0.0,)), {"norm_stats": "interpolate"}),
}


def evaluated(store: Store, node: PathMeasure, where: Any = slice(None), **options: Any) -> isthmus.PathResult:
    a, *rest = (state(store, end).weights for end in node.path.ends)
    path = paths.blocks(a, rest[0], node.path.patterns) if node.path.form == "blocks" else paths.line(a, [a, *rest][-1])
    if options.get("norm_stats") == "recompute":
        options["stats_data"] = pair("train", noise.order(190, "statistics", "train"))
    examples = pair(node.part.split, where)
    return isthmus.evaluate_path(model(), path, examples, alphas=node.alphas, loss="cross_entropy", **options)


@pytest.mark.parametrize("name", MEASURES)
def test_measures_of_paths(store: Store, name: str) -> None:
    node, options = MEASURES[name]
    compute(store, node)
    where = noise.order(190, "examples", "train")[:60] if node.part.examples else slice(None)
    wanted = evaluated(store, node, where, **options)
    assert wanted.per_example_error is not None
    found, summary = arrays(store, node), store.get(node.key).summary
    assert np.array_equal(found["alphas"], node.alphas)
    assert np.array_equal(found["loss"], wanted.per_example_loss)
    bits = np.unpackbits(found["error_bits"], axis=1, count=wanted.per_example_loss.shape[1])
    assert np.array_equal(bits, wanted.per_example_error)
    assert summary["loss"] == found["loss"].mean(axis=1, dtype=np.float64).tolist()
    assert summary["error"] == bits.mean(axis=1).tolist()
    assert summary["examples"] == wanted.per_example_loss.shape[1]
    assert summary["norm_stats"] == wanted.norm_stats.describe()
    assert summary["norm_stats"]["mode"] == node.norm.mode
    assert summary["stored_ends"] == {end: list(values) for end, values in wanted.stored_ends.items()}
    assert bool(summary["stored_ends"]) == (node.norm.mode in ("recompute", "batch", "keep"))
    if node.path.form != "point":
        assert wanted.pair is not None
        disagree = np.unpackbits(found["pair_disagreement_bits"], count=summary["examples"])
        assert np.array_equal(disagree, wanted.pair.disagreement)
        assert np.array_equal(found["pair_cross_entropy_ab"], wanted.pair.cross_entropy_ab)
        assert summary["pair"] == wanted.pair.means()


def test_distance_whole_and_by_block(store: Store) -> None:
    node = Distance(A, B, {"first": ("0.*",), "rest": ("1.*", "4.*")})
    compute(store, node)
    summary = store.get(node.key).summary
    a, b = (state(store, end).weights for end in (A, B))
    names = [name for name, _ in model().named_parameters()]
    squares = {name: float(((b[name].double() - a[name].double()) ** 2).sum()) for name in names}
    norms = [sum(float((w[name].double() ** 2).sum()) for name in names) ** 0.5 for w in (a, b)]
    l2 = sum(squares.values()) ** 0.5
    blocks = {"first": [n for n in names if n[0] == "0"], "rest": [n for n in names if n[0] != "0"]}
    wanted = {"l2": l2, "relative": l2 / norms[0], "norm_a": norms[0], "norm_b": norms[1]}
    # sums of float64 squares in another order
    assert {name: summary[name] for name in wanted} == pytest.approx(wanted, rel=1e-12)
    by_block = {name: sum(squares[n] for n in found) ** 0.5 for name, found in blocks.items()}
    assert summary["blocks"] == pytest.approx(by_block, rel=1e-12)
    sizes = {name: sum(float((a[n].double() ** 2).sum()) for n in found) ** 0.5 for name, found in blocks.items()}
    relative = {name: apart / sizes[name] for name, apart in by_block.items()}
    assert summary["relative_blocks"] == pytest.approx(relative, rel=1e-12)


def by_hand(store: Store, networks: tuple[State, ...], where: Any) -> npt.NDArray[np.float64]:
    """EL2N: the mean over networks of the norm of softmax minus one-hot."""
    inputs, labels = pair("train", where)
    norms = []
    for network in networks:
        one = model().eval()
        one.load_state_dict(dict(state(store, network).weights))
        with torch.no_grad():
            wrong = one(inputs).double().softmax(1) - nn.functional.one_hot(labels, 2)
        norms.append((wrong**2).sum(1).sqrt().numpy())
    found: npt.NDArray[np.float64] = np.mean(norms, axis=0)
    return found


def test_scores_and_the_splits_that_they_induce(store: Store) -> None:
    scored = Scores((A, B), data(), Part("train", 50))
    split = Choose(scored, "splits", {"parts": 3})
    whole = PathMeasure(LINE, data(), Part("train", 50), ALPHAS, NormSpec("keep"))
    chosen = [Selection(whole, split, index) for index in (0, 2)]
    compute(store, *chosen)
    among = noise.order(190, "examples", "train")[:50]
    wanted = by_hand(store, (A, B), among)
    scores = arrays(store, scored)["scores"]
    np.testing.assert_allclose(scores, wanted, atol=1e-6)  # logits are float32
    parts = store.get(split.key).summary["value"]
    ranked = np.argsort(scores, kind="stable")
    assert [sorted(part) for part in parts] == [sorted(p.tolist()) for p in (ranked[:17], ranked[17:34], ranked[34:])]
    for node, part in zip(chosen, (parts[0], parts[2])):
        found = evaluated(store, whole, among[part], norm_stats="keep")
        record = store.get(node.key)
        assert record.summary["examples"] == len(part)
        assert record.summary["loss"] == pytest.approx(found.loss.tolist(), rel=1e-6)  # another order of a batch's sums
        assert record.summary["error"] == found.error.tolist()
        assert record.summary["pair"] == pytest.approx(summarise(found)["pair"], rel=1e-6)
        assert (record.summary["stored_ends"], record.blob) == ({}, None)
        assert store.get(whole.key).digest in record.parents.values()
    again = restored(store.get(whole.key), arrays(store, whole))
    assert summarise(again) == store.get(whole.key).summary


def test_choices_of_the_top_of_a_path(store: Store) -> None:
    loss = np.array(store.get(compute_one(store, top().source)).summary["loss"])
    index = int(loss.argmax())
    grid = (0.0, 0.3, 0.6, 1.0)
    for offset in range(-index, len(grid) - index):
        assert store.get(compute_one(store, top(offset))).summary == {"value": grid[index + offset]}
    for offset in (-index - 1, len(grid) - index):
        with pytest.raises(BadInput) as caught:
            Workshop(store, Setting()).compute(top(offset))
        assert str(caught.value) == (
            f"There is no grid point {offset:+d} from the top of the path at index {index}: take a smaller offset, clip"
            " it, or leave out the seed of this path."
        )
        clipped = replace(top(offset), arguments={"offset": offset, "clip": True})
        assert store.get(compute_one(store, clipped)).summary == {"value": grid[0] if offset < 0 else grid[-1]}
    inside = replace(top(), arguments={"offset": 1 if index < 2 else -1, "clip": True})
    assert store.get(compute_one(store, inside)).summary == {"value": grid[index + (1 if index < 2 else -1)]}
    with pytest.raises(
        BadInput, match=r"^There is no rule 'tops'; did you mean \"top\"\? Known: blocks, splits, top\.$"
    ):
        Workshop(store, Setting()).compute(replace(top(), rule="tops"))


def compute_one(store: Store, node: Node) -> str:
    compute(store, node)
    return node.key


# --- being stopped, and inputs that are not what they were ------------------------------------------------------------


@settings(max_examples=12)
@given(st.integers(1, 11), st.sampled_from([0.0, 1e9]))
def test_stopped_at_any_step_and_gone_on_with_gives_the_same_bits(
    store: Store, tmp_path_factory: pytest.TempPathFactory, after: int, save_every: float
) -> None:
    own = Store(tmp_path_factory.mktemp("store"))
    compute(own, INIT)
    steps = [0.0]
    stopping = Workshop(
        own, Setting(save_every=save_every), lambda *told: steps.append(told[0]), lambda: steps[-1] >= after
    )
    with pytest.raises(Stopped, match=f"^stopped at step {after}$"):
        stopping.compute(A)
    assert own.has(A.at(after).key)
    compute(own, A)
    assert set(own.get(A.key).parents) == {A.at(after).key}
    compute(store, *(A.at(step) for step, _ in own.states(A.trajectory, 12)))
    assert digests(own).items() <= digests(store).items()


def test_data_that_are_not_the_ones_named(store: Store) -> None:
    node = PathMeasure(LINE, replace(data(), digest="ab" * 32), Part("test"), ALPHAS)
    with pytest.raises(BadData, match=r"^The data set 'spiral' is not the one that the study was expanded with: exp"):
        Workshop(store, Setting()).compute(node)


def test_a_parent_with_damaged_bytes_is_named(store: Store) -> None:
    network = to(3, Init(NORMED, 31))
    compute(store, network)
    path = store.blob_path(store.get(network.key))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged, match=f"^The file {path} .*delete .* and the result is computed again"):
        Workshop(store, Setting()).compute(Distance(network, A))
    store.delete(network.key)
