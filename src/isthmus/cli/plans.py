"""``--dry-run``: what a command would compute and what that costs, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from isthmus.cli import audit, hardware
from isthmus.cli.options import Options

if TYPE_CHECKING:
    from isthmus.graph import Plan
    from isthmus.study import Study
    from isthmus.study.expand import Published
    from isthmus.study.requests import Expansion

__all__ = ["explain", "explain_audit", "explain_row"]


def explain(study: Study, options: Options) -> None:
    """What a study would do, without doing it."""
    import json

    expansion, plan = _planned(study, options)
    print(json.dumps(study.model_dump(mode="json", exclude_none=True), indent=1))
    print()
    _counts(study, expansion, plan)
    print(f"Cost: about {plan.cost:.3g} forward passes of one example.")


def explain_row(study: Study, scale: Literal["small", "paper"], options: Options) -> None:
    """What a study would train and what that costs, without doing it; what is not at hand is as it is published."""
    from isthmus.execute import cores
    from isthmus.papers.costs import networks, of_plan, on_h100, seconds
    from isthmus.papers.listing import resting_on, rough
    from isthmus.papers.setup import blocks, described
    from isthmus.speed import this_machine
    from isthmus.study.needs import needs

    wanted = needs(study, options.data)
    parted = scale == "paper" and any(need.there for need in wanted)
    expansion, plan = _planned(study, options, published="all" if parted else "absent")
    print("\n".join(blocks(described(study, expansion.grounds))), end="\n\n")
    for need in wanted:
        if need.there is None or (parted and need.there):
            print(f"Not at hand: {need.lacking}; counted as it is published.")
        elif need.there:
            print(f"At hand of {need.name}: {need.there}.")
    _counts(study, expansion, plan)
    found = of_plan(plan)
    machine = this_machine(options.workers or cores(), options.store)
    print(
        f"{networks(found)} networks to train: about {rough(seconds(found, machine))} on this machine,"
        f" {rough(on_h100(found))} on an H100."
    )
    print("\n".join(resting_on(machine)), end="\n\n")


def explain_audit(study: Study, options: Options) -> None:
    """What ``--audit`` would add, where it is asked for."""
    if options.audits:
        where = {"data_root": options.data, "device": hardware.device(options.device)}
        audit.explain(study, options.store, options.audit_of or (), **where)


def _planned(study: Study, options: Options, *, published: Published = "no") -> tuple[Expansion, Plan]:
    """The nodes of a study and what of them the store lacks; no store is made for that."""
    import tempfile

    from isthmus.store import Store
    from isthmus.study import prepare

    device = hardware.device(options.device)
    with tempfile.TemporaryDirectory() as empty:
        place = options.store if options.store.exists() else Path(empty)
        return prepare(study, Store(place), data_root=options.data, device=device, published=published)


def _counts(study: Study, expansion: Expansion, plan: Plan) -> None:
    """What of a study is to be computed."""
    from collections import Counter

    kinds = Counter(node.kind for node in plan.pending.values())
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
    for name, ground in expansion.grounds.items():
        what = f"{study.name}, {name}" if name else study.name
        print(f"{what}: {ground.data.train:,} training examples, {ground.steps_per_epoch} steps an epoch.")
    targets = {node.key for node in expansion.targets}
    print(f"To compute: {counts}; at hand: {plan.present} of {len(targets)} measurements.")
