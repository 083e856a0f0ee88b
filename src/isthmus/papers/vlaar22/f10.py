"""Deeper residual networks; figure 10."""

from __future__ import annotations

import functools

from isthmus.claims import ABOVE, DIRECTION, Claim, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import conditions, draw, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Study, from_mapping

__all__ = ["ROW", "study"]

BASE, DEEPER, DEEPEST = "ResNet-18", "ResNet-34", "ResNet-50"


def study(scale: Scale = "paper") -> Study:
    """The base set-up with ResNet-18 and ResNet-34, at paper scale with ResNet-50 as well."""
    content = setups.base(scale, "f10")
    content["variants"] = {BASE: {}, DEEPER: {"model.name": "resnet34"}}
    if scale == "paper":
        content["variants"][DEEPEST] = {"model.name": "resnet50"}
    return from_mapping(content, where=f"vlaar22 f10 at {scale} scale")


PAPER = "Vlaar & Frankle 2022, F10"


def _claim(name: str, network: str, scales: tuple[str, ...]) -> Claim:
    return Claim(
        id=name,
        text=f"{network} has higher block barriers than ResNet-18.",
        source=PAPER,
        statistic="largest rise of the test loss over blocks (stem, 1 to 4, fc) when each moves alone: that of"
        f" {network} minus that of ResNet-18 (nats)",
        side=">=",
        threshold=ABOVE,
        why=DIRECTION,
        values=per_seed(
            conditions.where_blocks_rise(q.difference(q.largest_rise(network), q.largest_rise(BASE)), network, BASE)
        ),
        published="higher block barriers",
        scales=scales,
    )


CLAIMS = (
    _claim("deeper-higher-block-barriers", DEEPER, ("small", "paper")),
    _claim("deepest-higher-block-barriers", DEEPEST, ("paper",)),
)

ROW = Row(
    name="f10",
    paper="vlaar22",
    title="ResNet-18, ResNet-34 and (paper scale) ResNet-50 on CIFAR-10 (F10)",
    shows=("F10",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=functools.partial(draw.draw, "F10", draw.Look("Depth", ordered=True, metrics=("loss", "accuracy"))),
)
