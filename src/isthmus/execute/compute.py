"""Computing one node: its inputs come from the store, its value goes there."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load as load_tensors
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

import isthmus
from isthmus import datasets, gradients, importance, merging, models, noise, origins, paths, weights
from isthmus.choices import applied, choose
from isthmus.errors import BadData, BadInput
from isthmus.evaluation import evaluate_ensemble, evaluate_path, predict
from isthmus.examples import Examples
from isthmus.execute import Setting
from isthmus.execute.flight import Ended, Flight, Stopped, fly
from isthmus.graph import on_the_way
from isthmus.hashing import digest_arrays, digest_bytes
from isthmus.networks import NetworkState, load_into
from isthmus.nodes import (
    Choose,
    DataRef,
    Distance,
    Graft,
    Import,
    Init,
    Measure,
    Merge,
    ModelRef,
    Node,
    Part,
    PathMeasure,
    PathSpec,
    Point,
    Scores,
    State,
    Train,
)
from isthmus.recipe import Recipe
from isthmus.results import PathResult
from isthmus.stacking import stackable
from isthmus.store import Record, Store, join_ancestries

__all__ = ["Stopped", "Workshop"]

Report = Callable[[float, float, str, str], None]
"""(done, total, note, key): how far a node is."""


class Workshop:
    """Computes nodes, keeping data sets and models at hand between them."""

    def __init__(
        self,
        store: Store,
        setting: Setting,
        report: Report = lambda done, total, note, key: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store, self.setting, self.report, self.stop = store, setting, report, stop
        self.device = _device(setting)
        self._skeletons: dict[str, nn.Module] = {}
        self._examples: dict[tuple[Any, ...], Examples] = {}
        self._data: dict[str, datasets.DataSet] = {}

    # --- inputs -------------------------------------------------------------------------------------------------------

    def skeleton(self, model: ModelRef) -> nn.Module:
        """A module of this architecture; its weights do not matter."""
        name = json.dumps(model.describe(), sort_keys=True)
        if name not in self._skeletons:
            self._skeletons[name] = _built(model, 0).to(self.device)
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
            indices = self._indices(part, len(whole), order)
            chosen = whole if indices is None else whole.subset(torch.from_numpy(indices))
            self._examples[name] = chosen.to(self.device)
        return self._examples[name]

    def _indices(self, part: Part, count: int, order: str) -> npt.NDArray[np.int64] | None:
        if part.choice is not None:
            value = self.store.get(part.choice.key).summary["value"]
            chosen = np.asarray(value[part.index or 0], dtype=np.int64)
            scored = getattr(part.choice.source, "part", Part(part.split))
            if scored.split != part.split:
                raise BadInput(f"The examples were chosen from {scored}, they cannot be taken from {part.split}.")
            among = self._indices(scored, count, "examples")
            return chosen if among is None else among[chosen]
        if part.share is not None:
            return part.share.indices(count)
        if part.examples is None and order == "examples":
            return None
        return noise.order(count, order, part.split)[: part.examples]

    def load(self, state: State) -> NetworkState:
        """A stored state."""
        return self._load(self.store.get(state.key), state.model)

    def _load(self, record: Record, model: ModelRef) -> NetworkState:
        flat = dict(sorted(load_tensors(self.store.blob(record)).items()))  # read in no order: sums would differ
        template = weights.Weights.from_module(self.skeleton(model))
        return NetworkState.from_tensors(flat, int(record.summary["step"]), template)

    # --- one node -----------------------------------------------------------------------------------------------------

    def compute(self, node: Node) -> Record:
        """The record of a node, computed unless it is there already."""
        existing = self.store.record(node.key)
        if existing is not None:
            return existing
        for kind, method in _METHODS.items():
            if isinstance(node, kind):
                record: Record = method(self, node, time.perf_counter())
                return record
        raise TypeError(f"no way to compute a {type(node).__name__}")

    def compute_together(self, nodes: Sequence[Node], ended: Ended) -> None:
        """Compute nodes; those that are trained alike are trained together. Each is told of as soon as it has ended."""
        groups: dict[tuple[str, int], list[Flight]] = {}
        alone: list[Node] = []
        for node in nodes:
            if len(nodes) == 1 or not isinstance(node, Train) or self.store.has(node.key):
                alone.append(node)
                continue
            try:
                if stackable(self.skeleton(node.model)):
                    flight = Flight(self, node, time.perf_counter())
                    groups.setdefault((node.likeness, flight.start), []).append(flight)
                else:
                    alone.append(node)
            except Exception as error:
                ended(node, error)
        for flights in groups.values():
            together = [flight for flight in flights if not flight.reached]
            alone += [flight.node for flight in flights if flight.reached]
            alone += fly(self, together, ended) if len(together) > 1 else [flight.node for flight in together]
        for node in alone:
            if len(nodes) > 1 and self.stop():
                ended(node, Stopped("stopped before it began"))
            else:
                self._alone(node, ended)

    def _alone(self, node: Node, ended: Ended) -> None:
        try:
            outcome: Record | Exception = self.compute(node)
        except Exception as error:
            outcome = error
        ended(node, outcome)

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

    def _pins(self, node: Node) -> tuple[dict[str, str], dict[str, str]]:
        """(digests of the parents, ancestry); refuses parents that disagree on an ancestor."""
        records = [self.store.get(parent.key) for parent in node.parents()]
        states = [
            record for record, parent in zip(records, node.parents(), strict=True) if not isinstance(parent, Choose)
        ]
        ancestry = join_ancestries(states)
        if isinstance(node, Train):  # a choice acts on what is trained by it as an ancestor does
            ancestry |= {choice.key: self.store.get(choice.key).digest for choice in node.choices}
        return {record.key: record.digest for record in records}, ancestry

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

    def _put_numbers(
        self, node: Node, summary: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], began: float
    ) -> Record:
        parents, ancestry = self._pins(node)
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

    # --- states -------------------------------------------------------------------------------------------------------

    def _init(self, node: Init, began: float) -> Record:
        return self.put_state(node, NetworkState.of(_built(node.model, node.seed)), began, pins=({}, {}))

    def _import(self, node: Import, began: float) -> Record:
        found = read_weights(node.file)
        if weights.digest(found) != node.tensors:
            raise BadInput(f"The file {node.file} changed since the study was expanded; run the command again.")
        model = _built(node.model, 0)
        if not node.whole:
            part = weights.Weights(models.renamed(found, model))
            return self.put_state(node, NetworkState(part), began, pins=({}, {}))
        load_into(model, models.translate(found, model))
        return self.put_state(node, NetworkState.of(model), began, pins=({}, {}))

    def _merge(self, node: Merge, began: float) -> Record:
        pins = self._pins(node)
        states = [self.load(network) for network in node.networks]
        merged = merging.merge(states, node.coefficients, buffers=node.buffers, step=node.step)
        return self.put_state(node, merged, began, pins=pins)

    def _graft(self, node: Graft, began: float) -> Record:
        pins = self._pins(node)
        found = weights.graft(self.load(node.base).weights, self.load(node.donor).weights, node.patterns)
        return self.put_state(node, NetworkState(found), began, pins=pins)

    def _point(self, node: Point, began: float) -> Record:
        pins = self._pins(node)
        at = float(self.store.get(node.at.key).summary["value"] if isinstance(node.at, Choose) else node.at)
        found = self._path(node.path).at(at)
        return self.put_state(node, NetworkState(found, {}, node.step), began, pins=pins, summary={"at": at})

    def _train(self, node: Train, began: float) -> Record:
        return Flight(self, node, began).alone()

    def recipe(self, node: Train) -> Recipe:
        """The recipe of a trained state, with the blocks that its rules wait for."""
        recipe = node.recipe
        for choice in node.choices:
            recipe = applied(recipe, self.store.get(choice.key).summary["value"])
        return recipe

    def departure(self, node: Train) -> tuple[int, NetworkState, tuple[dict[str, str], dict[str, str]], bool]:
        """Where training begins, and whether it has reached its goal there already.

        That is the last stored state on the way, else the root. A state that descends from a realisation
        which the store no longer holds is passed over: what is trained from it could meet nothing new.
        """
        for way in on_the_way(node, self.store):
            record = self.store.get(way.key)
            if self.store.agrees(record):
                state, reached = self._load(record, node.model), bool(record.summary.get("reached"))
                return state.step, state, ({way.key: record.digest}, join_ancestries([record])), reached
        state = self.load(node.root)
        if node.buffers == "reset":
            state = state.without_buffers()
        return state.step, state, self._pins(node), False

    # --- measurements -------------------------------------------------------------------------------------------------

    def _path(self, spec: PathSpec) -> paths.Path:
        ends = [self.load(end).weights for end in spec.ends]
        if spec.form == "blocks":
            return paths.blocks(ends[0], ends[1], spec.patterns, rest=spec.rest)
        return paths.line(ends[0], ends[-1])

    def _measure(self, node: PathMeasure, began: float) -> Record:
        self._pins(node)  # refuse before computing
        model = node.path.ends[0].model
        stats = None
        if node.norm.mode == "recompute":
            stats = self.examples(node.data, Part("train", node.norm.examples), model, "statistics")

        def progress(done: int, total: int) -> None:
            speed = done / max(time.perf_counter() - began, 1e-9)
            self.report(done, total, f"{speed:,.0f} images/s", node.key)
            if self.stop():
                raise Stopped("stopped while measuring")

        how: dict[str, Any] = {
            "loss": node.loss,
            "norm_stats": node.norm.mode,
            "stats_data": stats,
            "stats_batch": node.norm.batch,
            "stats_examples": node.norm.examples,
            "batch_size": node.batch_size,
            "precision": node.precision,
            "progress": progress,
        }
        skeleton, examples = self.skeleton(model), self.examples(node.data, node.part, model)
        if node.path.form == "ensemble":
            networks = [self.load(end).weights for end in node.path.ends]
            found = evaluate_ensemble(skeleton, networks, examples, **how)
        else:
            found = evaluate_path(skeleton, self._path(node.path), examples, alphas=node.alphas, **how)
        return self._put_numbers(node, summarise(found), path_arrays(found), began)

    def _distance(self, node: Distance, began: float) -> Record:
        self._pins(node)
        a, b = self.load(node.a).weights, self.load(node.b).weights
        summary: dict[str, Any] = {
            "l2": weights.distance(a, b),
            "relative": weights.distance(a, b, relative=True),
            "norm_a": weights.norm(a),
            "norm_b": weights.norm(b),
        }
        if node.blocks:
            summary["blocks"] = weights.distance_by_block(a, b, node.blocks)
            summary["relative_blocks"] = weights.distance_by_block(a, b, node.blocks, relative=True)
        return self._put_numbers(node, summary, {}, began)

    def _scores(self, node: Scores, began: float) -> Record:
        self._pins(node)  # refuse before computing
        score = importance.score(node.score)
        examples = self.examples(node.data, node.part, node.networks[0].model)
        labels = examples.targets.cpu().numpy()
        readings = [self._reading(node, index, examples, labels) for index in range(len(node.networks))]
        scores = score.combine(np.stack(readings).reshape(-1, node.looks, len(labels)))
        indices = self._indices(node.part, len(getattr(self.data(node.data), node.part.split)), "examples")
        arrays = {"scores": scores, "labels": labels, "index": np.arange(len(labels)) if indices is None else indices}
        return self._put_numbers(node, {"examples": len(scores), "mean": float(scores.mean())}, arrays, began)

    def _reading(
        self, node: Scores, index: int, examples: Examples, labels: npt.NDArray[Any]
    ) -> npt.NDArray[np.float64]:
        """What a score reads of one of its networks: a number an example."""
        network, score, count = node.networks[index], importance.score(node.score), len(node.networks)

        def progress(done: int, total: int) -> None:
            self.report(index + done / total, count, "networks", node.key)
            if self.stop():
                raise Stopped("stopped while scoring")

        model, own = self.skeleton(network.model), self.load(network).weights
        if score.read is None:
            return gradients.norms(model, examples, weights=own, loss=node.loss, progress=progress)
        logits = predict(model, examples, weights=own)
        progress(1, 1)
        if logits.size == len(logits):  # a single logit z is that of two classes whose logits are 0 and z
            logits = np.stack([np.zeros(len(logits), np.float32), logits.reshape(-1)], axis=1)
        return score.read(logits, labels)

    def _choose(self, node: Choose, began: float) -> Record:
        value = choose(node.rule, [self._numbers(source) for source in node.sources], node.arguments)
        return self._put_numbers(node, {"value": value}, {}, began)

    def _numbers(self, source: Measure) -> dict[str, Any]:
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


def _built(model: ModelRef, seed: int) -> nn.Module:
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


_METHODS: Mapping[type[Node], Callable[..., Record]] = {
    Init: Workshop._init,
    Import: Workshop._import,
    Merge: Workshop._merge,
    Graft: Workshop._graft,
    Point: Workshop._point,
    Train: Workshop._train,
    PathMeasure: Workshop._measure,
    Distance: Workshop._distance,
    Scores: Workshop._scores,
    Choose: Workshop._choose,
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


def read_weights(file: str) -> dict[str, Tensor]:
    """The tensors of a safetensors or a weights-only torch file.

    Raises:
        BadInput: the file is not there, or holds anything but a flat mapping of names to tensors.
    """
    try:
        if file.endswith(".safetensors"):
            return dict(load_file(file))
        found = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInput(f"There is no file of weights at {file}.") from None
    except Exception as error:  # torch and safetensors raise whatever their parsers raise
        raise BadInput(f"The file {file} is no safetensors and no weights-only torch file: {error}.") from None
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise BadInput(f"The file {file} must hold a flat mapping of names to tensors (a state dict).")
    return dict(found)
