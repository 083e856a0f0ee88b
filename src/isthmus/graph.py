"""What a study still needs: an ordered plan of the nodes that the store lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from isthmus.nodes import Node, State, Train
from isthmus.store import Store

__all__ = ["Plan", "plan", "stale", "walk"]


@dataclass(frozen=True)
class Plan:
    """Nodes to compute, parents before children.

    Attributes:
        pending: what the store lacks, by key, in an order in which everything comes after what it needs.
        needs: for each pending node, the keys of the pending nodes that come first.
        present: how many of the wanted results the store has already.
    """

    pending: Mapping[str, Node] = field(default_factory=dict)
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    present: int = 0

    @property
    def cost(self) -> float:
        """Forward passes of one example that remain, roughly."""
        return sum(self.cost_of(key) for key in self.pending)

    def cost_of(self, key: str) -> float:
        """The cost of one node, from the nearest state of its trajectory that comes before it in the plan."""
        node = self.pending[key]
        if not isinstance(node, Train):
            return node.cost
        before = [self.pending[need] for need in self.needs[key]]
        start = max((n.step for n in before if isinstance(n, Train) and n.trajectory == node.trajectory), default=0)
        return 3.0 * (node.stop - max(start, node.root.step)) * node.recipe.batch_size


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
    trajectory depend on each other in the order of their steps, so each part is trained once.
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
    needs = {key: {p.key for p in node.parents() if p.key in pending} for key, node in pending.items()}
    trajectories: dict[str, list[Train]] = {}
    for node in pending.values():
        if isinstance(node, Train):
            trajectories.setdefault(node.trajectory, []).append(node)
    for states in trajectories.values():
        states.sort(key=lambda state: state.stop)
        for index, after in enumerate(states):
            on_the_way = (before for before in reversed(states[:index]) if after.at(before.stop).key == before.key)
            if (last := next(on_the_way, None)) is not None:
                needs[after.key].add(last.key)
    frozen = {key: frozenset(found) for key, found in needs.items()}
    ordered = _ordered(pending, frozen)
    return Plan(ordered, frozen, sum(node.key not in pending for node in targets))


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

    They can be measured against each other, but not against what was trained anew.
    """
    held: dict[str, str] = {}
    found = []
    for key, node in walk(targets).items():
        if not isinstance(node, State) or (record := store.record(key)) is None:
            continue
        held[key] = record.digest
        if any(ancestor in held and held[ancestor] != digest for ancestor, digest in record.ancestry.items()):
            found.append(key)
    return found
