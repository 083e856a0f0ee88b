"""What a plan holds: parents first, only what is lacking, and no part of a trajectory twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.graph import Plan, on_the_way, plan, stale, walk
from isthmus.nodes import Distance, Init, Merge, Node, Part, PathMeasure, PathSpec, State, Train, advance
from isthmus.noise import Noise
from isthmus.recipe import Schedule
from isthmus.store import Record, Store
from isthmus.study import expand
from small_studies import MODEL, branch, data, recipe

INIT = Init(MODEL, 3)
TRUNK_NOISE = Noise.of(5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def have(store: Store, *nodes: Node, digest: str = "d", ancestry: Mapping[str, str] | None = None) -> None:
    """Records as if these had been computed."""
    for node in nodes:
        store.put(Record(node.key, node.kind, node.label, {}, digest, ancestry=ancestry or {}))
        if isinstance(node, Train):
            store.note_state(node.trajectory, node.stop, node.key)


def to(stop: int, start: State = INIT, noise: Noise = TRUNK_NOISE, milestone: str | None = None) -> Train:
    schedule = Schedule.model_validate({"milestones": [milestone]} if milestone else {})
    found = advance(start, recipe(schedule=schedule), data(), noise, stop)
    assert isinstance(found, Train)
    return found


def measured(*ends: State) -> PathMeasure:
    return PathMeasure(PathSpec("line" if len(ends) > 1 else "point", ends), data(), Part("test"), (0.0, 1.0))


def everything(*targets: Node) -> dict[str, Node]:
    """The targets and all that they rest on, written as a recursion."""
    found = {node.key: node for node in targets}
    for node in targets:
        found |= everything(*node.parents())
    return found


def check(found: Plan, targets: Iterable[Node], store: Store) -> None:
    seen: set[str] = set()
    for key, node in found.pending.items():
        assert node.key == key
        assert not store.has(key)
        assert found.needs[key] >= {parent.key for parent in node.parents() if not store.has(parent.key)}
        assert found.needs[key] <= seen
        seen.add(key)
    assert set(found.needs) == seen
    assert found.present == len({node.key for node in targets if store.has(node.key)})


trunks = st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True)
lengths = st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True)


@given(trunks, lengths, st.data())
def test_everything_comes_after_what_it_needs_whatever_is_at_hand(
    tmp_path_factory: pytest.TempPathFactory, ks: list[int], ss: list[int], drawn: st.DataObject
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    targets: list[Node] = []
    for k in ks:
        trunk = to(k)
        for s in ss:
            a, b = (to(k + s, trunk, Noise.of(seed)) for seed in (8, 9))
            targets += [measured(a, b), Distance(a, b), measured(Merge((a, b), (0.5, 0.5)))]
    nodes = everything(*targets)
    assert set(walk(targets)) == set(nodes)
    have(store, *drawn.draw(st.lists(st.sampled_from(list(nodes.values())), max_size=12)))
    found = plan(drawn.draw(st.permutations(targets)), store)
    check(found, targets, store)
    lacking: set[str] = set()
    wanted: list[Node] = targets
    while wanted := [node for node in wanted if not store.has(node.key)]:
        lacking |= {node.key for node in wanted}
        wanted = [parent for node in wanted for parent in node.parents()]
    assert set(found.pending) == lacking


def test_nothing_is_pending_where_every_target_is_at_hand_even_without_its_parents(store: Store) -> None:
    line = measured(to(7), to(9, to(7), Noise.of(8)))
    have(store, line)
    found = plan([line, line], store)
    assert (dict(found.pending), found.present, found.cost) == ({}, 1, 0)


def test_each_part_of_a_trajectory_is_trained_once(store: Store) -> None:
    targets = [measured(to(stop)) for stop in (12, 4, 9)]
    found = plan(targets, store)
    check(found, targets, store)
    needs = {to(stop).key: found.needs[to(stop).key] for stop in (4, 9, 12)}
    assert needs == {
        to(4).key: {INIT.key},
        to(9).key: {INIT.key, to(4).key},
        to(12).key: {INIT.key, to(9).key},
    }
    assert [found.cost_of(to(stop).key) for stop in (4, 9, 12)] == [3 * 40 * steps for steps in (4, 5, 3)]
    assert found.cost == 3 * 40 * 12 + 3 * 2 * 70  # and three measurements at two points on 70 examples


def test_where_learning_rates_part_the_shared_beginning_is_trained_once(store: Store) -> None:
    ends = (to(19), to(18, milestone="9it"), to(16, milestone="5it"), to(12))
    targets = [measured(end) for end in ends]
    assert len({end.trajectory for end in ends}) == 1
    found = plan([targets[i] for i in (1, 2, 0, 3)], store)
    check(found, targets, store)
    fork, later = to(5), to(9)
    assert {key: found.needs[key] - {INIT.key} for key, node in found.pending.items() if isinstance(node, Train)} == {
        fork.key: set(),
        later.key: {fork.key},
        ends[0].key: {ends[3].key},
        ends[1].key: {later.key},
        ends[2].key: {fork.key},
        ends[3].key: {later.key},
    }
    have(store, INIT, later)
    again = plan(targets, store)
    assert later.key not in again.pending
    assert again.starts[ends[0].key] == 9


def test_less_than_an_epoch_is_not_worth_a_state_of_its_own(store: Store) -> None:
    found = plan([measured(to(9)), measured(to(7, milestone="4it"))], store)
    assert [node.stop for node in found.pending.values() if isinstance(node, Train)] == [9, 7]
    assert found.needs[to(9).key] == {INIT.key}
    assert plan([measured(to(9)), measured(to(6, milestone="6it"))], store).needs[to(9).key] == {INIT.key, to(6).key}


def test_a_plan_sets_out_from_the_last_state_on_the_way_that_is_at_hand(store: Store) -> None:
    have(store, INIT, to(4), to(9), to(6, milestone="5it"), to(15))
    assert [way.stop for way in on_the_way(to(12), store)] == [9, 4]
    found = plan([measured(to(12))], store)
    assert found.starts == {to(12).key: 9}
    assert found.cost_of(to(12).key) == 3 * 40 * 3
    child = to(20, to(12), Noise.of(8))
    assert list(on_the_way(child, store)) == []
    assert plan([measured(child)], store).cost_of(child.key) == 3 * 40 * 8


def test_studies_that_differ_only_in_a_later_milestone_share_what_comes_before(store: Store) -> None:
    sets = ('branch.at=["2ep", "4ep"]', 'branch.lengths=["1ep"]')  # steps 10 and 20, to 15 and 25
    first, second = (
        expand(branch(*sets, f'recipe.schedule.milestones=["{milestone}"]')) for milestone in ("5ep", "22it")
    )
    have(store, *plan(first.targets, store).pending.values())
    found = plan(second.targets, store)
    check(found, second.targets, store)
    trained = {(node.root.step, node.stop) for node in found.pending.values() if isinstance(node, Train)}
    assert trained == {(20, 25)}  # both children of k = 4 epochs, from a trunk that is at hand
    assert [node.kind for node in found.pending.values()].count("train") == 2
    assert found.present == 2  # the line and the distance at k = 2 epochs
    dropped = expand(branch(*sets, 'recipe.schedule.milestones=["12it"]'))
    trained = {
        (node.root.step, node.stop) for node in plan(dropped.targets, store).pending.values() if isinstance(node, Train)
    }
    assert trained == {(10, 15), (0, 20), (20, 25)}


def test_a_state_is_stale_when_the_store_holds_its_ancestor_with_other_bits(store: Store) -> None:
    trunk, other = to(10), Init(MODEL, 4)
    child, fresh, away = to(16, trunk, Noise.of(8)), to(16, trunk, Noise.of(9)), to(16, other)
    grandchild, saved = to(21, child, Noise.of(7)), child.at(13)
    targets = [measured(grandchild), measured(fresh), measured(away)]
    have(store, trunk, digest="new")
    have(store, child, saved, ancestry={trunk.key: "old"}, digest="c")
    have(store, grandchild, ancestry={trunk.key: "old", child.key: "c"})
    have(store, fresh, ancestry={trunk.key: "new"})
    have(store, other, away, ancestry={other.key: "d"})
    assert stale(targets, store) == [saved.key, child.key, grandchild.key]
    assert not store.agrees(store.get(child.key))
    for key in stale(targets, store):
        store.set_aside(key)
    assert stale(targets, store) == []
    store.delete(trunk.key)  # an ancestor that is not there contradicts nothing
    have(store, child, ancestry={trunk.key: "old"}, digest="c")
    assert stale(targets, store) == []


def test_only_states_of_a_study_are_looked_at(store: Store) -> None:
    trunk = to(10)
    have(store, trunk, digest="new")
    have(store, to(16, trunk, Noise.of(8)), ancestry={trunk.key: "old"})
    assert stale([measured(to(16, trunk, Noise.of(9)))], store) == []
    assert stale([replace(measured(to(16, trunk, Noise.of(8))), alphas=(0.0,))], store) != []
