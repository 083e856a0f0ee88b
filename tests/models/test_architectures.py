"""Each architecture against a forward pass written out from its definition."""

from __future__ import annotations

import itertools
import math
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from written_out import Tensors, inputs, randomised

from isthmus import models
from isthmus.errors import BadInput


def affine(t: Tensors, key: str, x: Tensor) -> Tensor:
    return x @ t[f"{key}.weight"].T + t[f"{key}.bias"]


def assert_same(found: Tensor, expected: Tensor) -> None:
    # double precision: relative rounding 2e-16 over sums of at most some thousand terms and tens of layers
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


def test_mlp() -> None:
    model, t = randomised("mlp", input_shape=(2, 3, 5), hidden=[7, 4, 6], classes=3)
    x = inputs(9, 2, 3, 5)
    h = x.reshape(9, 30)
    for layer in ("layer1", "layer2", "layer3"):
        h = affine(t, layer, h).clamp(min=0)
    assert_same(model(x), affine(t, "layer4", h))
    assert list(models.blocks("mlp", model)) == ["layer1", "layer2", "layer3", "layer4"]


def test_mlp_without_hidden_layers_is_linear() -> None:
    model, t = randomised("mlp", input_shape=(4,), hidden=(), outputs=1)
    x = inputs(6, 4)
    assert_same(model(x), affine(t, "layer1", x))


def test_mlp_dropout_acts_in_training_only() -> None:
    model = models.initialise("mlp", 3, input_shape=(6,), hidden=(300,), dropout=0.25)
    x = inputs(2, 6).float()
    hidden: list[Tensor] = []
    model.get_submodule("layer2").register_forward_pre_hook(lambda _, args: hidden.append(args[0]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model.train()(x)
    model.eval()(x)
    kept = hidden[0] != 0
    torch.testing.assert_close(hidden[0][kept], hidden[1][kept] / 0.75)
    alive = hidden[1] != 0
    share = float(kept[alive].float().mean())
    assert abs(share - 0.75) < 4 * math.sqrt(0.25 * 0.75 / int(alive.sum()))


@pytest.mark.parametrize(
    ("activation", "function"), [("relu", F.relu), ("tanh", torch.tanh), ("sigmoid", torch.sigmoid)]
)
@pytest.mark.parametrize("activate", ["after", "before"])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (15, 22)])
def test_lenet5(activation: str, function: object, activate: str, height: int, width: int) -> None:
    assert callable(function)
    shape = (2, height, width)
    model, t = randomised("lenet5", activation=activation, activate=activate, input_shape=shape, classes=3)

    def pooled(h: Tensor) -> Tensor:
        if activate == "after":
            return cast(Tensor, function(F.avg_pool2d(h, 2)))
        return F.avg_pool2d(function(h), 2)

    x = inputs(4, 2, height, width)
    h = pooled(F.conv2d(x, t["conv1.weight"], t["conv1.bias"], padding=2))
    h = pooled(F.conv2d(h, t["conv2.weight"], t["conv2.bias"])).flatten(1)
    h = function(affine(t, "fc2", function(affine(t, "fc1", h))))
    assert_same(model(x), affine(t, "fc3", h))


def test_lenet5_layer_sizes_are_lecuns() -> None:
    model = models.build("lenet5")
    counts = {name: models.count_parameters(child) for name, child in model.named_children()}
    expected = {"conv1": 156, "conv2": 2_416, "fc1": 48_120, "fc2": 10_164, "fc3": 850}
    assert {name: count for name, count in counts.items() if count} == expected


@pytest.mark.parametrize(("form", "hidden"), [("paper", [203]), ("released", [128]), ("later", [256, 128])])
def test_reduced_vgg(form: str, hidden: list[int]) -> None:
    model, t = randomised("reduced_vgg", form=form, input_shape=(3, 10, 17), classes=6)
    x = inputs(4, 3, 10, 17)
    h = x
    for convolution in ("conv1", "conv2"):
        h = F.max_pool2d(F.conv2d(h, t[f"{convolution}.weight"], t[f"{convolution}.bias"], padding=1).clamp(min=0), 2)
    h = h.flatten(1)
    layers = [name for name in models.blocks("reduced_vgg", model) if name.startswith("fc")]
    for layer in layers[:-1]:
        h = affine(t, layer, h).clamp(min=0)
    assert_same(model(x), affine(t, layers[-1], h))
    widths = [t[f"{layer}.weight"].shape[0] for layer in layers]
    assert widths == [*hidden, 6]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("paper", [("Dropout", 0.3)]),
        ("released", [("Dropout2d", 0.15), ("Dropout", 0.3)]),
        ("later", [("Dropout", 0.3)] * 2),
    ],
)
def test_reduced_vgg_drops_out_after_each_hidden_layer(form: str, expected: list[tuple[str, float]]) -> None:
    model = models.build("reduced_vgg", form=form, dropout=0.3)
    found = [
        (type(module).__name__, module.p)
        for module in model.children()
        if isinstance(module, nn.Dropout | nn.Dropout2d)
    ]
    assert found == expected
    order = [name for name, _ in model.named_children()]
    assert form != "released" or order.index("dropout0") == order.index("pool2") + 1


