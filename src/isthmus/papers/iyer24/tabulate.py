"""The tables of a row: networks, lines and gains by (variant, seed, k, s), and when learning rates drop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.errors import BadInput
from isthmus.papers.setup import setup
from isthmus.study import BranchStudy, Results, Study
from isthmus.study.read import each
from isthmus.tables import Table

__all__ = ["tabulate"]

Row = dict[str, Any]


def tabulate(results: Results) -> dict[str, Table]:
    """``setup``, ``gains``, ``lines``, ``networks`` and ``drops`` of a study of pairs of copies.

    k and s are as the study gives them, and numbers of epochs; ``drops_left`` counts the drops of the learning rate
    that are still to come. ``gains``: a row a pair, accuracies of the copies and of the network half way between
    them, the ``gain`` of that over the mean of the two and over the ``better`` one in points. ``lines``: a row an
    alpha. ``networks``: a row a network, ``after`` the epochs since the merge. ``drops``: the epochs of the drops.

    Raises:
        BadInput: the study's copies are no pairs, or are the trunk itself.
    """
    studies = each(results.study)
    for study in studies.values():
        _pairs_only(study)
    label = {name: _Labels(study, results, name) for name, study in studies.items()}
    found = {
        "setup": setup(results),
        "gains": _gains(_given(results, "pairs"), label),
        "lines": _lines(_given(results, "curves"), label),
        "networks": _networks(_given(results, "networks"), label),
        "drops": _drops(label),
    }
    return {name: table for name, table in found.items() if len(table) or name == "drops"}


def _given(results: Results, name: str) -> list[Mapping[str, Any]]:
    return list(results[name]) if name in results.tables else []


def _pairs_only(study: Study) -> None:
    branch = study.branch if isinstance(study, BranchStudy) else None
    if branch is None or branch.children != 2 or branch.trunk_is_child:
        raise BadInput(
            f"{study.name}: expected pairs of copies that leave the trunk, found others; leave branch.children at 2 and"
            " branch.trunk_is_child at false, or use isthmus run."
        )


class _Labels:
    """What a row of a study's table, of one variant, is called here."""

    def __init__(self, study: Study, results: Results, variant: str) -> None:
        self.per_epoch = results.expansion.grounds[variant].steps_per_epoch
        schedule = study.recipe.schedule
        self.drops = [at.steps(self.per_epoch) for at in schedule.milestones]

    def epochs(self, steps: int) -> float:
        """Steps in epochs, whole where they are."""
        exact = steps / self.per_epoch
        return int(exact) if exact.is_integer() else exact

    def __call__(self, row: Mapping[str, Any], after: int = 0) -> Row:
        k, s = row["k_steps"], row["s_steps"]
        found: Row = {"seed": row["seed"], "variant": row.get("variant", ""), "k": row["k"], "s": row["s"]}
        found |= {"k_epochs": self.epochs(k), "s_epochs": self.epochs(s)}
        return found | {"drops_left": sum(drop >= k + s + after for drop in self.drops), "split": row["split"]}


def _gains(pairs: list[Mapping[str, Any]], label: Mapping[str, _Labels]) -> Table:
    return Table.of(_gain(row, label[row.get("variant", "")](row)) for row in pairs if row["metric"] == "error")


def _gain(row: Mapping[str, Any], labels: Row) -> Row:
    first, second = 1 - row["start"], 1 - row["end"]
    between = (first + second) / 2 - row["midpoint"]
    points = {"gain": -100 * row["midpoint"], "better": 100 * (between - max(first, second))}
    return {**labels, "child1": first, "child2": second, "interpolant": between, **points, "examples": row["examples"]}


def _lines(curves: list[Mapping[str, Any]], label: Mapping[str, _Labels]) -> Table:
    return Table.of(
        {
            **label[row.get("variant", "")](row),
            "alpha": row["alpha"],
            "loss": row["loss"],
            "accuracy": 1 - row["error"],
        }
        for row in curves
    )


def _networks(networks: list[Mapping[str, Any]], label: Mapping[str, _Labels]) -> Table:
    def tidy(row: Mapping[str, Any]) -> Row:
        own, after = label[row.get("variant", "")], row["after_steps"]
        name = "trunk" if row["network"] == "trunk at k" else row["network"]
        labels = {**own(row, after), "network": name, "after": own.epochs(after)}
        return {**labels, "loss": row["loss"], "accuracy": row["accuracy"]}

    return Table.of(map(tidy, networks))


def _drops(label: Mapping[str, _Labels]) -> Table:
    def rows() -> Iterator[Row]:
        for name, own in label.items():
            yield from ({"variant": name, "epoch": own.epochs(drop)} for drop in own.drops)

    return Table.of(rows(), ("variant", "epoch"))
