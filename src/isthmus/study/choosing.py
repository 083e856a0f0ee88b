"""What a study chooses by measurements of runs of their own: blocks by their barriers, examples by their scores."""

from __future__ import annotations

from collections.abc import Iterator

from isthmus import noise
from isthmus.errors import BadInput
from isthmus.importance import SCORES
from isthmus.nodes import Choose, Init, Part, PathMeasure, PathSpec, Scores, State, advance
from isthmus.noise import Noise
from isthmus.study.checking import built
from isthmus.study.model import ChooseSpec, InitToFinalStudy, ScoresSpec
from isthmus.study.requests import Builder

__all__ = ["barrier_choice", "score_choice"]


def barrier_choice(build: Builder) -> Choose | None:
    """Which blocks show a barrier in the study's base run; None where no rule asks for it."""
    study, choose = build.study, build.study.choose or ChooseSpec()
    rules = build.recipe.optimizer.by_block
    named = tuple(rule for rule in rules if not isinstance(rule.blocks, str))
    if len(named) == len(rules):
        return None
    to, until = choose.to, None
    if isinstance(study, InitToFinalStudy):
        to, until = choose.to or study.train.to, study.train.until
    assert to is not None  # checked with the lengths
    optimizer = build.recipe.optimizer.model_copy(update={"by_block": named})
    recipe = build.recipe.model_copy(update={"optimizer": optimizer})
    moving = list(_candidates(build, choose))
    if not moving:
        return None
    measures = []
    for _, tensors, _ in moving:
        for seed in study.seeds:
            initial = build.start(seed)
            final = advance(initial, recipe, build.data, build.trunk_noise(seed), build.steps(to), until=until)
            path = PathSpec("blocks", (initial, final), tensors, "b")
            measures.append(_measure(build, choose, path))
    blocks = [[name, list(parameters)] for name, _, parameters in moving]
    return Choose(measures[0], "blocks", {"blocks": blocks, "threshold": choose.threshold}, tuple(measures[1:]))


def _measure(build: Builder, choose: ChooseSpec, path: PathSpec) -> PathMeasure:
    evaluate = build.study.evaluate
    part = Part.parse(choose.on or evaluate.on[0])
    return build.measure(path, part, choose.points or evaluate.points)


def _candidates(build: Builder, choose: ChooseSpec) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Each block that may be chosen: its name, and the patterns of its tensors and of its parameters."""
    from isthmus.models.blocking import within

    try:
        model, known = built(build.study.model)
    except BadInput as error:
        build.problems.append(f"model: {error}")
        return
    tensors, parameters = list(model.state_dict()), [name for name, _ in model.named_parameters()]
    for index, name in enumerate(known if choose.blocks == "all" else choose.blocks):
        own = within(known, name, parameters)
        if own:
            yield name, within(known, name, tensors), own
        elif choose.blocks != "all":
            build.problems.append(
                f"choose.blocks.{index}: expected a block of {build.study.model.name} ({', '.join(known)}) or a part of"
                f" one, with parameters, found {name!r}."
            )


def score_choice(build: Builder, spec: ScoresSpec) -> Choose | None:
    """Which examples are in which split by the rank of their score; None where there are too few."""
    part, to = Part.parse(spec.examples), build.steps(spec.at)
    count = part.count(build.data)
    if spec.splits > count:
        build.problems.append(
            f"evaluate.scores.splits: expected at most as many as there are examples ({count:,}), found {spec.splits}."
        )
        return None
    score = SCORES[spec.score]
    looks = list(range(build.per_epoch, to + 1, build.per_epoch)) if score.every_epoch else [to]
    networks = tuple(network for run in range(spec.runs) for network in _run(build, run, looks))
    loss = {"loss": build.recipe.loss} if score.read is None else {}
    how = {"parts": spec.splits} | ({"mixed": True} if score.every_epoch else {})  # counts are often equal
    return Choose(Scores(networks, build.data, part, spec.score, len(looks), **loss), "splits", how)


def _run(build: Builder, run: int, looks: list[int]) -> Iterator[State]:
    """The networks of one run for scores, in the order in which they are looked at."""
    initial = Init(build.model, noise.derive("scores", run, "init"))
    for step in looks:
        yield build.advance(initial, Noise.of(noise.derive("scores", run, "noise")), step)
