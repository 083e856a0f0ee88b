"""AlexNet on Tiny ImageNet: the barrier with normalisation statistics of two kinds, figures F1 to F5."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from isthmus.claims import ABOVE, DIRECTION, Claim
from isthmus.papers import Row, Scale
from isthmus.papers.shapira23 import draw, released
from isthmus.papers.shapira23 import quantities as q
from isthmus.papers.shapira23.rules import BOTH, NEGLIGIBLE
from isthmus.papers.shapira23.setups import branching
from isthmus.papers.shapira23.tabulate import Published, tabulate
from isthmus.study import Study, from_mapping

__all__ = ["ROW", "study", "substitute"]

PUBLISHED = Published(
    "alexnet", "tiny_imagenet", examples=100_000, parameters=60_000_000, steps=14_058, accuracy=0.4064
)
LOOK = draw.Look("AlexNet on Tiny ImageNet", limits={"loss": NEGLIGIBLE, "error": 0.02})
K1 = (0, 1, 3, 6)  # of these the claims are

NORMS: dict[str, dict[str, Any]] = {
    "interpolate": {},
    "init": {"evaluate": {"norm_stats": "init"}},
    "recompute": {"evaluate": {"norm_stats": "recompute"}},
}
"""The statistics that travel the path, as in all rows of this paper; beside them those of freshly made layers, which
the released code evaluates with, and those that a network would have."""

LARGE: Mapping[str, Any] = {
    "model": {"form": "224", "input_shape": [3, 224, 224], "classes": 1000},
    "data": {"size": 224},
}
"""The usual layout with its 1,000 outputs, 61,101,352 parameters; that for 64 pixels has 57,823,752 at 200."""


def study(scale: Scale = "paper") -> Study:
    """Nine epochs (14,058 steps of 64, the incomplete last one dropped), a child at every one of them.

    "60M parameters" may be the usual layout on enlarged pictures or that for pictures of 64 pixels: both are there at
    paper scale. At small scale it is the latter with a quarter of the channels, on 20 classes, with four k1 and
    normalisation statistics of 1,024 examples.
    """
    small = scale == "small"
    model: dict[str, Any] = {"classes": 20, "width": 16} if small else {"classes": 200}
    wide = {f"224 pixels, {name}": {**LARGE, **change} for name, change in NORMS.items()}
    return branching(
        "tiny-imagenet",
        scale,
        at=K1 if small else range(9),
        to=9,
        model={"name": "alexnet", "form": "64", "input_shape": [3, 64, 64], **model},
        data={"name": "tiny_imagenet", **({"classes": 20} if small else {})},
        recipe={"batch_size": 64},
        evaluate={"on": ["train:1000" if small else "train:10000", "test"]}
        | ({"stats_examples": 1024} if small else {}),
        variants=NORMS if small else NORMS | wide,
    )


def substitute(scale: Scale) -> Study:
    """The same on the first 20 classes, for who has no more of them."""
    content = study(scale).model_dump(mode="json", exclude_unset=True)
    content["data"]["classes"] = 20
    content["model"]["classes"] = 20
    return from_mapping(content, where=f"shapira23 tiny_imagenet on 20 classes at {scale} scale")


def _falls(norm: str) -> Claim:
    return Claim(
        id=f"falls-with-k1-{norm}",
        text=f"The more epochs two networks share, the lower the barrier between them (norm_stats: {norm}).",
        source="Shapira 2023, F1 (Tiny ImageNet)",
        statistic=f"largest of: chord barrier of the test loss at the end at a k1, minus that at the k1 before or"
        f" {NEGLIGIBLE} where that is more; k1 = 0, 1, 3, 6 (nats; below 0: falls)",
        side="<=",
        threshold=0.0,
        why="the claim is about the direction, from each k1 to the next, until what is left is negligible",
        values=q.repeat(q.fall_with_k1("chord", K1, negligible=NEGLIGIBLE), norm),
        count=BOTH,
    )


CLAIMS = (
    _falls("init"),
    _falls("recompute"),
    Claim(
        id="init-is-higher",
        text="The barrier is higher with the statistics of freshly made layers than with those of the network itself.",
        source="our audit of Shapira 2023, F1 (Tiny ImageNet)",
        statistic="chord barrier of the test loss at the end under init minus that under recompute, mean over k1"
        " (nats)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=q.repeat(q.above("init", "recompute")),
        count=BOTH,
    ),
)

ROW = Row(
    name="tiny_imagenet",
    paper="shapira23",
    title="AlexNet on Tiny ImageNet: B(k1, k2) (Table 1, F1 to F5)",
    shows=("T1", "F1", "F2", "F3", "F4", "F5"),
    study=study,
    tables=lambda results: tabulate(results, PUBLISHED, released.TINY_IMAGENET),
    claims=CLAIMS,
    figures=functools.partial(draw.draw, LOOK),
    substitute=substitute,
)
