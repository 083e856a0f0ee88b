"""The training of a node in flight: where it departs, what is saved on the way, and the record of its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus import training
from isthmus.choices import applied
from isthmus.errors import IsthmusError
from isthmus.execute.equipment import Equipment
from isthmus.graph import on_the_way
from isthmus.networks import NetworkState
from isthmus.nodes import Node, Part, Train
from isthmus.recipe import Recipe
from isthmus.store import Record, join_ancestries
from isthmus.together import Replica, stacks, train_together
from isthmus.training import Log

__all__ = ["Ended", "Flight", "Stopped", "fly"]

Ended = Callable[[Node, Record | Exception], None]
"""Called with a node and its record, or why there is none (:class:`Stopped` if it was saved on request)."""

_EVERY = 0.1  # seconds between two reports of a node that is trained among others


class Stopped(IsthmusError):
    """The node was stopped on request; training in flight is saved."""


class Flight:
    """A node whose training is under way, ``among`` so many (itself included) that are trained together."""

    def __init__(self, equipment: Equipment, node: Train, began: float) -> None:
        self.equipment, self.node, self.began = equipment, node, began
        self.start, self.state, self.pins, self.reached = _departure(equipment, node)
        self.ancestry = dict(self.pins[1])
        self.saved, self.told, self.among = time.monotonic(), 0.0, 1

    def alone(self) -> Record:
        """Train it; its record.

        Raises:
            Stopped: it was stopped on request, and saved.
        """
        if self.reached:
            return self.at_once()
        state, log = training.train(
            self.state,
            start=self.start,
            stop=self.node.stop,
            noise=self.node.noise,
            device=self.equipment.device,
            watch=self.watch,
            each_epoch=self.each_epoch,
            **self.common(),
        )
        return self.ended(state, log)

    def common(self) -> dict[str, Any]:
        """What is the same for all that are trained together."""
        node, equipment = self.node, self.equipment
        on_test = node.until is not None and node.until.on == "test"
        return {
            "recipe": _recipe(equipment, node),
            "data": equipment.inputs.examples(node.data, node.part or Part("train"), node.model),
            "model": equipment.inputs.skeleton(node.model),
            "rates": node.rates(self.start),
            "until": node.until,
            "test_data": equipment.inputs.examples(node.data, Part("test"), node.model) if on_test else None,
        }

    def at_once(self) -> Record:
        """The record where it had reached its goal before it departed."""
        told = _told(self.node, self.start, np.zeros(0, np.float32), reached=True)
        return self.equipment.records.put_state(self.node, self.state, self.began, pins=self.pins, summary=told)

    def ended(self, state: NetworkState, log: Log) -> Record:
        """The record of its end.

        Raises:
            Stopped: that was asked for; it is saved.
        """
        if log.stopped:
            self.save(state, log.losses)
            raise Stopped(f"stopped at step {state.step}")
        told = _told(self.node, self.start, log.losses, reached=bool(log.reached))
        pins, seconds = (self.pins[0], self.ancestry), log.seconds if self.among > 1 else None
        return self.equipment.records.put_state(
            self.node, state, self.began, pins=pins, summary=told, seconds=seconds, together=self.among
        )

    def save(self, state: NetworkState, losses: npt.NDArray[np.float32]) -> None:
        """Store a state on the way."""
        way, seconds = self.node.at(state.step), (time.perf_counter() - self.began) / self.among
        pins = dict(self.pins[0]), {key: digest for key, digest in self.ancestry.items() if key != way.key}
        told = _told(self.node, self.start, losses, reached=False)
        self.equipment.records.put_state(
            way, state, self.began, pins=pins, summary=told, seconds=seconds, together=self.among
        )

    def each_epoch(self, step: int, losses: npt.NDArray[np.float32], here: Callable[[], NetworkState]) -> bool:
        """Pin the state at an epoch's end, store it now and then; whether to stop."""
        state = here()
        self.ancestry[self.node.at(step).key] = state.digest()
        if time.monotonic() - self.saved > self.equipment.setting.save_every:
            self.save(state, losses)
            self.saved = time.monotonic()
        return self.equipment.stop()

    def watch(self, step: int) -> bool:
        """Tell how far it is; whether to stop."""
        node = self.node
        done, total = step - self.start, node.stop - self.start
        speed = self.among * done * node.recipe.batch_size / max(time.perf_counter() - self.began, 1e-9)
        epoch, epochs = step / node.steps_per_epoch, node.stop / node.steps_per_epoch
        how = f", {self.among} at once" if self.among > 1 else ""
        self.equipment.report(done, total, f"epoch {epoch:.1f}/{epochs:.0f}, {speed:,.0f} images/s{how}", node.key)
        return self.equipment.stop()


