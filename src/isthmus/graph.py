"""What a study still needs: an ordered plan of the nodes that the store lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from isthmus.nodes import Choose, Node, State, Train
from isthmus.store import Store

__all__ = ["Plan", "on_the_way", "plan", "stale", "walk"]


@dataclass(frozen=True)
class Plan:
    """Nodes to compute, parents before children.

    Attributes:
        pending: what the store lacks, by key, in an order in which everything comes after what it needs.
        needs: for each pending node, the keys of the pending nodes that come first.
        present: how many of the wanted results the store has already.
        starts: for pending trained states, the step of the nearest state on the way that the store has.
    """

    pending: Mapping[str, Node] = field(default_factory=dict)
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    present: int = 0
    starts: Mapping[str, int] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """Forward passes of one example that remain, roughly."""
        return sum(self.cost_of(key) for key in self.pending)

    def cost_of(self, key: str) -> float:
        """The cost of one node, from the nearest state of its trajectory in the store or before it in the plan."""
        node = self.pending[key]
        if not isinstance(node, Train):
            return node.cost
        before = [self.pending[need] for need in self.needs[key]]
        steps = [n.step for n in before if isinstance(n, Train) and n.trajectory == node.trajectory]
        start = max([node.root.step, self.starts.get(key, 0), *steps])
        return 3.0 * (node.stop - start) * node.recipe.batch_size


def walk(targets: Iterable[Node]) -> dict[str, Node]:
    """Every node that the targets rest on, by key, parents first."""
    found: dict[str, Node] = {}
    stack = [(node, False) for node in reversed(list(targets))]
    while stack:
        node, ready = stack.pop()
        if node.key in found:
            continue
        if ready:
            found[node.key] = node
        else:
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(node.parents()))
    return found


def plan(targets: Iterable[Node], store: Store) -> Plan:
    """What has to be computed for the targets, given what the store has.

    A state is not needed for itself: only what a missing node consumes is descended into. States of one
    trajectory depend on each other in the order of their steps, so each part is trained once; where two of them
    part on the way, the state at that step is pending as well.
    """
    targets = list({node.key: node for node in targets}.values())
    pending: dict[str, Node] = {}
    stack = [(node, False) for node in reversed(targets)]
    while stack:
        node, ready = stack.pop()
        if node.key in pending or store.has(node.key):
            continue
        if ready:
            pending[node.key] = node
        else:
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(node.parents()))
    pending |= {fork.key: fork for fork in _forks(pending.values()) if not store.has(fork.key)}
    needs = {key: {p.key for p in node.parents() if p.key in pending} for key, node in pending.items()}
    trajectories = _trajectories(pending.values())
    for states in trajectories.values():
        states.sort(key=lambda state: state.stop)
        for index, after in enumerate(states):
            earlier = (before for before in reversed(states[:index]) if after.at(before.stop).key == before.key)
            if (last := next(earlier, None)) is not None:
                needs[after.key].add(last.key)
    frozen = {key: frozenset(found) for key, found in needs.items()}
    ordered = _ordered(pending, frozen)
    ways = {key: next(on_the_way(node, store), None) for key, node in pending.items() if isinstance(node, Train)}
    starts = {key: way.stop for key, way in ways.items() if way is not None}
    return Plan(ordered, frozen, sum(node.key not in pending for node in targets), starts)


def _trajectories(nodes: Iterable[Node]) -> dict[str, list[Train]]:
    """The trained states among nodes by their trajectory, whatever their learning rates."""
    found: dict[str, list[Train]] = {}
    for node in nodes:
        if isinstance(node, Train):
            found.setdefault(node.trajectory, []).append(node)
    return found


def _forks(nodes: Iterable[Node]) -> Iterator[Train]:
    """Where states of one trajectory part because their learning rates do: what they share is then trained once.

    In the order of their rates each parts latest from one of its neighbours. Less than an epoch is not worth a state.
    """
    for states in _trajectories(nodes).values():
        ordered = sorted(((state.rates(), state) for state in states), key=lambda found: found[0].tobytes())
        for (first, _), (second, state) in pairwise(ordered):
            length = min(len(first), len(second))
            apart = np.flatnonzero(first[:length] != second[:length])
            if len(apart) and apart[0] >= state.steps_per_epoch:
                yield state.at(state.root.step + int(apart[0]))


def on_the_way(node: Train, store: Store) -> Iterator[Train]:
    """The states between the root of a trained state and itself that the store has, the last first."""
    for step, key in store.states(node.trajectory, node.stop - 1):
        if step > node.root.step and (way := node.at(step)).key == key:
            yield way


def _ordered(pending: Mapping[str, Node], needs: Mapping[str, frozenset[str]]) -> dict[str, Node]:
    """Parents first; a stable order otherwise."""
    done: dict[str, Node] = {}
    stack = [(key, False) for key in reversed(list(pending))]
    while stack:
        key, ready = stack.pop()
        if key in done:
            continue
        if ready:
            done[key] = pending[key]
        else:
            stack.append((key, True))
            stack.extend((need, False) for need in sorted(needs[key]))
    return done


def stale(targets: Iterable[Node], store: Store) -> list[str]:
    """The keys of stored states that descend from a realisation which the store no longer holds, ancestors first.

    They can be measured against each other, but not against what was trained anew. States that were saved on
    the way to another are among them.
    """
    held: dict[str, str] = {}
    found: dict[str, None] = {}
    for key in _states(targets, store):
        if (record := store.record(key)) is None:
            continue
        if record.kind == Choose.kind:
            held[key] = record.digest
        elif any(held.get(ancestor, digest) != digest for ancestor, digest in record.ancestry.items()):
            found[key] = None
        else:
            held[key] = record.digest
    return list(found)


def _states(targets: Iterable[Node], store: Store) -> Iterator[str]:
    for key, node in walk(targets).items():
        if isinstance(node, Train):
            yield from reversed([way.key for way in on_the_way(node, store)])
        if isinstance(node, State | Choose):
            yield key
