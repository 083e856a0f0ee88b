"""What every set-up of the paper has in common: Adam, a main branch, a child at each k1, a pair at each k2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.study import Study, from_mapping
from isthmus.study.overlay import laid_over

__all__ = ["branching"]

COMMON: Mapping[str, Any] = {
    "family": "branch",
    "seeds": [0, 1],
    "recipe": {"drop_last": True, "optimizer": {"name": "adam", "lr": 1e-3}},
    "branch": {"every": "1ep", "trunk_is_child": True, "buffers": "keep", "trunk_at_k": True},
    "evaluate": {"alphas": 25, "norm_stats": "interpolate"},
}
"""Everything twice; the incomplete last batch is dropped; a child takes the optimiser's state with it."""


def branching(row: str, scale: str, *, at: Sequence[int], to: int, **sections: Any) -> Study:
    """A study of the paper: k1 in ``at``, every k2 up to the epoch ``to``; ``sections`` are laid over that."""
    where = {"name": f"shapira23-{row}", "branch": {"at": [f"{k1}ep" for k1 in at], "to": f"{to}ep"}}
    return from_mapping(laid_over(laid_over(COMMON, where), sections), where=f"shapira23 {row} at {scale} scale")
