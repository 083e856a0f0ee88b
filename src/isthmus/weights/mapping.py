"""What weights are: a mapping from names to tensors that knows the kind of each entry, and ties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from isthmus.errors import BadWeights, nearest

__all__ = ["Kind", "State", "Weights", "check_mapping", "check_match", "is_float", "kinds", "like", "parameters"]

State = Mapping[str, Tensor]
_RUNNING = ("running_mean", "running_var")


class Kind(Enum):
    """What an entry of a state dict is."""

    PARAMETER = "parameter"
    FLOAT_BUFFER = "float buffer"
    INTEGER_BUFFER = "integer buffer"


class Weights(Mapping[str, Tensor]):
    """A read-only mapping of names to tensors that knows each entry's kind, and ties.

    ``ties`` maps a name to the first name of the same tensor (``{"head.weight": "embedding.weight"}``).
    The tensors are shared with whoever made the mapping, never copied unless :meth:`clone` is asked.
    """

    __slots__ = ("_tensors", "kinds", "ties")

    def __init__(
        self, tensors: State, kinds: Mapping[str, Kind] | None = None, ties: Mapping[str, str] | None = None
    ) -> None:
        self._tensors = dict(tensors)
        known = kinds or {}
        self.kinds: Mapping[str, Kind] = MappingProxyType(
            {name: known.get(name) or _infer_kind(name, tensor) for name, tensor in self._tensors.items()}
        )
        self.ties: Mapping[str, str] = MappingProxyType(
            {name: first for name, first in (ties or {}).items() if name in self._tensors and first in self._tensors}
        )

    @classmethod
    def from_module(cls, model: nn.Module) -> Weights:
        """The weights of a module, detached and sharing its memory; non-persistent buffers are left out."""
        owned: dict[str, Tensor] = model.state_dict(keep_vars=True)
        first: dict[int, str] = {}
        ties: dict[str, str] = {}
        for name, tensor in owned.items():
            if first.setdefault(id(tensor), name) != name:
                ties[name] = first[id(tensor)]
        parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        kinds = {
            name: Kind.PARAMETER
            if name in parameters
            else (Kind.FLOAT_BUFFER if is_float(tensor) else Kind.INTEGER_BUFFER)
            for name, tensor in owned.items()
        }
        return cls({name: tensor.detach() for name, tensor in owned.items()}, kinds, ties)

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __reduce__(self) -> tuple[Any, ...]:
        return Weights, (self._tensors, dict(self.kinds), dict(self.ties))

    def __repr__(self) -> str:
        count = sum(tensor.numel() for tensor in parameters(self).values())
        return f"Weights({len(self)} tensors, {count:,} parameters)"

    def like(self, tensors: State) -> Weights:
        """Other tensors under these names, or some of them, with the kinds and ties known here."""
        return Weights(tensors, self.kinds, self.ties)

    def clone(self) -> Weights:
        """A copy that shares no memory with this one."""
        return self.like({name: tensor.detach().clone() for name, tensor in self.items()})


def is_float(tensor: Tensor) -> bool:
    """Whether a tensor's numbers are real or complex: those that arithmetic moves."""
    return tensor.is_floating_point() or tensor.is_complex()


def _infer_kind(name: str, tensor: Tensor) -> Kind:
    if not is_float(tensor):
        return Kind.INTEGER_BUFFER
    return Kind.FLOAT_BUFFER if name.rpartition(".")[2] in _RUNNING else Kind.PARAMETER


def kinds(state: State) -> Mapping[str, Kind]:
    """The kind of each entry: as the module knew it, or inferred for a plain dict."""
    if isinstance(state, Weights):
        return state.kinds
    check_mapping(state, "the weights")
    return {name: _infer_kind(name, tensor) for name, tensor in state.items()}


def parameters(state: State, *, buffers: bool = False) -> dict[str, Tensor]:
    """The trainable parameters, tied ones once; with ``buffers``, the float buffers as well.

    Integer buffers (counters such as the number of batches tracked) are never part of it.
    """
    ties = state.ties if isinstance(state, Weights) else {}
    wanted = {Kind.PARAMETER, Kind.FLOAT_BUFFER} if buffers else {Kind.PARAMETER}
    known = kinds(state)
    return {name: tensor for name, tensor in state.items() if known[name] in wanted and name not in ties}


def check_match(a: State, b: State, *, names: tuple[str, str] = ("the first weights", "the second")) -> None:
    """Refuse two sets of weights that differ in names, shapes or types.

    Raises:
        BadWeights: naming the tensor, what the first has and what the second has; or one is no state dict.
    """
    check_mapping(a, names[0])
    check_mapping(b, names[1])
    for name in a:
        if name not in b:
            raise BadWeights(f"Tensor {name!r} is in {names[0]} but not in {names[1]}{nearest(name, b)}")
    for name in b:
        if name not in a:
            raise BadWeights(f"Tensor {name!r} is in {names[1]} but not in {names[0]}{nearest(name, a)}")
    for name, tensor in a.items():
        other = b[name]
        if tensor.shape != other.shape:
            raise BadWeights(
                f"Tensor {name!r} has shape {tuple(tensor.shape)} in {names[0]} and {tuple(other.shape)} in"
                f" {names[1]}; only networks of one architecture can be combined."
            )
        if tensor.dtype != other.dtype:
            raise BadWeights(
                f"Tensor {name!r} is {tensor.dtype} in {names[0]} and {other.dtype} in {names[1]};"
                " convert one of them first."
            )


def check_mapping(state: object, name: str) -> None:
    """Refuse what is no mapping of names to tensors."""
    if not isinstance(state, Mapping):
        raise BadWeights(
            f"Expected a mapping of names to tensors, such as model.state_dict(), as {name}, found"
            f" {type(state).__name__}."
        )
    for key, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise BadWeights(f"Entry {key!r} of {name} must be a tensor, found {type(tensor).__name__}.")


def like(template: State, tensors: dict[str, Tensor]) -> Weights:
    """Tensors under the names of a template, or some of them, with the kinds and ties known there."""
    return template.like(tensors) if isinstance(template, Weights) else Weights(tensors, kinds(template))
