"""States that are not trained: initialised, imported, merged, or at a point of a path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from isthmus.nodes.base import Node, State
from isthmus.nodes.measures import Choose, PathSpec
from isthmus.nodes.parts import ModelRef
from isthmus.recipe import Buffers

__all__ = ["Graft", "Import", "Init", "Merge", "Point"]


@dataclass(frozen=True, eq=False)
class Root(State):
    """A network that comes from no other: an architecture at step 0."""

    architecture: ModelRef
    step: ClassVar[int] = 0

    @property
    def model(self) -> ModelRef:
        """The architecture."""
        return self.architecture

    def parents(self) -> tuple[Node, ...]:
        """None."""
        return ()


@dataclass(frozen=True, eq=False)
class Init(Root):
    """A network as it was initialised from a seed."""

    seed: int
    kind: ClassVar[str] = "init"

    def describe(self) -> dict[str, Any]:
        """Model and seed."""
        return {"model": self.model.describe(), "seed": self.seed}

    @property
    def label(self) -> str:
        """A few words."""
        return f"init {self.model.name}"


@dataclass(frozen=True, eq=False)
class Import(Root):
    """A checkpoint from outside, named by the digest of its tensors; ``file`` is where it was found.

    Its tensors are those of the architecture; if it is not ``whole`` they are whatever the file holds, under the names
    of the architecture as far as they fit it, to be donors of a :class:`Graft`.
    """

    tensors: str
    file: str
    whole: bool = True
    kind: ClassVar[str] = "import"

    def describe(self) -> dict[str, Any]:
        """Model and digest; not the place."""
        found: dict[str, Any] = {"model": self.model.describe(), "tensors": self.tensors}
        return found if self.whole else found | {"whole": False}

    @property
    def label(self) -> str:
        """A few words."""
        return f"import {self.file}"


@dataclass(frozen=True, eq=False)
class Merge(State):
    """The weighted mean of networks at one step, or of one along its way; it is at the last of their steps."""

    networks: tuple[State, ...]
    coefficients: tuple[float, ...]
    buffers: Buffers = "reset"
    kind: ClassVar[str] = "merge"

    @property
    def model(self) -> ModelRef:
        """That of the networks."""
        return self.networks[0].model

    @property
    def step(self) -> int:
        """That of the networks, the last where they are at several."""
        return max(network.step for network in self.networks)

    @property
    def has_buffers(self) -> bool:
        """Unless they were reset."""
        return self.buffers != "reset" and any(network.has_buffers for network in self.networks)

    def parents(self) -> tuple[Node, ...]:
        """The networks."""
        return self.networks

    def describe(self) -> dict[str, Any]:
        """Networks, coefficients, buffers."""
        return {
            "networks": [network.key for network in self.networks],
            "coefficients": list(self.coefficients),
            "buffers": self.buffers,
        }

    @property
    def label(self) -> str:
        """A few words."""
        return f"merge {len(self.networks)} networks at {self.step}"


@dataclass(frozen=True, eq=False)
class Point(State):
    """The network at a point of a path, the point given or chosen, at step 0 if ``restart``."""

    path: PathSpec
    at: float | Choose
    restart: bool = False
    kind: ClassVar[str] = "point"

    @property
    def model(self) -> ModelRef:
        """That of the ends."""
        return self.path.ends[0].model

    @property
    def step(self) -> int:
        """0 after a restart, else the later step of the ends."""
        return 0 if self.restart else max(end.step for end in self.path.ends)

    def parents(self) -> tuple[Node, ...]:
        """The ends and the choice."""
        return (*self.path.ends, *((self.at,) if isinstance(self.at, Choose) else ()))

    def describe(self) -> dict[str, Any]:
        """Path, place, restart."""
        at = {"choice": self.at.key} if isinstance(self.at, Choose) else float(self.at)
        return {"path": self.path.describe(), "at": at, "restart": self.restart}

    @property
    def label(self) -> str:
        """A few words."""
        return f"point of a {self.path.form}"


@dataclass(frozen=True, eq=False)
class Graft(State):
    """The network ``base`` with the tensors that the globs in ``patterns`` match taken from ``donor``, at step 0.

    Blocks that are reset, new heads and transplants are all of this kind. The two may be of different architectures
    as long as what is taken fits.
    """

    base: State
    donor: State
    patterns: tuple[str, ...]
    step: ClassVar[int] = 0
    kind: ClassVar[str] = "graft"

    @property
    def model(self) -> ModelRef:
        """That of the base."""
        return self.base.model

    def parents(self) -> tuple[Node, ...]:
        """The base and the donor."""
        return (self.base, self.donor)

    def describe(self) -> dict[str, Any]:
        """Base, donor, patterns."""
        return {"base": self.base.key, "donor": self.donor.key, "patterns": list(self.patterns)}

    @property
    def label(self) -> str:
        """A few words."""
        return f"graft of a {self.donor.model.name}"
