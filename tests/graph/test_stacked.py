"""Trainings that are handed out and computed together: records as if each had been trained alone, and nobody lost."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import stacking
from isthmus.errors import RunFailed
from isthmus.execute import Setting, queue
from isthmus.execute.compute import Stopped, Workshop
from isthmus.graph import plan
from isthmus.nodes import Init, ModelRef, Node, State, Train, advance
from isthmus.noise import Noise
from isthmus.recipe import Until
from isthmus.store import Record, Store
from small_studies import MODEL, Told, compute, data, digests, recipe

STOP = 67
"""Thirteen epochs and two steps: long enough to be stacked."""
Outcomes = dict[str, Record | Exception]


def trained(seed: int, stop: int = STOP, root: State | None = None, **options: Any) -> Train:
    changes = options.pop("recipe", {})
    found = advance(
        Init(MODEL, seed) if root is None else root, recipe(**changes), data(), Noise.of(90 + seed), stop, **options
    )
    assert isinstance(found, Train)
    return found


def roots(store: Store, *nodes: Train) -> Store:
    return compute(store, *(node.root for node in nodes))


def together(store: Store, *nodes: Node, save_every: float = 1e9, **options: Any) -> Outcomes:
    found: Outcomes = {}
    workshop = Workshop(store, Setting(workers=0, threads=1, save_every=save_every), **options)
    workshop.compute_together(nodes, lambda node, outcome: found.update({node.key: outcome}))
    return found


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many replicas went at once, step by step."""
    sizes: list[int] = []
    once = stacking.Stack.__call__

    def noted(self: stacking.Stack, *batch: Any) -> Any:
        sizes.append(self.count)
        return once(self, *batch)

    monkeypatch.setattr(stacking.Stack, "__call__", noted)
    return sizes


def same(a: Store, b: Store, *nodes: Node) -> None:
    """Everything but when and how it was made."""
    for node in nodes:
        assert replace(a.get(node.key), made={}) == replace(b.get(node.key), made={})


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    return Store(tmp_path / "together"), Store(tmp_path / "alone")


# --- one process ------------------------------------------------------------------------------------------------------


def test_records_are_those_of_each_alone(stores: tuple[Store, Store], counts: list[int]) -> None:
    here, there = stores
    nodes = [trained(seed) for seed in range(4)]
    roots(here, *nodes)
    began = time.perf_counter()
    found = together(here, *nodes)
    passed = time.perf_counter() - began
    assert set(found) == {node.key for node in nodes}
    assert sum(here.get(node.key).made["seconds"] for node in nodes) <= passed + 0.002  # each is rounded to 1 ms
    assert counts == [4] * STOP
    roots(there, *nodes)
    for node in nodes:
        Workshop(there, Setting()).compute(node)
    same(here, there, *nodes)
    assert digests(here) == digests(there)
    for node in nodes:
        made = here.get(node.key).made
        assert made["together"] == 4
        assert "together" not in there.get(node.key).made
        assert len(here.get(node.key).ancestry) == 1 + STOP // 5  # the root and each epoch's end


def test_until_and_who_departs_elsewhere(stores: tuple[Store, Store], counts: list[int]) -> None:
    here, there = stores
    until = Until(accuracy=0.53)
    nodes = [trained(seed, 400, until=until) for seed in range(4)]
    on = [trained(seed) for seed in range(5)]
    roots(here, *on)
    compute(here, on[3].at(11))  # this one goes on from there, alone
    assert all(isinstance(outcome, Record) for outcome in together(here, *nodes, *on).values())
    compute(roots(there, *on), on[3].at(11))
    for node in (*nodes, *on):
        Workshop(there, Setting()).compute(node)
    same(here, there, *nodes, *on)
    ends = [here.get(node.key).summary["step"] for node in nodes]
    assert len(set(ends)) > 1
    assert counts[-STOP:] == [4] * STOP
    assert set(here.get(on[3].key).parents) == {on[3].at(11).key}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 80), st.sampled_from([0.0, 1e9]))
