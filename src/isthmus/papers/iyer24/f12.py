"""F12: a lower learning rate from the merge on keeps the gain, and costs accuracy in the end."""

from __future__ import annotations

from pathlib import Path

from isthmus import plots
from isthmus.claims import EVERY, Claim, Tables
from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw, merges, rules
from isthmus.papers.iyer24 import quantities as q
from isthmus.papers.iyer24.setups import SHORT, continued, epochs, gains, of, trunk
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study
from isthmus.study.overlay import laid_over

__all__ = ["ROW", "study"]

PLAIN, LOW = "lr .1", "lr .01"
EARLY, LATE = "dropped early", "dropped late"


def study(scale: Scale = "paper") -> Study:
    """From the merge of F1 at a tenth of the learning rate, and without: to epoch 160, at small scale for an epoch.

    What an early drop costs in the end: at paper scale the same networks tell, with the drops at 80 and 120 still to
    come in both. At small scale it is told by one network on 10,000 examples for 40 epochs, rates dropped after 12 or
    30, five seeds.
    """
    if scale == "paper":
        on = continued("140ep", "1ep", children_go_on=False)
        return of("f12", scale, gains(scale, last=True), on, variants={PLAIN: {}, LOW: {"merge": {"factor": 0.1}}})
    alone = laid_over(SHORT, trunk(epochs((6, 12, 14, 18, 24, 30, 32, 36, 40)))) | {"seeds": [0, 1, 2, 3, 4]}
    variants = {
        PLAIN: {},
        LOW: {"merge": {"factor": 0.1}},
        EARLY: laid_over(alone, {"recipe": {"schedule": {"milestones": ["12ep"]}}}),
        LATE: laid_over(alone, {"recipe": {"schedule": {"milestones": ["30ep"]}}}),
    }
    return of("f12", scale, gains(scale, last=True), continued("1ep", children_go_on=False), variants=variants)


def _cost(id: str, variants: tuple[str, str], network: str, scale: Scale, why: str) -> Claim:
    late, early = variants
    return Claim(
        id=id,
        text="A learning rate that is dropped early costs accuracy in the end.",
        source="Iyer 2024, F12",
        statistic=f"final test accuracy: {late} minus {early} (points)",
        side=">=",
        threshold=0.5,
        why=why,
        values=rules.seeds_of(variants, q.difference(q.end(late, network), q.end(early, network))),
        scales=(scale,),
    )


CLAIMS = (
    Claim(
        id="drop",
        text="Training on from the merge at the same learning rate, accuracy drops.",
        source="Iyer 2024, F12",
        statistic=f"{PLAIN}: test accuracy of the merge minus its mean over two epochs of training on (points; where"
        " only one is run, over that)",
        side=">=",
        threshold=1.0,
        why="the prediction: a quarter of the gain that pilots saw",
        values=rules.seeds_of((PLAIN,), merges.over(PLAIN, merges.fall)),
        was="minus that one epoch later, for the same reason as in F4.",
    ),
    Claim(
        id="no-drop-at-low-rate",
        text="At a tenth of the learning rate it does not.",
        source="Iyer 2024, F12",
        statistic=f"{LOW}: test accuracy of the merge minus that one epoch later (points)",
        side="<=",
        threshold=0.5,
        why="half a point is within what a single evaluation moves",
        values=rules.seeds_of((LOW,), merges.over(LOW, merges.lost_in_an_epoch)),
        count=EVERY,
    ),
    _cost(
        "early-drop-costs",
        *((LATE, EARLY), "trunk", "small"),
        why="the prediction for a drop after 12 of 40 epochs against one after 30",
    ),
    _cost(
        "low-rate-costs",
        *((PLAIN, LOW), "merge", "paper"),
        why="as at small scale, here for a tenth of the rate from epoch 20 on, the drops at 80 and 120 coming on top",
    ),
)


def figures(tables: Tables, folder: Path) -> list[Path]:
    """F12: accuracy after the merge at both rates; what an early drop costs in the end."""
    ends = [name for name in (LATE, EARLY) if len(draw.measured(tables, "networks", name))]
    variants = [PLAIN, LOW, *ends]
    figure, panels = plots.canvas(
        1, 2, title="A lower learning rate from the merge on", note=draw.note(tables, variants), panel=(3.3, 2.3)
    )
    draw.after_merge(panels[0], tables, (PLAIN, LOW))
    if ends:
        draw.together(panels[1], tables, ends)
    else:
        draw.losses(panels[1], tables, (PLAIN, LOW))
    for axes in panels:
        plots.legend(axes)
    return plots.save(figure, folder / "F12")


ROW = Row(
    name="f12",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10: a lower learning rate after the merge (F12)",
    shows=("F12",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=figures,
)
