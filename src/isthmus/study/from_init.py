"""The family *init-to-final*: paths between initial, final and fresh weights, whole and block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from isthmus import noise
from isthmus.errors import BadInput
from isthmus.nodes import Init, PathSpec
from isthmus.study.checking import built
from isthmus.study.model import InitToFinalStudy
from isthmus.study.requests import Builder, Request

__all__ = ["path_requests"]


def path_requests(build: Builder, study: InitToFinalStudy) -> Iterator[Request]:
    """Every path of every seed, whole and block by block; "initial" is where training starts, whatever that is."""
    to = study.train
    stop = build.steps(to.to)
    blocks = moving_blocks(build, study)
    if build.problems:
        return
    for seed in study.seeds:
        initial = build.start(seed)
        final = build.advance(initial, build.trunk_noise(seed), stop, until=to.until)
        states = {"initial": initial, "final": final, "fresh": Init(build.model, noise.derive(seed, "fresh"))}
        if study.evaluate.networks_on is not None:
            for name in ("initial", "final"):
                yield from build.network({"seed": seed, "network": name}, states[name])
        for path in to.paths:
            first, _, second = path.partition("->")
            ends = (states[first], states[second])
            labels = {"seed": seed, "path": path}
            moving = blocks if to.moves_blocks(path) else {}
            yield from build.line("paths", {**labels, "block": "all"}, PathSpec("line", ends), blocks=moving or None)
            rest = _rest(first, to.rest)
            for block, patterns in moving.items():
                spec = PathSpec("blocks", ends, patterns, "a" if rest == "a" else "b")
                yield from build.line("paths", {**labels, "block": block}, spec, blocks=blocks)


def _rest(first: str, wanted: str) -> str:
    final = "a" if first == "final" else "b"
    other = "b" if final == "a" else "a"
    return final if wanted == "final" else other


def moving_blocks(build: Builder, study: InitToFinalStudy) -> dict[str, tuple[str, ...]]:
    """The blocks to move, by name; asking the model for its blocks loads torch."""
    wanted = study.train.blocks
    if not wanted:
        return {}
    from isthmus.models.blocking import matching, within

    try:
        model, known = built(study.model)
    except BadInput as error:
        build.problems.append(f"model: {error}")
        return {}
    if wanted == "all":
        return known
    tensors = list(model.state_dict())
    if isinstance(wanted, Mapping):
        for name, globs in wanted.items():
            for index, glob in enumerate(globs):
                if not matching((glob,), tensors):
                    build.problems.append(
                        f"train.blocks.{name}.{index}: expected a pattern that matches a tensor of {study.model.name}"
                        f" (such as {tensors[0]}), found {glob!r}."
                    )
        return dict(wanted)
    found = {name: within(known, name, tensors) for name in wanted}
    for index, name in enumerate(wanted):
        if not found[name]:
            build.problems.append(
                f"train.blocks.{index}: expected a block of {study.model.name} ({', '.join(known)}) or a part of one,"
                f" found {name!r}."
            )
    return found
