"""Names and shapes of other people's state dicts, written out by the rule that they follow, and not by the code."""

from __future__ import annotations

from collections.abc import Iterator

Shapes = dict[str, tuple[int, ...]]
Units = Iterator[tuple[int, int, int, list[tuple[int, int, int]], bool]]


def norm(key: str, channels: int) -> Shapes:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{key}.{part}": (channels,) for part in parts} | {f"{key}.num_batches_tracked": ()}


def units(bottleneck: bool, depths: tuple[int, ...]) -> Units:
    """(stage and unit from 0, channels at its end, convolutions as (outputs, inputs, side), whether it projects)."""
    channels = 64
    for stage, depth in enumerate(depths):
        planes = 64 * 2**stage
        for unit in range(depth):
            wide = [(planes, channels, 1), (planes, planes, 3), (4 * planes, planes, 1)]
            convolutions = wide if bottleneck else [(planes, channels, 3), (planes, planes, 3)]
            outputs = convolutions[-1][0]
            yield stage, unit, outputs, convolutions, unit == 0 and (stage > 0 or bottleneck)
            channels = outputs


def resnet(bottleneck: bool, depths: tuple[int, ...], classes: int = 1000) -> Shapes:
    """torchvision's, and timm's."""
    found = {"conv1.weight": (64, 3, 7, 7)} | norm("bn1", 64)
    channels = 64
    for stage, unit, channels, convolutions, projects in units(bottleneck, depths):
        key = f"layer{stage + 1}.{unit}"
        for index, (outputs, inputs, side) in enumerate(convolutions, start=1):
            found |= {f"{key}.conv{index}.weight": (outputs, inputs, side, side)}
            found |= norm(f"{key}.bn{index}", outputs)
        if projects:
            found |= {f"{key}.downsample.0.weight": (channels, convolutions[0][1], 1, 1)}
            found |= norm(f"{key}.downsample.1", channels)
    return found | {"fc.weight": (classes, channels), "fc.bias": (classes,)}


def hf_resnet(bottleneck: bool, depths: tuple[int, ...], classes: int = 1000) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Those of ResNetForImageClassification in transformers: for each (its name in torchvision, its shape)."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {}

    def convolution(theirs: str, convolved: str, normed: str, shape: tuple[int, ...]) -> None:
        found[f"{theirs}.convolution.weight"] = (f"{convolved}.weight", shape)
        for name, size in norm("x", shape[0]).items():
            found[f"{theirs}.normalization{name[1:]}"] = (normed + name[1:], size)

    convolution("resnet.embedder.embedder", "conv1", "bn1", (64, 3, 7, 7))
    channels = 64
    for stage, unit, channels, convolutions, projects in units(bottleneck, depths):
        theirs, ours = f"resnet.encoder.stages.{stage}.layers.{unit}", f"layer{stage + 1}.{unit}"
        if projects:
            shape = (channels, convolutions[0][1], 1, 1)
            convolution(f"{theirs}.shortcut", f"{ours}.downsample.0", f"{ours}.downsample.1", shape)
        for place, (outputs, inputs, side) in enumerate(convolutions):
            names = f"{ours}.conv{place + 1}", f"{ours}.bn{place + 1}"
            convolution(f"{theirs}.layer.{place}", *names, (outputs, inputs, side, side))
    head = {"classifier.1.weight": ("fc.weight", (classes, channels)), "classifier.1.bias": ("fc.bias", (classes,))}
    return found | head


# a number is a 3x3 convolution of so many outputs, 0 a pool
VGG = {
    "vgg11": [64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0],
    "vgg16": [64, 64, 0, 128, 128, 0, *[256] * 3, 0, *[512] * 3, 0, *[512] * 3, 0],
}


def linear(key: str, outputs: int, inputs: int) -> Shapes:
    return {f"{key}.weight": (outputs, inputs), f"{key}.bias": (outputs,)}


def vgg(name: str, normed: bool) -> Shapes:
    """torchvision's."""
    found: Shapes = {}
    place, channels = 0, 3
    for outputs in VGG[name]:
        if not outputs:
            place += 1
            continue
        found |= {f"features.{place}.weight": (outputs, channels, 3, 3), f"features.{place}.bias": (outputs,)}
        found |= norm(f"features.{place + 1}", outputs) if normed else {}
        place, channels = place + 2 + normed, outputs
    head = linear("classifier.0", 4096, 7 * 7 * 512) | linear("classifier.3", 4096, 4096)
    return found | head | linear("classifier.6", 1000, 4096)


def alexnet() -> Shapes:
    """torchvision's."""
    found: Shapes = {}
    channels = 3
    for place, outputs, side in ((0, 64, 11), (3, 192, 5), (6, 384, 3), (8, 256, 3), (10, 256, 3)):
        found |= {f"features.{place}.weight": (outputs, channels, side, side), f"features.{place}.bias": (outputs,)}
        channels = outputs
    head = linear("classifier.1", 4096, 6 * 6 * 256) | linear("classifier.4", 4096, 4096)
    return found | head | linear("classifier.6", 1000, 4096)
