"""Records of what was computed: its numbers or tensors, whence they come, on what and in what time they were made."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save as save_arrays
from safetensors.torch import save as save_tensors

import isthmus
from isthmus import weights
from isthmus.hashing import digest_arrays, digest_bytes
from isthmus.networks import NetworkState
from isthmus.nodes import Choose, Node, State, Train
from isthmus.results import NormStats, PairResult, PathResult
from isthmus.store import Record, Store, join_ancestries

__all__ = ["Records", "path_arrays", "restored", "summarise"]


class Records:
    """Puts values into the store, with what they were computed from and how."""

    def __init__(self, store: Store, device: torch.device) -> None:
        self.store, self.device = store, device

    def put_state(
        self,
        node: State,
        state: NetworkState,
        began: float,
        *,
        pins: tuple[dict[str, str], dict[str, str]],
        summary: Mapping[str, Any] | None = None,
        seconds: float | None = None,
        together: int = 1,
    ) -> Record:
        """The record of a state that was computed since ``began``, or in its share of the time of several together."""
        count = sum(tensor.numel() for tensor in weights.parameters(state.weights).values())
        record = Record(
            key=node.key,
            kind=node.kind,
            label=node.label,
            node=node.describe(),
            digest=state.digest(),
            parents=pins[0],
            ancestry=pins[1],
            summary={"step": state.step, "parameters": count, **(summary or {})},
            made=self._made(began, seconds) | ({"together": together} if together > 1 else {}),
        )
        if isinstance(node, Train):
            self.store.note_state(node.trajectory, node.stop, node.key)
        return self.store.put(record, save_tensors(state.tensors()))

    def put_numbers(
        self, node: Node, summary: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], began: float
    ) -> Record:
        """The record of a measurement or a choice that was computed since ``began``."""
        parents, ancestry = self.pins(node)
        text = json.dumps(summary, sort_keys=True, allow_nan=True)
        named = [(name, str(array.dtype), array.shape, array) for name, array in arrays.items()]
        record = Record(
            key=node.key,
            kind=node.kind,
            label=node.label,
            node=node.describe(),
            digest=digest_arrays(named) if arrays else digest_bytes(text.encode()),
            parents=parents,
            ancestry=ancestry,
            summary=summary,
            made=self._made(began),
        )
        return self.store.put(record, save_arrays(dict(arrays)) if arrays else None)

    def pins(self, node: Node) -> tuple[dict[str, str], dict[str, str]]:
        """(digests of the parents, ancestry); refuses parents that disagree on an ancestor."""
        records = [self.store.get(parent.key) for parent in node.parents()]
        states = [
            record for record, parent in zip(records, node.parents(), strict=True) if not isinstance(parent, Choose)
        ]
        ancestry = join_ancestries(states)
        if isinstance(node, Train):  # a choice acts on what is trained by it as an ancestor does
            ancestry |= {choice.key: self.store.get(choice.key).digest for choice in node.choices}
        return {record.key: record.digest for record in records}, ancestry

    def _made(self, began: float, seconds: float | None = None) -> dict[str, Any]:
        return {
            "isthmus": isthmus.__version__,
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            "capability": torch.backends.cpu.get_cpu_capability() if self.device.type == "cpu" else "",
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
            "seconds": round(time.perf_counter() - began if seconds is None else seconds, 3),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def summarise(found: PathResult) -> dict[str, Any]:
    """The numbers of a path that tables need, as JSON values."""
    return {
        "examples": int(found.per_example_loss.shape[1]),
        "alphas": found.alphas.tolist(),
        "loss": found.loss.tolist(),
        "error": found.error.tolist(),
        "norm_stats": found.norm_stats.describe(),
        "stored_ends": {name: list(values) for name, values in found.stored_ends.items()},
        "pair": found.pair.means() if found.pair else {},
        "notes": list(found.notes),
    }


def path_arrays(found: PathResult) -> dict[str, npt.NDArray[Any]]:
    """The per-example numbers of a path: losses in float32, errors as bits where they are 0 or 1."""
    arrays: dict[str, npt.NDArray[Any]] = {"alphas": found.alphas, "loss": found.per_example_loss}
    if found.per_example_error is not None:
        errors = found.per_example_error
        binary = bool(np.isin(errors, (0.0, 1.0)).all())
        arrays["error_bits" if binary else "error"] = np.packbits(errors > 0.5, axis=1) if binary else errors
    if found.pair is not None:
        arrays["pair_cross_entropy_ab"] = found.pair.cross_entropy_ab
        arrays["pair_cross_entropy_ba"] = found.pair.cross_entropy_ba
        arrays["pair_disagreement_bits"] = np.packbits(found.pair.disagreement)
    return arrays


def restored(record: Record, arrays: Mapping[str, npt.NDArray[Any]]) -> PathResult:
    """What a path's record and its arrays were written from."""
    summary, losses = record.summary, arrays["loss"]

    def bits(name: str) -> npt.NDArray[np.uint8]:
        return np.unpackbits(arrays[name], axis=-1, count=losses.shape[1])

    errors = bits("error_bits").astype(np.float32) if "error_bits" in arrays else arrays.get("error")
    pair = None
    if "pair_disagreement_bits" in arrays:
        a, b = (arrays[f"pair_cross_entropy_{name}"] for name in ("ab", "ba"))
        pair = PairResult(a, b, bits("pair_disagreement_bits").astype(bool))
    ends = {name: (float(loss), float(error)) for name, (loss, error) in summary["stored_ends"].items()}
    norm = NormStats(**summary["norm_stats"])
    return PathResult(arrays["alphas"], losses, errors, norm, ends, tuple(summary["notes"]), pair)
