"""Blocks of networks that nobody divided: the container that holds most of a network is opened."""

from __future__ import annotations

from collections import OrderedDict
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from isthmus.models import blocking


def tree(**children: nn.Module) -> nn.Module:
    made = nn.Module()
    for name, child in children.items():
        setattr(made, name, child)
    return made


def body(depth: int = 3) -> nn.Sequential:
    return nn.Sequential(*(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)) for _ in range(depth)))


def some(count: int = 2) -> nn.Module:
    """A layer with so many tensors that is no container."""
    return tree(**{f"t{index}": nn.Linear(2, 2, bias=False) for index in range(count)})


NETWORKS: dict[str, tuple[nn.Module, list[str]]] = {
    "a container among others": (
        tree(stem=some(), features=body(), classifier=nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))),
        ["stem", "features.0", "features.1", "features.2", "classifier"],
    ),
    "on the way to it": (
        tree(net=tree(embed=some(), encoder=tree(layer=nn.ModuleList(body()), norm=nn.LayerNorm(2))), head=some()),
        ["net.embed", "net.encoder.layer.0", "net.encoder.layer.1", "net.encoder.layer.2", "net.encoder.norm", "head"],
    ),
    "without names of its own for what has no tensors": (
        tree(layers=nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)), head=nn.LayerNorm(2)),
        ["layers.0", "layers.2", "head"],
    ),
    "a container of one is passed through": (
        tree(trunk=nn.Sequential(OrderedDict(only=body(2))), head=some()),
        ["trunk.only.0", "trunk.only.1", "head"],
    ),
    "one of a series stays whole": (
        tree(layer1=body(1), layer2=body(6), head=some()),
        ["layer1", "layer2", "head"],
    ),
    "half is not most": (tree(features=body(2), head=some(8)), ["features", "head"]),
    "no container": (tree(unit=some(7), head=some()), ["unit", "head"]),
    "a layer": (nn.Linear(2, 3), ["weight", "bias"]),
    "a container itself": (nn.Sequential(nn.Linear(2, 3), body(5)), ["0", "1"]),
    "no tensors": (nn.ReLU(), []),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_container_that_holds_most_is_opened(name: str) -> None:
    model, expected = NETWORKS[name]
    found = blocking.opened(model)
    assert list(found) == expected
    blocking.check_partition("it", found, model.state_dict())


def test_a_tensor_on_the_way_is_a_block_of_its_own() -> None:
    model = tree(encoder=tree(layers=body()), head=some())
    model.encoder.register_parameter("place", nn.Parameter(nn.Linear(2, 2).weight.detach()))  # type: ignore[union-attr]
    found = blocking.opened(model)
    assert found["encoder.place"] == ("encoder.place",)
    assert list(found)[:2] == ["encoder.place", "encoder.layers.0"]


shapes = st.recursive(
    st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abcdef"), inner, min_size=1, max_size=4),
    max_leaves=9,
)


def made(shape: object, container: bool) -> nn.Module:
    if isinstance(shape, int):
        return some(shape)
    assert isinstance(shape, dict)
    children = {name: made(inner, not container) for name, inner in shape.items()}
    return nn.Sequential(OrderedDict(children)) if container else tree(**children)


@given(shapes, st.booleans())
def test_blocks_are_a_partition_in_the_order_of_the_state_dict(shape: object, container: bool) -> None:
    model = made(shape, container)
    found = blocking.opened(model)
    blocking.check_partition("it", found, model.state_dict())
    order = [next(b for b, globs in found.items() if any(fnmatchcase(t, g) for g in globs)) for t in model.state_dict()]
    assert list(dict.fromkeys(order)) == list(found)


def test_parts_of_blocks_whose_names_have_dots() -> None:
    blocks = {"features.1": ("features.1.*",), "features.10": ("features.10.*",), "top": ("x.*", "y.*")}
    tensors = ["features.1.0.weight", "features.1.0.bias", "features.10.0.weight", "x.a", "y.a.w", "y.b"]
    assert blocking.within(blocks, "features.1.0", tensors) == ("features.1.0.*",)
    assert blocking.within(blocks, "features.1.0.bias", tensors) == ("features.1.0.bias",)
    assert blocking.within(blocks, "features.10", tensors) == ("features.10.*",)
    assert blocking.within(blocks, "top.a", tensors) == ("x.a", "y.a.*")
    for none in ("features", "features.2", "features.1.", "features.1.7", "top.*", "x.a"):
        assert blocking.within(blocks, none, tensors) == ()
    nested = {"a": ("p.*",), "a.b": ("q.*",)}
    assert blocking.within(nested, "a.b.c", ["q.c", "p.b.c"]) == ("q.c",)
