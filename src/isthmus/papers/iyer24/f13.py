"""F13: training on for long at the full learning rate: training accuracy falls at first, then rises."""

from __future__ import annotations

from pathlib import Path

from isthmus import plots
from isthmus.claims import ABOVE, DIRECTION, EVERY, Claim, Tables
from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw, merges, rules
from isthmus.papers.iyer24.setups import SHORT, branch, continued, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study

__all__ = ["ROW", "study"]

COPIES = "copies"
SOURCE = "Iyer 2024, F13"


def study(scale: Scale = "paper") -> Study:
    """k = s = 5 epochs, then 150 at a learning rate of .1; small: k = 20, s = 5, then 40, a narrow network.

    At small scale there are 10,000 examples: 20 epochs of 79 steps are as many steps as 4 epochs of all, while after 10
    accuracy still rises so steeply that a gain is not lost, the paper's exception (1, 1).
    """
    small = scale == "small"
    on = continued("40ep" if small else "150ep", "1ep", children_go_on=False)
    constant = {"recipe": {"schedule": {"milestones": []}}, "evaluate": {"on": ["test", "train"]}}
    short = SHORT if small else {}
    return of("f13", scale, short, branch(["20ep" if small else "5ep"], ["5ep"]), on, constant, variants={COPIES: {}})


CLAIMS = (
    Claim(
        id="training-accuracy-falls",
        text="The epoch after the merge lowers training accuracy as well.",
        source=SOURCE,
        statistic="training accuracy of the merge minus that one epoch later (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=rules.seeds_of((COPIES,), merges.over(COPIES, merges.lost_in_an_epoch, split="train")),
        count=EVERY,
    ),
    Claim(
        id="training-accuracy-rises",
        text="After that it rises: what is lost at first is not lost to over-fitting.",
        source=SOURCE,
        statistic="training accuracy in the mean of the last five epochs minus that one epoch after the merge (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=rules.seeds_of((COPIES,), merges.over(COPIES, merges.regained, split="train")),
        count=EVERY,
    ),
)


def figures(tables: Tables, folder: Path) -> list[Path]:
    """F13: training and test accuracy of the merge as it is trained on."""
    title, note = "Long training on at the full rate", draw.note(tables, [COPIES])
    figure, panels = plots.canvas(1, 2, title=title, note=note, panel=(3.3, 2.3))
    for axes, split in zip(panels, ("train", "test"), strict=True):
        draw.after_merge(axes, tables, (COPIES,), split)
        heading = "Training set" if split == "train" else "Test set"
        plots.label(axes, heading, "epochs after the merge", f"{split} accuracy (%)")
    return plots.save(figure, folder / "F13")


ROW = Row(
    name="f13",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10: training on for long at a constant rate (F13)",
    shows=("F13",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=figures,
)
