"""Studies of models of other packages, by stand-ins, from end to end."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fake_packages
from isthmus import origins
from isthmus.errors import BadInput, BadStudy
from isthmus.execute import Setting
from isthmus.execute.compute import Workshop
from isthmus.nodes import Init, ModelRef
from isthmus.store import Store
from isthmus.study import Results, from_mapping
from isthmus.study import run as run_study
from isthmus.study.expand import expand
from isthmus.study.files import override
from small_studies import environment

STUDY = {
    "name": "theirs",
    "family": "branch",
    "model": {"name": "timm:vit_tiny", "classes": 10, "input_shape": [1, 8, 8], "depth": 3},
    "data": {"name": "digits", "examples": 120},
    "recipe": {"batch_size": 30, "optimizer": {"lr": 0.1}},
    "branch": {"at": ["1ep"], "lengths": ["2it"]},
    "evaluate": {"alphas": 3},
}
TO_FINAL = {key: value for key, value in STUDY.items() if key not in ("family", "branch")}
TO_FINAL |= {"family": "init-to-final", "train": {"to": "3it", "blocks": "all"}}


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield from fake_packages.at_hand(tmp_path, monkeypatch)


def ran(*sets: str, content: dict[str, Any] = STUDY, store: str = "store") -> Results:
    return run_study(from_mapping(override(content, sets)), Path(store), workers=0, threads=1)


@pytest.mark.parametrize(
    "model",
    [
        'model={name="timm:vit_tiny", classes=10, input_shape=[1, 8, 8]}',
        'model={name="timm:resnet18", classes=10, input_shape=[1, 8, 8]}',
        'model={name="hf:resnet", classes=10, input_shape=[1, 8, 8]}',
        'model={name="hf:./config.json", classes=10, input_shape=[1, 8, 8], patch_size=2}',
    ],
)
def test_a_study_trains_merges_and_is_not_done_twice(tmp_path: Path, model: str) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit", "num_hidden_layers": 1}', encoding="utf-8")
    found = ran(model)
    assert found.computed > 0
    assert found["pairs"]["examples"] == [360, 360]
    assert all(0 < loss < 20 for loss in found["curves"]["loss"])
    assert all(distance > 0 for distance in found["pairs"]["l2"])
    assert ran(model).computed == 0


def test_blocks_of_theirs_move_alone_and_take_rates_of_their_own() -> None:
    rates = 'recipe.optimizer.by_block=[{blocks=["blocks.2"], factor=0}, {blocks=["blocks.0.mlp"], factor=0.5}]'
    found = ran(rates, content=TO_FINAL)
    paths = {row["block"]: row for row in found["paths"].where(metric="loss")}
    layers = ["blocks.0", "blocks.1", "blocks.2"]
    assert list(paths) == ["all", "cls_token", "pos_embed", "patch_embed", *layers, "norm", "head"]
    assert paths["blocks.2"]["start"] == paths["blocks.2"]["end"]  # frozen: it has not moved
    assert all(paths[name]["start"] != paths[name]["end"] for name in ("all", "blocks.0", "blocks.1", "head"))
    with pytest.raises(BadStudy, match=r"expected a block of timm:vit_tiny \(cls_token, .*blocks.0.*found 'blocks.7'"):
        ran('recipe.optimizer.by_block=[{blocks=["blocks.7"], factor=0}]', content=TO_FINAL)


def keys(*sets: str) -> set[str]:
    return {node.key for node in expand(from_mapping(override(STUDY, sets))).targets}


def test_what_names_a_result(tmp_path: Path, packages: Path) -> None:
    first = keys()
    assert first == keys()
    assert not first & keys("model.depth=1")
    assert not first & keys("model.name=timm:resnet18")
    for file in (packages / "timm-9.8.7.dist-info").iterdir():
        file.write_text(file.read_text().replace("9.8.7", "9.9.0"))
    assert not first & keys()
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "vit"}', encoding="utf-8")
    before = keys("model.name=hf:./config.json")
    config.write_text('{"model_type": "vit", "hidden_size": 4}', encoding="utf-8")
    assert not before & keys("model.name=hf:./config.json")


def test_a_package_that_changes_meanwhile_is_refused_and_a_file_is_read_again(tmp_path: Path, packages: Path) -> None:
    def made(name: str, source: str | None) -> None:
        node = Init(ModelRef(name, {"input_shape": [1, 8, 8]}, source), 3)
        Workshop(Store(tmp_path / f"store{next(count)}"), Setting()).compute(node)

    count = itertools.count()
    timm, source = "timm:resnet18", origins.source("timm:resnet18")
    made(timm, source)
    for file in (packages / "timm-9.8.7.dist-info").iterdir():
        file.write_text(file.read_text().replace("9.8.7", "9.9.0"))
    with pytest.raises(BadInput, match=r"^The code of timm:resnet18 changed since the study was expanded; run the"):
        made(timm, source)
    with pytest.raises(BadInput, match=r"^The code of timm:resnet18 changed after this process had loaded it; start"):
        made(timm, origins.source(timm))
    config = tmp_path / "config.json"
    for size in (4, 5):  # the process keeps nothing of the file
        config.write_text(json.dumps({"model_type": "vit", "hidden_size": size}), encoding="utf-8")
        made("hf:./config.json", origins.source("hf:./config.json"))


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (
            "model.name=timm:vit_tyni",
            "model.name: There is no model of timm named 'vit_tyni'; did you mean \"vit_tiny\"?",
        ),
        ("model.seed=4", "model.seed: initial weights are drawn from the study's seeds"),
        ("model.pretrained=true", "model: Model timm:vit_tiny: the argument pretrained is about trained weights"),
        ("model.depht=4", "model: Model timm:vit_tiny: timm takes no argument 'depht' for it; leave it out"),
        (
            'model={name="torchvision:resnet18", classes=10}',
            "model: torchvision:resnet18 does not take inputs of shape [1, 8, 8], as digits has; give model.input_",
        ),
        (
            'model={name="timm:resnet18", classes=3, input_shape=[1, 8, 8]}',
            "model: expected an output for each of the 10 classes of digits, found 3.",
        ),
        ("model.name=hf:none.json", "model.name: Model hf:none.json: the file none.json cannot be read"),
    ],
)
def test_a_study_with_a_model_that_cannot_be_built(sets: str, told: str) -> None:
    with pytest.raises(BadStudy) as caught:
        ran(sets)
    assert [told in problem for problem in caught.value.problems] == [True]


# --- the command line -------------------------------------------------------------------------------------------------


def isthmus(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    program = (
        f"import sys, isthmus.cli as cli\ntry:\n    cli.main({list(arguments)!r})\nfinally:\n    {code or 'pass'}\n"
    )
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment())


IMPORTED = (
    "print('imported', {name.partition('.')[0] for name in sys.modules} & {'torchvision', 'timm', 'transformers'})"
)


def test_the_command_runs_it_in_processes_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(f"study = {STUDY!r}\n", encoding="utf-8")
    done = isthmus("run", "theirs.py", "--workers", "1", "--threads", "1")
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert (tmp_path / "isthmus-out" / "theirs" / "pairs.csv").exists()
    again = isthmus("run", "theirs.py", "--workers", "1", "--threads", "1", code=IMPORTED)
    assert "nothing had to be computed" in again.stdout
    assert "imported set()" in again.stdout


def test_the_list_of_models_imports_none_of_the_packages(packages: Path) -> None:
    (packages / "timm").rename(packages / "gone")
    done = isthmus("models", code=IMPORTED)
    assert done.returncode == 0
    assert "imported set()" in done.stdout
    lines = {line.partition(" ")[0]: line for line in done.stdout.splitlines()}
    assert lines["torchvision:"].endswith("such as torchvision:resnet18. torchvision 9.8.7 is installed.")
    assert lines["timm:"].endswith("timm is not installed: pip install 'isthmus[vision]'.")


def test_a_package_that_is_not_there_or_does_not_import_is_exit_code_2(tmp_path: Path, packages: Path) -> None:
    (tmp_path / "theirs.py").write_text(f"study = {STUDY!r}\n", encoding="utf-8")
    (packages / "timm" / "nets.py").write_text("raise RuntimeError('operator missing')")
    done = isthmus("run", "theirs.py", "--workers", "0")
    assert done.returncode == 2
    assert "timm 9.8.7 is installed but does not import (RuntimeError: operator missing); install" in done.stderr
    (packages / "timm").rename(packages / "gone")
    done = isthmus("run", "theirs.py", "--workers", "0")
    assert done.returncode == 2
    wanted = "model.name: Model timm:vit_tiny needs the package timm, which is not installed: pip install"
    assert wanted in done.stderr
    assert done.stderr.count("\n") == 1
