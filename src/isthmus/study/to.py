"""The section ``[train]`` of an *init-to-final* study: how the final network is trained, which paths are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator, model_validator

from isthmus.recipe import Until
from isthmus.spec import DurationField, Spec
from isthmus.study.sections import distinct

__all__ = ["To"]

PathName = Literal["initial->final", "final->fresh", "fresh->final", "initial->fresh"]


class To(Spec):
    """How the final network is trained, and along which paths it is looked at.

    ``to`` is the length of training (at most, with ``until``). ``paths`` are whole lines; ``blocks`` names the
    model's blocks (or "all") that move alone, everything else at ``rest``, on each path that has a final end, or on
    those of ``blocks_on`` alone; a part of a block has a dotted name ("stage4.0" is the first unit of stage 4), and a
    table gives names to globs on tensor names (``{ statistics = ["*running_*"] }``).
    """

    to: DurationField
    until: Until | None = None
    paths: tuple[PathName, ...] = ("initial->final",)
    blocks: Literal["all"] | tuple[str, ...] | Mapping[str, tuple[str, ...]] = ()
    blocks_on: tuple[PathName, ...] | None = None
    rest: Literal["final", "other"] = "final"

    @field_validator("paths", "blocks_on")
    @classmethod
    def _once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return value if value is None else distinct(value, "paths")

    @field_validator("blocks")
    @classmethod
    def _each_once(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            if empty := [name for name, globs in value.items() if not globs]:
                raise ValueError(f"expected at least one pattern for each name, found none for {empty[0]}")
            if "all" in value:
                raise ValueError('expected other names than "all", which is the whole network, found it')
        return distinct(value, "blocks") if isinstance(value, tuple) and value else value

    @model_validator(mode="after")
    def _moves(self) -> To:
        if self.blocks and not any("final" in path for path in self.paths):
            raise ValueError(f"expected a path with a final end beside blocks, found {', '.join(self.paths)}")
        if self.blocks_on and not self.blocks:
            raise ValueError("expected blocks beside blocks_on, found none")
        for path in self.blocks_on or ():
            if path not in self.paths or "final" not in path:
                raise ValueError(f"expected those of paths that have a final end in blocks_on, found {path}")
        return self

    def moves_blocks(self, path: str) -> bool:
        """Whether blocks move alone on a path."""
        return "final" in path if self.blocks_on is None else path in self.blocks_on
