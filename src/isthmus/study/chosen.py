"""Tables of what measurements chose, from stored results: blocks by their barriers, examples by their scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load

from isthmus.nodes import Choose, PathMeasure
from isthmus.store import Store
from isthmus.study.requests import Expansion, split_names
from isthmus.tables import Table

__all__ = ["block_table", "chosen_tables", "score_table", "split_table", "told"]


def chosen_tables(expansion: Expansion, store: Store) -> dict[str, Table]:
    """Those of the tables ``chosen``, ``splits`` and ``scores`` that a study has."""
    found = {"chosen": block_table(expansion.chosen, store)} if expansion.chosen else {}
    if expansion.splits:
        found["splits"] = split_table(expansion, expansion.splits, store)
        found["scores"] = score_table(expansion.splits, store)
    return found


def block_table(choice: Choose, store: Store) -> Table:
    """A row per block: the rise of its loss in the base run, the mean over seeds, and what group that puts it into.

    ``split`` is the part of the data on which that was seen.
    """
    threshold = choice.arguments["threshold"]
    rows = store.get(choice.key).summary["value"]
    seeds = len(choice.sources) // len(rows)
    return Table.of(
        {
            "block": row["block"],
            "rise": row["rise"],
            "group": "barrier" if row["barrier"] else "no barrier",
            "threshold": threshold,
            "seeds": seeds,
            "split": _part(choice),
        }
        for row in rows
    )


def _part(choice: Choose) -> str:
    """The part of the data on which it was chosen."""
    assert isinstance(choice.source, PathMeasure)
    return str(choice.source.part)


def told(expansion: Expansion, store: Store) -> Iterator[str]:
    """A sentence on what was chosen that the user should read."""
    if expansion.chosen is None:
        return
    table = block_table(expansion.chosen, store)
    groups = {group: table.where(group=group)["block"] for group in ("barrier", "no barrier")}
    sentence = "; ".join(f"blocks with {group}: {', '.join(names) or 'none'}" for group, names in groups.items())
    empty = [group for group, names in groups.items() if not names]
    note = f"; a rule for blocks with {empty[0]} applies to nothing" if empty else ""
    yield f"Chosen by a rise of {table['threshold'][0]:g} on {_part(expansion.chosen)}: {sentence}{note}."


def split_table(expansion: Expansion, choice: Choose, store: Store) -> Table:
    """A row per part of the training set: how many examples, their scores from lowest to highest, how many a class."""
    scores, labels, _ = _scored(choice, store)
    rows = []
    for name, where in _parts(choice, store).items():
        own = scores[where]
        counts = np.bincount(labels[where], minlength=expansion.data.classes)
        numbers = {"mean": float(own.mean()), "min": float(own.min()), "max": float(own.max())}
        classes = {f"class_{label}": int(count) for label, count in enumerate(counts)}
        rows.append({"split": name, "examples": len(where), **numbers, **classes})
    return Table.of(rows)


def score_table(choice: Choose, store: Store) -> Table:
    """A row per scored example: its index in the training set, its label, its score and the part that it is in."""
    scores, labels, indices = _scored(choice, store)
    splits = np.empty(len(scores), object)
    for name, where in _parts(choice, store).items():
        splits[where] = name
    columns: Mapping[str, npt.NDArray[Any]] = {"example": indices, "label": labels, "score": scores, "split": splits}
    values = [column.tolist() for column in columns.values()]
    return Table.of((dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)), tuple(columns))


def _scored(choice: Choose, store: Store) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """(scores, labels, indices in the training set) of the scored examples."""
    arrays = load(store.blob(store.get(choice.source.key)))
    return arrays["scores"], arrays["labels"], arrays["index"]


def _parts(choice: Choose, store: Store) -> dict[str, npt.NDArray[np.int64]]:
    """Which of the scored examples are in each part, by its name in the column ``split``."""
    found = store.get(choice.key).summary["value"]
    return {name: np.asarray(part, np.int64) for name, part in zip(split_names(choice), found, strict=True)}
