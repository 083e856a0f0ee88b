"""What every node is: a description whose hash is the name of the value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar

from isthmus.hashing import digest
from isthmus.nodes.parts import ModelRef

__all__ = ["Measure", "Node", "State"]


class Node(ABC):
    """A value by its description."""

    kind: ClassVar[str]

    @abstractmethod
    def parents(self) -> tuple[Node, ...]:
        """The nodes whose values this one is computed from."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What names it, as JSON values, with other nodes by key."""

    @cached_property
    def key(self) -> str:
        """The name of the value: 64 hexadecimal digits."""
        return digest(self.kind, self.describe())

    @property
    @abstractmethod
    def label(self) -> str:
        """A few words for a progress bar."""

    @property
    def cost(self) -> float:
        """Roughly how many forward passes of one example it takes."""
        return 0.0


class State(Node):
    """A network at a step."""

    @property
    @abstractmethod
    def step(self) -> int:
        """Optimiser steps taken since the network was initialised or restarted."""

    @property
    @abstractmethod
    def model(self) -> ModelRef:
        """The architecture."""

    @property
    def has_buffers(self) -> bool:
        """Whether it may carry optimiser buffers."""
        return False


class Measure(Node):
    """Numbers about states."""
