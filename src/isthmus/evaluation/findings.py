"""What a run over points and examples finds: losses and errors, and how differently the two ends predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from isthmus.paths import Coordinate
from isthmus.results import PairResult

__all__ = ["Found", "compare_predictions", "has_ends"]


@dataclass
class Found:
    """What a run over points and examples gathered."""

    loss: npt.NDArray[np.float32]
    error: npt.NDArray[np.float32] | None
    logits: dict[int, list[Tensor]] = field(default_factory=dict)

    def means(self, point: int) -> tuple[float, float]:
        """Mean loss and error at a point."""
        error = float("nan") if self.error is None else float(self.error[point].mean(dtype=np.float64))
        return float(self.loss[point].mean(dtype=np.float64)), error

    def pair(self, points: Sequence[Coordinate]) -> PairResult | None:
        """How differently the ends predict, where their logits were kept."""
        if not self.logits:
            return None
        a, b = (torch.cat(self.logits[points.index(end)]) for end in (0.0, 1.0))
        return compare_predictions(a, b)


def compare_predictions(a: Tensor, b: Tensor) -> PairResult:
    """How differently two networks predict, from their logits of shape (examples, classes)."""
    log_a, log_b = a.double().log_softmax(1), b.double().log_softmax(1)
    return PairResult(
        (-(log_a.exp() * log_b).sum(1)).float().numpy(),
        (-(log_b.exp() * log_a).sum(1)).float().numpy(),
        (a.argmax(1) != b.argmax(1)).numpy(),
    )


def has_ends(points: Sequence[Coordinate]) -> bool:
    """Whether alpha 0 and 1 are among the points."""
    return 0.0 in points and 1.0 in points