def normalised(t: Tensors, key: str, x: Tensor, norm: str) -> Tensor:
    if norm == "none":
        return x
    scale, shift = (t[f"{key}.{part}"][:, None, None] for part in ("weight", "bias"))
    if norm == "batch":
        mean, var = (t[f"{key}.running_{part}"][:, None, None] for part in ("mean", "var"))
    elif norm == "layer":
        mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0)
    else:
        groups = math.gcd(8, x.shape[1])
        grouped = x.reshape(len(x), groups, -1)
        repeats = x.shape[1] // groups
        mean, var = (
            part.repeat_interleave(repeats, 1)[:, :, None, None]
            for part in (grouped.mean(2), grouped.var(2, correction=0))
        )
    return (x - mean) / (var + 1e-5).sqrt() * scale + shift


@pytest.mark.parametrize("norm", ["batch", "layer", "group", "none"])
def test_resnet20(norm: str) -> None:
    model, t = randomised("resnet20", norm=norm, width=3, input_shape=(2, 13, 10), classes=5)
    x = inputs(4, 2, 13, 10)

    def convolved(key: str, x: Tensor, stride: int, padding: int) -> Tensor:
        return F.conv2d(x, t[f"{key}.weight"], t.get(f"{key}.bias"), stride, padding)

    h = normalised(t, "stem.norm", convolved("stem.conv", x, 1, 1), norm).clamp(min=0)
    for stage, unit in itertools.product((1, 2, 3), range(3)):
        key, stride = f"stage{stage}.{unit}", 2 if stage > 1 and unit == 0 else 1
        inner = normalised(t, f"{key}.norm1", convolved(f"{key}.conv1", h, stride, 1), norm).clamp(min=0)
        inner = normalised(t, f"{key}.norm2", convolved(f"{key}.conv2", inner, 1, 1), norm)
        if stride == 2:
            h = normalised(t, f"{key}.shortcut.norm", convolved(f"{key}.shortcut.conv", h, 2, 0), norm)
        h = (h + inner).clamp(min=0)
    assert_same(model(x), affine(t, "fc", h.mean((2, 3))))
    assert list(models.blocks("resnet20", model)) == ["stem", "stage1", "stage2", "stage3", "fc"]


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_resnet_depth_counts_its_weighted_layers(depth: int) -> None:
    model = models.build(f"resnet{depth}", width=2)
    weighted = [
        key
        for key, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in key
    ]
    assert len(weighted) == depth


def test_resnet_initial_values() -> None:
    model = models.initialise("resnet20", 1, width=24)
    scales: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            # the sample deviation of n normal numbers has a relative standard error of 1 / sqrt(2 n)
            n = module.weight.numel()
            weight = module.weight.detach()
            assert abs(float(weight.std()) / math.sqrt(2 / fan_in) - 1) < 4.5 / math.sqrt(2 * n)
            assert abs(float(weight.mean())) < 4.5 * math.sqrt(2 / fan_in / n)
        if isinstance(module, nn.BatchNorm2d):
            assert not module.bias.any()
            scales.append(module.weight.detach())
    drawn = torch.cat(scales)
    assert 0 <= float(drawn.min()) < 0.01
    assert 0.99 < float(drawn.max()) < 1
    assert abs(float(drawn.mean()) - 0.5) < 4.5 / math.sqrt(12 * len(drawn))


def test_resnet_layer_norm_starts_at_scale_one() -> None:
    model = models.build("resnet20", norm="layer")
    scales = [module.weight for module in model.modules() if isinstance(module, nn.LayerNorm)]
    assert len(scales) == 21
    assert all(bool((scale == 1).all()) for scale in scales)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("lenet5", (1, 11, 28), "at least 12, found (1, 11, 28)"),
        ("lenet5", (1, 28, 11), "at least 12, found (1, 28, 11)"),
        ("reduced_vgg", (3, 32, 3), "at least 4, found (3, 32, 3)"),
        ("resnet20", (3, 32), "at least 3 items"),
    ],
)
def test_pictures_that_are_too_small_are_refused(name: str, shape: tuple[int, ...], expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        models.build(name, input_shape=shape)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape"), [("lenet5", (1, 12, 13)), ("reduced_vgg", (2, 4, 7)), ("resnet20", (1, 1, 2))]
)
def test_the_smallest_pictures_work(name: str, shape: tuple[int, ...]) -> None:
    assert models.build(name, input_shape=shape).eval()(torch.ones(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "wrong", "expected"),
    [
        ("lenet5", {"activation": "rleu"}, "argument activation cannot be 'rleu'; did you mean \"relu\"?"),
        ("resnet20", {"norm": "bach"}, "argument norm cannot be 'bach'; did you mean \"batch\"?"),
        ("reduced_vgg", {"dropout": 1.0}, "argument dropout: input should be less than 1, found 1.0."),
        ("mlp", {"hidden": (5, "x")}, "argument hidden: input should be a valid integer, found (5, 'x')."),
    ],
)
def test_bad_values_get_a_sentence(name: str, wrong: dict[str, object], expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        models.build(name, **wrong)
    assert expected in str(caught.value)


@pytest.mark.parametrize(("form", "least"), [("64", 19), ("224", 63)])
def test_the_smallest_pictures_that_alexnet_takes(form: str, least: int) -> None:
    """Convolution and pools by their sizes: (n + 4 - 11) // s + 1, then (n - 3) // 2 + 1 for each pool, is still 1."""
    model = models.build("alexnet", form=form, input_shape=(3, least, least), width=2).eval()
    assert model(torch.zeros(1, 3, least, least)).shape == (1, 10)
    with pytest.raises(BadInput, match=f"height and width of at least {least}"):
        models.build("alexnet", form=form, input_shape=(3, least - 1, least))
