"""Batches against numpy, augmentation against a loop over examples that reads the noise's words itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from isthmus.errors import BadData, BadInput
from isthmus.examples import Augmenter, Examples, Lent
from isthmus.noise import Noise
from isthmus.recipe import Augment

COUNT, SHAPE = 11, (3, 6, 5)
MEAN, STD = (0.2, 0.5, 0.7), (0.3, 0.4, 1.7)
LABELS = np.arange(COUNT) * 7 % 4
WHERE = torch.tensor([9, 0, 4, 4, 7])
CPU = torch.device("cpu")


def raw(seed: int = 3) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)


def same_memory(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


# --- normalisation


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("where", [slice(2, 9), WHERE])
def test_pixels_are_scaled_and_normalised_by_channel(where: Any, channels_last: bool) -> None:
    data = Examples.of((raw(), LABELS), mean=MEAN, std=STD, pixels=True, channels_last=channels_last)
    inputs, targets = data.batch(where)
    mean, std = (np.reshape(values, (1, 3, 1, 1)) for values in (MEAN, STD))
    chosen = raw()[where if isinstance(where, slice) else where.numpy()]
    # 1e-6: a product and a difference in float32, of values up to 4
    np.testing.assert_allclose(inputs.numpy(), (chosen / 255.0 - mean) / std, rtol=0, atol=1e-6)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    assert targets.tolist() == LABELS[where if isinstance(where, slice) else where.numpy()].tolist()


def test_pixels_without_constants_are_only_scaled() -> None:
    inputs, _ = Examples.of((raw(), LABELS), pixels=True).batch(slice(0, 4))
    assert np.array_equal(inputs.numpy(), raw()[:4].astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])
def test_other_inputs_come_as_they_are(dtype: str) -> None:
    given = (np.random.default_rng(1).random((COUNT, 4)) * 9).astype(dtype)
    for where in (slice(3, 7), WHERE):
        inputs, _ = Examples.of((given, LABELS)).batch(where)
        assert str(inputs.dtype) == f"torch.{dtype}"
        assert np.array_equal(inputs.numpy(), given[where if isinstance(where, slice) else where.numpy()])


def test_float_pictures_may_come_in_channels_last() -> None:
    data = Examples.of((raw().astype(np.float32), LABELS), channels_last=True)
    for where in (slice(1, 5), WHERE):
        inputs, _ = data.batch(where)
        assert inputs.is_contiguous(memory_format=torch.channels_last)
        chosen = raw()[where if isinstance(where, slice) else where.numpy()]
        assert np.array_equal(inputs.numpy(), chosen.astype(np.float32))


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("where", [slice(0, COUNT), WHERE, slice(0, 1)])
def test_a_batch_shares_no_memory_with_the_examples(pixels: bool, where: Any) -> None:
    given = torch.from_numpy(raw()).float()
    data = Examples.of((given, torch.from_numpy(LABELS)), pixels=pixels)
    inputs, targets = data.batch(where)
    inputs.fill_(-1)
    targets.fill_(-1)
    assert np.array_equal(data.inputs.numpy(), raw().astype(np.float32))
    assert data.targets.tolist() == LABELS.tolist()


# --- augmentation


def augmented(example: npt.NDArray[Any], index: int, augment: Augment, noise: Noise, epoch: int) -> npt.NDArray[Any]:
    """One example, as science says it: pad with zeros, cut a window of the same size, mirror with p 1/2."""

    def draw(name: str, size: int) -> int:
        return (int(noise.augmentation_words(COUNT, epoch, name)[index]) >> 32) * size >> 32

    p, (_, height, width) = augment.crop, example.shape
    padded = np.zeros((len(example), height + 2 * p, width + 2 * p), example.dtype)
    padded[:, p : p + height, p : p + width] = example
    y, x = (draw(name, 2 * p + 1) if p else 0 for name in ("crop-y", "crop-x"))
    cut = padded[:, y : y + height, x : x + width]
    return cut[:, :, ::-1] if augment.flip and draw("flip", 2) else cut


@given(st.integers(0, 9), st.booleans(), st.integers(0, 2**40), st.integers(0, 300), st.booleans(), st.booleans())
def test_crops_and_flips_against_a_loop(
    crop: int, flip: bool, seed: int, epoch: int, floats: bool, sliced: bool
) -> None:
    augment, noise = Augment(crop=crop, flip=flip), Noise(1, seed, 2)
    pictures = raw().astype(np.float32) / 3 if floats else raw()
    where: Any = slice(2, 9) if sliced else WHERE
    found = Augmenter(augment, noise, COUNT, epoch, CPU)(torch.from_numpy(pictures)[where], where)
    indices = range(COUNT)[where] if sliced else WHERE.tolist()
    expected = np.stack([augmented(pictures[i], i, augment, noise, epoch) for i in indices])
    assert found.dtype == torch.from_numpy(pictures).dtype
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("pixels", [False, True])
def test_a_batch_is_augmented_before_it_is_normalised(pixels: bool) -> None:
    """The padding is black, not the mean."""
    augment, noise = Augment(crop=2, flip=True), Noise(4, 5, 6)
    constants: dict[str, Any] = {"mean": MEAN, "std": STD} if pixels else {}
    data = Examples.of((raw().astype(np.float32), LABELS), pixels=pixels, **constants)
    inputs, targets = data.batch(WHERE, Augmenter(augment, noise, COUNT, 3, CPU))
    assert inputs.is_contiguous()
    cut = np.stack([augmented(raw()[i], i, augment, noise, 3) for i in WHERE.tolist()]).astype(np.float32)
    ready = Examples.of((cut, targets), pixels=pixels, **constants).batch(slice(0, 5))[0]
    assert torch.equal(inputs, ready)
    assert np.array_equal(data.inputs.numpy(), raw().astype(np.float32))


@pytest.mark.parametrize("crop", [0, 2])
@pytest.mark.parametrize("where", [slice(2, 9), WHERE])
def test_brightness_multiplies_each_picture_by_a_factor_of_its_own(crop: int, where: Any) -> None:
    augment, noise = Augment(crop=crop, brightness=0.4), Noise(4, 5, 6)
    data = Examples.of((raw(), LABELS), pixels=True, mean=MEAN, std=STD)
    inputs, _ = data.batch(where, Augmenter(augment, noise, COUNT, 3, CPU))
    words = noise.augmentation_words(COUNT, 3, "brightness")
    indices = list(range(COUNT)[where]) if isinstance(where, slice) else where.tolist()
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (MEAN, STD))
    factors = []
    for row, index in enumerate(indices):
        factors.append(1 - 0.4 + 0.8 * (int(words[index]) >> 11) / 2**53)
        bright = np.minimum(augmented(raw()[index], index, augment, noise, 3) * factors[-1], 255.0)
        # 2e-6: two products and a difference in float32, of values up to 5
        np.testing.assert_allclose(inputs[row].numpy(), (bright / 255.0 - mean) / std, rtol=0, atol=2e-6)
    assert min(factors) < 1 < max(factors)
    assert np.array_equal(data.inputs.numpy(), raw())


def test_brightness_needs_pixels() -> None:
    data = Examples.of((raw().astype(np.float32) / 255, LABELS))
    with pytest.raises(BadInput, match="Brightness needs pixels from 0 to 255"):
        data.batch(WHERE, Augmenter(Augment(brightness=0.1), Noise(4, 5, 6), COUNT, 3, CPU))


def test_an_example_meets_the_same_draw_wherever_the_order_puts_it() -> None:
    data, noise = Examples.of((raw(), LABELS), pixels=True), Noise(1, 9, 1)
    augmenter = Augmenter(Augment(crop=3, flip=True), noise, COUNT, 8, CPU)
    whole, _ = data.batch(slice(0, COUNT), augmenter)
    assert torch.equal(data.batch(WHERE, augmenter)[0], whole[WHERE])
    other = Augmenter(Augment(crop=3, flip=True), noise.but(order=7, dropout=7), COUNT, 8, CPU)
    assert torch.equal(data.batch(WHERE, other)[0], whole[WHERE])


def test_every_window_and_mirror_is_drawn_and_equally_often() -> None:
    picture = torch.arange(1, 7).reshape(1, 1, 2, 3).expand(18_000, 1, 2, 3)
    seen = Augmenter(Augment(crop=1, flip=True), Noise.of(3), len(picture), 0, CPU)(picture, slice(0, None))
    kinds, counts = np.unique(seen.reshape(len(picture), -1).numpy(), axis=0, return_counts=True)
    assert len(kinds) == 3 * 3 * 2  # windows that differ in each of the two directions, and their mirrors
    chi_square = float(((counts - 1000.0) ** 2 / 1000).sum())
    assert chi_square < 47  # 17 degrees of freedom: 40.8 is the 99.9 % point


def test_augmentation_needs_pictures() -> None:
    with pytest.raises(BadInput, match=r"found inputs of shape \(5, 6, 5\); train without augmentation"):
        Augmenter(Augment(flip=True), Noise.of(1), COUNT, 0, CPU)(torch.zeros(5, 6, 5), WHERE)


# --- subsets, lending, what data may be


def test_a_subset_keeps_everything_but_the_others() -> None:
    data = Examples.of((raw(), LABELS), mean=MEAN, std=STD, pixels=True, channels_last=True)
    chosen = data.subset(WHERE)
    assert len(chosen) == 5
    assert (chosen.mean, chosen.std, chosen.pixels, chosen.channels_last) == (MEAN, STD, True, True)
    for found, expected in zip(chosen.batch(slice(0, 5)), data.batch(WHERE)):
        assert torch.equal(found, expected)


def test_what_is_lent_is_made_anew_only_where_it_was_changed() -> None:
    made: list[Tensor] = []

    def make() -> Tensor:
        made.append(torch.full((2, 3), 0.5))
        return made[-1]

    lent = Lent(make)
    assert lent.take() is lent.take() is made[0]
    lent.take()[0].mul_(3)
    assert torch.equal(lent.take(), torch.full((2, 3), 0.5))
    assert lent.take() is lent.take() is made[1]
    assert len(made) == 2


LABEL_KINDS: dict[str, Any] = {
    "int64": LABELS,
    "int32": LABELS.astype(np.int32),
    "uint8": LABELS.astype(np.uint8),
    "uint16": LABELS.astype(np.uint16),
    "uint64": LABELS.astype(np.uint64),
    "big-endian": LABELS.astype(">i4"),
    "list": LABELS.tolist(),
    "tuple": tuple(LABELS.tolist()),
    "tensor": torch.from_numpy(LABELS).int(),
    "backwards": LABELS[::-1].copy()[::-1],
    "every other": np.repeat(LABELS, 2)[::2],
    "list of arrays": [np.int16(label) for label in LABELS],
}


@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_labels_of_all_kinds(kind: str) -> None:
    data = Examples.of([raw(), LABEL_KINDS[kind]])
    assert data.batch(slice(0, COUNT))[1].tolist() == LABELS.tolist()
    assert not data.targets.is_floating_point()


def test_read_only_arrays_and_tensors_in_a_graph() -> None:
    fixed, labels = raw(), LABELS.copy()
    for array in (fixed, labels):
        array.setflags(write=False)
    Examples.of((fixed, labels))  # torch would warn of an array that must not be written to
    leaf = torch.rand(COUNT, 2, requires_grad=True)
    data = Examples.of((leaf * 2, LABELS))
    assert not data.inputs.requires_grad
    assert not data.batch(slice(0, 3))[0].requires_grad


def test_splits_of_data_sets_and_examples_themselves() -> None:
    split = SimpleNamespace(inputs=raw(), labels=LABELS, classes=4)
    data = Examples.of(split, pixels=True)
    assert len(data) == COUNT
    assert Examples.of(data) is data


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "must be a pair .* found NoneType"),
        ((raw(),), "must be a pair .* found tuple"),
        (raw(), "must be a pair .* found ndarray"),
        ({"inputs": 1, "labels": 2}, "must be a pair .* found dict"),
        ((raw(), LABELS[:-1]), r"found shapes \(11, 3, 6, 5\) and \(10,\)"),
        ((raw()[:0], LABELS[:0]), "at least one example"),
        ((3.0, 1), "one entry an example"),
        ((raw(), ["cat"] * COUNT), "Targets must be an array or a tensor of numbers, found type"),
        (([[1.0], [2.0, 3.0]], [0, 1]), "Inputs must be an array or a tensor of numbers"),
        ((np.array([None, None]), [0, 1]), "Inputs must be .* found type object"),
        ((np.array([1 + 2j]), [0]), "Inputs must be .* found type complex128"),
    ],
)
def test_what_is_no_data(data: Any, sentence: str) -> None:
    with pytest.raises(BadData, match=sentence):
        Examples.of(data)


@pytest.mark.parametrize(
    "options",
    [
        {"mean": MEAN, "std": STD},  # not pixels: they would silently be ignored
        {"mean": MEAN, "pixels": True},
        {"std": STD, "pixels": True},
        {"mean": MEAN[:2], "std": STD[:2], "pixels": True},
    ],
)
def test_normalisations_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(BadData, match="needs pixels=True and a mean and a deviation for each channel"):
        Examples.of((raw(), LABELS), **options)


def test_pictures_have_four_dimensions() -> None:
    flat = raw().reshape(COUNT, -1)
    options: dict[str, Any]
    for options in ({"channels_last": True}, {"mean": (0.5,), "std": (0.5,), "pixels": True}):
        with pytest.raises(BadData, match=r"shape \(examples, channels, height, width\), found \(11, 90\)"):
            Examples.of((flat, LABELS), **options)
    assert Examples.of((flat, LABELS), pixels=True).batch(slice(0, 2))[0].max() <= 1


def test_an_augmenter_goes_on_to_another_epoch_in_the_same_memory() -> None:
    augment, noise, cpu = Augment(crop=3, flip=True, brightness=0.2), Noise(3, 14, 15), torch.device("cpu")
    found, expected = Augmenter(augment, noise, 11, 2, cpu), Augmenter(augment, noise, 11, 7, cpu)
    places = {name: draw.data_ptr() for name, draw in found.draws.items()}
    found.enter(7)
    assert {name: draw.data_ptr() for name, draw in found.draws.items()} == places
    assert all(torch.equal(draw, expected.draws[name]) for name, draw in found.draws.items())
    assert found.factors is not None
    assert expected.factors is not None
    assert torch.equal(found.factors, expected.factors)
