"""What is trained: the published recipe, networks and grids, and the smaller ones for two cores.

Published: batches of 128, SGD with momentum .9 and weight decay 1e-4 at a learning rate of .1, divided by ten at epochs
80 and 120 of 160; crops after padding by four pixels, flips. k and s are those of the figures where the paper gives
them, else from the grid {1, 2, 5, 10, 20} epochs. Rows that share a set-up are written from the same parts, so that
they name the same networks, which are then trained once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.papers import Scale
from isthmus.study import Study, from_mapping
from isthmus.study.overlay import laid_over

__all__ = [
    "ALPHAS",
    "EPOCHS",
    "GRID",
    "LAYER_NORM",
    "NO_MERGE",
    "RECIPE",
    "SHORT",
    "apart",
    "branch",
    "continued",
    "early",
    "epochs",
    "gains",
    "grid",
    "late",
    "of",
    "trunk",
]

Fields = dict[str, Any]

EPOCHS = 160
RECIPE: Mapping[str, Any] = {
    "batch_size": 128,
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
    "schedule": {"milestones": ["80ep", "120ep"]},
    "augment": {"crop": 4, "flip": True},
}
GRID = (1, 2, 5, 10, 20)
"""Epochs of k and of s."""

ALPHAS = {"small": 5, "paper": 25}
"""Points on a line; figure 2 and those like it have eleven of them at paper scale."""

LAYER_NORM: Mapping[str, Any] = {
    "model": {"norm": "layer"},
    "recipe": {"schedule": {"warmup": "100it"}},
}
"""Layer normalisation, with a warm-up to the learning rate of .1 over the first 100 iterations."""

SHORT: Mapping[str, Any] = {
    "model": {"name": "resnet20", "width": 8},
    "data": {"name": "cifar10", "examples": 10_000},
    "recipe": {"schedule": {"milestones": ["30ep", "45ep"]}},
}
"""A whole training in minutes: a narrow network on a fifth of the data for 60 epochs, rates dropped at 1/2 and 3/4."""

NO_MERGE: Mapping[str, Any] = {"merge": None}


def of(row: str, scale: Scale, *parts: Mapping[str, Any], **fields: Any) -> Study:
    """The study of a row: ResNet-20 on CIFAR-10 by the published recipe, with these parts laid over it in turn."""
    content: Fields = {
        "name": f"iyer24-{row}",
        "family": "branch",
        "seeds": [0, 1, 2],
        "model": {"name": "resnet20"},
        "data": {"name": "cifar10"},
        "recipe": RECIPE,
        "evaluate": {"alphas": ALPHAS[scale], "on": ["test"], "norm_stats": "recompute"},
    }
    for part in (*parts, fields):
        content = laid_over(content, part)
    return from_mapping(content, where=f"iyer24 {row} at {scale} scale")


def epochs(numbers: Sequence[float]) -> list[str]:
    """So many epochs each, as a study writes them."""
    return [f"{number:g}ep" for number in numbers]


def branch(k: Sequence[str], s: Sequence[str], **options: Any) -> Fields:
    """Copies that leave at each k and are looked at after each s."""
    return {"branch": {"at": list(k), "lengths": list(s), **options}}


def continued(after: str, every: str = "0.25ep", at: Sequence[str] | None = None, **options: Any) -> Fields:
    """The merge (after these s, by default after each), trained on for so long and evaluated so often."""
    where = {} if at is None else {"at": list(at)}
    return {"merge": {**where, "after": after, "every": every, **options}}


def gains(scale: Scale, *, last: bool = False) -> Fields:
    """F1: copies after each epoch up to s = k (or after the ``last`` alone), merged there, trained on from there.

    At small scale k = 5 and two epochs more, else k = 10 and as many more.
    """
    k = 5 if scale == "small" else 10
    s = epochs([k] if last else range(1, k + 1))
    return branch([f"{k}ep"], s, trunk_at_k=not last) | continued("2ep" if k == 5 else f"{k}ep", at=s[-1:])


def grid() -> Fields:
    """F9 at paper scale: every k and s of the grid, merged and trained on for two epochs."""
    return branch(epochs(GRID), epochs(GRID)) | continued("2ep")


def trunk(at: Sequence[str]) -> Fields:
    """The trunk alone, evaluated at these times: a variant of a study of copies."""
    return {"branch": {"at": list(at), "lengths": [], "to": None, "every": None, "trunk_at_k": True}, **NO_MERGE}


def apart(k: Sequence[str], to: str, every: str) -> Fields:
    """Copies that leave at each k and train to the end of it all: a variant of a study with lengths."""
    return {"branch": {"at": list(k), "lengths": [], "to": to, "every": every}, **NO_MERGE}


def early(scale: Scale) -> Fields:
    """F2 in the first epochs apart: a grid of k, from no shared training on."""
    k = ["0ep", "196it", "2ep"] if scale == "small" else ["0ep", "500it", "1000it", "2000it", "5ep", "10ep"]
    return branch(k, epochs((1, 2, 3) if scale == "small" else (1, 2, 3, 5)))


def late(scale: Scale) -> Fields:
    """F2 to the end of training; at small scale from k = 10 on alone, in the short training."""
    if scale == "small":
        return laid_over(SHORT, apart(["10ep"], "60ep", "5ep"))
    return apart(early(scale)["branch"]["at"], f"{EPOCHS}ep", "5ep")
