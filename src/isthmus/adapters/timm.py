"""Models of timm: ``timm:resnet18``, named without the tag of trained weights.

``input_shape`` tells the number of channels, and the size to those networks that are made for one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from isthmus.adapters import Adapter, Asked

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ADAPTER"]

_RESNET = {"stem": "7x7", "max_pool": True, "classes": 1000, "input_shape": (3, 224, 224)}


def _known(package: ModuleType) -> Collection[str]:
    names: Collection[str] = package.list_models()
    return names


def _build(package: ModuleType, asked: Asked) -> nn.Module:
    theirs: dict[str, Any] = {} if asked.classes is None else {"num_classes": asked.classes}
    if asked.input_shape is not None:
        channels, height, width = asked.input_shape
        theirs["in_chans"] = channels
        if getattr(package.get_pretrained_cfg(asked.model), "fixed_input_size", False):
            theirs["img_size"] = (height, width)
    made: nn.Module = package.create_model(asked.model, pretrained=False, **asked.saying(**theirs))
    return made


def _blocks(name: str, model: nn.Module) -> Mapping[str, tuple[str, ...]]:
    from isthmus.models import blocking

    staged = {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"}
    return blocking.FOUR_STAGES if set(blocking.children(model)) == staged else blocking.opened(model)


ADAPTER = Adapter(
    package="timm",
    extra="vision",
    summary="Models of timm by name without a tag, such as timm:resnet18.",
    known=_known,
    build=_build,
    blocks=_blocks,
    never=("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path"),
    same={name: (name, _RESNET) for name in ("resnet18", "resnet34", "resnet50")},
)
