"""What a curve of losses or errors along a path says: gaps, named barriers, the shape label.

Numpy only; nothing here knows of networks. Every barrier has a name, because published definitions
differ by a factor of two and in sign: see :data:`DEFINITIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadInput, nearest

__all__ = ["DEFINITIONS", "Shape", "barrier", "gap", "rise", "shape"]

Array = npt.NDArray[np.float64]
_EDGE = 1e-9  # an alpha of 0.8 that linspace puts at 0.8000000000000002 is still 0.8


def _curve(alphas: npt.ArrayLike, losses: npt.ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(alphas, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if x.ndim != 1 or y.shape != x.shape:
        raise BadInput(f"alphas and losses must be two lists of one length, found shapes {x.shape} and {y.shape}.")
    if len(x) < 2 or not np.all(np.diff(x) > 0) or x[0] != 0.0 or x[-1] != 1.0:
        raise BadInput(f"alphas must rise from 0 to 1, found {_short(x)}.")
    return x, y


def _short(values: Array) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:6])
    return f"[{shown}, ...]" if len(values) > 6 else f"[{shown}]"


def gap(alphas: npt.ArrayLike, losses: npt.ArrayLike) -> Array:
    """``L(alpha) - [(1 - alpha) L(0) + alpha L(1)]`` at each alpha, signed; exactly 0 at both ends.

    Raises:
        BadInput: (a ValueError) where alphas do not rise from 0 to 1 or the shapes differ.

    >>> gap([0, 0.5, 1], [1.0, 3.0, 2.0])
    array([0. , 1.5, 0. ])
    """
    x, y = _curve(alphas, losses)
    with np.errstate(invalid="ignore"):
        result: Array = y - ((1.0 - x) * y[0] + x * y[-1])
        result[0], result[-1] = y[0] - y[0], y[-1] - y[-1]
    return result


def _largest(values: Array) -> float:
    """The value of largest magnitude; of two equal magnitudes the positive one."""
    if not len(values):
        return 0.0
    top, bottom = float(values.max()), float(values.min())
    return top if abs(top) >= abs(bottom) else bottom


def _chord(x: Array, y: Array) -> float:
    return float(gap(x, y).max())


def _signed(x: Array, y: Array) -> float:
    return _largest(gap(x, y)[1:-1])


def _deviation(y: Array) -> Array:
    """``y - (y[0] + y[-1]) / 2``, written so that the two ends deviate by exactly opposite amounts."""
    result: Array = ((y - y[0]) + (y - y[-1])) / 2
    return result


def _mean(_: Array, y: Array) -> float:
    return float(_deviation(y).max())


def _signed_mean(_: Array, y: Array) -> float:
    return _largest(_deviation(y))


def _midpoint(x: Array, y: Array) -> float:
    return float(np.interp(0.5, x, gap(x, y)))


def _rise(_: Array, y: Array) -> float:
    climbs = y[1:] - np.minimum.accumulate(y)[:-1]
    return float(np.maximum(climbs, 0.0).max())


DEFINITIONS: Mapping[str, Callable[[Array, Array], float]] = MappingProxyType(
    {
        "chord": _chord,
        "signed": _signed,
        "mean": _mean,
        "signed_mean": _signed_mean,
        "midpoint": _midpoint,
        "rise": _rise,
    }
)
"""Every definition of a barrier by its name.

