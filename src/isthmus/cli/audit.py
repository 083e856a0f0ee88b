"""``--audit``: a run again under every convention about normalisation statistics and optimiser buffers."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.errors import RunFailed

if TYPE_CHECKING:
    from isthmus.papers import Row, Scale
    from isthmus.study import Results, Study
    from isthmus.tables import Table

__all__ = ["claims", "explain", "study"]


def claims(
    row: Row,
    scale: Scale,
    ran: Study,
    own: Table,
    compute: Callable[[Study], Results],
    folder: Path,
    only: Sequence[str] = (),
) -> list[Path]:
    """Judge the claims of a row under each convention, print them beside each other; the files written.

    Raises:
        RunFailed: the run failed under one of them; what there is was written.
    """
    from isthmus.papers import audit
    from isthmus.study.conventions import conventions
    from isthmus.tables import write_tables

    others, told = conventions(ran, only)
    for sentence in told:
        print(sentence)
    found = audit.judged(row, scale, own, others, compute)
    table = audit.compare(found.claims)
    files = write_tables({"audit": table}, folder) + audit.draw(row, table, folder)
    print(f"{audit.grid(table)}\n({audit.MARKS})")
    if found.failures:
        raise RunFailed(" ".join(found.failures))
    return files


def study(own: Results, compute: Callable[[Study], Results], folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """Run a study under each convention and lay its means over seeds beside each other; the files written."""
    from isthmus.study.conventions import beside, conventions
    from isthmus.tables import write_tables

    others, told = conventions(own.study, only)
    for sentence in told:
        print(sentence)
    seeds = {"default": own["seeds"]} | {one.name: compute(one.study)["seeds"] for one in others}
    table = beside(seeds)
    signed = table.where(lambda row: row["sign_differs"] is not None and row["convention"] != "default")
    for name in (one.name for one in others):
        found = signed.where(convention=name)
        print(f"{name}: {sum(found['sign_differs'])} of {len(found)} signed barriers have another sign.")
    return write_tables({"audit": table}, folder)


def explain(asked: Study, store: Path, only: Sequence[str] = (), **options: Any) -> None:
    """Say what each convention would add to what a study computes, without computing it."""
    from isthmus.store import Store
    from isthmus.study import prepare
    from isthmus.study.conventions import conventions

    others, told = conventions(asked, only)
    for sentence in told:
        print(sentence)
    with tempfile.TemporaryDirectory() as empty:
        place = Store(store if store.exists() else Path(empty))
        known = set(prepare(asked, place, **options)[1].pending)
        for one in others:
            pending = prepare(one.study, place, **options)[1].pending
            kinds = Counter(node.kind for key, node in pending.items() if key not in known)
            known |= set(pending)
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
            print(f"{one.name}: in addition {counts}.")
