"""How fast a machine is: the probe and where it is kept, what stands for what, and what a store has seen."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from isthmus import speed
from isthmus.speed import REFERENCES, Machine, network, probe, reference, this_machine
from isthmus.store import Record


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The processes that were started to probe, each telling 5 GFLOP/s."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found: list[str] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert options["env"]["OMP_NUM_THREADS"] == "1"
        found.append(command[-1])
        return subprocess.CompletedProcess(command, 0, "5e9\n", "")

    monkeypatch.setattr(subprocess, "run", run)
    return found


def test_a_probe_is_kept(asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe() == probe() == 5e9
    assert len(asked) == 1
    (file,) = (tmp_path / "cache").rglob("probe.json")
    assert probe(fresh=True) == 5e9
    assert len(asked) == 2
    monkeypatch.setattr("os.cpu_count", lambda: 77)  # another machine with the same home
    probe()
    assert len(asked) == 3
    file.write_text("{", encoding="utf-8")
    probe()
    assert len(asked) == 4


def test_the_probe_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert 1e8 < probe() < 1e13  # a slow core of a small board, and more than any core has


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("ResNet-56", "resnet20"),
        ("resnet18", "resnet18:quarter"),
        ("resnet50", "resnet18:quarter"),
        ("vgg11", "vgg16:quarter"),
        ("alexnet", "alexnet:quarter"),
        ("reduced_vgg", "reducedvgg"),
        ("lenet5", "lenet5"),
        ("mlp", "mlp"),
        ("timm:convnext_atto", "resnet18:quarter"),
    ],
)
def test_what_stands_for_a_network(name: str, like: str) -> None:
    assert reference(name, {}) == (like, REFERENCES[like])


def record(key: str, kind: str, node: dict[str, Any], seconds: float, device: str = "cpu", **summary: Any) -> Record:
    return Record(key, kind, kind, node, key, summary=summary, made={"device": device, "seconds": seconds})


RECIPE = {"recipe": {"batch_size": 10}}
LINE = {"alphas": [0.0, 0.5, 1.0], "path": {"form": "line", "ends": ["trained", "trained"]}}
RECORDS = [
    record("init", "init", {"model": {"name": "resnet20", "arguments": {"width": 8}}}, 0.1),
    # three ends of epochs of 20 steps, so two epochs between them: 400 examples in two thirds of 9 seconds
    record("trained", "train", {"root": "init", **RECIPE}, 9.0, epochs=[[30, 0.1], [50, 0.1], [70, 0.1]]),
    record("short", "train", {"root": "trained", **RECIPE}, 5.0, epochs=[[90, 0.1]]),  # how long is not known
    record("elsewhere", "train", {"root": "init", **RECIPE}, 0.1, device="H100", epochs=[[30, 0.1], [50, 0.1]]),
    record("line", "path", LINE, 2.0, examples=100, norm_stats={"mode": "recompute", "examples": 60}),
    record("point", "path", {**LINE, "alphas": [0.0]}, 1.0, examples=100, norm_stats={"mode": "none"}),
    record("merge", "merge", {"networks": ["trained"]}, 0.2),
    record("after", "train", {"root": "merge", **RECIPE}, 2.0, epochs=[[90, 0.1], [110, 0.1]]),
    record("lost", "train", {"root": "gone", **RECIPE}, 2.0, epochs=[[90, 0.1], [110, 0.1]]),
]


def test_what_a_store_has_seen(asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {one.key: one for one in RECORDS}

    class Made:
        def __init__(self, root: Path) -> None: ...
        def keys(self) -> list[str]:
            return list(known)

        def record(self, key: str) -> Record | None:
            return known.get(key)

    monkeypatch.setattr(speed, "Store", Made)
    machine = this_machine(2, tmp_path)
    arguments = {"width": 8}
    training, evaluation = (400 + 200) / (6.0 + 1.0), 3 * 160 / 2.0
    assert list(machine.seen) == [network("ResNet-20", arguments)]
    assert machine.seen[network("resnet20", arguments)] == pytest.approx((training, evaluation))
    assert machine.records == 3
    assert machine.seconds("resnet20", arguments, 10**6, 1000, 500) == pytest.approx(
        (1000 / training + 500 / evaluation) / 2
    )
    other = machine.seconds("resnet20", {}, 10**6, 1000, 0)  # of another width nothing was seen
    assert other == pytest.approx(1000 * 6e6 / (5e9 * REFERENCES["resnet20"].training) / 2)
    assert this_machine(2, tmp_path / "none") == Machine(5e9, 2)
