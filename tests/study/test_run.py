"""Studies from end to end: their tables against numbers from the public functions, and what users do to them."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import isthmus
from isthmus import curves, datasets, models, noise, paths, study
from isthmus.errors import BadInput, BadStudy, RunFailed
from isthmus.execute import cores
from isthmus.nodes import Train
from isthmus.store import Store
from isthmus.study import Results, Study, from_mapping
from isthmus.study.files import override
from isthmus.study.tables import seeds_table
from isthmus.tables import Table
from small_studies import BRANCH, branch, ran, recipe, to_final

BARRIERS = ("chord", "signed", "mean", "signed_mean", "midpoint", "rise")
LABELS = ("seed", "k", "s", "k_steps", "s_steps")


def pair(split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    found = getattr(datasets.load("spiral", train=190, test=70), split)
    return torch.from_numpy(found.inputs.copy()), torch.from_numpy(found.labels.copy())


def mlp(seed: int = 0) -> nn.Module:
    return models.initialise("mlp", seed, input_shape=(2,), classes=2, hidden=(7,))


def on(start: isthmus.NetworkState, stream: int, stop: int) -> isthmus.NetworkState:
    how = isthmus.Noise.of(stream)
    return isthmus.train(start, recipe(), pair("train"), how, start.step, stop, model=mlp())[0]


def barriers_by_hand(alphas: Any, losses: Any) -> dict[str, float]:
    """Every named barrier from its definition."""
    a, y = np.asarray(alphas), np.asarray(losses)
    gap = y - ((1 - a) * y[0] + a * y[-1])
    away = y - (y[0] + y[-1]) / 2
    climbs = [y[j] - y[i] for j in range(len(y)) for i in range(j)]
    return {
        "chord": max(gap.max(), 0.0),
        "signed": max(gap[1:-1], key=abs),
        "mean": away.max(),
        "signed_mean": max(away[1:-1], key=abs) if len(y) > 2 and max(abs(away[1:-1])) > abs(away[0]) else away.max(),
        "midpoint": gap[len(y) // 2],
        "rise": max(0.0, *climbs),
    }


# --- the tables -------------------------------------------------------------------------------------------------------

COPIES = branch(
    "seeds=[0, 4, 9]",
    'branch={at=["7it"], lengths=["1ep"], children=2}',
    'merge={after="1ep", every="3it"}',
    'evaluate={alphas=5, on=["test", "train:60"]}',
)


def test_the_tables_of_a_branch_study_hold_what_the_public_functions_find(store: Store) -> None:
    found = ran(COPIES, store)
    assert list(found.tables) == ["pairs", "curves", "networks", "seeds", "provenance"]
    pairs, lines, networks = found["pairs"], found["curves"], found["networks"]
    apart = ("l2", "relative_distance", "prediction_cross_entropy", "prediction_cross_entropy_reverse", "disagreement")
    assert pairs.columns == (
        *LABELS, "pair", "split", "metric", "start", "end", *BARRIERS, *apart, "examples", "points", "norm_stats"
    )  # fmt: skip
    assert lines.columns == (*LABELS, "pair", "split", "alpha", "loss", "error")
    assert networks.columns == (
        *LABELS, "network", "after_steps", "split", "loss", "error", "accuracy", "examples", "norm_stats"
    )  # fmt: skip
    assert (len(pairs), len(lines), len(networks)) == (3 * 2 * 2, 3 * 2 * 5, 3 * 2 * (3 + 3))
    where = noise.order(190, "examples", "train")[:60]
    parts = {"test": pair("test"), "train:60": tuple(part[where] for part in pair("train"))}
    for seed in (0, 4):
        trunk = on(isthmus.NetworkState.of(mlp(seed)), noise.derive(seed, "trunk"), 7)
        ends = [on(trunk.without_buffers(), noise.derive(seed, "child", index), 12) for index in range(2)]
        merge = isthmus.merge(ends)
        later = on(merge, noise.derive(seed, "merge"), 15)
        for split, examples in parts.items():
            line = isthmus.evaluate_path(
                mlp(), paths.line(*(end.weights for end in ends)), examples, alphas=5, norm_stats="interpolate"
            )
            labels: dict[str, Any] = {"seed": seed, "k": "7it", "s": "1ep", "split": split}
            points = lines.where(**labels)
            assert points["alpha"] == [0.0, 0.25, 0.5, 0.75, 1.0]
            assert points["loss"] == line.loss.tolist()
            assert points["error"] == line.error.tolist()
            for metric, values in (("loss", line.loss), ("error", line.error)):
                (row,) = pairs.where(**labels, metric=metric)
                assert (row["start"], row["end"], row["examples"]) == (values[0], values[-1], len(examples[0]))
                by_hand = barriers_by_hand(line.alphas, values)
                # differences of numbers near 1, in another order of operations
                assert {name: row[name] for name in BARRIERS} == pytest.approx(by_hand, abs=1e-14)
                assert line.pair is not None
                assert row["disagreement"] == line.pair.means()["disagreement"]
                assert row["prediction_cross_entropy"] == line.pair.means()["cross_entropy_ab"]
                assert row["prediction_cross_entropy_reverse"] == line.pair.means()["cross_entropy_ba"]
                l2 = isthmus.weights.distance(ends[0].weights, ends[1].weights)
                assert row["l2"] == pytest.approx(l2, rel=1e-14)  # the order of a sum
                assert (row["norm_stats"], row["points"]) == ("none", 5)
            for state, name, after in ((merge, "merge", 0), (ends[0], "child1", 0), (later, "merge", 3)):
                at = isthmus.evaluate_path(
                    mlp(), paths.line(state.weights, state.weights), examples, alphas=[0.0], norm_stats="interpolate"
                )
                (row,) = networks.where(**labels, network=name, after_steps=after)
                assert (row["loss"], row["error"], row["accuracy"]) == (at.loss[0], at.error[0], 1.0 - at.error[0])


def test_the_seeds_table_is_a_mean_and_its_t_interval(store: Store) -> None:
    found = ran(COPIES, store)
    seeds, pairs = found["seeds"], found["pairs"]
    quantities = dict.fromkeys(seeds.where(metric="loss")["quantity"])
    assert list(quantities) == [
        "start", "end", *BARRIERS, "l2", "relative_distance", "prediction_cross_entropy",
        "prediction_cross_entropy_reverse", "disagreement",
    ]  # fmt: skip
    (row,) = seeds.where(k="7it", s="1ep", split="test", metric="loss", quantity="midpoint")
    values = np.array(pairs.where(split="test", metric="loss")["midpoint"])
    half = 4.302652729749464 * values.std(ddof=1) / math.sqrt(3)  # Student's t at 0.975 with two degrees of freedom
    assert (row["mean"], row["seeds"]) == (pytest.approx(values.mean(), rel=1e-12), 3)
    assert (row["low"], row["high"]) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-9)
    (row,) = seeds.where(network="merge", after_steps=3, split="test", quantity="accuracy")
    assert row["mean"] == pytest.approx(
        np.mean(found["networks"].where(network="merge", after_steps=3, split="test")["accuracy"]), rel=1e-14
    )


def test_pairs_that_share_a_trunk_count_as_one_seed() -> None:
    cells = {(0, "a"): 1.0, (0, "b"): 2.0, (0, "c"): 6.0, (4, "a"): 5.0, (4, "b"): None, (4, "c"): 8.0}
    rows = [{"seed": seed, "k": "1ep", "pair": name, "chord": cell} for (seed, name), cell in cells.items()]
    (row,) = seeds_table(Table.of(rows), ("k", "pair"))
    assert (row["k"], row["quantity"], row["mean"], row["seeds"]) == ("1ep", "chord", (3.0 + 6.5) / 2, 2)
    (alone,) = seeds_table(Table.of(rows[:3]), ("k",))
    assert (alone["mean"], alone["seeds"]) == (3.0, 1)
    assert math.isnan(alone["low"])
    infinite = [{"seed": 0, "k": "1ep", "chord": value} for value in (math.inf, -math.inf)]
    (lost,) = seeds_table(Table.of(infinite), ("k",))
    assert math.isnan(lost["mean"])


WALKS = to_final(
    'train={to="3ep", paths=["initial->final", "final->fresh"], blocks="all"}',
    "evaluate={alphas=[0, 0.3, 0.8, 1]}",
    "seeds=[4]",
)


def test_the_tables_of_an_init_to_final_study_hold_what_the_public_functions_find(store: Store) -> None:
    found = ran(WALKS, store)
    assert list(found.tables) == ["paths", "curves", "seeds", "provenance"]
    initial = isthmus.NetworkState.of(mlp(4))
    ends = {
        "initial": initial.weights,
        "final": on(initial, noise.derive(4, "trunk"), 15).weights,
        "fresh": isthmus.NetworkState.of(mlp(noise.derive(4, "fresh"))).weights,
    }
    for path, rest in (("initial->final", "b"), ("final->fresh", "a")):
        a, b = (ends[name] for name in path.split("->"))
        for block in ("all", "layer1", "layer2"):
            way = paths.line(a, b) if block == "all" else paths.blocks(a, b, f"{block}.*", rest=rest)  # type: ignore[arg-type]
            line = isthmus.evaluate_path(mlp(), way, pair("test"), alphas=(0.0, 0.3, 0.8, 1.0), norm_stats="keep")
            (loss,) = found["paths"].where(path=path, block=block, metric="loss")
            (error,) = found["paths"].where(path=path, block=block, metric="error")
            assert found["curves"].where(path=path, block=block)["loss"] == line.loss.tolist()
            assert (loss["start"], loss["end"]) == (line.loss[0], line.loss[-1])
            assert (error["rise"], loss["rise"]) == (line.barrier("rise", "error"), line.barrier("rise"))
            label = curves.shape(line.alphas, line.loss, 2)
            assert (loss["shape"], error["shape"]) == (str(label), None)
            assert loss["shape_threshold"] == max(0.05, 0.1 * min(line.loss[0], math.log(2)))
            assert loss["shape_descent"] == line.loss[-1] / line.loss[0]
            own, moved = ([w[name].double() for name in w if block in ("all", name[:6])] for w in (a, b))
            apart = math.sqrt(sum(float(((y - x) ** 2).sum()) for x, y in zip(own, moved, strict=True)))
            assert loss["l2"] == pytest.approx(apart, rel=1e-14)  # of what moves
            size = math.sqrt(sum(float((x**2).sum()) for x in own))
            assert loss["relative_distance"] == pytest.approx(apart / size, rel=1e-14)


def test_normalisation_statistics_are_named_and_the_ends_own_ones_stand_beside(tmp_path: Path) -> None:
    content = {**BRANCH, "model": {"name": "small_studies:normed"}, "branch": {"at": ["0ep"], "lengths": ["1ep"]}}
    found = ran(from_mapping(override(content, ["evaluate.stats_batch=32", "evaluate.stats_examples=100"])), tmp_path)
    (loss, error) = found["pairs"]
    assert loss["norm_stats"] == "recompute (batch 32, examples 100)"
    own = ran(from_mapping(override(content, ["evaluate.norm_stats=interpolate"])), tmp_path)["pairs"]
    assert own["norm_stats"] == ["interpolate"] * 2
    for row, other in zip((loss, error), own, strict=True):
        assert (row["start_own_stats"], row["end_own_stats"]) == (other["start"], other["end"])
    assert loss["start_own_stats"] != loss["start"]


def test_training_that_diverges_is_shown_as_such(tmp_path: Path) -> None:
    found = ran(branch("recipe.optimizer.lr=1e30", "branch.at=['0ep']"), tmp_path)
    (loss, _) = found["pairs"]
    assert math.isnan(loss["start"])
    assert math.isnan(loss["chord"])
    assert all(row["seeds"] == 1 for row in found["seeds"])


# --- what comes back --------------------------------------------------------------------------------------------------


def test_results_are_tables_by_name_files_and_frames(store: Store, tmp_path: Path) -> None:
    found = ran(WALKS, store)
    assert found.study == WALKS
    with pytest.raises(BadInput, match=r"^The study has no table 'pairs'; it has paths, curves, seeds, provenance\.$"):
        found["pairs"]
    files = found.to_csv(tmp_path / "new" / "folder")
    assert [file.name for file in files] == ["paths.csv", "curves.csv", "seeds.csv", "provenance.csv"]
    with files[1].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == found["curves"]["loss"]
    frame = found["curves"].to_pandas()
    assert list(frame.columns) == list(found["curves"].columns)
    assert frame["loss"].tolist() == found["curves"]["loss"]
    kinds = {row["kind"]: row["results"] for row in found["provenance"]}
    assert kinds == {"distance": 2, "init": 2, "path": 6, "train": 1}
    assert {row["threads"] for row in found["provenance"]} == {1}


@pytest.mark.parametrize("native", [True, False])
def test_precision_auto_is_what_the_device_computes_natively(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    flags = "flags : fma avx512_bf16 sse" if native else "flags : fma sse"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: flags)
    auto, fixed = branch("recipe.precision=auto"), branch("recipe.precision=bf16")
    assert (study._bf16(auto, "cpu"), study._bf16(auto, "cuda")) == (native, True)
    assert not study._bf16(fixed, "cpu")  # not asked


# --- what users do ----------------------------------------------------------------------------------------------------


@pytest.fixture
def two_threads() -> Iterator[None]:
    """More threads than the tests have otherwise, where there are more."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(2, cores()))
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_the_caller_is_left_as_it_was(tmp_path: Path) -> None:
    threads, generator = torch.get_num_threads(), torch.get_rng_state()
    folder, place = sorted(os.environ.items()), Path.cwd()
    ran(branch(), tmp_path)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), generator)
    assert (sorted(os.environ.items()), Path.cwd()) == (folder, place)


