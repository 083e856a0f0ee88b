"""ResNet, VGG and AlexNet: forward passes written out from the papers, under torchvision's names for the tensors.

Weights of torchvision's networks therefore load as they are. torchvision itself is not needed: the names and shapes of
its state dicts are written out by the rule that they follow.
"""

from __future__ import annotations

import functools

import published_names
import pytest
import torch
import written_out
from torch import Tensor
from torch.nn import functional as F
from written_out import Tensors, inputs

from isthmus import models
from isthmus.errors import BadInput

randomised = functools.partial(written_out.randomised, spread=0.1)  # fifty layers


def assert_same(found: Tensor, expected: Tensor) -> None:
    # double precision: relative rounding 2e-16 over sums of some thousand terms and fifty layers
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def batch_norm(t: Tensors, key: str, x: Tensor) -> Tensor:
    mean, variance, scale, shift = (
        t[f"{key}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def residual(t: Tensors, key: str, x: Tensor, stride: int, sides: tuple[int, ...]) -> Tensor:
    """A unit: convolutions of these sides; the stride is at the first 3x3 one."""
    strided, y = sides.index(3), x
    for index, side in enumerate(sides):
        y = F.conv2d(y, t[f"{key}.conv{index + 1}.weight"], None, stride if index == strided else 1, side // 2)
        y = batch_norm(t, f"{key}.bn{index + 1}", y)
        y = y.clamp(min=0) if index < len(sides) - 1 else y
    if f"{key}.downsample.0.weight" in t:
        x = batch_norm(t, f"{key}.downsample.1", F.conv2d(x, t[f"{key}.downsample.0.weight"], None, stride))
    return (x + y).clamp(min=0)


DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


@pytest.mark.parametrize("name", DEPTHS)
@pytest.mark.parametrize(("stem", "max_pool"), [("3x3", False), ("3x3-unpadded", True), ("7x7", True)])
def test_residual_networks(name: str, stem: str, max_pool: bool) -> None:
    model, t = randomised(name, width=4, classes=7, stem=stem, max_pool=max_pool, input_shape=(2, 33, 37))
    x = inputs(3, 2, 33, 37)
    stride, padding = {"3x3": (1, 1), "3x3-unpadded": (1, 0), "7x7": (2, 3)}[stem]
    h = batch_norm(t, "bn1", F.conv2d(x, t["conv1.weight"], None, stride, padding)).clamp(min=0)
    h = F.max_pool2d(h, 3, 2, 1) if max_pool else h
    for stage, depth in enumerate(DEPTHS[name], start=1):
        for unit in range(depth):
            first = 2 if stage > 1 and unit == 0 else 1
            h = residual(t, f"layer{stage}.{unit}", h, first, (1, 3, 1) if name == "resnet50" else (3, 3))
    assert_same(model(x), h.mean((2, 3)) @ t["fc.weight"].T + t["fc.bias"])
    assert list(models.blocks(name, model)) == ["stem", "stage1", "stage2", "stage3", "stage4", "fc"]


VGG = {
    "vgg11": [64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0],
    "vgg16": [64, 64, 0, 128, 128, 0, *[256] * 3, 0, *[512] * 3, 0, *[512] * 3, 0],
}


@pytest.mark.parametrize("name", VGG)
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("head", ["linear", "imagenet"])
def test_vgg(name: str, norm: str, head: str) -> None:
    model, t = randomised(name, width=4, classes=7, norm=norm, head=head, input_shape=(2, 33, 65))
    h, place = inputs(3, 2, 33, 65), 0
    for channels in VGG[name]:
        if not channels:
            h, place = F.max_pool2d(h, 2), place + 1
            continue
        assert t[f"features.{place}.weight"].shape[0] == channels // 16
        h = F.conv2d(h, t[f"features.{place}.weight"], t[f"features.{place}.bias"], padding=1)
        if norm == "batch":
            h, place = batch_norm(t, f"features.{place + 1}", h), place + 1
        h, place = h.clamp(min=0), place + 2
    h = F.adaptive_avg_pool2d(h, 1 if head == "linear" else 7).flatten(1)
    layers = (0,) if head == "linear" else (0, 3, 6)
    for layer in layers:
        h = h @ t[f"classifier.{layer}.weight"].T + t[f"classifier.{layer}.bias"]
        h = h if layer == layers[-1] else h.clamp(min=0)
    assert_same(model(inputs(3, 2, 33, 65)), h)
    convolutions = sum(channels > 0 for channels in VGG[name])
    linear = ["fc"] if head == "linear" else ["fc1", "fc2", "fc3"]
    assert list(models.blocks(name, model)) == [f"conv{index}" for index in range(1, convolutions + 1)] + linear


def test_vgg_with_narrowed_layers() -> None:
    model = models.initialise("vgg11", 3, width=8, narrow={"conv3": 0.5, "conv6": 0.25})
    widths = [tensor.shape[0] for tensor in model.state_dict().values() if tensor.ndim == 4]
    assert widths == [8, 16, 16, 32, 64, 16, 64, 64]
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    with pytest.raises(BadInput, match=r"^Model vgg11: narrow has no layer 'conv9'; did you mean"):
        models.build("vgg11", narrow={"conv9": 0.5})
    with pytest.raises(BadInput, match=r"^Model vgg11: argument narrow: .*greater than 0"):
        models.build("vgg11", narrow={"conv2": 0.0})


@pytest.mark.parametrize(("form", "side"), [("224", 71), ("64", 37)])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_alexnet(form: str, side: int, norm: str) -> None:
    model, t = randomised("alexnet", width=4, classes=7, form=form, norm=norm, input_shape=(2, side, side + 4))
    x = inputs(3, 2, side, side + 4)
    h = x
    steps = {0: (4 if form == "224" else 2, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)}
    for index, (place, (stride, padding)) in enumerate(steps.items(), start=1):
        h = F.conv2d(h, t[f"features.{place}.weight"], t[f"features.{place}.bias"], stride, padding)
        h = batch_norm(t, f"features.norm{index}", h) if norm == "batch" and index < 3 else h
        h = h.clamp(min=0)
        h = F.max_pool2d(h, 3, 2) if index < 3 or (index == 5 and form == "224") else h
    h = F.adaptive_avg_pool2d(h, 6).flatten(1)
    for layer in (1, 4, 6):
        h = h @ t[f"classifier.{layer}.weight"].T + t[f"classifier.{layer}.bias"]
        h = h if layer == 6 else h.clamp(min=0)
    assert_same(model(x), h)
    assert list(models.blocks("alexnet", model)) == [*(f"conv{i}" for i in range(1, 6)), "fc1", "fc2", "fc3"]


def test_pictures_that_are_too_small() -> None:
    for name, shape in (("vgg16", (3, 32, 31)), ("alexnet", (3, 62, 224))):
        with pytest.raises(BadInput, match=rf"^Model {name}: .* needs a height and width of at least"):
            models.build(name, input_shape=shape)


# --- torchvision's names and shapes ------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEPTHS)
def test_the_state_dict_of_torchvisions_residual_networks(name: str) -> None:
    with torch.device("meta"):
        model = models.build(name, stem="7x7", max_pool=True, classes=1000, input_shape=(3, 224, 224))
    expected = published_names.resnet(name == "resnet50", DEPTHS[name])
    assert {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()} == expected


def test_the_state_dicts_of_torchvisions_vgg16_bn_and_alexnet() -> None:
    with torch.device("meta"):
        vgg = models.build("vgg16", head="imagenet", classes=1000, input_shape=(3, 224, 224)).state_dict()
        alexnet = models.build("alexnet", norm="none", classes=1000).state_dict()
    kernels = {int(key.split(".")[1]) for key, tensor in vgg.items() if tensor.ndim == 4}
    assert kernels == {0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40}
    assert {key: tuple(tensor.shape) for key, tensor in vgg.items() if "classifier" in key and tensor.ndim == 2} == {
        "classifier.0.weight": (4096, 25088),
        "classifier.3.weight": (4096, 4096),
        "classifier.6.weight": (1000, 4096),
    }
    assert {key: tuple(tensor.shape) for key, tensor in alexnet.items() if tensor.ndim > 1} == {
        "features.0.weight": (64, 3, 11, 11),
        "features.3.weight": (192, 64, 5, 5),
        "features.6.weight": (384, 192, 3, 3),
        "features.8.weight": (256, 384, 3, 3),
        "features.10.weight": (256, 256, 3, 3),
        "classifier.1.weight": (4096, 9216),
        "classifier.4.weight": (4096, 4096),
        "classifier.6.weight": (1000, 4096),
    }


# --- initial values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_initial_values(name: str) -> None:
    """Moments of many draws: the standard deviation of n normal values is known to 1 / sqrt(2 n) of itself."""
    for init, fan in (("kaiming", 1), ("fan-out", 0)):
        model = models.initialise(name, 7, init=init, input_shape=(3, 32, 32))
        kernels = {key: tensor for key, tensor in model.state_dict().items() if tensor.ndim == 4}
        for key, kernel in kernels.items():
            fans = kernel.shape[fan] * kernel.shape[2] * kernel.shape[3]
            deviation = (2 / fans) ** 0.5
            assert abs(float(kernel.std()) / deviation - 1) < 5 / (2 * kernel.numel()) ** 0.5, (init, key)
    scales = [tensor for key, tensor in models.initialise(name, 7, init="kaiming").state_dict().items()]
    uniform = [tensor for tensor in scales if tensor.ndim == 1 and 0 <= tensor.min() < 0.1 and 0.9 < tensor.max() <= 1]
    assert len(uniform) >= 8
