"""What nodes consume: networks of an architecture, data sets and their examples, states and numbers in the store."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load as load_arrays
from safetensors.torch import load as load_tensors
from torch import nn

from isthmus import datasets, models, noise, origins, weights
from isthmus.errors import BadData, BadInput
from isthmus.examples import Augmenter, Examples
from isthmus.execute import Setting
from isthmus.networks import NetworkState
from isthmus.nodes import DataRef, Measure, ModelRef, Part, State
from isthmus.store import Record, Store

__all__ = ["Inputs", "built"]


class Inputs:
    """Reads what nodes consume, keeping data sets and models at hand between them."""

    def __init__(self, store: Store, setting: Setting) -> None:
        self.store, self.setting = store, setting
        self.device = _device(setting)
        self._skeletons: dict[str, nn.Module] = {}
        self._examples: dict[tuple[Any, ...], Examples] = {}
        self._data: dict[str, datasets.DataSet] = {}

    def skeleton(self, model: ModelRef) -> nn.Module:
        """A module of this architecture; its weights do not matter."""
        name = json.dumps(model.describe(), sort_keys=True)
        if name not in self._skeletons:
            self._skeletons[name] = built(model, 0).to(self.device)
        return self._skeletons[name]

    def data(self, data: DataRef) -> datasets.DataSet:
        """The data set, checked to be the one that was named."""
        if data.digest not in self._data:
            found = datasets.load(data.name, self.setting.data_root, **dict(data.options))
            if found.digest != data.digest:
                raise BadData(
                    f"The data set {data.name!r} is not the one that the study was expanded with: expected digest"
                    f" {data.digest[:12]}, found {found.digest[:12]}; run the command again."
                )
            self._data[data.digest] = found
        return self._data[data.digest]

    def examples(self, data: DataRef, part: Part, model: ModelRef, order: str = "examples") -> Examples:
        """The examples of a part, on the device, ready for this model."""
        # of other people's networks nobody knows: some take no such pictures, and strided 1x1 convolutions of them
        # may corrupt the heap (see PointwiseConv2d)
        channels_last = origins.of(model.name) == "ours" and len(data.input_shape) == 3
        name = (data.digest, data.mean, data.std, json.dumps(part.describe(), sort_keys=True), channels_last, order)
        if name not in self._examples:
            split = getattr(self.data(data), part.split)
            pixels = split.inputs.dtype == np.uint8
            whole = Examples.of(
                split, mean=data.mean, std=data.std, pixels=pixels, channels_last=channels_last and pixels
            )
            indices = self.indices(part, len(whole), order)
            places = torch.arange(len(whole)) if indices is None else torch.from_numpy(indices)
            chosen = whole if indices is None else whole.subset(places)
            if part.augment is not None:
                stream = noise.Noise.of(noise.derive("evaluation", part.split))
                augmenter = Augmenter(part.augment, stream, len(whole), 0, torch.device("cpu"))
                chosen = chosen.augmented(augmenter, places)
            self._examples[name] = chosen.to(self.device)
        return self._examples[name]

    def indices(self, part: Part, count: int, order: str) -> npt.NDArray[np.int64] | None:
        """Which of ``count`` examples a part is, in its order; None for all of them as they are."""
        if part.share is not None:
            return part.share.indices(count)
        if part.examples is None and order == "examples":
            return None
        return noise.order(count, order, part.split)[: part.examples]

    def load(self, state: State) -> NetworkState:
        """A stored state."""
        return self.state_of(self.store.get(state.key), state.model)

    def state_of(self, record: Record, model: ModelRef) -> NetworkState:
        """The state that a record is of."""
        flat = dict(sorted(load_tensors(self.store.blob(record)).items()))  # read in no order: sums would differ
        template = weights.Weights.from_module(self.skeleton(model))
        return NetworkState.from_tensors(flat, int(record.summary["step"]), template)

    def numbers(self, source: Measure) -> dict[str, Any]:
        """The numbers of a measurement that rules take."""
        record = self.store.get(source.key)
        arrays = load_arrays(self.store.blob(record)) if record.blob is not None and record.kind == "scores" else {}
        return {**record.summary, **arrays}


def _device(setting: Setting) -> torch.device:
    """The accelerator that is this process's turn."""
    if setting.device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise BadInput(
            "There is no CUDA device that torch can use here: leave --device out, or install torch for CUDA."
        )
    return torch.device("cuda", setting.index % torch.cuda.device_count())


_LOADED: dict[str, str | None] = {}
"""The digest of other people's code when this process loaded it."""


def built(model: ModelRef, seed: int) -> nn.Module:
    """A new network; refuses code other than the study was expanded with: an edited file, or one loaded before."""
    code = None
    if model.source is not None:
        if origins.source(model.name) != model.source:
            raise BadInput(f"The code of {model.name} changed since the study was expanded; run the command again.")
        code = origins.code(model.name)
        if _LOADED.get(model.name, code) != code:
            raise BadInput(
                f"The code of {model.name} changed after this process had loaded it; start Python again, or compute in"
                " processes of their own (workers=1)."
            )
    made = models.initialise(model.name, seed, **dict(model.arguments))
    if model.source is not None:
        _LOADED[model.name] = code
    return made
