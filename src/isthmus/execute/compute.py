"""Computing one node: its inputs come from the store, its value goes there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_arrays

from isthmus import gradients, importance, merging, models, paths, weights
from isthmus.checkpoints import read_weights
from isthmus.choices import choose
from isthmus.errors import BadInput
from isthmus.evaluation import evaluate_ensemble, evaluate_path, predict
from isthmus.examples import Examples
from isthmus.execute.equipment import Equipment
from isthmus.execute.flight import Ended, Flight, Stopped, fly
from isthmus.execute.inputs import built
from isthmus.execute.records import path_arrays, restored, summarise
from isthmus.networks import NetworkState, load_into
from isthmus.nodes import (
    Choose,
    Distance,
    Graft,
    Import,
    Init,
    Merge,
    Node,
    Part,
    PathMeasure,
    PathSpec,
    Point,
    Scores,
    Selection,
    Train,
)
from isthmus.stacking import stackable
from isthmus.store import Record

__all__ = ["Stopped", "Workshop"]


class Workshop(Equipment):
    """Computes nodes, keeping data sets and models at hand between them."""

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
                if stackable(self.inputs.skeleton(node.model)):
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

    # --- states -------------------------------------------------------------------------------------------------------

    def _init(self, node: Init, began: float) -> Record:
        return self.records.put_state(node, NetworkState.of(built(node.model, node.seed)), began, pins=({}, {}))

    def _import(self, node: Import, began: float) -> Record:
        found = read_weights(node.file)
        if weights.digest(found) != node.tensors:
            raise BadInput(f"The file {node.file} changed since the study was expanded; run the command again.")
        model = built(node.model, 0)
        if not node.whole:
            part = weights.Weights(models.renamed(found, model))
            return self.records.put_state(node, NetworkState(part), began, pins=({}, {}))
        load_into(model, models.translate(found, model))
        return self.records.put_state(node, NetworkState.of(model), began, pins=({}, {}))

    def _merge(self, node: Merge, began: float) -> Record:
        pins = self.records.pins(node)
        states = [self.inputs.load(network) for network in node.networks]
        merged = merging.merge(states, node.coefficients, buffers=node.buffers, step=node.step)
        return self.records.put_state(node, merged, began, pins=pins)

    def _graft(self, node: Graft, began: float) -> Record:
        pins = self.records.pins(node)
        found = weights.graft(self.inputs.load(node.base).weights, self.inputs.load(node.donor).weights, node.patterns)
        return self.records.put_state(node, NetworkState(found), began, pins=pins)

    def _point(self, node: Point, began: float) -> Record:
        pins = self.records.pins(node)
        at = float(self.store.get(node.at.key).summary["value"] if isinstance(node.at, Choose) else node.at)
        found = self._path(node.path).at(at)
        return self.records.put_state(node, NetworkState(found, {}, node.step), began, pins=pins, summary={"at": at})

    def _train(self, node: Train, began: float) -> Record:
        return Flight(self, node, began).alone()

    # --- measurements -------------------------------------------------------------------------------------------------

    def _path(self, spec: PathSpec) -> paths.Path:
        ends = [self.inputs.load(end).weights for end in spec.ends]
        if spec.form == "blocks":
            return paths.blocks(ends[0], ends[1], spec.patterns, rest=spec.rest)
        return paths.line(ends[0], ends[-1])

    def _measure(self, node: PathMeasure, began: float) -> Record:
        self.records.pins(node)  # refuse before computing
        model = node.path.ends[0].model
        stats = None
        if node.norm.mode == "recompute":
            stats = self.inputs.examples(node.data, Part("train", node.norm.examples), model, "statistics")

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
        skeleton, examples = self.inputs.skeleton(model), self.inputs.examples(node.data, node.part, model)
        if node.path.form == "ensemble":
            networks = [self.inputs.load(end).weights for end in node.path.ends]
            found = evaluate_ensemble(skeleton, networks, examples, **how)
        else:
            found = evaluate_path(skeleton, self._path(node.path), examples, alphas=node.alphas, **how)
        return self.records.put_numbers(node, summarise(found), path_arrays(found), began)

    def _selection(self, node: Selection, began: float) -> Record:
        self.records.pins(node)
        whole = self.store.get(node.whole.key)
        found = restored(whole, load_arrays(self.store.blob(whole)))
        where = self.store.get(node.choice.key).summary["value"][node.index]
        return self.records.put_numbers(node, summarise(found.take(where)), {}, began)

    def _distance(self, node: Distance, began: float) -> Record:
        self.records.pins(node)
        a, b = self.inputs.load(node.a).weights, self.inputs.load(node.b).weights
        summary: dict[str, Any] = {
            "l2": weights.distance(a, b),
            "relative": weights.distance(a, b, relative=True),
            "norm_a": weights.norm(a),
            "norm_b": weights.norm(b),
        }
        if node.blocks:
            summary["blocks"] = weights.distance_by_block(a, b, node.blocks)
            summary["relative_blocks"] = weights.distance_by_block(a, b, node.blocks, relative=True)
        return self.records.put_numbers(node, summary, {}, began)

    def _scores(self, node: Scores, began: float) -> Record:
        self.records.pins(node)  # refuse before computing
        score = importance.score(node.score)
        examples = self.inputs.examples(node.data, node.part, node.networks[0].model)
        labels = examples.targets.cpu().numpy()
        readings = [self._reading(node, index, examples, labels) for index in range(len(node.networks))]
        scores = score.combine(np.stack(readings).reshape(-1, node.looks, len(labels)))
        indices = self.inputs.indices(node.part, len(getattr(self.inputs.data(node.data), node.part.split)), "examples")
        arrays = {"scores": scores, "labels": labels, "index": np.arange(len(labels)) if indices is None else indices}
        return self.records.put_numbers(node, {"examples": len(scores), "mean": float(scores.mean())}, arrays, began)

    def _reading(
        self, node: Scores, index: int, examples: Examples, labels: npt.NDArray[Any]
    ) -> npt.NDArray[np.float64]:
        """What a score reads of one of its networks: a number an example."""
        network, score, count = node.networks[index], importance.score(node.score), len(node.networks)

        def progress(done: int, total: int) -> None:
            self.report(index + done / total, count, "networks", node.key)
            if self.stop():
                raise Stopped("stopped while scoring")

        model, own = self.inputs.skeleton(network.model), self.inputs.load(network).weights
        if score.read is None:
            return gradients.norms(model, examples, weights=own, loss=node.loss, progress=progress)
        logits = predict(model, examples, weights=own)
        progress(1, 1)
        if logits.size == len(logits):  # a single logit z is that of two classes whose logits are 0 and z
            logits = np.stack([np.zeros(len(logits), np.float32), logits.reshape(-1)], axis=1)
        return score.read(logits, labels)

    def _choose(self, node: Choose, began: float) -> Record:
        value = choose(node.rule, [self.inputs.numbers(source) for source in node.sources], node.arguments)
        return self.records.put_numbers(node, {"value": value}, {}, began)


_METHODS: Mapping[type[Node], Callable[..., Record]] = {
    Init: Workshop._init,
    Import: Workshop._import,
    Merge: Workshop._merge,
    Graft: Workshop._graft,
    Point: Workshop._point,
    Train: Workshop._train,
    PathMeasure: Workshop._measure,
    Selection: Workshop._selection,
    Distance: Workshop._distance,
    Scores: Workshop._scores,
    Choose: Workshop._choose,
}
