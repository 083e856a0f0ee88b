"""What can be reproduced: a line a row, with what it trains, whether its data are at hand, its cost, its verdicts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from isthmus.papers import Row, Scale
from isthmus.papers.costs import costs, networks, on_h100, seconds
from isthmus.papers.setup import described
from isthmus.papers.verdicts import latest
from isthmus.spec import Duration
from isthmus.speed import H100, Machine
from isthmus.study import Study
from isthmus.study.needs import Need, needs

__all__ = ["listing", "resting_on", "rough", "shown", "trains"]

HEAD = ("paper", "row", "shows", "small", "paper", "H100", "latest verdicts", "data", "trains (at paper scale)")
_WIDEST = 40  # characters of a column: few cells are longer, and move what is to the right of them


def listing(rows: Iterable[Row], machine: Machine, root: Path | None, out: Path) -> Iterator[str]:
    """A head, a line for each row, and what the times rest on.

    Args:
        rows: which.
        machine: whose hours are told.
        root: the folder of data sets.
        out: where the user's own runs lie.
    """
    found = [HEAD, *(_line(row, machine, root, out) for row in rows)]
    widths = [max(n for line in found if (n := len(line[i])) <= _WIDEST) for i in range(len(HEAD) - 1)]
    for line in found:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=False))
        yield "  ".join([*cells, line[-1]]).rstrip()
    yield ""
    yield from resting_on(machine)


def _line(row: Row, machine: Machine, root: Path | None, out: Path) -> tuple[str, ...]:
    study = row.study("paper")
    times = [_time(row, scale, machine) for scale in ("small", "paper")]
    paper = costs(row.paper, row.name, "paper", study)
    there = latest(row.paper, row.name, [out / f"{row.paper}-{row.name}", out / f"{row.paper}-{row.name}-substitute"])
    verdicts = "; ".join(f"{scale}: {there[scale].text}" for scale in ("small", "paper") if scale in there)
    h100 = rough(on_h100(paper)) if paper else "?"
    data = _data(row, study, root)
    text = f"{trains(study)}, {networks(paper) or '?'} networks"
    return (row.paper, row.name, shown(row.shows), *times, h100, verdicts or "not run", data, text)


def _time(row: Row, scale: Scale, machine: Machine) -> str:
    found = costs(row.paper, row.name, scale, row.study(scale))
    return rough(seconds(found, machine)) if found else "?"


def _data(row: Row, study: Study, root: Path | None) -> str:
    """What is read at both scales, and what of it is not there."""
    found: dict[str, Need] = {}
    for need in (*needs(study, root), *needs(row.study("small"), root)):
        found.setdefault(need.name, need)
    there = [f"{need.name} ({need.there})" if need.there else need.name for need in found.values() if _at_hand(need)]
    absent = [need.name for need in found.values() if not _at_hand(need)]
    told = [", ".join(there)] if there else []
    if absent:
        told.append(f"absent: {', '.join(absent)}{', has a substitute' if row.substitute is not None else ''}")
    return "; ".join(told)


def _at_hand(need: Need) -> bool:
    return need.there is not None


def shown(names: Sequence[str]) -> str:
    """The figures and tables, three and more in a row as a range.

    >>> shown(("T1", "F1", "F2", "F3", "F5a"))
    'T1 F1-F3 F5a'
    """
    told: list[str] = []
    numbered = [(name, int(name[1:]) if name[1:].isdigit() else None) for name in names]
    for _, run in groupby(enumerate(numbered), lambda item: (item[1][0][:1], (item[1][1] or 10**6) - item[0])):
        part = [name for _, (name, _) in run]
        told += [f"{part[0]}-{part[-1]}"] if len(part) > 2 else part
    return " ".join(told)


def trains(study: Study) -> str:
    """Networks, data and lengths of a study and its variants, in a few words."""
    rows = described(study)

    def each(name: str) -> str:
        values = [str(row.get(name)) for row in rows if row.get(name) not in (None, "")]
        return _few(dict.fromkeys(value.partition("(")[0] for value in values))

    lengths = []
    if any(row.get("k") is not None for row in rows):
        lengths = [f"k {_ends(rows, 'k')}, s {_ends(rows, 's')}"]
    if any(row.get("to") is not None for row in rows):
        lengths.append(f"{each('to')}")
    variants = f", {len(rows)} variants" if len(rows) > 1 else ""
    return f"{each('network')} on {each('data')}, {', '.join(lengths)}{variants}"


def _few(values: Iterable[str]) -> str:
    found = list(values)
    return "/".join(found[:3]) + ("/..." if len(found) > 3 else "")


def _ends(rows: Iterable[Any], name: str) -> str:
    """The shortest and the longest of the durations of all variants, or where they end."""
    texts = {str(row[name]) for row in rows if row.get(name)}
    found = [Duration.parse(text) for text in re.findall(r"[0-9.]+(?:ep|it)", " ".join(texts))]
    ordered = sorted(set(found), key=lambda duration: duration.steps(_LIKELY))
    if not ordered:
        return _few(texts)
    if any(text.endswith("in all") for text in texts):
        return f"to {ordered[-1]}"
    return str(ordered[0]) if len(ordered) == 1 else f"{ordered[0]}..{ordered[-1]}"


_LIKELY = 390  # steps an epoch, to put epochs and iterations into one order


def _networks(count: int) -> str:
    return "1 network" if count == 1 else f"{count} networks"


def rough(number: float) -> str:
    """A length of time to two digits.

    >>> rough(0.4), rough(47), rough(600), rough(9000), rough(2e6), rough(9e7)
    ('1 s', '47 s', '10 min', '2.5 h', '23 d', '2.9 y')
    """
    if number < 90:
        return f"{max(1, round(number))} s"
    for name, size, limit in (("min", 60, 90), ("h", 3600, 48), ("d", 86400, 600), ("y", 86400 * 365.25, 1e9)):
        if number / size < limit:
            return f"{number / size:.1f} {name}" if number / size < 9.5 else f"{number / size:.0f} {name}"
    return "ages"


def resting_on(machine: Machine) -> Iterator[str]:
    """What the times of a machine rest on, in sentences."""
    cores = "one core" if machine.cores == 1 else f"{machine.cores} cores"
    yield (
        f"Times: with nothing at hand, {cores} busy with a network each and nothing else. A core multiplies matrices at"
        f" {machine.core / 1e9:.0f} GFLOP/s here (probed once, kept in the user's cache). What a network makes of that"
        " was measured on another machine for LeNet-5, an MLP, the reduced VGG, ResNet-20, and ResNet-18, VGG-16 and"
        " AlexNet of a quarter of the width; the others are taken to be like the nearest of these."
    )
    if machine.records:
        yield (
            f"Of {_networks(len(machine.seen))} the speed is that of {machine.records} results in the store, which were"
            " computed beside whatever else ran."
        )
    yield (
        "Trainings that stop at an accuracy count in full, paths of blocks as if nothing were reused: it takes less."
        " Data count as they are published."
    )
    yield (
        f"H100, at paper scale: never measured. It is estimated from {H100[0] / 1e12:g} TFLOP/s in float32 with several"
        f" networks at once, and at least {H100[1] * 1e6:g} microseconds a step."
    )