def test_a_store_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=f"^The store {tmp_path}/file cannot be used as a folder: Not a directory"):
        ran(branch(), tmp_path / "file")
    with pytest.raises(BadStudy, match=r"^model.name: There is no model named 'mpl'"):
        ran(branch("model.name=mpl"), tmp_path / "store")
    with pytest.raises(BadInput, match=r"Expected the device"):
        ran(branch(), tmp_path / "store", device="gpu")


def test_a_store_may_have_any_name_and_be_read_only_once_all_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "Ergebnisse für Ω 结果"
    before = ran(branch(), folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555)
    again = ran(branch(), folder)
    assert (again.computed, again["pairs"].to_csv()) == (0, before["pairs"].to_csv())
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)


NET = """
from torch import nn
def net(hidden=6):
    return nn.Sequential(nn.Linear(2, hidden), nn.{}(), nn.Linear(hidden, 2))
"""


def user_study() -> Study:
    return from_mapping({**BRANCH, "model": {"name": "user_net:net"}, "branch": {"at": ["0ep"], "lengths": ["1ep"]}})


def test_an_edited_module_is_another_model_and_is_never_run_under_the_old_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    store, file = Store(tmp_path / "store"), tmp_path / "user_net.py"
    file.write_text(NET.format("Tanh"))
    first = ran(user_study(), store)
    assert first.computed == 5
    file.write_text(NET.format("Sigmoid"))
    edited = user_study()
    told = (
        r"The code of user_net:net changed after this process had loaded it; start Python again, or compute in"
        r" processes of their own \(workers=1\)\.$"
    )
    with pytest.raises(RunFailed, match=told):
        ran(edited, store)
    second = study.run(edited, store, workers=1, threads=1)
    assert second.computed == 5
    assert second["pairs"]["start"] != first["pairs"]["start"]
    file.write_text(NET.format("Tanh"))
    assert ran(user_study(), store).computed == 0
    names = [_trained(found).model for found in (first, second)]
    assert [(name.name, name.arguments) for name in names] == [("user_net:net", {})] * 2
    assert names[0].source != names[1].source
    file.write_text("def net(:")
    with pytest.raises(BadStudy, match=r"^model.name: 'user_net:net': .* is not valid Python"):
        ran(user_study(), store)


def _trained(found: Results) -> Train:
    node = found.expansion.targets[0].parents()[0]
    assert isinstance(node, Train)
    return node


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def net(): ...\nraise ValueError('no')", "importing bad_net_37 failed with ValueError: no."),
        ("def net(): raise KeyError('x')", "the factory raised KeyError: 'x'."),
        ("def net(): return 3", "expected the factory to return a torch.nn.Module, found int."),
        ("net = 3", "expected a function or class that returns a module, found 3."),
        ("def other(): ...", "does not define net at its top level"),
    ],
)
def test_users_modules_that_do_not_work(
    source: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    name = f"bad_net_{len(source)}"
    (tmp_path / f"{name}.py").write_text(source)
    with pytest.raises(BadStudy) as caught:
        ran(from_mapping({**BRANCH, "model": {"name": f"{name}:net"}}), tmp_path / "store")
    assert told in str(caught.value)
    assert len(caught.value.problems) == 1
