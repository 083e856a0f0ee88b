"""How much an example matters: scores by name, and the splits that they induce.

A score reads one number an example from each network that it looks at, then combines those of all runs. What is read
of logits is here, free of torch; the norms of gradients are those of :mod:`isthmus.gradients`. To add a score, write
the two functions and name them in :data:`SCORES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadInput, UnknownName

__all__ = ["SCORES", "Score", "average", "el2n", "forgetting", "right", "score", "splits"]


def el2n(logits: Any, labels: Any) -> npt.NDArray[np.float64]:
    """The L2 norm of ``softmax(logits) - onehot(label)`` of each example (Paul 2021, EL2N).

    Args:
        logits: shape (examples, classes), or (runs, examples, classes) for the mean over runs.
        labels: shape (examples,), integers in 0..classes-1.

    Returns:
        Scores in [0, sqrt(2)], shape (examples,): 0 for a certain right answer, ``sqrt(1 - 1/C)`` for a
        uniform softmax.

    Raises:
        BadInput: shapes that do not fit, or labels out of range.

    >>> el2n([[0.0, 0.0, 0.0, 0.0]], [2]).round(4)
    array([0.866])
    """
    values, wanted = _numbers(logits), np.asarray(_plain(labels))
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or wanted.shape != values.shape[1:2] or wanted.dtype.kind not in "iu":
        raise BadInput(
            "EL2N needs logits of shape (examples, classes) or (runs, examples, classes) and one integer label an"
            f" example, found shapes {np.shape(logits)} and {wanted.shape}."
        )
    classes = values.shape[2]
    if wanted.size and (wanted.min() < 0 or wanted.max() >= classes):
        raise BadInput(f"Labels must be in 0..{classes - 1}, found {wanted.min()}..{wanted.max()}.")
    with np.errstate(invalid="ignore"):  # infinite logits have no softmax: NaN, and kept
        shifted = np.exp(values - values.max(axis=2, keepdims=True))
    errors = shifted / shifted.sum(axis=2, keepdims=True)
    errors[:, np.arange(len(wanted)), wanted] -= 1.0
    scores: npt.NDArray[np.float64] = np.linalg.norm(errors, axis=2).mean(axis=0)
    return scores


def right(logits: Any, labels: Any) -> npt.NDArray[np.float64]:
    """1 where the largest of an example's logits is that of its label (the first of equals), else 0.

    Args:
        logits: shape (examples, classes); NaN among them is never right.
        labels: shape (examples,), integers in 0..classes-1.

    >>> right([[0.5, 2.0], [0.5, 2.0]], [1, 0])
    array([1., 0.])
    """
    values, wanted = _numbers(logits), np.asarray(_plain(labels))
    if values.ndim != 2 or wanted.shape != values.shape[:1]:
        raise BadInput(
            "Right and wrong need logits of shape (examples, classes) and one label an example, found shapes"
            f" {values.shape} and {wanted.shape}."
        )
    return np.where(np.isnan(values).any(axis=1), 0.0, values.argmax(axis=1) == wanted)


def average(readings: Any) -> npt.NDArray[np.float64]:
    """The mean over runs of what was read at the last look, shape (examples,).

    Args:
        readings: shape (runs, looks, examples).
    """
    last: npt.NDArray[np.float64] = _readings(readings)[:, -1].mean(axis=0)
    return last


def forgetting(readings: Any) -> npt.NDArray[np.float64]:
    """How often an example goes from right to wrong between two looks, the mean over runs (Toneva 2019).

    An example that a run never gets right counts as many times as there are looks, more than any other can have, so
    that it ranks hardest. Toneva counts at each presentation of an example in a minibatch; here all examples are
    looked at together, as a study does at the end of each epoch.

    Args:
        readings: shape (runs, looks, examples): 1 where the example is right, 0 where it is wrong, the looks of a run
            in order.

    Returns:
        Counts, shape (examples,).

    >>> forgetting([[[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]]])
    array([2., 4., 0.])
    """
    seen = _readings(readings)
    lost = ((seen[:, :-1] == 1.0) & (seen[:, 1:] == 0.0)).sum(axis=1, dtype=np.float64)
    never = ~(seen == 1.0).any(axis=1)
    counts: npt.NDArray[np.float64] = np.where(never, float(seen.shape[1]), lost).mean(axis=0)
    return counts


def _readings(values: Any) -> npt.NDArray[np.float64]:
    found = _numbers(values)
    if found.ndim != 3 or not all(found.shape[:2]):
        raise BadInput(f"Expected readings of shape (runs, looks, examples), at least one look, found {found.shape}.")
    return found


@dataclass(frozen=True)
class Score:
    """How a score is taken.

    Attributes:
        combine: the scores, from readings of shape (runs, looks, examples).
        read: (logits, labels) -> one number an example of one network; None: the norm of the gradient is read.
        every_epoch: it follows training, and looks at the end of each epoch.
        passes: what a network costs, in forward passes of each example.
    """

    combine: Callable[[Any], npt.NDArray[np.float64]]
    read: Callable[[Any, Any], npt.NDArray[np.float64]] | None = None
    every_epoch: bool = False
    passes: float = 1.0


SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "el2n": Score(average, el2n),
        "grand": Score(average, passes=3.0),
        "forgetting": Score(forgetting, right, every_epoch=True),
    }
)
"""Every score by name: ``el2n`` and ``grand`` (Paul 2021), ``forgetting`` (Toneva 2019).

All look at un-augmented examples through networks in eval mode, in which one example does not act on another through
the statistics of a batch.
"""


def score(name: str) -> Score:
    """The score of a name.

    Raises:
        UnknownName: there is none, with the nearest name.
    """
    if name not in SCORES:
        raise UnknownName("score", name, SCORES)
    return SCORES[name]


def _numbers(values: Any) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(_plain(values), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"Expected an array of numbers, found {type(values).__name__}: {error}.") from None


def _plain(values: Any) -> Any:
    """What numpy can read: of a tensor, its values on the CPU in a type that numpy has (this module is torch-free)."""
    if not hasattr(values, "detach"):
        return values
    return values.detach().cpu().double() if values.is_floating_point() else values.detach().cpu()


def splits(scores: Any, parts: int) -> list[npt.NDArray[np.int64]]:
    """The indices of ``parts`` equal parts by rank of the score, the easiest (lowest) first.

    Parts differ in size by one at most; examples with equal scores keep their order (a count of few values, such as
    ``forgetting``, has many of them: parts next to each other may then hold equal scores).

    Raises:
        BadInput: fewer than 1 part, more parts than examples, or scores that are no list of numbers.
    """
    values = _numbers(scores)
    if values.ndim != 1 or not 1 <= parts <= values.size or int(parts) != parts:
        raise BadInput(
            "Splits need a list of scores and a whole number of parts, from 1 to the number of scores, found"
            f" {parts} parts of scores of shape {values.shape}."
        )
    order = np.argsort(values, kind="stable").astype(np.int64)
    return [np.sort(part) for part in np.array_split(order, parts)]
