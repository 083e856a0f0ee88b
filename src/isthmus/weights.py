"""Weights: a flat mapping from names to tensors, and arithmetic on it.

Every function takes plain state dicts. :class:`Weights` is such a mapping that also knows what kind
each entry is (parameter, float buffer, integer buffer) and which names are tied to one tensor, as a
module knows it. In a plain dict the kind is inferred: integer and boolean tensors are integer
buffers, ``running_mean`` and ``running_var`` are float buffers, all else are parameters; ties are
unknown there, so each name counts by itself.

Arithmetic (:func:`lerp`, :func:`weighted_sum`) moves every floating-point entry; integer buffers are
never averaged, they come from the nearer end. Distances are over parameters unless told otherwise.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.errors import BadWeights, nearest
from isthmus.hashing import digest_arrays

__all__ = [
    "Kind",
    "Weights",
    "check_match",
    "difference",
    "digest",
    "distance",
    "distance_by_block",
    "graft",
    "kinds",
    "lerp",
    "norm",
    "parameters",
    "same_bits",
    "select",
    "weighted_sum",
]

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
            else (Kind.FLOAT_BUFFER if _is_float(tensor) else Kind.INTEGER_BUFFER)
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


def _is_float(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _infer_kind(name: str, tensor: Tensor) -> Kind:
    if not _is_float(tensor):
        return Kind.INTEGER_BUFFER
    return Kind.FLOAT_BUFFER if name.rpartition(".")[2] in _RUNNING else Kind.PARAMETER


def kinds(state: State) -> Mapping[str, Kind]:
    """The kind of each entry: as the module knew it, or inferred for a plain dict."""
    if isinstance(state, Weights):
        return state.kinds
    _check_mapping(state, "the weights")
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
    _check_mapping(a, names[0])
    _check_mapping(b, names[1])
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


def _check_mapping(state: object, name: str) -> None:
    if not isinstance(state, Mapping):
        raise BadWeights(
            f"Expected a mapping of names to tensors, such as model.state_dict(), as {name}, found"
            f" {type(state).__name__}."
        )
    for key, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise BadWeights(f"Entry {key!r} of {name} must be a tensor, found {type(tensor).__name__}.")


def _like(template: State, tensors: dict[str, Tensor]) -> Weights:
    return template.like(tensors) if isinstance(template, Weights) else Weights(tensors, kinds(template))


_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are of one shape and type and equal bit for bit: zeros of one sign, NaNs of one kind."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b)
    whole = _INTEGERS[a.element_size()]
    return torch.equal(a.view(whole), b.view(whole))


def lerp_tensor(a: Tensor, b: Tensor, alpha: float, out: Tensor | None = None) -> Tensor:
    """``(1 - alpha) * a + alpha * b`` of one entry; alpha 0 and 1 give the ends bit for bit.

    Integer and boolean entries come from the nearer end (``a`` at alpha = 1/2).
    """
    if alpha == 0.0 or alpha == 1.0 or not _is_float(a):
        source = a if alpha <= 0.5 else b
        return source.clone() if out is None else out.copy_(source)
    if a.dtype in (torch.float16, torch.bfloat16) and a.device.type == "cpu":
        result = torch.lerp(a.float(), b.float(), alpha).to(a.dtype)
        return result if out is None else out.copy_(result)
    return torch.lerp(a, b, alpha) if out is None else torch.lerp(a, b, alpha, out=out)


@torch.no_grad()
def lerp(a: State, b: State, alpha: float) -> Weights:
    """The interpolant ``(1 - alpha) * a + alpha * b``, for any finite alpha.

    Alpha 0 and 1 return the ends bit for bit, and ``lerp(a, a, alpha)`` is ``a`` bit for bit (but for
    the sign of a zero, and infinities: inf - inf is NaN).
    Parameters and float buffers move; integer buffers come from the nearer end.

    Args:
        a: state dict at alpha = 0.
        b: state dict at alpha = 1, with the same names, shapes and types.
        alpha: position on the line; outside [0, 1] it extrapolates.

    Returns:
        New weights that share no memory with ``a`` or ``b``.

    Raises:
        BadWeights: names the tensor and both shapes where ``a`` and ``b`` do not match.

    >>> lerp({"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 6.0])}, 0.25)["w"]
    tensor([1.5000, 3.0000])
    """
    if not math.isfinite(alpha):
        raise BadWeights(f"alpha must be a finite number, found {alpha}.")
    check_match(a, b)
    return _like(a, {name: lerp_tensor(tensor, b[name], alpha) for name, tensor in a.items()})


@torch.no_grad()
def weighted_sum(states: Sequence[State], coefficients: Sequence[float]) -> Weights:
    """``sum_i coefficients[i] * states[i]``, accumulated in the given order.

    A single coefficient of exactly 1 with all others 0 returns that state bit for bit. Integer
    buffers come from the state with the largest coefficient (the first of equals).

    Raises:
        BadWeights: no states, another number of coefficients or one that is not finite, or states that do not match.
    """
    if not states or len(states) != len(coefficients):
        raise BadWeights(f"A weighted sum needs one coefficient a state, found {len(states)} and {len(coefficients)}.")
    if not all(map(math.isfinite, coefficients)):
        raise BadWeights(f"The coefficients must be finite numbers, found {list(coefficients)}.")
    for index, state in enumerate(states[1:], start=2):
        check_match(states[0], state, names=("state 1", f"state {index}"))
    return _like(
        states[0],
        {name: sum_tensors([state[name] for state in states], coefficients) for name in states[0]},
    )


def sum_tensors(tensors: Sequence[Tensor], coefficients: Sequence[float], out: Tensor | None = None) -> Tensor:
    """The weighted sum of one entry over several states; see :func:`weighted_sum`."""
    active = [(tensor, c) for tensor, c in zip(tensors, coefficients, strict=True) if c != 0.0]
    if len(active) == 1 and active[0][1] == 1.0:
        source = active[0][0]
        return source.clone() if out is None else out.copy_(source)
    if not _is_float(tensors[0]):
        nearest_end = tensors[max(range(len(tensors)), key=lambda i: coefficients[i])]
        return nearest_end.clone() if out is None else out.copy_(nearest_end)
    wide = torch.float32 if tensors[0].dtype in (torch.float16, torch.bfloat16) else tensors[0].dtype
    total = torch.zeros_like(tensors[0], dtype=wide)
    for tensor, coefficient in active:
        total.add_(tensor.to(wide), alpha=coefficient)
    return total.to(tensors[0].dtype) if out is None else out.copy_(total)


@torch.no_grad()
def graft(base: State, donor: State, patterns: str | Iterable[str]) -> Weights:
    """``base`` with the tensors that any of the globs matches taken from ``donor``.

    The two may be of different architectures as long as what is taken fits: a new head is everything but the head
    taken from a trained network, a block that is reset is that block taken from initial weights.

    Args:
        base: what is not taken from the donor, and the names, kinds and ties of the result.
        donor: has a tensor of the same shape and type under each name that is taken.
        patterns: globs on the names of ``base``.

    Returns:
        New weights, bit for bit those of one or the other, that share no memory with either.

    Raises:
        BadWeights: a pattern that matches nothing, a tensor that the donor lacks or has otherwise, or one name taken
            of several that are one tensor in ``base``.

    >>> two = {"a.w": torch.tensor([1.0]), "b.w": torch.tensor([2.0])}
    >>> {name: tensor.item() for name, tensor in graft(two, {"a.w": torch.tensor([7.0])}, "a.*").items()}
    {'a.w': 7.0, 'b.w': 2.0}
    """
    _check_mapping(base, "the base")
    _check_mapping(donor, "the donor")
    taken = set(select(base, patterns))
    missing = next((name for name in base if name in taken and name not in donor), None)
    if missing is not None:
        raise BadWeights(f"Tensor {missing!r} is to be taken from the donor, which has none{nearest(missing, donor)}")
    own = {name: tensor for name, tensor in base.items() if name in taken}
    check_match(own, {name: donor[name] for name in own}, names=("the base", "the donor"))
    for name, first in base.ties.items() if isinstance(base, Weights) else ():
        if (name in taken) != (first in taken):
            raise BadWeights(f"Tensors {first!r} and {name!r} are one tensor in the base: take both or neither.")
    return _like(base, {name: (donor if name in taken else base)[name].detach().clone() for name in base})


@torch.no_grad()
def difference(a: State, b: State) -> Weights:
    """``b - a`` of the floating-point entries: the direction in which the line from ``a`` runs."""
    check_match(a, b)
    return _like(a, {name: b[name] - tensor for name, tensor in a.items() if _is_float(tensor)})


@torch.no_grad()
def norm(state: State, *, buffers: bool = False) -> float:
    """The L2 norm over parameters (tied ones once), accumulated in float64."""
    return math.sqrt(math.fsum(_square(tensor) for tensor in parameters(state, buffers=buffers).values()))


def _square(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(_wide(tensor))) ** 2


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.complex128 if tensor.is_complex() else torch.float64)


@torch.no_grad()
def distance(a: State, b: State, relative: bool = False, *, buffers: bool = False) -> float:
    """``||b - a||`` over parameters; with ``relative``, divided by ``||a||`` (Vlaar 2022, equation 4).

    Args:
        a: the state from which the distance is measured, such as the initial weights.
        b: the other state.
        relative: divide by the norm of ``a``. NaN where that norm is 0.
        buffers: count float buffers as well. Integer buffers never count.

    Raises:
        BadWeights: where the two do not match.

    >>> distance({"w": torch.tensor([3.0, 4.0])}, {"w": torch.tensor([6.0, 8.0])}, relative=True)
    1.0
    """
    check_match(a, b)
    squares = _squares(a, b, buffers=buffers)
    total = math.sqrt(math.fsum(squares.values()))
    if not relative:
        return total
    scale = math.sqrt(math.fsum(_square(a[name]) for name in squares))
    return total / scale if scale else math.nan


def _squares(a: State, b: State, *, buffers: bool) -> dict[str, float]:
    """``||b - a||^2`` of each entry that counts; what either side knows to be a buffer or a tie does not."""
    others = parameters(b, buffers=buffers)
    return {
        name: _square(_wide(b[name]) - _wide(tensor))
        for name, tensor in parameters(a, buffers=buffers).items()
        if name in others
    }


def distance_by_block(
    a: State, b: State, blocks: Mapping[str, Iterable[str]], relative: bool = False, *, buffers: bool = False
) -> dict[str, float]:
    """``||b - a||`` of each block; squared, they add up to the whole where the blocks partition it.

    Args:
        a: the state from which the distance is measured.
        b: the other state.
        blocks: tensor-name globs by the name of the block.
        relative: divide by the norm of the block in ``a``. NaN where that norm is 0.
        buffers: count float buffers as well.
    """
    check_match(a, b)
    squares = _squares(a, b, buffers=buffers)
    counted = {block: [name for name in select(a, globs) if name in squares] for block, globs in blocks.items()}
    apart = {block: math.sqrt(math.fsum(squares[name] for name in names)) for block, names in counted.items()}
    if not relative:
        return apart
    scales = {block: math.sqrt(math.fsum(_square(a[name]) for name in names)) for block, names in counted.items()}
    return {block: found / scales[block] if scales[block] else math.nan for block, found in apart.items()}


def select(state: Mapping[str, object], patterns: str | Iterable[str]) -> tuple[str, ...]:
    """The names that any of the globs matches, in the state's order.

    Raises:
        BadWeights: for a pattern that matches nothing, with the nearest name.

    >>> select({"fc.weight": 0, "fc.bias": 0, "conv.weight": 0}, ["fc.*"])
    ('fc.weight', 'fc.bias')
    """
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in state):
            raise BadWeights(f"No tensor matches the pattern {pattern!r}{nearest(pattern, state)}")
    return tuple(name for name in state if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))


def digest(state: State) -> str:
    """The digest of names, types, shapes and bits: equal exactly when two states are bit-identical."""
    return digest_arrays(
        (name, str(tensor.dtype), tuple(tensor.shape), _bits(tensor).numpy()) for name, tensor in state.items()
    )


def _bits(tensor: Tensor) -> Tensor:
    whole = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    flat = whole.as_strided((whole.numel(),), (1,))  # a tensor of one element may keep any stride
    return flat.view(torch.uint8) if flat.numel() else flat.to(torch.uint8)