``chord``: the largest gap above the chord, never negative (Entezari 2021). ``signed``: the gap of
largest magnitude over interior alphas. ``mean``: the largest loss minus the mean of the two ends
(Frankle 2020). ``signed_mean``: the deviation of largest magnitude from the mean of the ends
(Iyer 2024, section 3.1). ``midpoint``: the gap at 1/2, interpolated where 1/2 is not on the grid.
``rise``: the greatest climb along the path, 0 where it never climbs (Lucas 2021; Vlaar 2022).
"""


def barrier(alphas: npt.ArrayLike, losses: npt.ArrayLike, definition: str = "chord") -> float:
    """The barrier of a curve under a named definition, in the unit of ``losses``.

    Args:
        alphas: positions rising from 0 to 1.
        losses: the loss (or error) at each.
        definition: a name in :data:`DEFINITIONS`.

    Returns:
        A float; NaN if any loss is NaN.

    Raises:
        BadInput: (a ValueError) alphas that do not rise from 0 to 1, shapes that differ, an unknown name.

    >>> barrier([0, 0.5, 1], [1.0, 3.0, 2.0]), barrier([0, 0.5, 1], [1.0, 3.0, 2.0], "rise")
    (1.5, 2.0)
    """
    x, y = _curve(alphas, losses)
    if definition not in DEFINITIONS:
        raise BadInput(f"There is no barrier definition {definition!r}{nearest(definition, DEFINITIONS)}")
    if np.isnan(y).any():
        return math.nan
    with np.errstate(invalid="ignore"):
        return DEFINITIONS[definition](x, y)


def rise(alphas: npt.ArrayLike, losses: npt.ArrayLike) -> float:
    """``barrier(alphas, losses, "rise")``: the greatest climb from left to right."""
    return barrier(alphas, losses, "rise")


class Shape(str):
    """The label of a path from initial to final weights: "B", "P", "F" or "NB", with its numbers.

    A curve with a NaN in it is labelled "NaN".

    Attributes:
        rise: the greatest climb along the path.
        threshold: the climb from which on the path counts as having a barrier.
        plateau: the lowest L(alpha) / L(0) over alpha <= 0.8 (a plateau needs 0.9).
        descent: L(1) / L(0) (a plateau needs 0.5 or less; above it the path is flat).
    """

    rise: float
    threshold: float
    plateau: float
    descent: float

    def __new__(cls, label: str, **numbers: float) -> Shape:
        """The label with the numbers behind it as attributes."""
        made = super().__new__(cls, label)
        for name, value in numbers.items():
            setattr(made, name, value)
        return made

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers behind the label, by name."""
        return dict(vars(self))


def shape(alphas: npt.ArrayLike, losses: npt.ArrayLike, classes: int | None = None) -> Shape:
    """The shape of a path from initial to final weights (the labels of Vlaar 2022, Table 1).

    **B** (barrier) if ``rise >= max(0.05, 0.1 * min(L(0), ln classes))``; else **P** (plateau) if
    ``L(alpha) >= 0.9 L(0)`` for every alpha <= 0.8 and ``L(1) <= 0.5 L(0)``; else **F** (flat) if
    ``L(1) > 0.5 L(0)``; else **NB** (monotone decay).

    Args:
        alphas: positions rising from 0 to 1.
        losses: cross-entropy in nats at each.
        classes: the number of classes; without it the bound by ``ln classes`` is left out.

    >>> shape([0, 0.5, 1], [2.0, 1.0, 0.1])
    'NB'
    """
    x, y = _curve(alphas, losses)
    if classes is not None and classes < 2:
        raise BadInput(f"classes must be at least 2, found {classes}.")
    with np.errstate(invalid="ignore", divide="ignore"):
        threshold = max(0.05, 0.1 * min(float(y[0]), math.log(classes) if classes else math.inf))
        numbers: dict[str, Any] = {
            "rise": barrier(x, y, "rise"),
            "threshold": threshold,
            "plateau": float((y[x <= 0.8 + _EDGE] / y[0]).min()),
            "descent": float(y[-1] / y[0]),
        }
        on_plateau = bool(np.all(y[x <= 0.8 + _EDGE] >= 0.9 * y[0]))
        descends = bool(y[-1] <= 0.5 * y[0])
    if np.isnan(y).any():
        return Shape("NaN", **numbers)
    if numbers["rise"] >= threshold:
        return Shape("B", **numbers)
    if not descends:
        return Shape("F", **numbers)
    return Shape("P" if on_plateau else "NB", **numbers)
