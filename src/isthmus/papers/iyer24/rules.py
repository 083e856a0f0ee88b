"""Claims that several rows make: a gain at the merge, its loss on training on, what the grids of k and s show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isthmus.claims import ABOVE, DIRECTION, EVERY, Claim, Tables, Values, per_seed
from isthmus.papers.iyer24 import merges
from isthmus.papers.iyer24 import quantities as q

__all__ = [
    "BOTH",
    "PAPER",
    "SMALL",
    "drop",
    "early",
    "everywhere",
    "first_epoch",
    "gains",
    "gains_everywhere",
    "late",
    "same",
    "seeds_of",
    "size",
    "smaller",
    "stalls",
    "training_on",
]

SMALL, PAPER = ("small",), ("paper",)
BOTH = ("small", "paper")
FIRST = (("1ep", "1ep"),)  # the exception that the paper itself makes

_G0 = "G0: test accuracy half way between the copies minus the mean of the two"
_SMALLEST = "points; the smallest over every merge but that at k = s = 1"
_MEAN = "points; the mean over every merge but that at k = s = 1"


def seeds_of(variants: Sequence[str], statistic: Callable[[Tables], float]) -> Callable[[Tables], Values]:
    """The ``values`` of a claim about variants: seeds that none of them has are no seeds of it."""
    each = per_seed(statistic)

    def values(tables: Tables) -> Values:
        found = each(tables)
        parts = [tables[name] for name in ("gains", "networks") if name in tables]
        own = {row["seed"] for table in parts for row in table if row["variant"] in variants}
        return {seed: value for seed, value in found.items() if seed in own} or found

    return values


def gains(
    variant: str,
    source: str,
    threshold: float = 2.0,
    why: str = "",
    text: str = "",
    scales: tuple[str, ...] = BOTH,
) -> Claim:
    """The network half way between the copies is better than they are on average."""
    return Claim(
        id="gain",
        text=text or "Half way between two copies lies a network that is more accurate than they are.",
        source=source,
        statistic=f"{_G0} ({_SMALLEST})",
        side=">=",
        threshold=threshold,
        why=why or "the prediction for this set-up, from pilots with gains of 4 to 5 points",
        values=seeds_of((variant,), merges.over(variant, merges.gain, but=FIRST)),
        count=EVERY,
        scales=scales,
    )


def gains_everywhere(variant: str, source: str) -> Claim:
    """F9, at paper scale: so it is at each k and s, where ``gains`` is about those of the small scale."""
    return Claim(
        id="gain-everywhere",
        text="Half way between two copies lies a network that is more accurate than they are, whatever k and s.",
        source=source,
        statistic=f"{_G0} ({_SMALLEST})",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION + "; of two dozen merges the smallest gain is that of the least favourable evaluation",
        values=seeds_of((variant,), merges.over(variant, merges.gain, but=FIRST)),
        count=EVERY,
        scales=PAPER,
    )


def better(variant: str, source: str, scales: tuple[str, ...] = BOTH) -> Claim:
    """It is better than either of them."""
    return Claim(
        id="better-than-both",
        text="It is more accurate than the better of the two copies as well.",
        source=source,
        statistic=f"test accuracy half way minus that of the better copy ({_SMALLEST})",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=seeds_of((variant,), merges.over(variant, merges.better, but=FIRST)),
        count=EVERY,
        scales=scales,
    )


def drop(variant: str, source: str, text: str = "", id: str = "drop") -> Claim:
    """Training on from the merge loses a third of the gain at least."""
    return Claim(
        id=id,
        text=text or "Training on from the merge, accuracy drops and stays down.",
        source=source,
        statistic="test accuracy of the merge minus its mean over the two epochs of training on, minus G0 / 3"
        f" ({_MEAN})",
        side=">=",
        threshold=0.0,
        why="a drop counts from a third of the gain on",
        values=seeds_of((variant,), merges.over(variant, merges.fall_against_gain, np.mean, but=FIRST)),
    )


def training_on(variant: str, source: str) -> tuple[Claim, ...]:
    """A gain at the merge, over the better copy too, that training on loses."""
    return (gains(variant, source), better(variant, source), drop(variant, source))


def same(variant: str, source: str, scales: tuple[str, ...] = BOTH) -> Claim:
    """The merge trained on is soon as good as copies that were never merged."""
    return Claim(
        id="no-difference-left",
        text="After one or two epochs the merge is as accurate as copies that went on without it.",
        source=source,
        statistic="|mean test accuracy of the merge over the two epochs after it minus that of both copies that went"
        f" on|, minus max(1, G0 / 3) ({_MEAN})",
        side="<=",
        threshold=0.0,
        why="a point, or a third of the gain where that is more, counts as no difference",
        values=seeds_of((variant,), merges.over(variant, merges.excess_apart, np.mean, but=FIRST)),
        scales=scales,
    )


def everywhere(variant: str, source: str) -> Claim:
    """F9, at paper scale: it drops at each k and s, not only on average over them."""
    return Claim(
        id="drops-everywhere",
        text="It drops whatever k and s.",
        source=source,
        statistic="share of all merges but that at k = s = 1 after which test accuracy falls by G0 / 3 or more, in the"
        " mean over two epochs",
        side=">=",
        threshold=0.9,
        why="everywhere, but for a tenth: a fall is a difference of single evaluations",
        values=seeds_of((variant,), merges.over(variant, merges.falls, np.mean, but=FIRST)),
        scales=PAPER,
    )


def stalls(variant: str, source: str) -> Claim:
    """F1, at paper scale, where training goes on long enough: accuracy stays down."""
    return Claim(
        id="stalls",
        text="It stays below the merge for as long as training goes on.",
        source=source,
        statistic="test accuracy of the merge minus its mean over the second half of training on from it (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=seeds_of((variant,), merges.over(variant, merges.stays_down, but=FIRST)),
        scales=PAPER,
    )


def first_epoch(variant: str, source: str) -> Claim:
    """The first epoch after the merge loses .3 of the gain at least."""
    return Claim(
        id="first-epoch-drop",
        text="The first epoch of training on from the merge loses a good part of the gain.",
        source=source,
        statistic=f"test accuracy of the merge minus its mean over the first epoch after it, minus .3 G0 ({_MEAN})",
        side=">=",
        threshold=0.0,
        why="the prediction for networks and data other than ResNet-20 on CIFAR-10",
        values=seeds_of((variant,), merges.over(variant, merges.epoch_against_gain, np.mean, but=FIRST)),
    )


def early(variant: str, source: str, scales: tuple[str, ...] = BOTH) -> tuple[Claim, ...]:
    """F2 in the first epochs apart."""

    def claim(id: str, text: str, statistic: str, **fields: Any) -> Claim:
        values = seeds_of((variant,), fields.pop("of"))
        return Claim(id=id, text=text, source=source, statistic=statistic, values=values, scales=scales, **fields)

    return (
        claim(
            "poor-at-0",
            "Without shared training the network half way between two copies is very poor.",
            "gain at k = 0, s = 3 epochs: test accuracy half way minus the mean of the copies (points)",
            side="<=",
            threshold=-10.0,
            why="the prediction: far below what noise between networks makes",
            of=q.gain_at(variant, q.smallest, ["3ep"]),
        ),
        claim(
            "better-early",
            "With enough shared training it beats the copies in the first epochs apart.",
            "gain at the largest k, the smaller of those at s = 1 and 2 epochs (points)",
            side=">=",
            threshold=1.0,
            why="the prediction for a k of two epochs",
            of=q.gain_at(variant, q.largest, ["1ep", "2ep"]),
        ),
        claim(
            "slower-as-k-grows",
            "The longer copies train together, the more of it is left at the same s.",
            "smallest change of the gain at s = 3 epochs from one k to the next, of none, 196 or 1000 iterations, 2 or"
            " 10 epochs (points; above 0: rises)",
            side=">=",
            threshold=ABOVE,
            why="the claim is about the direction; k that are nearly the same are not told apart by it",
            count=EVERY,
            of=q.rise_with_k(variant, "3ep", ("0ep", "196it", "1000it", "2ep", "10ep")),
        ),
    )


def late(variant: str, source: str, scales: tuple[str, ...] = BOTH) -> Claim:
    """F2 at the end of training."""
    return Claim(
        id="equal-late",
        text="Late in training the network half way is as good as the copies, and not better.",
        source=source,
        statistic="gain at the largest k in the mean over every s after the last drop of the learning rate (points)",
        side="within",
        threshold=(-1.0, 1.0),
        why="within a point counts as equal",
        values=seeds_of((variant,), q.late_gain(variant)),
        scales=scales,
    )


def smaller(batch: str, layer: str, source: str) -> tuple[Claim, ...]:
    """Layer normalisation: a gain at k = s = 5 as well, and a smaller one than with batch normalisation."""
    of_layer, of_batch = (q.gain_at(name, "5ep", ["5ep"]) for name in (layer, batch))
    return (
        Claim(
            id="gain",
            text="Copies with layer normalisation gain by merging as well.",
            source=source,
            statistic=f"{_G0}, with layer normalisation, k = s = 5 epochs (points)",
            side=">=",
            threshold=ABOVE,
            why=DIRECTION,
            values=seeds_of((layer,), of_layer),
        ),
        Claim(
            id="smaller-gain",
            text="They gain less than with batch normalisation.",
            source=source,
            statistic="G0 with batch normalisation minus G0 with layer normalisation, k = s = 5 epochs (points)",
            side=">=",
            threshold=ABOVE,
            why=DIRECTION,
            values=seeds_of((batch, layer), q.difference(of_batch, of_layer)),
        ),
    )


def size(variant: str, source: str) -> Claim:
    """F9, at paper scale, where there is a grid."""
    return Claim(
        id="size-of-the-gain",
        text="How large the gain is does not depend on k and s.",
        source=source,
        statistic="largest gain minus smallest, over the largest: of every k (mean over s) or of every s (mean over k),"
        " whichever is more; without k = s = 1",
        side="<=",
        threshold=1 / 3,
        why="a third, as for s alone at k = 20; means, as of two dozen single gains some are far apart by chance alone",
        values=seeds_of((variant,), q.spread_of_means(variant, but=FIRST)),
        scales=PAPER,
    )