def test_stopped_at_any_moment_all_are_saved_and_go_on_with_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, after: int, save_every: float
) -> None:
    store, there = Store(tmp_path_factory.mktemp("store")), Store(tmp_path_factory.mktemp("alone"))
    nodes = [trained(seed) for seed in range(3)]
    looks = iter(range(10**6))
    roots(store, *nodes)
    found = together(store, *nodes, save_every=save_every, stop=lambda: next(looks) >= after)
    stopped = [node for node in nodes if isinstance(found[node.key], Stopped)]
    for node in stopped:
        assert re.fullmatch(r"stopped at step \d+", str(found[node.key]))
        step = int(str(found[node.key]).split()[-1])
        assert store.has(node.at(step).key)
        assert store.get(node.at(step).key).made["together"] == 3
    again = together(store, *nodes)
    assert all(isinstance(outcome, Record) for outcome in again.values())
    roots(there, *nodes)
    for node in nodes:
        Workshop(there, Setting()).compute(node)
    assert all(store.get(node.key).digest == there.get(node.key).digest for node in nodes)
    assert store.verify() == []


def test_one_that_fails_loses_no_other(stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = stores
    nodes = [trained(seed) for seed in range(4)]
    roots(here, *nodes)
    damaged = here.blob_path(here.get(nodes[0].root.key))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    note = here.note_state

    def full(trajectory: str, step: int, key: str) -> None:
        if trajectory == nodes[2].trajectory:
            raise OSError("no room")
        note(trajectory, step, key)

    monkeypatch.setattr(here, "note_state", full)
    found = together(here, *nodes, save_every=0.0)
    assert "damaged" in str(found[nodes[0].key]) or str(damaged) in str(found[nodes[0].key])
    assert isinstance(found[nodes[2].key], OSError)
    assert [isinstance(found[node.key], Record) for node in nodes] == [False, True, False, True]


def test_what_is_wrong_with_all_is_said_of_each(stores: tuple[Store, Store]) -> None:
    here, _ = stores
    nodes = [trained(seed, recipe={"loss": "binary_cross_entropy"}) for seed in range(3)]
    found = together(roots(here, *nodes), *nodes)
    assert len(found) == 3
    assert all(str(outcome).startswith("Binary cross-entropy needs one output") for outcome in found.values())


def test_what_is_no_training_or_too_short_is_computed_as_ever(stores: tuple[Store, Store], counts: list[int]) -> None:
    here, _ = stores
    nodes = [trained(seed, 7) for seed in range(3)]
    found = together(here, Init(MODEL, 50), *(node.root for node in nodes), nodes[0].root)
    assert all(isinstance(outcome, Record) for outcome in found.values())
    found = together(here, *nodes)
    assert all("together" not in outcome.made for outcome in found.values() if isinstance(outcome, Record))
    assert len(found) == 3
    assert not counts


def test_progress_is_told_of_each(stores: tuple[Store, Store]) -> None:
    here, _ = stores
    nodes = [trained(seed) for seed in range(3)]
    told: list[tuple[float, float, str, str]] = []
    together(roots(here, *nodes), *nodes, report=lambda *progress: told.append(progress))
    assert {key for _, _, _, key in told} == {node.key for node in nodes}
    assert all(re.fullmatch(r"epoch [\d.]+/13, [\d,]+ images/s, 3 at once", note) for _, _, note, _ in told)


# --- handing out ------------------------------------------------------------------------------------------------------


def taken(store: Store, nodes: list[Train], **setting: Any) -> list[int]:
    """How many trainings each call of a worker gets when everything else is done."""
    waiting = queue.Queue(plan(nodes, roots(store, *nodes)), Setting(**setting))
    sizes = []
    while group := waiting.next():
        assert waiting.working >= {node.key for node in group}
        sizes.append(len(group))
    return sizes


@pytest.mark.parametrize(
    ("count", "workers", "sizes"),
    [(10, 2, [5, 5]), (10, 3, [4, 4, 2]), (3, 4, [1, 1, 1]), (7, 0, [7]), (37, 1, [16, 16, 5])],
)
def test_the_ready_ones_are_divided_evenly(tmp_path: Path, count: int, workers: int, sizes: list[int]) -> None:
    assert taken(Store(tmp_path), [trained(seed) for seed in range(count)], workers=workers) == sizes


def test_only_what_is_alike_and_stacks_goes_together(tmp_path: Path) -> None:
    pairs = [[trained(10 * stop + seed, stop) for seed in range(2)] for stop in (60, 61)]
    nodes = [*pairs[0], *pairs[1]]
    nodes += [trained(seed, 60, recipe={"weight_decay": 0.1}) for seed in range(2)]
    assert taken(Store(tmp_path), nodes, workers=1) == [2, 2, 2]
    assert taken(Store(tmp_path), nodes[:2], workers=1, device="cuda") == [1, 1]
    dropping = ModelRef("mlp", {**MODEL.arguments, "dropout": 0.25})
    own = ModelRef("small_studies:normed", {}, "0" * 64)
    for model in (dropping, own):
        others = [replace(node, root=Init(model, 3)) for node in nodes[:2]]
        waiting = queue.Queue(plan(others, Store(tmp_path / model.name.replace(":", "."))), Setting())
        assert not waiting.alike
    assert not queue.Queue(plan([trained(0, recipe={"precision": "bf16"})], Store(tmp_path)), Setting()).alike


@pytest.mark.parametrize(("workers", "order"), [(1, [3, 0, 2, 1]), (2, [3, 1, 0, 2])])
def test_what_was_in_flight_goes_on_before_others_set_out_one_a_worker(
    tmp_path: Path, workers: int, order: list[int]
) -> None:
    nodes = [trained(seed) for seed in range(4)]
    store = compute(roots(Store(tmp_path), *nodes), nodes[1].at(35), nodes[3].at(20))  # 3 has more work behind it
    waiting = queue.Queue(plan(nodes, store), Setting(workers=workers, device="cuda"))  # one at a time
    assert [nodes.index(node) for _ in order for node in waiting.next() if isinstance(node, Train)] == order


def test_names_tell_roots_and_noise_apart_and_likeness_does_not() -> None:
    first, second = trained(0), trained(1)
    assert first.key != second.key
    assert first.likeness == second.likeness
    others = [
        trained(0, 66),
        trained(0, recipe={"momentum": 0.8}),
        trained(0, recipe={"lr": 0.2}),
        trained(0, until=Until(accuracy=0.9)),
        trained(0, root=advance(Init(MODEL, 0), recipe(), data(), Noise.of(1), 3)),
        replace(first, root=Init(ModelRef("mlp", {**MODEL.arguments, "hidden": [8]}), 0)),
        replace(first, data=data(seed=4)),
    ]
    assert len({first.likeness, *(other.likeness for other in others)}) == 1 + len(others)


# --- processes --------------------------------------------------------------------------------------------------------


def test_processes_hand_over_each_by_itself(stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = stores
    nodes = [trained(seed) for seed in range(5)]
    compute(here, *nodes, workers=2)
    monkeypatch.setattr(queue, "STACKED", frozenset())
    compute(there, *nodes)
    assert digests(here) == digests(there)
    assert sum(here.get(node.key).made.get("together", 1) > 1 for node in nodes) >= 4
    same(here, there, *nodes)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds its workers through /proc")
def test_those_whose_process_died_are_tried_again_one_by_one(tmp_path: Path) -> None:
    nodes = [trained(seed, 600) for seed in range(3)]
    store = Store(tmp_path)
    killed: list[str] = []

    def kill(key: str) -> None:
        if not killed and key in {node.key for node in nodes}:
            killed.extend(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
            os.kill(int(killed[0]), signal.SIGKILL)

    display = Told(kill)
    compute(store, *nodes, workers=1, display=display)
    assert display.lines == [
        "A process was killed by signal 9 while it trained 3 networks at once; each is tried by itself."
    ]
    assert all("together" not in store.get(node.key).made for node in nodes)
    assert not display.failures


def test_a_failure_among_many_is_one_failure(stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = stores
    nodes = [trained(seed) for seed in range(3)]
    roots(here, *nodes)
    damaged = here.blob_path(here.get(nodes[1].root.key))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(RunFailed, match=r"^1 of 3 results failed; all others are kept"):
        compute(here, *nodes, workers=1)
    assert [here.has(node.key) for node in nodes] == [True, False, True]
