"""What the paper says in words: merges trained to convergence, which alpha, which s, the training set."""

from __future__ import annotations

from pathlib import Path

from isthmus import plots
from isthmus.claims import ABOVE, DIRECTION, Claim, Tables, Values, per_seed
from isthmus.errors import BadInput
from isthmus.papers import Row, Scale
from isthmus.papers.iyer24 import draw, rules
from isthmus.papers.iyer24 import quantities as q
from isthmus.papers.iyer24.setups import NO_MERGE, SHORT, branch, continued, epochs, of, trunk
from isthmus.papers.iyer24.tabulate import tabulate
from isthmus.study import Study
from isthmus.tables import Table

__all__ = ["ROW", "study"]

MERGED, ALONE, LARGE_K = "merged", "unbranched", "k = 20"
SOURCE = "Iyer 2024, text"
LENGTHS = epochs((2, 5, 10))


def study(scale: Scale = "paper") -> Study:
    """Copies merged at k = s = 5 and trained on to the end, two unbranched runs a seed, and k = 20 for three s.

    The unbranched runs of a seed are one from its own initial weights and one from others. At small scale a narrow
    network is trained on 10,000 examples for 60 epochs; five seeds.
    """
    small = scale == "small"
    seeds = list(range(5 if small else 3))
    end = 60 if small else 160
    only = {"evaluate": {"on": ["test"]}}
    way = epochs(range(10, end + 1, 10))
    variants = {
        MERGED: {},
        ALONE: {**trunk(way), **only, "seeds": list(range(2 * len(seeds)))},
        LARGE_K: {**branch(["20ep"], LENGTHS), **only, **NO_MERGE},
    }
    on = continued(f"{end - 10}ep", "5ep", children_go_on=False)
    fields = {"seeds": seeds, "evaluate": {"on": ["test", "train"], "networks_on": ["test"]}}
    return of("text", scale, SHORT if small else {}, branch(["5ep"], ["5ep"]), on, fields, variants=variants)


def _against_unbranched(tables: Tables) -> Values:
    """The final accuracy of each merged run minus the mean of its two unbranched ones."""
    networks = tables["networks"].where(split="test")
    seeds = sorted({row["seed"] for row in networks.where(variant=MERGED)})
    alone = sorted({row["seed"] for row in networks.where(variant=ALONE)})
    if not seeds or len(alone) != 2 * len(seeds):
        raise BadInput(
            f"expected two unbranched runs for each of {len(seeds)} merged ones, found {len(alone)}; give"
            f" variants.{ALONE}.seeds twice as many seeds as seeds has"
        )
    merged, unbranched = _ends(networks, MERGED, "merge"), _ends(networks, ALONE, "trunk")
    return {
        seed: merged[seed] - (unbranched[alone[index]] + unbranched[alone[index + len(seeds)]]) / 2
        for index, seed in enumerate(seeds)
    }


def _ends(networks: Table, variant: str, network: str) -> dict[int, float]:
    values = per_seed(q.end(variant, network))({"networks": networks.where(variant=variant)})
    if told := [value for value in values.values() if isinstance(value, str)]:
        raise BadInput(told[0])
    return {seed: float(value) for seed, value in values.items()}


CLAIMS = (
    Claim(
        id="converges-alike",
        text="Trained to convergence, merged networks are as accurate as those that were never branched.",
        source=SOURCE,
        statistic="final test accuracy of the merge trained on minus the mean of two unbranched runs (points)",
        side="within",
        threshold=(-1.0, 1.0),
        why="within a point counts as equal",
        values=_against_unbranched,
    ),
    Claim(
        id="half-way-is-best",
        text="The gain is largest half way between the copies.",
        source=SOURCE,
        statistic="test accuracy at alpha 1/2 minus the better of those at 1/4 and 3/4, k = s = 5 (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=rules.seeds_of((MERGED,), q.best_alpha(MERGED, "5ep")),
    ),
    Claim(
        id="hardly-depends-on-s",
        text="Once k is large the gain hardly depends on s.",
        source=SOURCE,
        statistic="k = 20 epochs: largest gain minus smallest, over the largest, of s = 2, 5 and 10",
        side="<=",
        threshold=1 / 3,
        why="a third, the prediction",
        values=rules.seeds_of((LARGE_K,), q.spread(LARGE_K, "20ep", LENGTHS)),
    ),
    Claim(
        id="gain-in-training",
        text="The gain is there on the training set too.",
        source=SOURCE,
        statistic="training accuracy half way between the copies minus the mean of the two, k = s = 5 (points)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=rules.seeds_of((MERGED,), q.gain_at(MERGED, "5ep", ["5ep"], split="train")),
    ),
)


def figures(tables: Tables, folder: Path) -> list[Path]:
    """To the end of training; the gain along the line, on both sets; the gain by s."""
    note = draw.note(tables, [MERGED, ALONE, LARGE_K], "Gain: accuracy minus the mean of the two copies.")
    figure, panels = plots.canvas(1, 3, title="Convergence, alpha, s", note=note, panel=(2.5, 2.1))
    networks = draw.measured(tables, "networks", split="test")
    for style, variant, network in ((draw.TRUNK, ALONE, "trunk"), (draw.MERGE, MERGED, "merge")):
        rows = networks.where(variant=variant, network=network) if len(networks) else networks
        draw.by_seed(panels[0], draw.seeded(rows, draw.time, draw.percent), style, label=variant)
    draw.drops(panels[0], tables, MERGED)
    plots.label(panels[0], "To the end", "epoch", "test accuracy (%)")
    for index, split in enumerate(("test", "train")):
        style = {"color": plots.CATEGORICAL[index], "marker": plots.MARKERS[index], "label": split}
        draw.along(panels[1], draw.measured(tables, "lines", MERGED, split=split), style)
    plots.label(panels[1], "Along the line, k = s = 5", "alpha (0, 1: the copies)", "gain (points)")
    gains = draw.measured(tables, "gains", LARGE_K, split="test")
    by_s = draw.seeded(gains, lambda row: float(row["s_epochs"]), lambda row: float(row["gain"]))
    draw.by_seed(panels[2], by_s, draw.COPIES, label=LARGE_K)
    plots.label(panels[2], "By s", "s: epochs apart", "gain (points)")
    for axes in panels[1:]:
        plots.threshold(axes, 0.0)
    for axes in panels:
        plots.legend(axes)
    return plots.save(figure, folder / "text")


ROW = Row(
    name="text",
    paper="iyer24",
    title="ResNet-20 on CIFAR-10: convergence, alpha, s, the training set (text)",
    shows=("text",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=figures,
)
