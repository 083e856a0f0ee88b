"""Studies that start at the weights in a file, whole, in part, or at a point on the way to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import isthmus
from isthmus import datasets, models, noise, study
from isthmus.errors import BadStudy, MissingData
from isthmus.networks import NetworkState
from isthmus.nodes import State
from isthmus.noise import Noise
from isthmus.store import Store
from isthmus.study import expand
from small_studies import compute, recipe, state, to_final

SEED = 4
SEEDED = f"seeds=[{SEED}]"
DRAWN = noise.derive(SEED, "new blocks")


def mlp(seed: int, **arguments: Any) -> nn.Module:
    return models.initialise("mlp", seed, **{"input_shape": (2,), "classes": 2, "hidden": (7,), **arguments})


def initial(seed: int = SEED, **arguments: Any) -> NetworkState:
    return NetworkState.of(mlp(seed, **arguments))


def on(start: NetworkState, stream: int, stop: int) -> NetworkState:
    found = datasets.load("spiral", train=190, test=70).train
    data = torch.from_numpy(found.inputs.copy()), torch.from_numpy(found.labels.copy())
    return isthmus.train(start, recipe(), data, Noise.of(stream), start.step, stop, model=mlp(0))[0]


def start_of(*sets: str) -> State:
    return expand(to_final(SEEDED, *sets)).sources[0][1].state


def begun(store: Store, *sets: str) -> Mapping[str, Tensor]:
    """The weights at which a study starts, which is computed."""
    found = state(compute(store, start_of(*sets)), start_of(*sets))
    assert (found.step, found.optimizer) == (0, {})
    return found.weights


def same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], only: str = "") -> bool:
    names = [name for name in wanted if name.startswith(only)]
    return bool(names) and all(torch.equal(found[name], wanted[name]) for name in names)


def written(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> str:
    path = folder / name
    if name.endswith(".pt"):
        torch.save(dict(tensors), path)
    else:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
    return str(path)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_a_study_starts_at_the_weights_in_a_file(store: Store, tmp_path: Path, name: str) -> None:
    outside = on(initial(), noise.derive(SEED, "trunk"), 7).weights
    path = written(tmp_path, name, outside)
    found = study.run(to_final(SEEDED, f"start.file={path}"), store, workers=0, threads=1)
    final = found.expansion.requests[0].measure.path.ends[1]
    wanted = on(NetworkState(outside), noise.derive(SEED, "trunk"), 10)
    assert state(store, final).digest() == wanted.digest()
    assert [dict(row) for row in found["starts"]] == [{"seed": SEED, "start": "file", "at": 1.0}]
    assert same(
        begun(store, f"start.file={path}", "start.at=0.3"),
        isthmus.weights.lerp(initial().weights, outside, 0.3),
    )


def test_a_file_of_another_head_gives_its_other_blocks(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outside = {**initial(99, classes=5).weights, "layer2.extra": torch.ones(3)}
    wrapped = {f"module.{name}": tensor for name, tensor in outside.items()}
    written(tmp_path, "head5.safetensors", wrapped)
    sets = ("start.file=head5.safetensors", 'start.new=["layer2"]')
    found = begun(store, *sets)
    assert same(found, initial(DRAWN).weights, "layer2")
    assert torch.equal(found["layer1.weight"], outside["layer1.weight"])
    point = begun(store, *sets, "start.at=0.3")
    assert same(point, initial(DRAWN).weights, "layer2")
    assert torch.equal(point["layer1.bias"], torch.lerp(initial().weights["layer1.bias"], outside["layer1.bias"], 0.3))
    moved = written(tmp_path, "elsewhere.safetensors", wrapped)
    keys = [start_of(f"start.file={path}", sets[1]).key for path in ("head5.safetensors", moved)]
    assert keys[0] == keys[1]


def test_a_relative_file_is_looked_for_below_the_data_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First from the working folder on, then from the folder of data sets; a file in neither is missing data."""
    here, below = tmp_path / "here", tmp_path / "data"
    for folder in (here, below):
        folder.mkdir()
    monkeypatch.chdir(here)
    found = to_final(SEEDED, "start.file=w/x.safetensors")
    with pytest.raises(MissingData) as told:
        expand(found, data_root=below)
    assert str(told.value) == (
        f"There is no file of weights w/x.safetensors, neither in {here}/w nor in {below}/w; put it into one of them."
    )

    def key_with(folder: Path, seed: int) -> str:
        (folder / "w").mkdir()
        written(folder / "w", "x.safetensors", initial(seed).weights)
        return expand(found, data_root=below).sources[0][1].state.key

    in_data = key_with(below, 50)
    monkeypatch.setenv("ISTHMUS_DATA", str(below))
    assert expand(found).sources[0][1].state.key == in_data
    in_working_folder = key_with(here, 51)
    assert in_working_folder != in_data
    assert expand(found).sources[0][1].state.key == in_working_folder
    with pytest.raises(BadStudy, match=r"There is no file of weights at /nowhere/x\.pt\."):
        expand(to_final(SEEDED, "start.file=/nowhere/x.pt"), data_root=below)


def test_a_file_that_is_missing_beside_another_problem_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadStudy) as told:
        expand(
            to_final(SEEDED, "start.file=x.pt", 'train.blocks=["layer9"]', "model.hidden=[7, -1]"), data_root=tmp_path
        )
    assert "start.file: There is no file of weights x.pt" in str(told.value)
