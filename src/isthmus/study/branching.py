"""The family *branch*: copies that share k steps and then part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from isthmus import noise
from isthmus.nodes import Merge, Part, PathSpec, Share, State
from isthmus.noise import Noise
from isthmus.recipe import Recipe
from isthmus.spec import Duration
from isthmus.study.branch import MergeSpec, multiples
from isthmus.study.comparing import Children, baseline_requests, scaled
from isthmus.study.model import BranchStudy
from isthmus.study.requests import Builder, Request

__all__ = ["branch_requests"]


def branch_requests(build: Builder, study: BranchStudy) -> Iterator[Request]:
    """Every pair of children, every merge and what follows it, for each seed, k and s."""
    branch = study.branch
    if branch.disjoint and branch.children > build.data.train:
        build.problems.append(
            f"branch.children: expected at most one a training example ({build.data.train:,}) with disjoint, found"
            f" {branch.children}."
        )
        return
    splits = [(at, build.steps(at)) for at in branch.at]
    for seed in study.seeds:
        root = build.start(seed)
        trunk_noise = build.trunk_noise(seed)
        for at, k in splits:
            trunk = build.advance(root, trunk_noise, k)
            if study.branch.trunk_at_k:
                start = {"seed": seed, "k": str(at), "s": "0ep", "k_steps": k, "s_steps": 0}
                yield from build.network({**start, "network": "trunk at k", "after_steps": 0}, trunk)
            for text, s in _lengths(build, study, k):
                labels = {"seed": seed, "k": str(at), "s": text, "k_steps": k, "s_steps": s}
                yield from _pair(build, study, labels, trunk, trunk_noise, k + s)


def _lengths(build: Builder, study: BranchStudy, k: int) -> list[tuple[str, int]]:
    branch = study.branch
    if branch.lengths or branch.trunk_alone:
        return [(str(length), build.steps(length)) for length in branch.lengths]
    assert branch.to is not None
    assert branch.every is not None
    left = build.steps(branch.to) - k
    found = multiples(branch.every, left, build.per_epoch)
    lengths = [(str(Duration(branch.every.amount * (i + 1), branch.every.unit)), s) for i, s in enumerate(found)]
    whole = left <= 0 or left in found  # the end may lie between two of them: then it is one more
    return lengths if whole else [*lengths, (f"{left}it", left)]


def _noises(study: BranchStudy, seed: int, trunk: Noise) -> list[Noise | None]:
    """Each child's noise; None for the trunk going on."""
    branch = study.branch
    count = branch.children - branch.trunk_is_child
    seeds = branch.noise or tuple(noise.derive(seed, "child", index) for index in range(count))
    own = [trunk.but(**dict.fromkeys(branch.differ, child)) for child in seeds]
    return [None, *own] if branch.trunk_is_child else list(own)


def _pair(
    build: Builder, study: BranchStudy, labels: Mapping[str, Any], trunk: State, trunk_noise: Noise, stop: int
) -> Iterator[Request]:
    """The children at one (k, s): every line between two of them, their merge, and what follows it."""
    streams = _noises(study, labels["seed"], trunk_noise)
    parts = _parts(study, labels["seed"])
    children = [
        build.advance(trunk, trunk_noise, stop)
        if stream is None
        else build.advance(trunk, stream, stop, buffers=study.branch.buffers, part=part)
        for stream, part in zip(streams, parts, strict=True)
    ]
    for first, second in combinations(range(len(children)), 2):
        pair = {**labels, "pair": f"{_name(study, first)}-{_name(study, second)}"}
        yield from build.line("pairs", pair, PathSpec("line", (children[first], children[second])))
    merge = study.merge
    if merge is None or (merge.at is not None and labels["s_steps"] not in [build.steps(at) for at in merge.at]):
        return
    shares = merge.weights or (1.0 / len(children),) * len(children)
    merged = Merge(tuple(children), shares, merge.buffers)
    names = [_name(study, index) for index in range(len(children))]
    brood = Children(trunk, trunk_noise, children, names, streams[0])
    name = {"network": "merge"} | ({"weights": " ".join(map(str, shares))} if merge.weights else {})
    yield from build.network({**labels, **name, "after_steps": 0}, merged)
    for index, network in enumerate(children):
        yield from build.network({**labels, "network": names[index], "after_steps": 0}, network)
    yield from baseline_requests(build, study, labels, brood)
    if merge.after is None or merge.every is None:
        return
    merged_noise = Noise.of(noise.derive(labels["seed"], "merge"))
    recipe = _after_merge(build.recipe, merge, stop)
    for after in multiples(merge.every, build.steps(merge.after), build.per_epoch):
        on = build.advance(merged, merged_noise, stop + after, recipe=recipe)
        yield from build.network({**labels, **name, "after_steps": after}, on)
        for index, stream in enumerate(streams if merge.children_go_on else []):
            more = {**labels, "network": names[index], "after_steps": after}
            yield from build.network(more, build.advance(children[index], stream or trunk_noise, stop + after))


def _parts(study: BranchStudy, seed: int) -> list[Part | None]:
    """What each child trains on; None for the whole training set."""
    count = study.branch.children
    if not study.branch.disjoint:
        return [None] * count
    return [Part("train", share=Share(index, count, seed)) for index in range(count)]


def _after_merge(recipe: Recipe, merge: MergeSpec, step: int) -> Recipe:
    """The recipe of training on from a merge at a step."""
    schedule = recipe.schedule
    if merge.warmup is not None:
        start = Duration.parse(f"{step}it")
        schedule = schedule.model_copy(update={"warmup": merge.warmup, "warmup_start": start})
    return scaled(recipe, merge.factor).model_copy(update={"schedule": schedule})


def _name(study: BranchStudy, index: int) -> str:
    if study.branch.trunk_is_child:
        return "trunk" if index == 0 else f"child{index}"
    return f"child{index + 1}"
