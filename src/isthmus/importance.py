"""How much an example matters: EL2N scores, and the splits that they induce."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadInput

__all__ = ["el2n", "splits"]


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

    Parts differ in size by one at most; examples with equal scores keep their order.

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
