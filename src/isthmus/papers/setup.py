"""What a row trains and measures, as a table: the numbers that a paper's section on its set-up gives.

The same table is shown before a run (``isthmus reproduce ... --dry-run``), written beside its results and printed in
the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isthmus.recipe import ByBlock, Recipe
from isthmus.study import Baselines, BranchStudy, InitToFinalStudy, Results, Start, Study
from isthmus.study.read import each
from isthmus.study.requests import Ground
from isthmus.study.sections import ChooseSpec
from isthmus.tables import Table

__all__ = ["blocks", "described", "named", "setup"]


def setup(results: Results) -> Table:
    """A row a variant of what was run: see :func:`described`."""
    return described(results.study, results.expansion.grounds, results.counts)


def described(
    study: Study, grounds: Mapping[str, Ground] | None = None, counts: Mapping[str, int | None] | None = None
) -> Table:
    """A row a variant (one for a study without variants, named ""): network, data, recipe, times, evaluation.

    Times are as the study gives them (``10ep``, ``500it``); ``epoch`` is the number of steps in an epoch and
    ``examples`` that of training examples, both missing where the data were not looked at (``grounds`` None);
    ``counts`` are the numbers of parameters, by variant as well.
    """
    parts = each(study)
    return Table.of(_row(name, one, (grounds or {}).get(name), (counts or {}).get(name)) for name, one in parts.items())


def blocks(table: Table) -> list[str]:
    """A table of :func:`described` as lines of text: what all variants have in common once, then what each has."""
    common = {name for name in table.columns if len(set(table[name])) == 1} - {"variant"}
    head = _lines({name: table[name][0] for name in table.columns if name in common})
    if len(table) == 1:
        return head
    found = ["All variants:", *(f"  {line}" for line in head)]
    for row in table:
        own = _lines({name: row[name] for name in table.columns if name not in common and name != "variant"})
        found += [f"{row['variant']}:", *(f"  {line}" for line in own or ["as above"])]
    return found


def _lines(fields: Mapping[str, Any]) -> list[str]:
    told = {name: value for name, value in fields.items() if value not in (None, "")}
    width = max(map(len, told), default=0)
    return [f"{name.ljust(width)}  {value}" for name, value in told.items()]


def _row(name: str, study: Study, ground: Ground | None, parameters: int | None) -> dict[str, Any]:
    optimizer = study.recipe.optimizer
    found: dict[str, Any] = {
        "variant": name,
        "network": named(study.model.name, study.model.arguments),
        "parameters": parameters,
        "data": named(study.data.name, study.data.options),
        "examples": None if ground is None else ground.data.train,
        "epoch": None if ground is None else ground.steps_per_epoch,
        "batch": study.recipe.batch_size,
        "optimizer": optimizer.name,
        "lr": optimizer.lr,
        "momentum": optimizer.momentum if optimizer.name == "sgd" else None,
        "weight_decay": optimizer.weight_decay,
        "by_block": "; ".join(map(_rule, optimizer.by_block)),
        "schedule": _schedule(study.recipe),
        "loss": study.recipe.loss,
        "augment": _augment(study.recipe),
        "start": _start(study.start),
    }
    found |= _branch(study) if isinstance(study, BranchStudy) else _to(study)
    evaluate, alphas = study.evaluate, study.evaluate.points
    recomputed = evaluate.norm_stats == "recompute"
    even = alphas == tuple(index / (len(alphas) - 1) for index in range(len(alphas)))
    return found | {
        "alphas": len(alphas) if even else " ".join(f"{alpha:g}" for alpha in alphas),
        "on": " ".join([*study.evaluate.on, *_splits(study), *(["augmented"] if evaluate.augmented else [])]),
        "norm_stats": evaluate.norm_stats,
        "networks_on": " ".join(evaluate.networks_on or ()) or None,
        "measured_on": f"{evaluate.stats_examples} in batches of {evaluate.stats_batch}" if recomputed else None,
        "seeds": len(study.seeds),
    }


def named(name: str, arguments: Mapping[str, Any]) -> str:
    """A network or data set with the arguments that it is given.

    >>> named("resnet20", {"width": 8, "input_shape": [3, 32, 32]})
    'resnet20(width=8, input_shape=3x32x32)'
    """
    inside = ", ".join(f"{key}={_plain(value)}" for key, value in arguments.items())
    return f"{name}({inside})" if inside else name


def _plain(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _rule(rule: ByBlock) -> str:
    blocks = rule.blocks if isinstance(rule.blocks, str) else " ".join(rule.blocks)
    decay = "" if rule.weight_decay is None else f", weight decay {rule.weight_decay:g}"
    return f"{blocks}: lr x {rule.factor:g}{decay}"


def _schedule(recipe: Recipe) -> str:
    schedule = recipe.schedule
    found: list[str] = []
    if schedule.warmup is not None:
        found.append(f"warm-up over {schedule.warmup}")
    if schedule.milestones:
        found.append(f"x {schedule.factor:g} at {' '.join(map(str, schedule.milestones))}")
    if schedule.cosine is not None:
        found.append(f"cosine to {schedule.cosine}")
    if schedule.drop is not None:
        found.append(f"x {schedule.drop:g} from {schedule.drop_start}")
    return ", ".join(found) or "constant"


def _augment(recipe: Recipe) -> str:
    augment = recipe.augment
    found = [f"crop {augment.crop}"] * bool(augment.crop) + ["flip"] * augment.flip
    return " ".join(found + [f"brightness {augment.brightness:g}"] * bool(augment.brightness)) or "none"


def _start(start: Start | None) -> str:
    if start is None:
        return "initial weights"
    if start.pretrain is None:
        text = f"file {start.file}"
    else:
        before = start.pretrain
        changed = [
            f"{key} {_flat(value)}" for key, value in (("data", before.data), ("recipe", before.recipe)) if value
        ]
        until = [] if before.until is None else [f"until {before.until.on} accuracy {before.until.accuracy:g}"]
        text = ", ".join([f"trained {before.to}", *until, *changed])
    if start.at != 1.0:
        offset = f"{start.offset:+d}{' or the end' if start.clip else ''}" if start.offset else ""
        points = f" of {len(start.points)} points" if start.points else ""
        text += f", at {start.at}{offset} of the line{points}"
    if start.blocks:
        text += f", {'new' if start.new else 'only'} {' '.join(start.blocks)}"
    return text


def _flat(value: Mapping[str, Any]) -> str:
    """A table in words: values behind their names, lists with spaces, "none" for an empty one."""
    found = []
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            found.append(_flat(inner) if inner else f"{key}=none")
        else:
            found.append(f"{key}={' '.join(map(str, inner)) if isinstance(inner, list | tuple) else inner}")
    return " ".join(found)


def _texts(durations: Iterable[object]) -> str:
    return " ".join(map(str, durations))


def _splits(study: Study) -> list[str]:
    scores = study.evaluate.scores
    if scores is None:
        return []
    return [f"and {scores.splits} parts of {scores.examples} by {scores.score} ({scores.runs} runs to {scores.at})"]


def _branch(study: BranchStudy) -> dict[str, Any]:
    branch, merge = study.branch, study.merge
    if branch.trunk_alone:
        return {"k": _texts(branch.at), "s": "the trunk alone"}
    s = _texts(branch.lengths) if branch.lengths else f"every {branch.every} to {branch.to} in all"
    s += ", on disjoint parts of the data" if branch.disjoint else ""
    found: dict[str, Any] = {"k": _texts(branch.at), "s": s, "children": branch.children, "buffers": branch.buffers}
    if study.baselines is not None:
        found["baselines"] = _baselines(study.baselines)
    if merge is None:
        return found | {"merged": None}
    at = "every s" if merge.at is None else _texts(merge.at)
    after = "" if merge.after is None else f", then {merge.after}"
    after += f" with warm-up over {merge.warmup}" if merge.warmup is not None else ""
    after += f" at lr x {merge.factor:g}" if merge.factor != 1.0 else ""
    found |= {"merged": f"at {at}{after}", "merged_buffers": merge.buffers}
    if merge.after is None:
        return found
    return found | {"looked_at": f"every {merge.every}", "copies_go_on": "yes" if merge.children_go_on else "no"}


def _baselines(baselines: Baselines) -> str:
    ema, longer = baselines.ema, baselines.longer
    found = ["ensemble"] * baselines.ensemble
    found += [f"ema every {ema.every}, half-life {ema.half_life}"] if ema is not None else []
    if longer is not None:
        found.append(f"longer at lr x {' '.join(f'{factor:g}' for factor in longer.factor)}")
    return "; ".join(found)


def _to(study: Study) -> dict[str, Any]:
    assert isinstance(study, InitToFinalStudy)
    to = study.train
    until = "" if to.until is None else f", until {to.until.on} accuracy {to.until.accuracy:g}"
    blocks = to.blocks if isinstance(to.blocks, str) else " ".join(to.blocks)
    found = {"to": f"{to.to}{until}", "paths": " ".join(to.paths), "blocks": blocks or "whole only"}
    found |= {"blocks_on": " ".join(to.blocks_on)} if to.blocks_on else {}
    return found | ({"chosen": _chosen(study.choose)} if study.choose is not None else {})


def _chosen(choose: ChooseSpec) -> str:
    among = choose.blocks if isinstance(choose.blocks, str) else " ".join(choose.blocks)
    return f"blocks that rise by {choose.threshold:g} or more, of {among}"
