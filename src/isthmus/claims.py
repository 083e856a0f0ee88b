"""A claim as data, and its verdict: held, failed or undecided, with the numbers it rests on.

A rule about a mean is *held* or *failed* when the 95 % t-interval over seeds lies on one side of its threshold
and *undecided* when it straddles it. A rule written as a count, and any rule with fewer than three seeds, is
counted: held when enough seeds are on the right side, failed when most are on the wrong one, else undecided
(:func:`isthmus.statistics.judge_count`). A seed without a number leaves a verdict undecided unless the others
settle it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from isthmus.errors import BadInput
from isthmus.statistics import Verdict, interval, judge_count, judge_mean
from isthmus.tables import Table

__all__ = ["ABOVE", "COLUMNS", "DIRECTION", "EVERY", "Claim", "Tables", "Values", "judge", "per_seed", "sentence"]

Tables = Mapping[str, Table]
Values = Mapping[Any, float | str]
"""A number for each seed, or in words why it has none."""

ABOVE = 1e-9
"""The threshold of a rule that wants more than nothing: two values that are equal are not above each other."""
DIRECTION = "the claim is about the direction: more than nothing, a tie does not count"
"""Why that threshold."""
EVERY = (3, 3)
"""The ``count`` of a rule that every seed has to keep."""

_FEW = 3  # with fewer seeds than this an interval says nothing: a rule about a mean is counted

COLUMNS = (
    *("claim", "text", "source", "published", "statistic", "values", "mean", "threshold", "interval", "low", "high"),
    *("seeds", "rule", "right", "verdict", "reason", "why", "was"),
)
"""The columns of what :func:`judge` returns."""


@dataclass(frozen=True)
class Claim:
    """Something that a paper says, as a number per seed and a threshold.

    Attributes:
        id: a short name, unique in its row.
        text: what is claimed, in our own words.
        source: the paper, and the figure, table or sentence.
        statistic: what is computed for each seed, in words, with its unit.
        side: on which side of the threshold the number has to lie; "within" two of them.
        threshold: a number, or (low, high) for "within"; limits belong to the right side.
        why: why that threshold.
        values: from the tables of a row to the number of each seed; see :func:`per_seed`.
        count: ``(9, 10)`` for a rule that wants nine of ten seeds on the right side, ``(2, 2)`` for both of two;
            with more seeds than that, the same share of them. None for a rule about the mean over seeds.
        published: the paper's own number or words for it, short; empty where it gives none.
        scales: at which scales it is judged; a gate such as a published accuracy belongs to "paper" alone.
        was: the threshold before it was recalibrated, and why that was done (once, after a pilot); else empty.
    """

    id: str
    text: str
    source: str
    statistic: str
    side: Literal["<=", ">=", "within"]
    threshold: float | tuple[float, float]
    why: str
    values: Callable[[Tables], Values]
    count: tuple[int, int] | None = None
    published: str = ""
    scales: tuple[str, ...] = ("small", "paper")
    was: str = ""

    def __post_init__(self) -> None:
        two = isinstance(self.threshold, tuple)
        if two != (self.side == "within") or (isinstance(self.threshold, tuple) and not _rises(self.threshold)):
            raise BadInput(
                f'Claim {self.id}: expected one threshold, or a rising pair with side "within",'
                f" found {self.side} {self.threshold}."
            )
        if self.count is not None and not 0 < self.count[0] <= self.count[1]:
            raise BadInput(f"Claim {self.id}: expected a count (needed, of), found {self.count}.")

    @property
    def bounds(self) -> tuple[tuple[Literal["<=", ">="], float], ...]:
        """The threshold as one or two one-sided ones."""
        if isinstance(self.threshold, tuple):
            return ((">=", self.threshold[0]), ("<=", self.threshold[1]))
        return (("<=" if self.side == "<=" else ">=", self.threshold),)

    @property
    def rule(self) -> str:
        """The threshold in words, and what decides: how many seeds, or the mean over them.

        >>> Claim("a", "", "", "", "within", (0.5, 2.0), "", lambda tables: {}, count=(9, 10)).rule
        '>= 0.5 and <= 2 in 9 of 10 seeds'
        """
        by = "for the mean over seeds" if self.count is None else f"in {self.count[0]} of {self.count[1]} seeds"
        return f"{self.limits} {by}"

    @property
    def limits(self) -> str:
        """The threshold in words.

        >>> Claim("a", "", "", "", "<=", 0.25, "", lambda tables: {}).limits
        '<= 0.25'
        """
        return " and ".join(f"{side} {bound:g}" for side, bound in self.bounds)

    def right(self, value: float) -> bool:
        """Whether a number is on the right side."""
        return all(value <= bound if side == "<=" else value >= bound for side, bound in self.bounds)

    def needed(self, seeds: int) -> tuple[int, int]:
        """How many seeds have to be on the right side, of how many, when so many were run.

        >>> claim = Claim("a", "", "", "", "<=", 1.0, "", lambda tables: {}, count=(9, 10))
        >>> claim.needed(10), claim.needed(20), claim.needed(4)
        ((9, 10), (18, 20), (9, 10))
        """
        if self.count is None:
            return seeds, seeds
        needed, of = self.count
        return (math.ceil(needed * seeds / of), seeds) if seeds > of else (needed, of)


def _rises(pair: tuple[float, float]) -> bool:
    return len(pair) == 2 and pair[0] < pair[1]


class _Tables(dict[str, Table]):
    """Tables by name; one that is not there is a fact about the data, not a crash."""

    def __missing__(self, name: str) -> Table:
        raise BadInput(f"there is no table {name!r}")


def per_seed(statistic: Callable[[Tables], float], by: str = "seed") -> Callable[[Tables], Values]:
    """The ``values`` of a claim from what is computed on the tables of one seed.

    ``statistic`` is given every table that has the column ``by``, cut down to one seed; where something that it
    needs is not there it raises :class:`BadInput`, and that sentence becomes the reason why the seed has no number.
    """

    def values(tables: Tables) -> Values:
        groups = {name: table.groups(by) for name, table in tables.items() if by in table.columns}
        seeds = sorted({key for parts in groups.values() for (key,) in parts if key is not None})
        found: dict[Any, float | str] = {}
        for seed in seeds:
            one = _Tables({name: parts[(seed,)] for name, parts in groups.items() if (seed,) in parts})
            try:
                found[seed] = float(statistic(one))
            except BadInput as error:
                found[seed] = str(error)
        return found

    return values


def judge(claims: Iterable[Claim], tables: Tables) -> Table:
    """A row a claim: its statistic, threshold, numbers, interval over seeds and verdict (columns: :data:`COLUMNS`).

    ``values`` and ``right`` list the seeds that have a number, ``seeds`` counts them; ``rule`` says whether the
    verdict is about a mean or was counted; ``reason`` says why a verdict is undecided, and which seeds had no number.
    """
    return Table.of((_row(claim, _values(claim, tables)) for claim in claims), COLUMNS)


def sentence(row: Mapping[str, Any]) -> str:
    """A row of :func:`judge` in words, without its verdict: what was found, the threshold, how many seeds that is."""
    right, _, seeds = row["right"].partition("/")
    found = "no number" if row["mean"] is None else f"mean {row['mean']:.4g}"
    if row["rule"] == "mean":
        basis = f"over {_seeds(int(seeds))}" + (f", 95 % interval {row['interval']}" if row["interval"] else "")
    else:
        basis = f"{right} of {_seeds(int(seeds))} on the right side"
    reason = f" ({row['reason']})" if row["reason"] else ""
    return f"{row['claim']}: {row['statistic']}: {found}, threshold {row['threshold']}, {basis}{reason}."


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def _values(claim: Claim, tables: Tables) -> Values:
    try:
        return claim.values(_Tables(tables))
    except BadInput as error:
        return {"all": str(error)}


def _row(claim: Claim, values: Values) -> dict[str, Any]:
    numbers = {seed: value for seed, value in values.items() if not isinstance(value, str)}
    over = interval(list(numbers.values()))
    rule = "count" if claim.count is not None or len(values) < _FEW else "mean"
    verdict = _counted(claim, values) if rule == "count" else _of_mean(claim, values)
    return {
        "claim": claim.id,
        "text": claim.text,
        "source": claim.source,
        "published": claim.published,
        "statistic": claim.statistic,
        "values": "; ".join(f"{seed}: {value!r}" for seed, value in numbers.items()),
        "mean": over.mean if numbers else None,
        "threshold": claim.limits,
        "interval": f"[{over.low:.4g}, {over.high:.4g}]" if over.seeds > 1 else None,
        "low": over.low if over.seeds > 1 else None,
        "high": over.high if over.seeds > 1 else None,
        "seeds": len(numbers),
        "rule": rule,
        "right": f"{sum(map(claim.right, numbers.values()))}/{len(numbers)}",
        "verdict": verdict,
        "reason": _reason(claim, values, rule, verdict),
        "why": claim.why,
        "was": claim.was,
    }


def _present(values: Values) -> list[float]:
    return [value for value in values.values() if not isinstance(value, str) and not math.isnan(value)]


def _counted(claim: Claim, values: Values) -> Verdict:
    return judge_count([claim.right(value) for value in _present(values)], *claim.needed(len(values)))


def _of_mean(claim: Claim, values: Values) -> Verdict:
    present = _present(values)
    if len(present) < len(values):
        return "undecided"
    verdicts = {judge_mean(present, side, bound) for side, bound in claim.bounds}
    return "failed" if "failed" in verdicts else "held" if verdicts == {"held"} else "undecided"


def _reason(claim: Claim, values: Values, rule: str, verdict: Verdict) -> str:
    missing = [
        f"seed {seed}: {value if isinstance(value, str) else 'not a number'}"
        for seed, value in values.items()
        if isinstance(value, str) or math.isnan(value)
    ]
    if missing or verdict != "undecided":
        return "; ".join(missing)
    if not values:
        return "there are no numbers"
    if rule == "count":
        needed, of = claim.needed(len(values))
        few = f"{_seeds(len(values))}, " if len(values) < of else ""
        return f"{few}the rule asks for {needed} of {of}" + ("" if few else ", and most on the wrong side to fail")
    if any(math.isinf(value) for value in _present(values)):
        return "a number is infinite, so there is no interval"
    return "the interval straddles the threshold"
