from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from isthmus.models.layers import AveragePool2x2, AveragePoolTo, ChannelNorm, PointwiseConv2d, PooledConv2d, make_norm

SIDES = st.integers(min_value=2, max_value=9)


@given(batch=st.integers(1, 4), channels=st.integers(1, 7), height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_average_pool_is_the_frameworks(batch: int, channels: int, height: int, width: int, seed: int) -> None:
    x = torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(seed))
    for picture in (x, x.to(memory_format=torch.channels_last)):
        # both sum four quarters; the order of the sum may differ by roundings of 6e-8 of terms around 1
        torch.testing.assert_close(AveragePool2x2()(picture), F.avg_pool2d(x, 2), rtol=1e-6, atol=1e-6)


def test_average_pool_has_the_frameworks_gradient() -> None:
    x = torch.randn(3, 5, 7, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    upstream = torch.randn(3, 5, 3, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    gradients = []
    for pool in (AveragePool2x2(), nn.AvgPool2d(2)):
        leaf = x.clone().requires_grad_()
        pool(leaf).backward(upstream)
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_average_pool_keeps_type_and_memory_format(dtype: torch.dtype) -> None:
    x = torch.arange(240.0).reshape(2, 5, 4, 6).to(dtype).to(memory_format=torch.channels_last)
    pooled = AveragePool2x2()(x)
    assert pooled.dtype == dtype
    assert pooled.is_contiguous(memory_format=torch.channels_last)


def test_average_pool_works_under_vmap() -> None:
    x = torch.randn(3, 2, 5, 6, 4, generator=torch.Generator().manual_seed(2))
    expected = torch.stack([F.avg_pool2d(one, 2) for one in x])
    torch.testing.assert_close(torch.vmap(AveragePool2x2())(x), expected)


def test_channel_norm_normalises_each_pixel_over_channels() -> None:
    layer = ChannelNorm(6).double()
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.5, 2, 6))
        layer.bias.copy_(torch.linspace(-1, 1, 6))
    x = 3 + 2 * torch.randn(4, 6, 5, 7, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0)
    expected = (x - mean) / (var + 1e-5).sqrt() * layer.weight[:, None, None] + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_channel_norm_gives_the_same_bits_in_either_memory_format() -> None:
    layer = ChannelNorm(6)
    x = torch.randn(4, 6, 5, 7, generator=torch.Generator().manual_seed(8))
    last = layer(x.to(memory_format=torch.channels_last))
    assert torch.equal(layer(x), last)
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("channels", "groups"), [(16, 8), (64, 8), (12, 4), (5, 1)])
def test_group_norm_takes_at_most_eight_groups(channels: int, groups: int) -> None:
    layer = make_norm("group", channels)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups


def test_each_norm_is_the_layer_it_names() -> None:
    assert isinstance(make_norm("batch", 5), nn.BatchNorm2d)
    assert isinstance(make_norm("layer", 5), ChannelNorm)
    assert isinstance(make_norm("none", 5), nn.Identity)


@given(
    channels=st.integers(1, 4),
    outputs=st.integers(1, 5),
    side=st.sampled_from([1, 3, 5]),
    padding=st.integers(0, 2),
    height=st.integers(7, 12),
    seed=st.integers(0, 99),
)
def test_pooled_convolution_is_a_convolution_then_a_pool(
    channels: int, outputs: int, side: int, padding: int, height: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = PooledConv2d(channels, outputs, side, padding=padding).double()
    x = torch.randn(3, channels, height, height + 2, dtype=torch.float64)
    expected = F.avg_pool2d(F.conv2d(x, layer.weight, layer.bias, padding=padding), 2)
    for picture in (x, x.to(memory_format=torch.channels_last)):
        torch.testing.assert_close(layer(picture), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(12, 16), (20, 12), (13, 17)])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("channels_last", [False, True])
def test_two_pooled_convolutions_that_pass_on_squares_are_two_convolutions_then_pools(
    height: int, width: int, padding: int, channels_last: bool
) -> None:
    torch.manual_seed(5)
    side = 5 if padding else 1
    first = PooledConv2d(3, 4, side, padding, "out").double()
    second = PooledConv2d(4, 2, 3, squares="in").double()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(2, 3, height, width, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    inner = F.avg_pool2d(F.conv2d(x, first.weight, first.bias, padding=padding), 2)
    expected = F.avg_pool2d(F.conv2d(inner.tanh(), second.weight, second.bias), 2)
    torch.testing.assert_close(first(x), F.pixel_unshuffle(inner, 2), rtol=1e-12, atol=1e-12)
    found = second(first(x).tanh())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    _same_gradients(found, expected, [x, *first.parameters(), *second.parameters()])


@pytest.mark.parametrize("channels", [1, 4, 6, 12])
def test_strided_pointwise_convolution_is_the_frameworks(channels: int) -> None:
    torch.manual_seed(4)
    layer = PointwiseConv2d(channels, 5, 1, stride=(2, 3)).double()
    x = torch.randn(3, channels, 7, 8, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(x, layer.weight, layer.bias, stride=(2, 3))
    found = layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    _same_gradients(found, expected, [x, *layer.parameters()])


def _same_gradients(found: torch.Tensor, expected: torch.Tensor, parameters: list[torch.Tensor]) -> None:
    upstream = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, parameters, upstream),
        torch.autograd.grad(expected, parameters, upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(7, 9), (6, 6), (12, 6), (4, 5)])
def test_pooling_to_a_size_is_the_frameworks_and_nothing_at_that_size(shape: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(7))
    found = AveragePoolTo(6)(x)
    assert torch.equal(found, F.adaptive_avg_pool2d(x, 6))
    assert (found is x) == (shape == (6, 6))
