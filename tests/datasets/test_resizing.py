"""Pictures of another size: one rule for all data sets, the constants of the set, large results kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_writers import Bytes, cinic_files, drawn, tiny_files, write_folder, write_pictures
from archive_writers import cifar_pickles as pickles
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isthmus import datasets
from isthmus.datasets import resizing
from isthmus.datasets.pictures import decode, pictures
from isthmus.datasets.resizing import resize
from isthmus.errors import BadInput


@pytest.fixture(autouse=True)
def users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "isthmus" / "resized"


def assert_means(found: Bytes, inputs: Bytes) -> None:
    """Each pixel is the mean of its block, rounded to the nearest; a tie may go either way."""
    count, channels, tall, wide = inputs.shape
    height, width = found.shape[2:]
    area = (tall // height) * (wide // width)
    sums = inputs.reshape(count, channels, height, tall // height, width, wide // width).astype(int).sum((3, 5))
    assert (2 * np.abs(area * found.astype(int) - sums) <= area).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(2, 3), (4, 3), (1, 6), (2, 6)])
def test_a_smaller_pixel_is_the_mean_of_those_it_covers(channels: int, size: tuple[int, int]) -> None:
    inputs = drawn(channels, 7, channels, 4, 6)
    found = resize(inputs, size)
    assert found.shape == (7, channels, *size)
    assert_means(found, inputs)
    assert not found.flags.writeable


def test_a_larger_picture_repeats_its_pixels_and_the_same_size_is_the_same_array() -> None:
    inputs = drawn(3, 5, 3, 4, 6)
    assert np.array_equal(resize(inputs, (8, 18)), inputs.repeat(2, 2).repeat(3, 3))
    assert resize(inputs, (4, 6)) is inputs


@given(st.integers(1, 13), st.integers(1, 13), st.sampled_from([1, 3]))
def test_it_is_the_rule_by_which_pictures_are_decoded(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, channels: int
) -> None:
    base = tmp_path_factory.mktemp("set")
    shown = drawn(height, 3, 7, 5, 3) if channels == 3 else drawn(width, 3, 7, 5)
    write_pictures(base, {f"a/{i}.png": one for i, one in enumerate(shown)})
    inputs = np.ascontiguousarray(shown.transpose(0, 3, 1, 2) if channels == 3 else shown[:, None])
    found = decode(base, pictures(base, "a"), size=(height, width), mode="RGB" if channels == 3 else "L")
    assert np.array_equal(resize(inputs, (height, width)), found)


@pytest.mark.parametrize("at_once", [1, 2, 512])
def test_pictures_keep_their_order(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(resizing, "AT_ONCE", at_once)
    inputs = drawn(9, 5, 1, 4, 6)
    assert_means(resize(inputs, (2, 2)), inputs)


def test_large_results_are_made_once(monkeypatch: pytest.MonkeyPatch, users_cache: Path) -> None:
    inputs = drawn(4, 6, 3, 4, 6)
    resize(inputs, 2)
    assert not users_cache.exists()
    monkeypatch.setattr(resizing, "LARGE", inputs.nbytes)
    first = resize(inputs, 2)
    assert len(list(users_cache.iterdir())) == 1

    def no_more(*_: Any, **__: Any) -> Any:
        raise AssertionError("resized again")

    with monkeypatch.context() as patch:
        patch.setattr(resizing, "fit", no_more)
        assert np.array_equal(resize(inputs, 2), first)
        for other, size in (((inputs ^ 1).astype(np.uint8), (2, 2)), (inputs, (2, 3))):
            with pytest.raises(AssertionError, match="resized again"):
                resize(other, size)
    cache = next(users_cache.iterdir())
    cache.write_bytes(cache.read_bytes()[:-3])
    assert np.array_equal(resize(inputs, 2), first)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data folder with small sets of pictures, and one of the user's."""
    write_folder(tmp_path / "cifar-10-batches-py", pickles())
    for name, data in tiny_files().items() | {f"CINIC-10/{n}": d for n, d in cinic_files().items()}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    shape = (9, 8, 6, 3)
    labels = np.arange(9) % 3
    np.savez(tmp_path / "data.npz", x_train=drawn(1, *shape), y_train=labels, x_test=drawn(2, *shape), y_test=labels)
    write_pictures(
        tmp_path / "images", {f"{part}/{name}/1.png": drawn(5, 8, 6, 3) for part in ("train", "test") for name in "ab"}
    )
    return tmp_path


@pytest.mark.parametrize("name", ["cifar10", "tiny_imagenet", "cinic10", "npz", "folder", "digits"])
def test_every_set_of_pictures_has_them_in_any_size(root: Path, name: str) -> None:
    whole = datasets.load(name, root)
    height, width = whole.input_shape[1] // 2, whole.input_shape[2] // 2
    half = datasets.load(name, root, size=[height, width])
    assert half.input_shape[1:] == (height, width)
    assert_means(half.train.inputs, whole.train.inputs)
    assert_means(half.test.inputs, whole.test.inputs)
    assert half.train.labels.tolist() == whole.train.labels.tolist()
    assert (half.notes, half.class_names) == (whole.notes, whole.class_names)
    if name != "folder":  # whose constants are measured on what it has
        assert (half.mean, half.std) == (whole.mean, whole.std)
    assert datasets.load(name, root, size=7).input_shape[1:] == (7, 7)
    for size in (0, [3], [3, 2, 1], "3", True):
        with pytest.raises(BadInput, match=re.escape(f"Data set {name}: argument size: ")):
            datasets.load(name, root, size=size)


def test_points_have_no_size() -> None:
    with pytest.raises(BadInput, match=r"^Data set spiral: size is for pictures, found points"):
        datasets.load("spiral", train=9, test=4, size=3)


def test_pillow_is_asked_for_one_filter_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    real = Image.Image.resize

    def spy(self: Image.Image, size: Any, resample: Any = None, *rest: Any, **more: Any) -> Image.Image:
        asked.append(resample)
        return real(self, size, resample, *rest, **more)

    monkeypatch.setattr(Image.Image, "resize", spy)
    resize(drawn(3, 2, 3, 7, 5), (3, 4))
    assert asked == [Image.Resampling.BOX] * 2
