"""The tables of a row: pairs and curves by (repeat, k1, k2), the main branch at each k1, the set-up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.errors import BadInput
from isthmus.spec import Duration
from isthmus.study import BranchStudy, Results
from isthmus.tables import Table

__all__ = ["Published", "tabulate"]


@dataclass(frozen=True)
class Published:
    """What Table 1 of the paper says of a set-up."""

    network: str
    data: str
    parameters: int
    accuracy: float


def tabulate(results: Results, published: Published) -> dict[str, Table]:
    """``setup``, ``pairs``, ``curves``, ``networks`` and ``seeds`` of a branch study.

    Repeats are numbered by their seed; k1 and k2 are in epochs, ``k1_steps`` and ``k2_steps`` in optimiser steps.
    ``start`` is the main branch at k1 + k2, ``end`` the child.

    Raises:
        BadInput: the study's pairs are not of the main branch and one child.
    """
    branch = results.study.branch if isinstance(results.study, BranchStudy) else None
    if branch is None or not branch.trunk_is_child or branch.children != 2:
        raise BadInput(
            f"{results.study.name}: expected pairs of the main branch and one child, found other copies; leave"
            " branch.trunk_is_child at true and branch.children at 2, or use isthmus run."
        )
    tidy = _tidier(results)
    found = {name: tidy(results[name]) for name in ("pairs", "curves", "networks", "seeds") if name in results.tables}
    return {"setup": _setup(results, found["pairs"], published), **found}


def _tidier(results: Results) -> Callable[[Table], Table]:
    """What renames the labels of a study's table to those of the paper."""
    per_epoch = results.expansion.steps_per_epoch
    splits = _split_names(results)

    @functools.cache
    def epochs(text: str | None) -> float | None:
        if text is None:
            return None
        exact = Duration.parse(text).steps(per_epoch) / per_epoch
        return int(exact) if exact.is_integer() else exact

    def row(old: Mapping[str, Any]) -> dict[str, Any]:
        labels: dict[str, Any] = {"repeat": old["seed"]} if "seed" in old else {}
        labels |= {"k1": epochs(old["k"]), "k2": epochs(old["s"])}
        if "k_steps" in old:
            labels |= {"k1_steps": old["k_steps"], "k2_steps": old["s_steps"]}
        labels |= {"split": splits.get(old["split"], old["split"])}
        return labels | {name: value for name, value in old.items() if name not in (*labels, *_RENAMED)}

    return lambda table: Table.of(row(old) for old in table)


_RENAMED = ("seed", "k", "s", "k_steps", "s_steps")


def _split_names(results: Results) -> dict[str, str]:
    """The part of a split by the split's name: "train:10000" is "train"; of several parts the largest."""
    largest: dict[str, tuple[int, str]] = {}
    for part in results.study.evaluate.parts:
        count = part.count(results.expansion.data)
        if part.split not in largest or count > largest[part.split][0]:
            largest[part.split] = (count, str(part))
    return {text: split for split, (_, text) in largest.items()}


def _setup(results: Results, pairs: Table, published: Published) -> Table:
    """A row a repeat: what was trained, and how good the main branch is in the end (Table 1 of the paper)."""
    study, data = results.study, results.expansion.data
    same = study.model.name == published.network and not study.model.arguments and data.name == published.data
    rows = []
    for (repeat,), group in pairs.where(metric="error").groups("repeat").items():
        steps = max(row["k1_steps"] + row["k2_steps"] for row in group)
        last = [row for row in group if row["k1_steps"] + row["k2_steps"] == steps]
        accuracy = {row["split"]: 1.0 - row["start"] for row in reversed(last)}
        rows.append(
            {
                "repeat": repeat,
                "network": study.model.name,
                "parameters": results.parameters,
                "published_parameters": published.parameters if same else None,
                "data": data.name,
                "training_examples": data.train,
                "optimizer": study.recipe.optimizer.name,
                "learning_rate": study.recipe.optimizer.lr,
                "batch_size": study.recipe.batch_size,
                "steps": steps,
                "epochs": steps / results.expansion.steps_per_epoch,
                "train_accuracy": accuracy.get("train"),
                "test_accuracy": accuracy.get("test"),
                "published_test_accuracy": published.accuracy if same else None,
            }
        )
    return Table.of(rows)
