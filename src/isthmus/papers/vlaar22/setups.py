"""The base set-up at both scales, as plain mappings that every row of the paper changes in its own way.

Rows that train the same networks start from these mappings, so that a network is trained once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.papers import Scale

__all__ = [
    "BATCH",
    "BLOCKS",
    "DECAYS",
    "LESS",
    "MORE",
    "NONE",
    "USUAL",
    "Content",
    "base",
    "drops",
    "epochs",
    "evaluate",
    "examples",
    "random_labels",
    "resnet18",
    "seeds",
    "vgg11",
]

Content = dict[str, Any]

BATCH = 128
NONE, LESS, USUAL, MORE = "0", "less", "base", "more"
DECAYS: dict[Scale, dict[str, float]] = {
    "paper": {NONE: 0.0, LESS: 1e-4, USUAL: 5e-4, MORE: 5e-3},
    "small": {NONE: 0.0, LESS: 1e-3, USUAL: 5e-3, MORE: 1.5e-2},
}
"""Weight decays by name: those of figure 7, that of the base set-up among them, at small scale ten times that.

Below a normalisation the size of the weights does not matter: what their decay does is to make the network forget
where it started, and how far depends on the product of learning rate, decay and steps. Small scale takes a sixteenth
of the steps (2,370 of 39,100). With the published decay its networks hardly forget: the path of the whole network
falls all the way and no block has a barrier. Of the four published decays 5e-3 is the nearest to the same product,
and its networks were the most accurate, as those of the published base are (notes of row ``f7``). "More" is three
times that: at ten times (5e-2) a network hardly learns (20 %). Of networks without a normalisation the same product,
summed over the steps, says by what factor decay shrinks their weights: e^-.44 here, e^-.72 at paper scale.
"""
BLOCKS = ("stem", "stage1", "stage2", "stage3", "stage4", "stage4.0", "fc")
"""The blocks of a residual network that move alone: its parts, and the first unit of the fourth stage by itself."""


def epochs(scale: Scale) -> int:
    """How long networks are trained: 100 epochs, at small scale 30."""
    return 100 if scale == "paper" else 30


def drops(scale: Scale) -> list[str]:
    """When the learning rate is divided by ten: after 33 and 66 epochs of 100, at small scale 10 and 20 of 30."""
    return ["33ep", "66ep"] if scale == "paper" else ["10ep", "20ep"]


def seeds(scale: Scale, *, small: int = 3, paper: int = 10) -> list[int]:
    """The seeds, the same ones from 0 on in every row."""
    return list(range(paper if scale == "paper" else small))


def examples(scale: Scale) -> int:
    """How many examples of CIFAR-10 there are to train on: all, at small scale 10,000."""
    return 50_000 if scale == "paper" else 10_000


def resnet18(scale: Scale) -> Content:
    """ResNet-18 with batch normalisation, at small scale of a quarter of the width.

    The paper does not give its stem. Here it is a padded 3x3 convolution and the max-pool behind it is kept: the
    paper's accuracy of 92.2 % is that of such a network, while one without the max-pool reaches about 95 % by
    this recipe. Row ``f1b`` at paper scale trains the other stems as well.
    """
    return {"name": "resnet18", "stem": "3x3", "max_pool": True} | _width(scale)


def vgg11(scale: Scale) -> Content:
    """VGG-11 with batch normalisation and one linear layer, at small scale of a quarter of the width."""
    return {"name": "vgg11"} | _width(scale)


def _width(scale: Scale) -> Content:
    return {} if scale == "paper" else {"width": 16}


def evaluate(scale: Scale) -> Content:
    """51 points on the whole test set, at small scale 26 on 2,500 of it; statistics travel like parameters.

    Networks by themselves are evaluated on the whole test set at either scale.
    """
    found = {"alphas": 51, "on": ["test"]} if scale == "paper" else {"alphas": 26, "on": ["test:2500"]}
    return {**found, "norm_stats": "interpolate", "networks_on": ["test"]}


def base(scale: Scale, name: str, *, model: Mapping[str, Any] | None = None) -> Content:
    """A network from framework-default initial weights on CIFAR-10; by default :func:`resnet18` and its blocks.

    SGD of momentum 0.9, weight decay 5e-4 (at small scale see :data:`DECAYS`), batches of 128, learning rate 0.1
    divided by ten twice, cross-entropy, crops after padding by 4 and flips; ten seeds, at small scale three.
    """
    blocks = list(BLOCKS) if model is None else "all"
    return {
        "name": f"vlaar22-{name}",
        "family": "init-to-final",
        "seeds": seeds(scale),
        "model": resnet18(scale) if model is None else dict(model),
        "data": {"name": "cifar10"} | ({} if scale == "paper" else {"examples": examples(scale)}),
        "recipe": {
            "batch_size": BATCH,
            "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": DECAYS[scale][USUAL]},
            "schedule": {"milestones": drops(scale)},
            "augment": {"crop": 4, "flip": True},
        },
        "train": {"to": f"{epochs(scale)}ep", "paths": ["initial->final"], "blocks": blocks},
        "evaluate": evaluate(scale),
    }


def random_labels(scale: Scale) -> Content:
    """A ``pretrain`` on random labels until all of them are known: of every example, at small scale of 5,000.

    Without weight decay and without augmentation, either of which keeps a network from knowing them by heart. The
    paper gives no schedule; the learning rate falls only where the constant one did not suffice.
    """
    return {
        "to": "300ep",
        "until": {"accuracy": 1.0},
        "data": {"random_labels": 7} | ({} if scale == "paper" else {"examples": 5_000}),
        "recipe": {
            "optimizer": {"lr": 0.1, "weight_decay": 0.0},
            "schedule": {"milestones": ["100ep", "200ep"]},
            "augment": {},
        },
    }
