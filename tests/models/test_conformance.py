"""What every architecture owes; an entry joins by being in the folder."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

import fake_packages
from isthmus import gradients, models, paths, training
from isthmus.errors import BadInput, UnknownName
from isthmus.evaluation import evaluate_path
from isthmus.examples import Examples
from isthmus.networks import NetworkState
from isthmus.noise import Noise
from isthmus.recipe import Recipe
from isthmus.reuse import Reuse

PACKAGES: dict[str, dict[str, object]] = {
    "torchvision:resnet18": {"input_shape": (3, 32, 32)},
    "torchvision:vit_b_16": {"input_shape": (3, 8, 8)},
    "timm:vit_tiny": {"input_shape": (2, 8, 12)},
    "hf:resnet": {"input_shape": (2, 32, 24), "hidden_sizes": [4, 5, 7, 6]},
    "hf:vit": {"input_shape": (1, 8, 12), "num_hidden_layers": 2},
}
"""Models of other packages, of which there are stand-ins."""

OURS = pytest.mark.parametrize("name", models.names())
EVERY = pytest.mark.parametrize("name", [*models.names(), *PACKAGES])
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
CLASSES = 7
BATCH = 5
PICTURES = {"stem": "7x7", "max_pool": True, "classes": 1000, "input_shape": (3, 224, 224)}  # as in torchvision


@pytest.fixture(scope="module", autouse=True)
def _packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        yield from (None for _ in fake_packages.at_hand(tmp_path_factory.mktemp("packages"), patch))


def small(name: str) -> dict[str, object]:
    return dict(PACKAGES[name] if name in PACKAGES else models._entries()[name].small)


def input_shape(name: str) -> tuple[int, ...]:
    if name in PACKAGES:
        return cast(tuple[int, ...], PACKAGES[name]["input_shape"])
    default = inspect.signature(models._entries()[name].build).parameters["input_shape"].default
    return cast(tuple[int, ...], small(name).get("input_shape", default))


def make(name: str, seed: int = 11) -> nn.Module:
    return models.initialise(name, seed, **{"classes": CLASSES, **small(name)})


def example(name: str) -> tuple[nn.Module, Tensor]:
    """A model and a batch in double precision, so that tolerances can be near its rounding."""
    inputs = torch.randn(BATCH, *input_shape(name), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return make(name).double(), inputs


@EVERY
def test_output_is_one_score_for_each_class(name: str) -> None:
    model, inputs = example(name)
    scores = model(inputs)
    assert scores.shape == (BATCH, CLASSES)
    assert scores.isfinite().all()
    assert len(scores.unique()) == scores.numel()


@EVERY
def test_a_seed_names_the_same_values_every_time(name: str) -> None:
    first, again, other = (make(name, seed).state_dict() for seed in (11, 11, 12))
    assert list(first) == list(again)
    assert all(torch.equal(first[key], again[key]) for key in first)
    weights = [key for key in first if key.endswith("weight") and first[key].ndim > 1]
    assert not any(torch.equal(first[key], other[key]) for key in weights)


@EVERY
def test_initialise_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    make(name)
    assert torch.equal(torch.get_rng_state(), before)


@EVERY
def test_build_draws_from_the_global_generator(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        first = torch.nn.utils.parameters_to_vector(models.build(name, **small(name)).parameters())
        second = torch.nn.utils.parameters_to_vector(models.build(name, **small(name)).parameters())
        torch.manual_seed(5)
        again = torch.nn.utils.parameters_to_vector(models.build(name, **small(name)).parameters())
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@EVERY
def test_blocks_partition_the_state_dict_in_its_order(name: str) -> None:
    model, _ = example(name)
    blocks = models.blocks(name, model)
    holders = [
        [block for block, globs in blocks.items() if any(fnmatchcase(tensor, glob) for glob in globs)]
        for tensor in model.state_dict()
    ]
    assert all(len(found) == 1 for found in holders)
    assert list(dict.fromkeys(found[0] for found in holders)) == list(blocks)
    assert len(blocks) > 1


@EVERY
def test_training_gives_every_parameter_a_gradient(name: str) -> None:
    model, inputs = example(name)
    model.train()
    labels = torch.arange(BATCH) % CLASSES
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        torch.autograd.backward(nn.functional.cross_entropy(model(inputs), labels))
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    assert sum(float(parameter.grad.abs().sum()) > 0 for parameter in model.parameters() if parameter.grad is not None)


@EVERY
def test_evaluation_treats_each_example_alone(name: str) -> None:
    model, inputs = example(name)
    model.eval()
    with torch.no_grad():
        together = model(inputs)
        alone = torch.cat([model(row[None]) for row in inputs])
    # double precision: 2e-16 a rounding, sums of at most some thousand terms, tens of layers
    torch.testing.assert_close(alone, together, rtol=1e-10, atol=1e-11)


@EVERY
@pytest.mark.parametrize("training", [True, False])
def test_channels_last_changes_nothing_but_rounding(name: str, training: bool) -> None:
    model, inputs = example(name)
    if inputs.ndim != 4:
        pytest.skip("takes no pictures")
    model.train(training)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(4)
        plain = model(inputs)
        torch.manual_seed(4)
        model = make(name).double().train(training)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        last = model(inputs.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, plain, rtol=1e-10, atol=1e-11)


@EVERY
@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"clases": 3}, 'did you mean "classes"?'),
        ({"classes": 0}, "argument classes: input should be greater than or equal to 1, found 0."),
        ({"classes": 2.5}, "argument classes: input should be a valid integer, found 2.5."),
        ({"classes": True}, "argument classes: input should be a valid integer, found True."),
        ({"input_shape": 28}, "argument input_shape: input should be a valid tuple, found 28."),
        (
            {"input_shape": (3, 0, 5)},
            "argument input_shape: input should be greater than or equal to 1, found (3, 0, 5).",
        ),
    ],
)
def test_a_bad_argument_gets_one_sentence(name: str, wrong: dict[str, object], expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        models.build(name, **wrong)
    sentence = str(caught.value)
    assert sentence.startswith(f"Model {name}")
    assert expected in sentence
    assert "\n" not in sentence


@OURS
def test_any_spelling_of_a_name_is_understood(name: str) -> None:
    spelled = name.upper().replace("NET", "Net-")
    assert models.describe(spelled) == models.describe(name)
    assert "classes=10" in models.describe(name)


@pytest.mark.parametrize(
    ("name", "arguments", "count"),
    [
        ("mlp", {}, 42_310),
        ("mlp", {"input_shape": (2,), "classes": 2, "outputs": 1}, 2 * 50 + 50 + 50 * 50 + 50 + 50 + 1),
        ("lenet5", {}, 61_706),
        ("reduced_vgg", {}, 853_123),
        ("reduced_vgg", {"form": "released"}, 545_098),
        ("reduced_vgg", {"form": "later"}, 1_102_410),
        ("resnet20", {}, 272_474),
        ("resnet56", {"classes": 100}, 861_620),
        ("resnet18", PICTURES, 11_689_512),
        ("resnet34", PICTURES, 21_797_672),
        ("resnet50", PICTURES, 25_557_032),
        ("vgg11", {"head": "imagenet", "classes": 1000, "norm": "none"}, 132_863_336),
        ("vgg16", {}, 14_728_266),
        ("vgg16", {"head": "imagenet", "classes": 1000}, 138_365_992),
        ("alexnet", {"classes": 1000, "norm": "none"}, 61_100_840),
        ("alexnet", {"classes": 1000}, 61_100_840 + 2 * 64 + 2 * 192),
        ("alexnet", {"form": "64", "input_shape": (3, 64, 64), "classes": 200}, 57_823_240 + 2 * 64 + 2 * 192),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, arguments: dict[str, object], count: int) -> None:
    with torch.device("meta"):  # nothing is drawn
        assert models.count_parameters(models.build(name, **arguments)) == count


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"^There is no model named 'lenet'; did you mean \"lenet5\"\? Known: .*mlp"):
        models.build("lenet")


@EVERY
def test_gradients_of_single_examples_are_found_in_batches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = example(name)
    labels = torch.tensor([2, 0, 6, 2, 5])
    monkeypatch.delattr(gradients, "_one_by_one")
    found = gradients.norms(model, (inputs, labels))
    model.eval()
    for index in range(BATCH):
        loss = torch.nn.functional.cross_entropy(model(inputs[index : index + 1]), labels[index : index + 1])
        own = torch.autograd.grad(loss, list(model.parameters()))
        norm = float(torch.stack([gradient.square().sum() for gradient in own]).sum().sqrt())
        assert found[index] == pytest.approx(norm, rel=1e-9)  # float64 through many layers


def train(name: str, start: NetworkState, stop: int, precision: str, device: str = "cpu") -> NetworkState:
    """Eleven examples in batches of four, crops and flips where they are pictures."""
    shape = input_shape(name)
    inputs = torch.randint(0, 256, (11, *shape), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
    pictures = len(shape) == 3
    examples = Examples(
        inputs if pictures else inputs.float() / 255,
        torch.arange(11) % CLASSES,
        pixels=pictures,
        channels_last=pictures and name not in PACKAGES,
    )
    recipe = Recipe.model_validate(
        {
            "optimizer": {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.001},
            "batch_size": 4,
            "augment": {"crop": 1, "flip": True} if pictures else {},
            "precision": precision,
        }
    )
    return training.train(start, recipe, examples, Noise.of(6), start.step, stop, model=make(name), device=device)[0]


@EVERY
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def test_training_twice_and_cut_inside_an_epoch_gives_the_same_bits(name: str, device: str) -> None:
    start = NetworkState.of(make(name))
    found = train(name, start, 5, "float32", device)
    assert found.digest() != start.digest()
    assert train(name, start, 5, "float32", device).digest() == found.digest()
    halfway = train(name, start, 2, "float32", device)
    assert train(name, halfway, 5, "float32", device).digest() == found.digest()


@OURS
def test_the_last_block_moves_at_the_bits_of_running_everything(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = make(name), make(name, 12)
    *_, patterns = models.blocks(name, model).values()
    path = paths.blocks(model.state_dict(), other.state_dict(), patterns)
    inputs = torch.randn(BATCH, *input_shape(name), generator=torch.Generator().manual_seed(3))

    def losses() -> npt.NDArray[np.float32]:
        data = inputs, torch.arange(BATCH) % CLASSES
        return evaluate_path(model, path, data, alphas=4, norm_stats="interpolate").per_example_loss

    found = losses()
    monkeypatch.setattr(Reuse, "find", classmethod(lambda *_, **__: None))
    np.testing.assert_array_equal(losses(), found)
    assert not np.array_equal(found[0], found[1])
