"""Other people's checkpoints under our names, and which of our models is one of theirs; on names and shapes."""

from __future__ import annotations

import random

import published_names
import pytest
import torch
from published_names import Shapes
from torch import Tensor, nn

from isthmus import adapters, models
from isthmus.errors import BadWeights
from isthmus.models import foreign

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
PUBLISHED: dict[str, Shapes] = {
    **{name: published_names.resnet(name == "resnet50", depths) for name, depths in DEPTHS.items()},
    **{name: published_names.vgg(name, normed=False) for name in ("vgg11", "vgg16")},
    **{f"{name}_bn": published_names.vgg(name, normed=True) for name in ("vgg11", "vgg16")},
    "alexnet": published_names.alexnet(),
}


def empty(shapes: Shapes) -> dict[str, Tensor]:
    with torch.device("meta"):
        return {name: torch.empty(shape) for name, shape in shapes.items()}


def ours(name: str, **arguments: object) -> nn.Module:
    with torch.device("meta"):  # nothing is drawn
        return models.build(name, **arguments)


def resnet(name: str, classes: int = 1000) -> nn.Module:
    return ours(name, stem="7x7", max_pool=True, classes=classes, input_shape=(3, 224, 224))


EVERY = [(prefix, name) for prefix in adapters.names() for name in adapters.find(f"{prefix}:").same]


@pytest.mark.parametrize(("prefix", "name"), EVERY)
def test_our_counterpart_has_the_published_names_and_shapes(prefix: str, name: str) -> None:
    found = models.counterpart(f"{prefix}:{name}")
    assert found is not None
    model = ours(found[0], **found[1])
    assert {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()} == PUBLISHED[name]
    theirs = empty(PUBLISHED[name])
    assert models.translate(theirs, model) == theirs  # tensors of the meta device are equal where they are the same


def test_which_models_have_a_counterpart() -> None:
    assert {name for prefix, name in EVERY if prefix == "torchvision"} == set(PUBLISHED)
    assert {name for prefix, name in EVERY if prefix == "timm"} == set(DEPTHS)
    assert all(models.counterpart(name) is None for name in ("torchvision:vit_b_16", "hf:resnet", "resnet18", "a.b:c"))


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
@pytest.mark.parametrize("name", DEPTHS)
def test_the_residual_networks_of_transformers(name: str, prefix: str) -> None:
    table = published_names.hf_resnet(name == "resnet50", DEPTHS[name])
    theirs = empty({prefix + key: shape for key, (_, shape) in table.items()})
    found = models.translate(theirs, resnet(name))
    assert list(found) == list(resnet(name).state_dict())
    assert len(found) == len(table)
    for key, (torchvisions, _) in table.items():
        assert found[torchvisions] is theirs[prefix + key]


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module.model.", "model._orig_mod.module."])
def test_prefixes_of_wrappers(prefix: str) -> None:
    model = models.initialise("lenet5", 3)
    tensors = list(model.state_dict().items())
    random.Random(5).shuffle(tensors)
    given = {prefix + name: tensor for name, tensor in tensors}
    before = dict(given)
    found = models.translate(given, model)
    assert list(found) == list(model.state_dict())
    assert all(found[name] is tensor for name, tensor in tensors)
    assert given == before


def test_a_model_whose_own_names_begin_as_a_wrappers_do() -> None:
    model = nn.ModuleDict({"model": nn.ModuleDict({"model": nn.Linear(2, 3)})})
    own = model.state_dict()
    assert list(models.translate(own, model)) == ["model.model.weight", "model.model.bias"]
    wrapped = {f"model.{name}": tensor for name, tensor in own.items()}
    assert list(models.translate(wrapped, model)) == list(own)


def test_counters_that_old_checkpoints_lack_are_zero_and_only_all_of_them() -> None:
    model = models.initialise("resnet18", 3, width=4)
    full = model.state_dict()
    counters = [name for name in full if name.endswith("num_batches_tracked")]
    for name in counters:
        full[name] = torch.tensor(7)
    old = {f"module.{name}": tensor for name, tensor in full.items() if name not in counters}
    found = models.translate(old, model)
    assert len(counters) == 20
    assert all(torch.equal(found[name], torch.tensor(0)) for name in counters)
    assert models.translate(full, model)[counters[3]] == 7
    one = {name: tensor for name, tensor in full.items() if name != counters[3]}
    with pytest.raises(BadWeights, match=rf"read as they are: {counters[3]} is missing\.$"):
        models.translate(one, model)


def test_the_sentence_is_about_the_reading_that_comes_nearest() -> None:
    theirs = empty({key: shape for key, (_, shape) in published_names.hf_resnet(False, DEPTHS["resnet18"], 21).items()})
    with pytest.raises(BadWeights) as caught:
        models.translate(theirs, resnet("resnet18"))
    assert str(caught.value) == (
        "The tensors do not fit the model ResNet by any naming that is known; read as those of"
        " ResNetForImageClassification of transformers: fc.weight has shape (21, 512), expected (1000, 512); fc.bias"
        " has shape (21,), expected (1000,)."
    )
    model = models.initialise("mlp", 3, input_shape=(2,), hidden=(3,), classes=4)
    wrapped = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    del wrapped["module.layer2.bias"]
    wrapped["module.layer9.bias"] = torch.ones(3)
    with pytest.raises(
        BadWeights, match=r"prefix module\.: layer2.bias is missing; there is no layer9.bias in the model"
    ):
        models.translate(wrapped, model)
    with pytest.raises(BadWeights, match=r"read as they are: layer1.weight is missing; layer1.bias .* and 2 more\.$"):
        models.translate({"a": torch.ones(2), "b": torch.ones(2), "c": torch.ones(2)}, model)


def test_nothing_fits_where_two_tensors_would_get_one_name() -> None:
    table = published_names.hf_resnet(False, DEPTHS["resnet18"])
    theirs = empty({key: shape for key, (_, shape) in table.items()}) | empty({"fc.weight": (1000, 512)})
    with pytest.raises(BadWeights):
        models.translate(theirs, resnet("resnet18"))


def test_every_pattern_of_every_table_is_needed() -> None:
    names = set(published_names.hf_resnet(True, DEPTHS["resnet50"]))
    for table in foreign.TABLES.values():
        for pattern in table:
            without = {key: value for key, value in table.items() if key != pattern}
            changed = [name for name in names if foreign._renamed(name, table) != foreign._renamed(name, without)]
            assert changed, pattern
