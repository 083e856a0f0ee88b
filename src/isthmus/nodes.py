"""The graph of values: states, measurements of states, and choices taken from measurements.

A node is a description; its key is the hash of that description, so a result is named by what it is.

A trained state is named by **(root, noise, recipe as far as it acts between root and step, step)**. The
root is the last initialisation, import or transform, or change of noise, data or recipe. How training is
cut is an execution detail: :func:`advance` folds what is one trajectory into one node. A schedule enters
by its values on the interval, so runs that differ only later share their trunk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from isthmus.errors import BadInput
from isthmus.hashing import digest, digest_bytes
from isthmus.noise import Noise
from isthmus.recipe import Buffers, Recipe, Until

__all__ = [
    "Choose",
    "DataRef",
    "Distance",
    "Import",
    "Init",
    "Measure",
    "Merge",
    "ModelRef",
    "Node",
    "NormSpec",
    "Part",
    "PathMeasure",
    "PathSpec",
    "Point",
    "Scores",
    "State",
    "Train",
    "advance",
]


# --- what nodes are made of ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelRef:
    """A model by name and arguments; ``source`` is the digest of its code where that is the user's."""

    name: str
    arguments: Mapping[str, Any]
    source: str | None = None

    def describe(self) -> dict[str, Any]:
        """What names it."""
        found: dict[str, Any] = {"name": self.name, "arguments": dict(self.arguments)}
        return found | ({"source": self.source} if self.source else {})


@dataclass(frozen=True)
class DataRef:
    """A data set: named by the digest of its arrays and its normalisation, found again by name and options."""

    name: str
    options: Mapping[str, Any]
    digest: str
    train: int
    test: int
    classes: int
    input_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def describe(self) -> dict[str, Any]:
        """What names it."""
        return {"digest": self.digest, "mean": list(self.mean), "std": list(self.std)}


@dataclass(frozen=True)
class Part:
    """Examples of a data set: a split, whole or the first ``examples`` of a fixed mixed order, or a chosen subset.

    ``choice`` and ``index`` take part ``index`` of what a :class:`Choose` node with the rule "splits" found.
    """

    split: Literal["train", "test"]
    examples: int | None = None
    choice: Choose | None = None
    index: int | None = None

    @classmethod
    def parse(cls, text: str) -> Part:
        """A part from its text: ``"test"``, ``"train"`` or ``"train:10000"``."""
        split, colon, count = text.partition(":")
        if split not in ("train", "test") or (colon and not (count.isascii() and count.isdigit() and int(count) > 0)):
            raise BadInput(f'expected "train", "test" or a number of them such as "train:10000", found {text!r}')
        return cls("train" if split == "train" else "test", int(count) if colon else None)

    def __str__(self) -> str:
        chosen = f"/{self.index + 1}" if self.index is not None else ""
        return f"{self.split}{f':{self.examples}' if self.examples else ''}{chosen}"

    def count(self, data: DataRef) -> int:
        """How many examples that is (for a chosen subset: at most)."""
        whole = data.train if self.split == "train" else data.test
        return min(self.examples or whole, whole)

    def describe(self) -> dict[str, Any]:
        """What names it."""
        found: dict[str, Any] = {"split": self.split}
        if self.examples:
            found["examples"] = self.examples
        if self.choice is not None:
            found |= {"choice": self.choice.key, "index": self.index}
        return found


@dataclass(frozen=True)
class NormSpec:
    """Where normalisation statistics come from: a mode, and for "recompute" the batch and number of examples."""

    mode: Literal["recompute", "interpolate", "batch", "keep", "init"] = "interpolate"
    batch: int = 256
    examples: int = 10_240

    def describe(self) -> dict[str, Any]:
        """What names it; batch and number only where they act."""
        return vars(self) if self.mode == "recompute" else {"mode": self.mode}


# --- nodes ---------------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True, eq=False)
class Init(State):
    """A network as it was initialised from a seed."""

    architecture: ModelRef
    seed: int
    kind: ClassVar[str] = "init"
    step: ClassVar[int] = 0

    @property
    def model(self) -> ModelRef:
        """The architecture."""
        return self.architecture

    def parents(self) -> tuple[Node, ...]:
        """None."""
        return ()

    def describe(self) -> dict[str, Any]:
        """Model and seed."""
        return {"model": self.model.describe(), "seed": self.seed}

    @property
    def label(self) -> str:
        """A few words."""
        return f"init {self.model.name}"


@dataclass(frozen=True, eq=False)
class Import(State):
    """A checkpoint from outside, named by the digest of its tensors; ``file`` is where it was found."""

    architecture: ModelRef
    tensors: str
    file: str
    kind: ClassVar[str] = "import"
    step: ClassVar[int] = 0

    @property
    def model(self) -> ModelRef:
        """The architecture."""
        return self.architecture

    def parents(self) -> tuple[Node, ...]:
        """None."""
        return ()

    def describe(self) -> dict[str, Any]:
        """Model and digest; not the place."""
        return {"model": self.model.describe(), "tensors": self.tensors}

    @property
    def label(self) -> str:
        """A few words."""
        return f"import {self.file}"


