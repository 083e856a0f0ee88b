"""Which tensors of a network come from other weights and which do not, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from isthmus.study.model import Start

if TYPE_CHECKING:
    from isthmus.weights import Weights

__all__ = ["Network", "Parts", "parts"]


@dataclass(frozen=True)
class Network:
    """The network of a study: what it is called, its weights (whatever their values), its blocks."""

    name: str
    weights: Weights
    blocks: Mapping[str, tuple[str, ...]]

    def globs(self, name: str) -> tuple[str, ...]:
        """The tensors that a block, a part of one or a glob names; nothing where it names none."""
        from isthmus.models.blocking import matching, within

        tensors = list(self.weights)
        return within(self.blocks, name, tensors) or matching((name,), tensors)

    def block(self, tensor: str) -> str:
        """The block of a tensor."""
        return next(name for name, globs in self.blocks.items() if _covered(tensor, globs))


@dataclass(frozen=True)
class Parts:
    """The names of the tensors that are ``taken`` from other weights and of the others, ``fresh``; what is wrong."""

    taken: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def parts(start: Start, own: Network, theirs: Mapping[str, Any], what: str) -> Parts:
    """What of a network comes from the tensors ``theirs``, called ``what``: all but ``new``, or ``only`` these."""
    field = "only" if start.only else "new"
    unknown = [
        f"start.{field}.{index}: expected a block of {own.name} ({', '.join(own.blocks)}), a part of one, or a pattern"
        f" of its tensors, found {name!r}."
        for index, name in enumerate(start.blocks)
        if not own.globs(name)
    ]
    if unknown:
        return Parts(problems=tuple(unknown))
    globs = [glob for name in start.blocks for glob in own.globs(name)]
    named = {name for name in own.weights if _covered(name, globs)}
    taken = tuple(name for name in own.weights if (name in named) == bool(start.only))
    fresh = tuple(name for name in own.weights if name not in taken)
    todo = "leave {block} out of start.only" if start.only else "put {block} into start.new"
    problems = _misfits(own, theirs, taken, what, todo)
    if not taken:
        problems.append(f"start.new: expected at least one block that comes from {what}, found all of them.")
    if not start.only:
        homeless = [name for name in theirs if name not in own.weights and not _covered(name, globs)]
        problems += [
            f"start: tensor {name!r} of {what} has no place in {own.name}; give the model that it belongs to, or name"
            " in start.only what is to be taken."
            for name in homeless[:1]
        ]
    if start.fill == "initial":
        problems += _misfits(own, theirs, fresh, what, 'leave out start.fill = "initial"')
    for name, first in own.weights.ties.items():
        if (name in taken) != (first in taken):
            problems.append(
                f"start.{field}: tensors {first!r} and {name!r} are one tensor in {own.name}; name the blocks of both"
                " or of neither."
            )
    return Parts(taken, fresh, tuple(problems))


def _misfits(own: Network, theirs: Mapping[str, Any], names: Iterable[str], what: str, todo: str) -> list[str]:
    """What does not fit of tensors that are to be taken: a sentence for each block."""
    told: dict[str, str] = {}
    for name in names:
        block, mine, other = own.block(name), own.weights[name], theirs.get(name)
        do = todo.format(block=f'"{block}"')
        if other is None:
            told.setdefault(block, f"start: tensor {name!r} of {own.name} is not in {what}; {do}.")
        elif mine.shape != other.shape:
            shapes = f"shape {tuple(mine.shape)} in {own.name} and {tuple(other.shape)} in {what}"
            told.setdefault(block, f"start: tensor {name!r} has {shapes}; {do}.")
        elif mine.dtype != other.dtype:
            types = f"{mine.dtype} in {own.name} and {other.dtype} in {what}"
            told.setdefault(block, f"start: tensor {name!r} is {types}; convert {what} first, or {do}.")
    return list(told.values())


def _covered(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
