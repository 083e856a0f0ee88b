"""Classifiers of torchvision: ``torchvision:resnet18``; its models for other tasks are no classifiers of pictures.

Its networks take pictures of 3 channels. ``input_shape`` tells the size to those that are made for one (vision
transformers, MaxViT); the others take any.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from isthmus.adapters import Adapter, Asked
from isthmus.errors import BadInput

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ADAPTER"]

# by the start of a name: the argument that says the height and width, and how
SIZED = {"vit_": "image_size", "maxvit_": "input_size"}

# in training these return further outputs, or warn about initial values that are to change, unless told
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")
}

_IMAGENET = {"classes": 1000, "input_shape": (3, 224, 224)}
_RESNET = {"stem": "7x7", "max_pool": True, **_IMAGENET}
_VGG = {"head": "imagenet", **_IMAGENET}

SAME: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{name: (name, _RESNET) for name in ("resnet18", "resnet34", "resnet50")},
    **{name: (name, {"norm": "none", **_VGG}) for name in ("vgg11", "vgg16")},
    **{f"{name}_bn": (name, {"norm": "batch", **_VGG}) for name in ("vgg11", "vgg16")},
    "alexnet": ("alexnet", {"norm": "none", "form": "224", **_IMAGENET}),
}


def _known(package: ModuleType) -> Collection[str]:
    names: Collection[str] = package.models.list_models(module=package.models)
    return names


def _build(package: ModuleType, asked: Asked) -> nn.Module:
    theirs: dict[str, Any] = {} if asked.classes is None else {"num_classes": asked.classes}
    if asked.input_shape is not None:
        theirs |= _sized(asked, *asked.input_shape)
    arguments = {**DEFAULTS.get(asked.model, {}), **asked.saying(**theirs)}
    made: nn.Module = package.models.get_model(asked.model, weights=None, **arguments)
    return made


def _sized(asked: Asked, channels: int, height: int, width: int) -> dict[str, Any]:
    what = f"Model {asked.name}: argument input_shape:"
    if channels != 3:
        raise BadInput(f"{what} torchvision's networks take 3 channels, found {channels}; timm's take any number.")
    argument = next((argument for start, argument in SIZED.items() if asked.model.startswith(start)), None)
    if argument == "image_size" and height != width:
        raise BadInput(f"{what} this network takes square pictures, found {height}x{width}.")
    return {} if argument is None else {argument: height if argument == "image_size" else (height, width)}


def _blocks(name: str, model: nn.Module) -> Mapping[str, tuple[str, ...]]:
    from isthmus.models import blocking

    if set(blocking.children(model)) == {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"}:
        return blocking.FOUR_STAGES
    return _layers(model) if name.startswith(("vgg", "alexnet")) else blocking.opened(model)


def _layers(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Each convolution with its normalisation, then each linear layer: as the blocks of our own VGG and AlexNet."""
    places: dict[str, tuple[str, ...]] = {}
    counts = {"conv": 0, "fc": 0}
    kinds = {4: "conv", 2: "fc"}
    for name, tensor in model.state_dict().items():
        place, _, last = name.rpartition(".")
        if last != "weight":
            continue
        if tensor.ndim in kinds:
            kind = kinds[tensor.ndim]
            counts[kind] += 1
            block = f"{kind}{counts[kind]}"
        places[block] = (*places.get(block, ()), f"{place}.*")
    return places


ADAPTER = Adapter(
    package="torchvision",
    extra="vision",
    summary="Classifiers of torchvision by name, such as torchvision:resnet18.",
    known=_known,
    build=_build,
    blocks=_blocks,
    never=("weights", "pretrained", "weights_backbone", "pretrained_backbone"),
    same=SAME,
)
