"""By what the results of a study were computed: versions, device, threads, time; from their records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from isthmus.errors import Damaged
from isthmus.graph import walk
from isthmus.nodes import Node
from isthmus.store import Record, Store
from isthmus.tables import Table

__all__ = ["provenance_table"]

_BY = ("kind", "device", "capability", "machine", "threads", "isthmus", "torch")


def provenance_table(targets: Iterable[Node], store: Store) -> Table:
    """A row for each kind of result and each way in which results of that kind were computed.

    ``results`` counts them, ``seconds`` is what they took together (of one process each), ``first`` and ``last`` are
    the dates in UTC. States that were deleted or damaged since are not
    counted.
    """
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for key in walk(targets):
        try:
            record = store.record(key)
        except Damaged:  # what is needed was read already; the rest is not worth stopping for
            continue
        if record is not None:
            made = {"kind": record.kind, **record.made}
            groups.setdefault(tuple(made.get(name) for name in _BY), []).append(record)
    rows = []
    for labels, records in sorted(groups.items(), key=lambda item: [str(label) for label in item[0]]):
        dates = sorted(str(record.made.get("date", "")) for record in records)
        seconds = sum(float(record.made.get("seconds", 0.0)) for record in records)
        numbers = {"results": len(records), "seconds": round(seconds, 1), "first": dates[0], "last": dates[-1]}
        rows.append({**dict(zip(_BY, labels, strict=True)), **numbers})
    return Table.of(rows, (*_BY, "results", "seconds", "first", "last"))
