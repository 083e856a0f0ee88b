"""A data set of the user's own code, named ``package.module:function``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import registry, usercode
from isthmus.datasets.dataset import DataSet
from isthmus.datasets.npz import NAMES, assemble
from isthmus.errors import BadInput, IsthmusError

__all__ = ["load"]


def load(name: str, root: Path | None, options: Mapping[str, Any], also: tuple[str, ...] = ()) -> DataSet:
    """What the function returns for these options.

    That is a :class:`DataSet`, or a mapping of x_train, y_train, x_test and y_test to arrays: pictures, uint8 of shape
    (N, C, H, W), or points, float32 of shape (N, d); and integer labels from 0. A parameter called ``root`` is given
    the data folder, None where none is named. ``also`` are options that are somebody else's.

    Raises:
        BadInput: an option that it does not take, a function that fails, or one that returns something else.
        BadData: arrays that are no data set.
    """
    factory = usercode.load(name)
    if not callable(factory):
        raise BadInput(f"Data set {name}: expected a function, found {type(factory).__name__}.")
    what, besides = f"Data set {name}", ("root",)
    registry.accept_names(what, factory, options, besides, also)
    given = dict(options) | ({"root": root} if "root" in inspect.signature(factory).parameters else {})
    try:
        found = factory(**given)
    except IsthmusError:
        raise
    except Exception as error:
        raise BadInput(f"{what}: the function raised {type(error).__name__}: {error}.") from error
    if isinstance(found, DataSet):
        return found
    if not isinstance(found, Mapping) or set(found) != set(NAMES):
        told = f"a mapping of {', '.join(map(str, found))}" if isinstance(found, Mapping) else type(found).__name__
        raise BadInput(f"{what}: expected a DataSet or a mapping of {', '.join(NAMES)}, found {told}.")
    return assemble(name, what, {key: np.asarray(array) for key, array in found.items()}, "NCHW")
