"""By what the results of a study were computed: versions, device, threads, time; from their records."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from isthmus.errors import Damaged
from isthmus.graph import walk
from isthmus.nodes import Init, Node, Train
from isthmus.store import Record, Store
from isthmus.tables import Table

__all__ = ["provenance_table", "shortfalls", "standing"]

_BY = ("kind", "device", "capability", "machine", "threads", "isthmus", "torch")


def standing(targets: Iterable[Node], store: Store) -> list[Record]:
    """The records of the targets and of all that they rest on, as far as they are there and whole."""
    found = []
    for key in walk(targets):
        with contextlib.suppress(Damaged):  # what a study needs was read already; the rest is not worth stopping for
            record = store.record(key)
            if record is not None:
                found.append(record)
    return found


def shortfalls(targets: Iterable[Node], store: Store) -> list[str]:
    """A sentence for each training until an accuracy that ended before reaching it."""
    found = []
    for key, node in walk(targets).items():
        if isinstance(node, Train) and node.until is not None:
            with contextlib.suppress(Damaged):
                record = store.record(key)
                if record is not None and not record.summary.get("reached"):
                    found.append(_shortfall(node))
    return found


def _shortfall(node: Train) -> str:
    assert node.until is not None
    seeds = [state.seed for state in walk([node]).values() if isinstance(state, Init)]
    options = ", ".join(f"{name}={value}" for name, value in node.data.options.items())
    return (
        f"Training {node.model.name} on {node.data.name}{f' ({options})' if options else ''}"
        f"{f' from seed {seeds[0]}' if seeds else ''} did not reach an accuracy of {node.until.accuracy:.6g} on"
        f" {node.until.on} in {node.stop} steps ({node.stop / node.steps_per_epoch:.4g} epochs); what follows goes on"
        " from there."
    )


def provenance_table(records: Iterable[Record]) -> Table:
    """A row for each kind of result and each way in which results of that kind were computed.

    ``results`` counts them, ``seconds`` is what they took together (of one process each), ``first`` and ``last`` are
    the dates in UTC.
    """
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        made = {"kind": record.kind, **record.made}
        groups.setdefault(tuple(made.get(name) for name in _BY), []).append(record)
    rows = []
    for labels, members in sorted(groups.items(), key=lambda item: [str(label) for label in item[0]]):
        dates = sorted(str(record.made.get("date", "")) for record in members)
        seconds = sum(float(record.made.get("seconds", 0.0)) for record in members)
        numbers = {"results": len(members), "seconds": round(seconds, 1), "first": dates[0], "last": dates[-1]}
        rows.append({**dict(zip(_BY, labels, strict=True)), **numbers})
    return Table.of(rows, (*_BY, "results", "seconds", "first", "last"))
