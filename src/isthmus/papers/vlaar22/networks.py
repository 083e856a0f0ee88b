"""The two networks whose blocks have barriers or not, and rules for the ones and for the others (F9, T2, A16, TA4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.papers import Scale
from isthmus.papers.vlaar22 import setups
from isthmus.papers.vlaar22.setups import Content

__all__ = ["NETWORKS", "RESNET18", "VGG11", "Network", "base", "slower", "undecayed"]

Rule = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """A network and its parts: those that have a barrier when they move alone by the base recipe, and the others.

    Attributes:
        name: how its variants are called.
        title: its name in texts.
        barrier: the published blocks with barriers, by the names of our blocks or of parts of them.
        others: the rest of the network.
    """

    name: str
    title: str
    barrier: tuple[str, ...]
    others: tuple[str, ...]


RESNET18 = Network("resnet18", "ResNet-18", ("stage2", "stage3", "stage4.0"), ("stem", "stage1", "stage4.1", "fc"))
"""Blocks 2, 3 and the first unit of block 4."""

VGG11 = Network("vgg11", "VGG-11", ("conv3", "conv4", "conv5", "conv6", "conv7"), ("conv1", "conv2", "conv8", "fc"))
"""Layers 4 to 10 of its configuration list, counted from 0 with its max-pools: the third to the seventh convolution."""

NETWORKS = (RESNET18, VGG11)


def base(scale: Scale, network: Network, *, small: int = 5) -> Content:
    """The base set-up with this network; at small scale so many seeds."""
    model = None if network is RESNET18 else setups.vgg11(scale)
    return setups.base(scale, network.name, model=model) | {"seeds": setups.seeds(scale, small=small)}


def slower(blocks: Sequence[str] | str) -> Content:
    """Changes by which these blocks learn at a tenth of the learning rate of the others."""
    return _rule({"factor": 0.1}, blocks)


def undecayed(blocks: Sequence[str]) -> Content:
    """Changes by which these blocks have no weight decay."""
    return _rule({"weight_decay": 0.0}, blocks)


def _rule(rule: Rule, blocks: Sequence[str] | str) -> Content:
    named = blocks if isinstance(blocks, str) else list(blocks)
    return {"recipe": {"optimizer": {"by_block": [{"blocks": named, **rule}]}}}
