"""What the rows of papers cost, by network: read from a file that is written ahead (``python docs/costs.py``).

To know it a study has to be expanded and its networks built, which takes a minute for all rows; a list of them is to
take a second. The file also holds the digest of each study, so that a test notices one that has changed since.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from isthmus.graph import Plan
from isthmus.hashing import digest
from isthmus.speed import H100, Machine
from isthmus.study import Study
from isthmus.study.work import work

__all__ = ["FILE", "Cost", "costs", "networks", "of_plan", "on_h100", "seconds", "study_digest"]

FILE = "costs.json"


@dataclass(frozen=True)
class Cost:
    """What is done with one network.

    Attributes:
        network: its name.
        arguments: its arguments.
        multiply_accumulates: an example.
        networks, steps, trained, evaluated: as in :class:`isthmus.study.work.Work`.
    """

    network: str
    arguments: Mapping[str, Any]
    multiply_accumulates: int
    networks: int
    steps: int
    trained: int
    evaluated: int


def of_plan(plan: Plan) -> tuple[Cost, ...]:
    """What the pending part of a plan costs; networks are built to count (this loads torch)."""
    from isthmus.models.counting import multiply_accumulates

    found = []
    for one in work(plan):
        macs = multiply_accumulates(one.model.name, one.model.arguments, one.input_shape)
        arguments = dict(one.model.arguments)
        found.append(Cost(one.model.name, arguments, macs, one.networks, one.steps, one.trained, one.evaluated))
    return tuple(found)


def study_digest(study: Study) -> str:
    """What a cost is the cost of: 16 hexadecimal digits that change with any field of a study but its name."""
    return digest("study", study.model_dump(mode="json", exclude={"name"}))[:16]


@functools.cache
def _file() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((resources.files(__package__) / FILE).read_text(encoding="utf-8"))
    return found


def costs(paper: str, row: str, scale: str, study: Study | None = None) -> tuple[Cost, ...]:
    """The cost of a row at a scale from nothing; empty where it is not known, or not known for this ``study``."""
    found = _file().get(f"{paper} {row}", {}).get(scale)
    if found is None or (study is not None and found["study"] != study_digest(study)):
        return ()
    return tuple(Cost(**one) for one in found["costs"])


def described(study: Study, found: Iterable[Cost]) -> dict[str, Any]:
    """A cost as the file holds it."""
    return {"study": study_digest(study), "costs": [asdict(cost) for cost in found]}


def networks(found: Iterable[Cost]) -> int:
    """How many networks are trained."""
    return sum(cost.networks for cost in found)


def seconds(found: Iterable[Cost], machine: Machine) -> float:
    """How long it takes on a machine."""
    return sum(
        machine.seconds(cost.network, cost.arguments, cost.multiply_accumulates, cost.trained, cost.evaluated)
        for cost in found
    )


def on_h100(found: Iterable[Cost]) -> float:
    """How many seconds it may take on an H100; a guess that was never measured, see :data:`isthmus.speed.H100`."""
    rate, step = H100
    return sum(
        max((6 * cost.trained + 2 * cost.evaluated) * cost.multiply_accumulates / rate, cost.steps * step)
        for cost in found
    )
