"""How fast this machine trains and evaluates: from what a store holds of its runs, else from a short probe.

A network of many small layers is bound by what lies between its multiplications, so each kind of network has a share of
the speed at which a core multiplies matrices, measured once (``benchmarks/speeds.py``) and kept here as a table.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from isthmus.datasets import cache
from isthmus.errors import IsthmusError
from isthmus.registry import canonical_name
from isthmus.store import Record, Store
from isthmus.tables import write_text

__all__ = ["H100", "REFERENCES", "Machine", "Reference", "probe", "reference", "this_machine"]

TRAINING, EVALUATION = 6, 2  # operations a multiply-accumulate of an example


@dataclass(frozen=True)
class Reference:
    """What a network makes of one core: its rate of computing as a share of that of a product of matrices."""

    training: float
    evaluation: float


REFERENCES: Mapping[str, Reference] = MappingProxyType(
    {
        "lenet5": Reference(0.26, 0.20),
        "mlp": Reference(0.28, 0.39),
        "reducedvgg": Reference(0.48, 0.42),
        "resnet20": Reference(0.61, 0.78),
        "resnet18:quarter": Reference(0.61, 0.69),
        "vgg16:quarter": Reference(0.64, 0.75),
        "alexnet:quarter": Reference(0.76, 0.86),
    }
)
"""By the name of the network and ``:quarter`` for a fraction of its width; measured on a core of an AMD Zen 3."""

_LIKE = {"resnet": "resnet18", "vgg": "vgg16", "alexnet": "alexnet", "mlp": "mlp", "lenet5": "lenet5"}
H100 = 1e13, 5e-5  # operations a second, seconds a step: a guess, a seventh of its float32 peak and a replayed step


def reference(name: str, arguments: Mapping[str, Any]) -> tuple[str, Reference]:
    """The row of the table for a network, or of the one that it is most like, with its name there."""
    name = canonical_name(name)
    if name in ("resnet20", "resnet32", "resnet44", "resnet56"):
        like = "resnet20"
    elif name in REFERENCES:
        like = name
    else:
        like = next((other for stem, other in _LIKE.items() if name.startswith(stem)), "resnet18")
    like = like if like in REFERENCES else f"{like}:quarter"
    return like, REFERENCES[like]


def probe(*, fresh: bool = False) -> float:
    """Operations a second of one core in products of float32 matrices; about a second, then kept for this user.

    It is measured in a process of its own with one thread, by the seconds that this spends on its processor.
    """
    file = cache.of_user("speed") / "probe.json"
    machine = [platform.machine(), platform.node(), os.cpu_count()]
    if not fresh:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(file.read_text(encoding="utf-8"))
            if found["machine"] == machine:
                return float(found["rate"])
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", _PROBE], env=os.environ | one, capture_output=True, text=True, check=True
    )
    rate = float(done.stdout)
    if not fresh:
        with contextlib.suppress(OSError):
            write_text(file, json.dumps({"machine": machine, "rate": rate}) + "\n")
    return rate


_PROBE = """
import time
import numpy as np
a = np.random.default_rng(1).random((768, 768), np.float32)
b, best, until = a.T.copy(), 0.0, time.process_time() + 0.7
while time.process_time() < until:
    began = time.process_time()
    a @ b
    best = max(best, 2 * 768**3 / (time.process_time() - began))
print(best)
"""


@dataclass(frozen=True)
class Machine:
    """What is known of a machine's speed.

    Attributes:
        core: operations a second of a core in products of matrices.
        cores: how many networks it trains at once.
        seen: examples a second of one process in training and in evaluation, by the network's name and arguments, as
            a store has them; None for what it does not.
        records: how many results of the store that rests on.
    """

    core: float
    cores: int
    seen: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    records: int = 0

    def seconds(self, name: str, arguments: Mapping[str, Any], macs: int, trained: int, evaluated: int) -> float:
        """How long it takes, all cores busy, to train on and evaluate so many examples with a network.

        ``macs`` are its multiply-accumulates an example.
        """
        share = reference(name, arguments)[1]
        guess = (
            self.core * share.training / (TRAINING * max(macs, 1)),
            self.core * share.evaluation / (EVALUATION * max(macs, 1)),
        )
        seen = self.seen.get(network(name, arguments), (None, None))
        training, evaluation = (found or other for found, other in zip(seen, guess, strict=True))
        return (trained / training + evaluated / evaluation) / self.cores


def network(name: str, arguments: Mapping[str, Any]) -> str:
    """A network by its name and arguments, as one text."""
    return json.dumps([canonical_name(name), dict(arguments)], sort_keys=True)


def this_machine(cores: int, store: Path | None = None) -> Machine:
    """What the store of this folder, if it is there, and the probe say of this machine."""
    seen, records = _seen(store) if store is not None and store.is_dir() else ({}, 0)
    return Machine(probe(), cores, seen, records)


_LOOK = 1.0  # seconds for reading records: a store may hold tens of thousands


def _seen(folder: Path) -> tuple[dict[str, tuple[float | None, float | None]], int]:
    """Examples a second by network, and on how many records that rests: those that one second lets read."""
    store, until = Store(folder), time.monotonic() + _LOOK
    records: dict[str, Record] = {}
    for key in list(store.keys()):
        with contextlib.suppress(IsthmusError):
            found = store.record(key)
            if found is not None and found.made.get("device") == "cpu":
                records[key] = found
        if time.monotonic() > until:
            break
    counts: dict[tuple[str, bool], list[tuple[float, float]]] = defaultdict(list)
    for record in list(records.values()):
        measured = _KINDS[record.kind](record) if record.kind in _KINDS else None
        of = _network(record, store, records) if measured is not None else None
        if measured is not None and of is not None:
            counts[of, record.kind == "train"].append(measured)
    rates = {of: sum(n for n, _ in found) / sum(s for _, s in found) for of, found in counts.items()}
    networks = {name for name, _ in rates}
    used = sum(len(found) for found in counts.values())
    return {name: (rates.get((name, True)), rates.get((name, False))) for name in networks}, used


def _trained(record: Record) -> tuple[float, float] | None:
    """(examples, seconds) of a training over several epochs: what came before the first end of one is not known."""
    steps = [step for step, *_ in record.summary.get("epochs", ())]
    if len(steps) < 2 or not record.made.get("seconds"):
        return None
    share = (len(steps) - 1) / len(steps)
    return (steps[-1] - steps[0]) * record.node["recipe"]["batch_size"], record.made["seconds"] * share


def _evaluated(record: Record) -> tuple[float, float] | None:
    """(examples, seconds) of a line; statistics that are recomputed are read as well."""
    points = len(record.node["alphas"])
    norm = record.summary.get("norm_stats", {})
    if points < 3 or record.node["path"]["form"] != "line" or not record.made.get("seconds"):
        return None
    return points * (record.summary["examples"] + (norm.get("examples") or 0)), record.made["seconds"]


_KINDS: Mapping[str, Callable[[Record], tuple[float, float] | None]] = {"train": _trained, "path": _evaluated}


def _network(record: Record, store: Store, records: dict[str, Record]) -> str | None:
    """The network of a result, found at the root of what it descends from."""
    node = record.node
    for _ in range(100):
        if "model" in node:
            return network(node["model"]["name"], node["model"]["arguments"])
        ends = node.get("networks") or node.get("path", {}).get("ends") or (node.get("root"), node.get("base"))
        key = next((end for end in ends if end), None)
        found = records.get(key) if key else None
        if found is None and key:
            with contextlib.suppress(IsthmusError):
                found = store.record(key)
        if found is None:
            return None
        records[found.key], node = found, found.node
    return None
