"""The tables of a row: pairs and curves by (repeat, variant, k1, k2), the main branch at each k1, the set-up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.errors import BadInput
from isthmus.nodes import DataRef
from isthmus.papers.setup import setup
from isthmus.papers.shapira23.quantities import main_accuracy
from isthmus.papers.shapira23.released import Released, beside
from isthmus.spec import Duration
from isthmus.study import BranchStudy, ModelSpec, Results, Study
from isthmus.study.read import each
from isthmus.tables import Table

__all__ = ["Published", "tabulate"]


@dataclass(frozen=True)
class Published:
    """What Table 1 of the paper says of a set-up, and what it says that of."""

    network: str
    data: str
    examples: int
    parameters: int
    steps: int
    accuracy: float

    def is_of(self, model: ModelSpec, data: DataRef) -> bool:
        """Whether a network on these data is the paper's: whole data, and no other width of the network."""
        found = (model.name, data.name, data.train)
        return found == (self.network, self.data, self.examples) and "width" not in model.arguments


def tabulate(results: Results, published: Published, released: Released | None = None) -> dict[str, Table]:
    """``setup``, ``table1``, ``pairs``, ``curves``, ``networks`` and ``seeds`` of a branch study.

    With released values, and on the paper's data, also ``released``: distances and barriers beside them.
    Repeats are numbered by their seed; k1 and k2 are in epochs, ``k1_steps`` and ``k2_steps`` in optimiser steps.
    ``start`` is the main branch at k1 + k2, ``end`` the child.

    Raises:
        BadInput: the study's pairs are not of the main branch and one child.
    """
    for study in each(results.study).values():
        branch = study.branch if isinstance(study, BranchStudy) else None
        if branch is None or not branch.trunk_is_child or branch.children != 2:
            raise BadInput(
                f"{results.study.name}: expected pairs of the main branch and one child, found other copies; leave"
                " branch.trunk_is_child at true and branch.children at 2, or use isthmus run."
            )
    tidy = _tidier(results)
    found = {name: tidy(results[name]) for name in ("pairs", "curves", "networks", "seeds") if name in results.tables}
    table1 = _table1(results, found["pairs"], published)
    same = any(row["published_steps"] for row in table1)
    found = {"setup": setup(results), "table1": table1, **found}
    if released and same and len(more := beside(found["pairs"], released)):
        found["released"] = more
    return found


def _tidier(results: Results) -> Callable[[Table], Table]:
    """What renames the labels of a study's table to those of the paper."""
    grounds = results.expansion.grounds
    splits = {name: _split_names(study, grounds[name].data) for name, study in each(results.study).items()}

    @functools.cache
    def epochs(text: str | None, variant: str) -> float | None:
        if text is None:
            return None
        per_epoch = grounds[variant].steps_per_epoch
        exact = Duration.parse(text).steps(per_epoch) / per_epoch
        return int(exact) if exact.is_integer() else exact

    def row(old: Mapping[str, Any]) -> dict[str, Any]:
        variant = old.get("variant", "")
        labels: dict[str, Any] = {"repeat": old["seed"]} if "seed" in old else {}
        labels |= {"variant": variant} if "variant" in old else {}
        labels |= {"k1": epochs(old["k"], variant), "k2": epochs(old["s"], variant)}
        if "k_steps" in old:
            labels |= {"k1_steps": old["k_steps"], "k2_steps": old["s_steps"]}
        labels |= {"split": splits[variant].get(old["split"], old["split"])}
        return labels | {name: value for name, value in old.items() if name not in (*labels, *_RENAMED)}

    return lambda table: Table.of(row(old) for old in table)


_RENAMED = ("seed", "k", "s", "k_steps", "s_steps")


def _split_names(study: Study, data: DataRef) -> dict[str, str]:
    """The part of a split by the split's name: "train:10000" is "train"; of several parts the largest."""
    largest: dict[str, tuple[int, str]] = {}
    for part in study.evaluate.parts:
        count = part.count(data)
        if part.split not in largest or count > largest[part.split][0]:
            largest[part.split] = (count, str(part))
    return {text: split for split, (_, text) in largest.items()}


def _table1(results: Results, pairs: Table, published: Published) -> Table:
    """A row a repeat, and variant: what was trained, and how good the main branch is in the end, as in Table 1.

    Accuracies are with the normalisation statistics that the main branch has of its training.
    """
    rows = []
    for variant, study in each(results.study).items():
        ground = results.expansion.grounds[variant]
        same = published.is_of(study.model, ground.data)
        of = pairs.where(variant=variant) if variant else pairs
        for (repeat,), group in of.where(metric="error").groups("repeat").items():
            steps = max(row["k1_steps"] + row["k2_steps"] for row in group)
            last = [row for row in group if row["k1_steps"] + row["k2_steps"] == steps]
            accuracy = {row["split"]: main_accuracy(row) for row in reversed(last)}
            rows.append(
                {
                    "repeat": repeat,
                    **({"variant": variant} if variant else {}),
                    "network": study.model.name,
                    "parameters": results.counts.get(variant),
                    "published_parameters": published.parameters if same else None,
                    "data": ground.data.name,
                    "training_examples": ground.data.train,
                    "optimizer": study.recipe.optimizer.name,
                    "learning_rate": study.recipe.optimizer.lr,
                    "batch_size": study.recipe.batch_size,
                    "steps": steps,
                    "published_steps": published.steps if same else None,
                    "epochs": steps / ground.steps_per_epoch,
                    "train_accuracy": accuracy.get("train"),
                    "test_accuracy": accuracy.get("test"),
                    "published_test_accuracy": published.accuracy if same else None,
                }
            )
    return Table.of(rows)
