"""Networks that were pre-trained on other pictures; figure 2A."""

from __future__ import annotations

import functools
from typing import Any

from isthmus.claims import EVERY, Claim, per_seed
from isthmus.papers import Row, Scale
from isthmus.papers.vlaar22 import draw, setups
from isthmus.papers.vlaar22 import quantities as q
from isthmus.papers.vlaar22.tabulate import tabulate
from isthmus.study import Study, from_mapping

__all__ = ["ROW", "fine_tuning", "pretraining", "study", "substitute"]

SCRATCH, PRETRAINED = "scratch", "pre-trained"
DEEP_SCRATCH, DEEP_PRETRAINED = "ResNet-50 scratch", "ResNet-50 pre-trained"
FRESH = "fresh->final"
DEEP = {"name": "resnet50", "stem": "7x7", "max_pool": True, "classes": 100}


def fine_tuning(scale: Scale) -> dict[str, Any]:
    """The recipe of a pre-trained network: learning rate 0.001, divided by ten after 30 epochs.

    At small scale 0.01, divided by ten after 10 epochs: there are a sixteenth of the steps, and how far a network is
    fine-tuned goes with the sum of the rates over them, 14.5 at paper scale. At 0.001 that would be .9, and networks
    end below those from scratch; at 0.01 it is 9.5 (notes of row ``f2a``).
    """
    if scale == "paper":
        return {"optimizer": {"lr": 0.001}, "schedule": {"milestones": ["30ep"]}}
    return {"optimizer": {"lr": 0.01}, "schedule": {"milestones": ["10ep"]}}


def pretraining(scale: Scale) -> dict[str, Any]:
    """A ``pretrain`` on 20 classes of Tiny ImageNet at the size of CIFAR's pictures, by the base recipe."""
    return {
        "to": f"{setups.epochs(scale)}ep",
        "data": {"name": "tiny_imagenet", "size": 32, "classes": 20},
        "recipe": {"optimizer": {"lr": 0.1}, "schedule": {"milestones": setups.drops(scale)}},
    }


def study(scale: Scale = "paper") -> Study:
    """Training from initial weights beside training on from pre-trained ones, by their lower learning rate.

    At paper scale these are ImageNet's, from torchvision's files ``weights/resnet18.pth`` and ``weights/resnet50.pth``
    below the folder of data sets: ResNet-18 on CIFAR-10 with a new last layer and a new first convolution, which is
    3x3 here, ResNet-50 on CIFAR-100 with a new last layer. At small scale the network is trained on Tiny ImageNet
    first. The path from other initial weights to the final ones is the paper's from the final ones, read backwards.
    """
    if scale == "small":
        return substitute(scale)
    content = _content(scale, {"file": "weights/resnet18.pth", "new": ["conv1.*", "fc"]})
    deep = {"model": DEEP, "data": {"name": "cifar100"}}
    start = {"file": "weights/resnet50.pth", "new": ["fc"]}
    content["variants"] |= {
        DEEP_SCRATCH: deep,
        DEEP_PRETRAINED: {**deep, "recipe": fine_tuning(scale), "start": start},
    }
    return from_mapping(content, where=f"vlaar22 f2a at {scale} scale")


def substitute(scale: Scale) -> Study:
    """The same with pre-training on Tiny ImageNet at hand, and CIFAR-10 in place of CIFAR-100."""
    start = {"pretrain": pretraining(scale), "new": ["fc"]}
    content = _content(scale, start)
    if scale == "paper":
        deep = {"model": {"name": "resnet50"}}
        content["variants"] |= {
            DEEP_SCRATCH: deep,
            DEEP_PRETRAINED: {**deep, "recipe": fine_tuning(scale), "start": start},
        }
    return from_mapping(content, where=f"vlaar22 f2a at {scale} scale")


def _content(scale: Scale, start: dict[str, Any]) -> dict[str, Any]:
    content = setups.base(scale, "f2a")
    content["train"] |= {"paths": ["initial->final", FRESH], "blocks_on": ["initial->final"]}
    content["variants"] = {SCRATCH: {}, PRETRAINED: {"recipe": fine_tuning(scale), "start": start}}
    return content


PAPER = "Vlaar & Frankle 2022, F2A"


def _claims(scratch: str, pretrained: str, prefix: str, network: str, scales: tuple[str, ...]) -> tuple[Claim, ...]:
    return (
        Claim(
            id=f"{prefix}monotone",
            text=f"From pre-trained weights on the loss of {network} falls all the way to the final ones.",
            source=PAPER,
            statistic="rise of the test loss on the path of the whole network (nats)",
            side="<=",
            threshold=0.02,
            why="less than half of the least rise that is called a barrier",
            values=per_seed(q.rise(pretrained)),
            count=EVERY,
            published="monotone",
            scales=scales,
        ),
        Claim(
            id=f"{prefix}better",
            text=f"Pre-training makes {network} more accurate.",
            source=PAPER,
            statistic="test accuracy of the pre-trained network minus that from scratch (points)",
            side=">=",
            threshold=1.0,
            why="several times the spread over seeds",
            values=per_seed(q.gain(pretrained, scratch)),
            published="better",
            scales=scales,
        ),
        Claim(
            id=f"{prefix}plateau-from-fresh",
            text=f"From fresh initial weights the loss to the same final weights of {network} is a plateau.",
            source=PAPER,
            statistic="1 where the label of the path of the whole network from fresh weights is P, else 0",
            side=">=",
            threshold=1.0,
            why="the label itself, in every seed",
            values=per_seed(q.is_shape(pretrained, "P", route=FRESH)),
            count=EVERY,
            published="plateau",
            scales=scales,
        ),
    )


CLAIMS = (
    *_claims(SCRATCH, PRETRAINED, "", "ResNet-18", ("small", "paper")),
    *_claims(DEEP_SCRATCH, DEEP_PRETRAINED, "resnet50-", "ResNet-50", ("paper",)),
)

LOOK = draw.Look("Pre-training on other pictures", routes=("initial->final", FRESH))

ROW = Row(
    name="f2a",
    paper="vlaar22",
    title="ResNet-18 on CIFAR-10 and ResNet-50 on CIFAR-100 from pre-trained weights (F2A)",
    shows=("F2A",),
    study=study,
    tables=tabulate,
    claims=CLAIMS,
    figures=functools.partial(draw.draw, "F2A", LOOK),
    substitute=substitute,
)