@dataclass(frozen=True)
class Rates:
    """Learning rates on [start, stop): a recipe's schedule there."""

    recipe: Recipe
    start: int
    stop: int

    def values(self, steps_per_epoch: int) -> npt.NDArray[np.float64]:
        """One rate a step."""
        return self.recipe.rates(self.start, self.stop, steps_per_epoch)


@dataclass(frozen=True, eq=False)
class Train(State):
    """A network trained from a root to a step; make it with :func:`advance`."""

    root: State
    recipe: Recipe
    data: DataRef
    noise: Noise
    pieces: tuple[Rates, ...]
    buffers: Literal["keep", "reset"]
    stop: int
    until: Until | None = None
    kind: ClassVar[str] = "train"

    @property
    def model(self) -> ModelRef:
        """The root's."""
        return self.root.model

    @property
    def step(self) -> int:
        """Where it ends (at most, with ``until``)."""
        return self.stop

    @property
    def has_buffers(self) -> bool:
        """Trained networks carry them."""
        return True

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps an epoch."""
        return self.recipe.steps_per_epoch(self.data.train)

    def rates(self, start: int | None = None) -> npt.NDArray[np.float64]:
        """The learning rate of each step from ``start`` (by default the root's step) to the end."""
        values = [piece.values(self.steps_per_epoch) for piece in self.pieces]
        whole = np.concatenate(values) if values else np.zeros(0)
        return whole[(0 if start is None else start - self.root.step) :]

    def at(self, step: int) -> Train:
        """The same trajectory at an earlier step after the root's (at most there, with ``until``)."""
        if not self.root.step < step <= self.stop:
            raise BadInput(f"This trajectory runs from {self.root.step} to {self.stop}; it has no step {step}.")
        cut = tuple(replace(p, stop=min(p.stop, step)) for p in self.pieces if p.start < step)
        return replace(self, pieces=cut, stop=step)

    def parents(self) -> tuple[Node, ...]:
        """The root."""
        return (self.root,)

    @cached_property
    def trajectory(self) -> str:
        """The name of the trajectory without its learning rates and its end, to look for states on the way."""
        return digest("trajectory", self._acting() | self._until())

    def _acting(self) -> dict[str, Any]:
        noise = self.noise.describe()
        if not self.recipe.augment.acts:
            del noise["augmentation"]
        found = {
            "root": self.root.key,
            "recipe": self.recipe.identity(),
            "data": self.data.describe(),
            "noise": noise,
        }
        return found | ({"buffers": "reset"} if self.buffers == "reset" else {})

    def describe(self) -> dict[str, Any]:
        """Root, recipe, noise, data, the learning rates by their values, and the step."""
        rates = digest_bytes(self.rates().astype("<f8").tobytes())
        return self._acting() | {"rates": rates, "step": self.stop} | self._until()

    def _until(self) -> dict[str, Any]:
        return {"until": self.until.identity()} if self.until else {}

    @property
    def label(self) -> str:
        """A few words."""
        return f"train {self.model.name} {self.root.step} -> {self.stop}"

    @property
    def cost(self) -> float:
        """A step costs three forward passes of its batch."""
        return 3.0 * (self.stop - self.root.step) * self.recipe.batch_size


def advance(
    start: State,
    recipe: Recipe,
    data: DataRef,
    noise: Noise,
    stop: int,
    *,
    buffers: Literal["keep", "reset"] = "keep",
    until: Until | None = None,
) -> State:
    """The state that training on from ``start`` reaches at global step ``stop``.

    Going on with the same noise, data and recipe and kept buffers is the same trajectory, so it is folded
    into it: ``advance(advance(a, ..., 3), ..., 5)`` has the key of ``advance(a, ..., 5)``. With ``until``
    it is not folded: the accuracy is asked for from ``start`` on.

    Raises:
        BadInput: a stop before the start, or a start whose own end is not known beforehand.
    """
    if isinstance(start, Train) and start.until is not None:
        raise BadInput("Training on from a run that stops at an accuracy needs a restart at step 0.")
    if stop < start.step:
        raise BadInput(f"Training cannot end at step {stop}, before it starts at step {start.step}.")
    if stop == start.step:
        return start
    new = Rates(recipe, start.step, stop)
    if not start.has_buffers:
        buffers = "keep"
    made = Train(start, recipe, data, noise, (new,), buffers, stop, until)
    if isinstance(start, Train) and buffers == "keep":
        same = replace(made, root=start.root, buffers=start.buffers, pieces=(*start.pieces, new))
        if same.trajectory == start.trajectory:
            return same
    return made


@dataclass(frozen=True, eq=False)
class Merge(State):
    """The weighted mean of networks at one step."""

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
        """That of the networks."""
        return self.networks[0].step

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
class PathSpec:
    """A path between states, as a description.

    ``point`` is one network; ``line`` runs from ``ends[0]`` to ``ends[1]``; ``blocks`` moves the tensors
    that the globs in ``patterns`` match and leaves the rest at ``rest``.
    """

    form: Literal["point", "line", "blocks"]
    ends: tuple[State, ...]
    patterns: tuple[str, ...] = ()
    rest: Literal["a", "b"] = "b"

    def describe(self) -> dict[str, Any]:
        """What names it."""
        found: dict[str, Any] = {"form": self.form, "ends": [end.key for end in self.ends]}
        return found | ({"patterns": list(self.patterns), "rest": self.rest} if self.form == "blocks" else {})


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


class Measure(Node):
    """Numbers about states."""


@dataclass(frozen=True, eq=False)
class PathMeasure(Measure):
    """Per-example loss and error along a path, on one part of a data set."""

    path: PathSpec
    data: DataRef
    part: Part
    alphas: tuple[float, ...]
    norm: NormSpec = NormSpec()
    loss: str = "cross_entropy"
    precision: str = "float32"
    batch_size: int | None = None
    kind: ClassVar[str] = "path"

    def parents(self) -> tuple[Node, ...]:
        """The ends, and what chose the examples."""
        return (*self.path.ends, *((self.part.choice,) if self.part.choice else ()))

    def describe(self) -> dict[str, Any]:
        """Path, data, part, points, statistics, loss, precision, batch size."""
        found: dict[str, Any] = {
            "path": self.path.describe(),
            "data": self.data.describe(),
            "part": self.part.describe(),
            "alphas": list(self.alphas),
            "norm": self.norm.describe(),
            "loss": self.loss,
        }
        optional = {"precision": (self.precision, "float32"), "batch_size": (self.batch_size, None)}
        return found | {name: value for name, (value, frozen) in optional.items() if value != frozen}

    @property
    def label(self) -> str:
        """A few words."""
        return f"{self.path.form} on {self.part}, {len(self.alphas)} points"

    @property
    def cost(self) -> float:
        """Every example at every point, and the examples read for statistics."""
        extra = self.norm.examples if self.norm.mode == "recompute" else 0
        return float(len(self.alphas) * (self.part.count(self.data) + extra))


@dataclass(frozen=True, eq=False)
class Distance(Measure):
    """L2 and relative distance of two networks, whole and by block (tensor-name globs by block name)."""

    a: State
    b: State
    blocks: Mapping[str, tuple[str, ...]] | None = None
    kind: ClassVar[str] = "distance"

    def parents(self) -> tuple[Node, ...]:
        """Both networks."""
        return (self.a, self.b)

    def describe(self) -> dict[str, Any]:
        """Both networks and the blocks."""
        found: dict[str, Any] = {"a": self.a.key, "b": self.b.key}
        return found | ({"blocks": {k: list(v) for k, v in self.blocks.items()}} if self.blocks else {})

    @property
    def label(self) -> str:
        """A few words."""
        return "distance"


@dataclass(frozen=True, eq=False)
class Scores(Measure):
    """EL2N of each example, the mean over networks."""

    networks: tuple[State, ...]
    data: DataRef
    part: Part
    score: Literal["el2n"] = "el2n"
    kind: ClassVar[str] = "scores"

    def parents(self) -> tuple[Node, ...]:
        """The networks."""
        return self.networks

    def describe(self) -> dict[str, Any]:
        """Networks, data, part, which score."""
        return {
            "networks": [network.key for network in self.networks],
            "data": self.data.describe(),
            "part": self.part.describe(),
            "score": self.score,
        }

    @property
    def label(self) -> str:
        """A few words."""
        return f"{self.score} over {len(self.networks)} networks"

    @property
    def cost(self) -> float:
        """Every example once a network."""
        return float(len(self.networks) * self.part.count(self.data))


@dataclass(frozen=True, eq=False)
class Choose(Node):
    """An argument taken from a measurement by a rule of :mod:`isthmus.choices`."""

    source: Measure
    rule: str
    arguments: Mapping[str, Any]
    kind: ClassVar[str] = "choose"

    def parents(self) -> tuple[Node, ...]:
        """The measurement."""
        return (self.source,)

    def describe(self) -> dict[str, Any]:
        """Measurement, rule, arguments."""
        return {"source": self.source.key, "rule": self.rule, "arguments": dict(self.arguments)}

    @property
    def label(self) -> str:
        """A few words."""
        return f"choose {self.rule}"
