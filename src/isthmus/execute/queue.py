"""What of a plan is done, failed, in work and ready, and what a worker computes next."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from isthmus.execute import Setting
from isthmus.graph import Plan
from isthmus.nodes import Node, Train

__all__ = ["STACKED", "Queue"]

STACKED = frozenset({"mlp"})
"""The models of ours that stack (see :mod:`isthmus.stacking`): such trainings are handed out several at once."""

_AT_ONCE = 16  # trainings in one stack, at most


@dataclass
class Queue:
    """Which nodes are done, failed, in work and ready; those with the most work behind them come first.

    What costs nothing comes before that: what waits for it is then ready together. So does, for each worker, a
    training that has begun: the run that was stopped goes on where it was.
    """

    plan: Plan
    setting: Setting
    done: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)
    working: set[str] = field(default_factory=set)
    apart: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        alike = {key: _likeness(self.plan, key) for key in self.plan.pending if self.setting.device == "cpu"}
        self.alike = {key: likeness for key, likeness in alike.items() if likeness is not None}
        self.waiting = {key: set(needs) for key, needs in self.plan.needs.items()}
        followers: dict[str, list[str]] = {key: [] for key in self.plan.pending}
        for key, needs in self.plan.needs.items():
            for need in needs:
                followers[need].append(key)
        height: dict[str, float] = {}
        for key in reversed(list(self.plan.pending)):
            height[key] = self.plan.cost_of(key) + max((height[after] for after in followers[key]), default=0.0)
        self.followers = followers
        rank = {key: index for index, key in enumerate(self.plan.pending)}
        begun = sorted(self.plan.starts, key=lambda key: (-height[key], rank[key]))[: max(self.setting.workers, 1)]
        self.order = sorted(
            self.plan.pending, key=lambda key: (self.plan.cost_of(key) > 0, key not in begun, -height[key], rank[key])
        )

    def next(self) -> tuple[Node, ...]:
        """What is ready and may be computed together, now in work; nothing if nothing is ready.

        Of trainings that are alike a worker takes its share of all that are not done yet.
        """
        first = next((key for key in self.order if not self.waiting[key]), None)
        if first is None:
            return ()
        likeness = None if first in self.apart else self.alike.get(first)
        others = [key for key in self.alike if self.alike[key] == likeness and key not in self.apart]
        left = [key for key in others if key not in self.done and key not in self.failures]
        share = min(_AT_ONCE, -(-len(left) // max(self.setting.workers, 1)))
        ready = [key for key in self.order if key in left and not self.waiting[key]]
        taken = ready[:share] if likeness is not None else [first]
        self.order = [key for key in self.order if key not in taken]
        self.working.update(taken)
        return tuple(self.plan.pending[key] for key in taken)

    def lose(self, keys: Collection[str]) -> None:
        """Take trainings whose process died out of work, to be tried again one by one."""
        self.working.difference_update(keys)
        self.apart.update(keys)
        self.order[:0] = keys

    def finish(self, key: str) -> None:
        """Take a result that is there: what waited for it alone is ready."""
        self.working.discard(key)
        self.done.add(key)
        for after in self.followers[key]:
            self.waiting[after].discard(key)

    def fail(self, key: str, message: str) -> None:
        """Take a result that will not come, with its reason."""
        self.working.discard(key)
        self.failures[key] = message


def _likeness(plan: Plan, key: str) -> tuple[str, int | None] | None:
    """What is equal for trainings that may be handed out together; None for what is computed by itself."""
    node = plan.pending[key]
    if not isinstance(node, Train) or node.model.name not in STACKED or node.model.arguments.get("dropout"):
        return None
    if node.recipe.precision != "float32" or node.recipe.augment.acts:
        return None
    return node.likeness, plan.starts.get(key)
