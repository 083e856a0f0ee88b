"""F4: warming the learning rate up after the merge does not keep the gain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isthmus import plots
from isthmus.claims import Claim, Tables
from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw, merges, rules
from isthmus.papers.iyer24.setups import continued, gains, of
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study

__all__ = ["ROW", "study", "warm"]

PLAIN = "lr .1"
STEPS = (100, 390, 1000, 2000)
SHORT_ONES = (None, 100, 390)  # of the small scale too


def warm(steps: int) -> str:
    """The variant with a warm-up over so many iterations."""
    return f"warm-up over {steps}"


def study(scale: Scale = "paper") -> Study:
    """From the merge of F1 at the same learning rate, and with warm-ups: 10 epochs, at small scale one.

    The paper takes several lengths of the warm-up; here they are 100, 390 (an epoch), 1000 and 2000 iterations.
    """
    after = "1ep" if scale == "small" else "10ep"
    options = continued(after, children_go_on=False)
    steps = STEPS[:2] if scale == "small" else STEPS
    variants: dict[str, Any] = {PLAIN: {}} | {warm(count): {"merge": {"warmup": f"{count}it"}} for count in steps}
    return of("f4", scale, gains(scale, last=True), options, variants=variants)


def _drop(steps: int | None = None) -> Claim:
    """Without a warm-up, or with one over so many iterations; those of the paper scale alone last for epochs."""
    variant = PLAIN if steps is None else warm(steps)
    return Claim(
        id="drop" if steps is None else f"drop-warm-{steps}",
        text="Training on from the merge at the same learning rate, accuracy drops."
        if steps is None
        else "It still drops where the learning rate is warmed up.",
        source="Iyer 2024, F4",
        statistic=f"{variant}: test accuracy of the merge minus its mean over the second half of training on (points)",
        side=">=",
        threshold=1.0,
        why="the prediction: a quarter of the gain that pilots saw; in the second half warm-ups are over, or nearly",
        values=rules.seeds_of((variant,), merges.over(variant, merges.stays_down)),
        scales=rules.BOTH if steps in SHORT_ONES else rules.PAPER,
        was="minus that at the end of training on. Before anything of this row was run, F1's networks, which are those"
        " without a warm-up, had lost 3.98, 1.67 and 2.55 points there: undecided, as single evaluations at this rate"
        " move by points.",
    )


CLAIMS = tuple(map(_drop, (None, *STEPS)))


def figures(tables: Tables, folder: Path) -> list[Path]:
    """F4: accuracy after the merge, a warm-up a colour; the gain along the line."""
    names = draw.there(tables, (PLAIN, *map(warm, STEPS)))
    figure, panels = plots.canvas(
        1, 2, title="Warm-ups after the merge", note=draw.note(tables, names), panel=(3.3, 2.3)
    )
    draw.after_merge(panels[0], tables, names)
    plots.legend(panels[0])
    draw.losses(panels[1], tables, names)
    return plots.save(figure, folder / "F4")


ROW = Row(
    name="f4",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10: warm-ups after the merge (F4)",
    shows=("F4",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=figures,
)
