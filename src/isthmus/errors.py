"""Everything that isthmus raises on purpose.

::

    IsthmusError                 exit code 1
    ├── BadInput (ValueError)    exit code 2: something the caller gave is wrong
    │   ├── BadStudy             a study, with every problem found in it
    │   ├── BadData              a data set that is malformed
    │   │   └── MissingData      a data set that is not there
    │   ├── BadWeights           weights that do not fit each other or the model
    │   └── UnknownName          a name that nothing answers to
    ├── Conflict                 two ancestries disagree on a shared ancestor
    ├── Damaged                  a stored object whose bytes are not what was written
    ├── FetchFailed              a file of a data set that no address gave as it is published
    ├── RunFailed                at least one node of a study failed
    └── Interrupted              exit code 130: stopped on request, everything saved

A message is one sentence: which item, what was expected, what was found, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "BadData",
    "BadInput",
    "BadStudy",
    "BadWeights",
    "Conflict",
    "Damaged",
    "FetchFailed",
    "Interrupted",
    "IsthmusError",
    "IsthmusWarning",
    "MissingData",
    "RunFailed",
    "UnknownName",
    "nearest",
]


_LISTED = 20  # a large network has hundreds of tensors; a message is one sentence


class IsthmusWarning(UserWarning):
    """Something that the reader of a result has to know, and that does not stop it."""


class IsthmusError(Exception):
    """The root of all errors raised on purpose."""

    exit_code = 1


class BadInput(IsthmusError, ValueError):
    """Something that the caller gave is wrong."""

    exit_code = 2


class BadStudy(BadInput):
    """A study with problems; ``problems`` holds one sentence for each, all of them."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


class BadData(BadInput):
    """A data set that is malformed."""


class MissingData(BadData):
    """A data set that is not where it was looked for."""


class BadWeights(BadInput):
    """Weights that do not fit each other, or the model."""


class UnknownName(BadInput):
    """A name that nothing answers to."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        self.what = what
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(f"There is no {what} named {name!r}{nearest(name, self.known)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.name, self.known)


class Conflict(IsthmusError):
    """Two ancestries disagree on the bits of an ancestor that they share."""


class Damaged(IsthmusError):
    """A stored object whose bytes are not the ones that were written."""


class FetchFailed(IsthmusError):
    """A file of a data set that could not be fetched, or is not what it should be."""


class RunFailed(IsthmusError):
    """At least one node of a study failed; everything else was computed and kept.

    ``results`` are those of a study as far as they are there (:class:`isthmus.study.Results`), or None.
    """

    results: Any = None


class Interrupted(IsthmusError):
    """Stopped on request; everything computed so far is saved."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """The tail of a sentence that offers the nearest valid name, and all of them (of many, the first 20).

    >>> nearest("resnet2", ["resnet20", "mlp"])
    '; did you mean "resnet20"? Known: mlp, resnet20.'
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    offer = f'; did you mean "{close[0]}"?' if close else "."
    rest = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"{offer} Known: {', '.join(known[:_LISTED])}{rest}." if known else offer
