"""What an evaluation returns: per-example losses along a path, and what follows from them without a network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from isthmus import curves
from isthmus.errors import BadInput
from isthmus.tables import Table

if TYPE_CHECKING:
    import pandas

__all__ = ["NormStats", "PairResult", "PathResult"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Metric = Literal["loss", "error"]


@dataclass(frozen=True)
class NormStats:
    """How the normalisation statistics of the networks on a path were obtained.

    ``mode`` is ``recompute``, ``interpolate``, ``batch``, ``keep``, ``init``, or ``none`` for a model
    that has no such layers. ``batch`` and ``examples`` are set where the mode depends on them.
    """

    mode: str
    batch: int | None = None
    examples: int | None = None

    def describe(self) -> dict[str, Any]:
        """The fields that are set, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def __str__(self) -> str:
        extra = ", ".join(f"{name} {value}" for name, value in vars(self).items() if name != "mode" and value)
        return f"{self.mode} ({extra})" if extra else self.mode


@dataclass(frozen=True, eq=False)
class PairResult:
    """How differently two networks predict, per example; shapes (examples,).

    Attributes:
        cross_entropy_ab: ``-sum_c p_a(c) log p_b(c)`` in nats.
        cross_entropy_ba: ``-sum_c p_b(c) log p_a(c)`` in nats.
        disagreement: whether the two predict different classes.
    """

    cross_entropy_ab: Floats
    cross_entropy_ba: Floats
    disagreement: npt.NDArray[np.bool_]

    def means(self) -> dict[str, float]:
        """The mean over examples of each, by name."""
        return {name: float(np.mean(values, dtype=np.float64)) for name, values in vars(self).items()}


@dataclass(frozen=True, eq=False)
class PathResult:
    """Per-example losses and errors at every point of a path.

    Attributes:
        alphas: shape (points,), or (points, 2) on a plane.
        per_example_loss: shape (points, examples), float32, in the loss's own unit (nats for cross-entropy).
        per_example_error: shape (points, examples) in [0, 1]; None where targets are no classes.
        norm_stats: how normalisation statistics were obtained.
        stored_ends: loss and error at alpha 0 ("a") and 1 ("b") with the normalisation statistics that those
            networks came with, where ``norm_stats`` replaced them and the grid has both.
        notes: what a reader of the numbers has to know.
        pair: how differently the networks at alpha 0 and 1 predict, where they classify and the grid has both.
    """

    alphas: Doubles
    per_example_loss: Floats
    per_example_error: Floats | None
    norm_stats: NormStats
    stored_ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    pair: PairResult | None = None

    def __repr__(self) -> str:
        points, examples = self.per_example_loss.shape
        lost = ", ".join(f"{value:.4g}" for value in (self.loss[0], self.loss.max(), self.loss[-1]))
        error = "" if self.per_example_error is None else f"; error {self.error[0]:.2%}, {self.error[-1]:.2%}"
        return (
            f"PathResult({points} points, {examples} examples; loss at the first point, at most, at the last: {lost}"
            f"{error} at the ends; norm_stats {self.norm_stats})"
        )

    def take(self, examples: npt.ArrayLike) -> PathResult:
        """The same of some examples alone, by their place: the hard ones, a class, a bootstrap draw.

        ``stored_ends`` are means over all examples, and left out.

        Raises:
            BadInput: a place that no example has.
        """
        where, count = np.asarray(examples, dtype=np.int64), self.per_example_loss.shape[1]
        if odd := [int(place) for place in where[(where < 0) | (where >= count)]][:1]:
            raise BadInput(f"Of {count} examples: expected places from 0 to {count - 1}, found {odd[0]}.")
        error = None if self.per_example_error is None else self.per_example_error[:, where]
        pair = None if self.pair is None else PairResult(**{k: v[where] for k, v in vars(self.pair).items()})
        return PathResult(self.alphas, self.per_example_loss[:, where], error, self.norm_stats, {}, self.notes, pair)

    @property
    def loss(self) -> Doubles:
        """Mean loss at each point, shape (points,)."""
        return _means(self.per_example_loss)

    @property
    def error(self) -> Doubles:
        """Share of examples got wrong at each point, in [0, 1]; NaN where targets are no classes."""
        if self.per_example_error is None:
            return np.full(len(self.alphas), np.nan)
        return _means(self.per_example_error)

    @property
    def accuracy(self) -> Doubles:
        """``1 - error``."""
        return 1.0 - self.error

    def curve(self, metric: Metric = "loss") -> Doubles:
        """The mean loss or error at each point."""
        if metric not in ("loss", "error"):
            raise BadInput(f'metric must be "loss" or "error", found {metric!r}.')
        return self.loss if metric == "loss" else self.error

    def barrier(self, definition: str = "chord", metric: Metric = "loss") -> float:
        """The barrier of a name in :data:`isthmus.curves.DEFINITIONS`; loss in its own unit, error as a share.

        It is that of the path from 0 to 1: points outside are left out.
        """
        alphas, values = self._between(self.curve(metric))
        return curves.barrier(alphas, values, definition)

    def _between(self, values: Doubles) -> tuple[Doubles, Doubles]:
        """The points with alphas in [0, 1]."""
        if self.alphas.ndim > 1:
            raise BadInput(f"A path has a barrier, a result on {self.alphas.shape[1]} coordinates has none.")
        inside = (self.alphas >= 0.0) & (self.alphas <= 1.0)
        return self.alphas[inside], values[inside]

    def barriers(self, metric: Metric = "loss") -> dict[str, float]:
        """Every named barrier."""
        return {name: self.barrier(name, metric) for name in curves.DEFINITIONS}

    def gap(self, metric: Metric = "loss") -> Doubles:
        """The signed gap above the chord at each point from 0 to 1."""
        return curves.gap(*self._between(self.curve(metric)))

    def shape(self, classes: int | None = None) -> curves.Shape:
        """The shape label of the loss curve, for a path from initial to final weights."""
        return curves.shape(*self._between(self.loss), classes)

    def table(self) -> Table:
        """A row a point: the coordinate, loss, error."""
        names = ("alpha",) if self.alphas.ndim == 1 else tuple(f"coordinate_{i}" for i in range(self.alphas.shape[1]))
        coordinates = self.alphas.reshape(len(self.alphas), -1).tolist()
        return Table.of(
            {**dict(zip(names, at)), "loss": loss, "error": error}
            for at, loss, error in zip(coordinates, self.loss.tolist(), self.error.tolist())
        )

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """:meth:`table` as CSV."""
        return self.table().to_csv(path)

    def to_pandas(self) -> pandas.DataFrame:
        """:meth:`table` as a pandas data frame (needs the ``tables`` extra)."""
        return self.table().to_pandas()


def _means(values: Floats) -> Doubles:
    result: Doubles = values.mean(axis=1, dtype=np.float64)
    return result