class _Formation:
    """What watches flights that go together: one look a step whether to stop, which then all of them do."""

    def __init__(self, equipment: Equipment, flights: Sequence[Flight], ended: Ended) -> None:
        self.equipment, self.flights, self.ended = equipment, flights, ended
        self.left = {flight.node.key: flight for flight in flights}
        self.step, self.stopping = -1, False

    def fly(self) -> None:
        """Train them, each being told of as soon as it has ended, if they stack."""
        first, common = self.flights[0], self.flights[0].common()
        replicas = [
            Replica(flight.state, flight.node.noise, self._watch(flight), flight.each_epoch, self._ended(flight))
            for flight in self.flights
        ]
        ends: dict[str, Any] = {"start": first.start, "stop": first.node.stop, "device": self.equipment.device}
        if not stacks(replicas, common["recipe"], common["data"], model=common["model"], **ends):
            return
        for flight in self.flights:
            flight.among = len(self.flights)
        train_together(replicas, **ends, **common)

    def _watch(self, flight: Flight) -> training.Watch:
        def watch(step: int) -> bool:
            if step != self.step:
                self.step, self.stopping = step, self.stopping or self.equipment.stop()
            now = time.monotonic()
            if now - flight.told > _EVERY:
                flight.told = now
                flight.watch(step)
            return self.stopping

        return watch

    def _ended(self, flight: Flight) -> Callable[[NetworkState, Log], None]:
        def ended(state: NetworkState, log: Log) -> None:
            del self.left[flight.node.key]
            outcome: Record | Exception
            try:
                outcome = flight.ended(state, log)
            except Exception as error:
                outcome = error
            self.ended(flight.node, outcome)

        return ended


def fly(equipment: Equipment, flights: Sequence[Flight], ended: Ended) -> list[Train]:
    """Train nodes that are alike and depart from the same step together, each told of as soon as it has ended.

    Returns those that are left to be computed alone: all if they do not stack; if something failed, those that had
    not ended, so that each fails for what is wrong with it.
    """
    formation = _Formation(equipment, flights, ended)
    with suppress(Exception):
        formation.fly()
    return [flight.node for flight in formation.left.values()]


def _recipe(equipment: Equipment, node: Train) -> Recipe:
    """The recipe of a trained state, with the blocks that its rules wait for."""
    recipe = node.recipe
    for choice in node.choices:
        recipe = applied(recipe, equipment.store.get(choice.key).summary["value"])
    return recipe


def _departure(
    equipment: Equipment, node: Train
) -> tuple[int, NetworkState, tuple[dict[str, str], dict[str, str]], bool]:
    """Where training begins, and whether it has reached its goal there already.

    That is the last stored state on the way, else the root. A state that descends from a realisation
    which the store no longer holds is passed over: what is trained from it could meet nothing new.
    """
    for way in on_the_way(node, equipment.store):
        record = equipment.store.get(way.key)
        if equipment.store.agrees(record):
            state, reached = equipment.inputs.state_of(record, node.model), bool(record.summary.get("reached"))
            return state.step, state, ({way.key: record.digest}, join_ancestries([record])), reached
    state = equipment.inputs.load(node.root)
    if node.buffers == "reset":
        state = state.without_buffers()
    return state.step, state, equipment.records.pins(node), False


def _told(node: Train, start: int, losses: npt.NDArray[np.float32], *, reached: bool) -> dict[str, Any]:
    """What training tells beside the state: (step, mean loss) of each part of an epoch since it set out."""
    per_epoch, stop = node.steps_per_epoch, start + len(losses)
    ends = [*range((start // per_epoch + 1) * per_epoch, stop, per_epoch), stop] if stop > start else []
    begins = [start, *ends[:-1]]
    epochs = [[end, float(np.mean(losses[begin - start : end - start]))] for begin, end in zip(begins, ends)]
    return {"epochs": epochs} | ({"reached": reached} if node.until else {})
