"""Tiny ImageNet, CINIC-10 and folders of one's own, on small sets in their layouts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_writers import Bytes, drawn, png, write_pictures
from PIL import Image

from isthmus import datasets
from isthmus.errors import BadData, BadInput, MissingData

WNIDS = ("n07654321", "n01234567", "n04444444")
TINY = "tiny-imagenet-200"


def no_open(*_: Any, **__: Any) -> Any:
    raise AssertionError("a picture is opened")


# --- Tiny ImageNet ------------------------------------------------------------------------------


def smooth(seed: int, channels: int) -> Image.Image:
    """64x64 pixels that JPEG keeps roughly; one channel is a grey picture."""
    corners = Image.fromarray(drawn(seed, 3, 3, channels).squeeze())
    return corners.resize((64, 64), Image.Resampling.BICUBIC)


def write_tiny(root: Path) -> Path:
    """Two pictures a class for training, one of them grey, and four for test, out of their order."""
    base = root / TINY
    for index, wnid in enumerate(WNIDS):
        (base / f"train/{wnid}/images").mkdir(parents=True)
        (base / f"train/{wnid}/{wnid}_boxes.txt").write_text("0\t0\t62\t62\n")
        for number, channels in enumerate((3, 1)):
            smooth(10 * index + number, channels).save(base / f"train/{wnid}/images/{wnid}_{number}.JPEG")
    (base / "val/images").mkdir(parents=True)
    rows = []
    for number, label in ((3, 2), (0, 1), (2, 0), (1, 2)):
        smooth(90 + number, 3).save(base / f"val/images/val_{number}.JPEG")
        rows.append(f"val_{number}.JPEG\t{WNIDS[label]}\t0\t32\t44\t62\n")
    (base / "val/val_annotations.txt").write_text("".join(rows))
    (base / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (base / "words.txt").write_text(f"n00000001\tthing\n{WNIDS[1]}\tred fox, Vulpes vulpes\n{WNIDS[0]}\tsofa\n")
    return base


def read_rgb(path: Path) -> Bytes:
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)


def test_tiny_imagenet_in_its_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = write_tiny(tmp_path)
    data = datasets.load("Tiny-ImageNet", tmp_path)
    assert data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]  # in the order of wnids.txt, which is not sorted
    assert data.test.labels.tolist() == [2, 1, 0, 2]
    assert data.class_names == ("sofa", "red fox", "n04444444")
    assert data.mean == (0.485, 0.456, 0.406)
    assert np.array_equal(data.train.inputs[4], read_rgb(base / f"train/{WNIDS[2]}/images/{WNIDS[2]}_0.JPEG"))
    assert np.array_equal(data.test.inputs[1], read_rgb(base / "val/images/val_0.JPEG"))
    assert (data.train.inputs[1] == data.train.inputs[1, :1]).all()  # grey
    told = "3 classes, 6 pictures for training and 4 for test"
    assert data.notes == (f"This is a part of Tiny ImageNet: {told}.",)
    monkeypatch.setattr(Image, "open", no_open)
    assert datasets.load("tiny_imagenet", tmp_path).digest == data.digest


def test_tiny_imagenet_at_half_its_size(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    whole, half = (datasets.load("tiny_imagenet", tmp_path, size=size).test.inputs for size in (64, 32))
    sums = whole.reshape(4, 3, 32, 2, 32, 2).astype(int).sum((3, 5))
    assert np.array_equal(half, (sums + 2) // 4)


def test_classes_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    base = write_tiny(tmp_path)
    (base / f"train/{WNIDS[0]}").rename(tmp_path / "elsewhere")
    data = datasets.load("tiny_imagenet", tmp_path)
    assert (data.classes, data.class_names) == (2, ("red fox", "n04444444"))
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert data.test.labels.tolist() == [1, 0, 1]


def test_the_first_classes(tmp_path: Path) -> None:
    """As if the others were not there: the same data as those of a folder that holds these alone."""
    base = write_tiny(tmp_path)
    two = datasets.load("tiny_imagenet", tmp_path, classes=2)
    assert datasets.load("tiny_imagenet", tmp_path, classes=3).digest == datasets.load("tiny_imagenet", tmp_path).digest
    (base / f"train/{WNIDS[2]}").rename(tmp_path / "elsewhere")
    assert two.digest == datasets.load("tiny_imagenet", tmp_path).digest
    assert two.class_names == ("sofa", "red fox")
    with pytest.raises(BadInput, match="tiny_imagenet: classes must be at most 2, found 3"):
        datasets.load("tiny_imagenet", tmp_path, classes=3)


def annotated(line: str) -> Callable[[Path], object]:
    return lambda base: (base / "val/val_annotations.txt").write_text(line)


def linked(name: str) -> Callable[[Path], object]:
    def link(base: Path) -> None:
        (base / name).rename(base.parent / "moved")
        (base / name).symlink_to(base.parent / "moved")

    return link


@pytest.mark.parametrize(
    ("damage", "place", "expected"),
    [
        (annotated(f"../../x.JPEG\t{WNIDS[0]}\n"), "val/val_annotations.txt", "expected '../../x.JPEG' among the pic"),
        (annotated(f"/etc/passwd\t{WNIDS[0]}\n"), "val/val_annotations.txt", "expected '/etc/passwd' among the pict"),
        (annotated("val_0.JPEG\n"), "val/val_annotations.txt", "expected a new picture and its class in each line"),
        (annotated("val_0.JPEG\tfox\n"), "val/val_annotations.txt", "in each line, found 'val_0.JPEG fox'."),
        (annotated(f"val_0.JPEG\t{WNIDS[0]}\n" * 2), "val/val_annotations.txt", "expected a new picture and its"),
        (annotated("val_0.JPEG\tn09999999\n"), "", "expected pictures of its classes for test, found none."),
        (lambda base: (base / "wnids.txt").write_text("../..\n"), "wnids.txt", "such as n01443537, found '../..'."),
        (lambda base: (base / "wnids.txt").write_text(f"{WNIDS[0]}\n" * 2), "wnids.txt", "expected different names"),
        (lambda base: (base / "val/images/val_2.JPEG").write_bytes(b"no"), "val/images/val_2.JPEG", "expected a whole"),
        (linked("val/images/val_2.JPEG"), "val/images/val_2.JPEG", "found a link that leads there"),
        (linked("val/images"), "val/images", "found a link that leads there"),
        (linked(f"train/{WNIDS[1]}"), f"train/{WNIDS[1]}/images", "found a link that leads there"),
        (linked("words.txt"), "words.txt", "found a link that leads there"),
    ],
)
def test_a_malformed_tiny_imagenet_gets_a_sentence(
    tmp_path: Path, damage: Callable[[Path], object], place: str, expected: str
) -> None:
    base = write_tiny(tmp_path)
    damage(base)
    with pytest.raises(BadData) as caught:
        datasets.load("tiny_imagenet", tmp_path)
    assert str(caught.value).startswith(f"{base / place}: expected ")
    assert expected in str(caught.value)


@pytest.mark.parametrize("place", ["wnids.txt", "train", "val/val_annotations.txt", "val/images"])
def test_what_is_absent_of_tiny_imagenet_is_named(tmp_path: Path, place: str) -> None:
    base = write_tiny(tmp_path)
    (base / place).rename(tmp_path / "away")
    with pytest.raises(MissingData, match=f"^Data set tiny_imagenet is at none of {base / place}: fetch Tiny ImageNet"):
        datasets.load("tiny_imagenet", tmp_path)


@pytest.mark.data
@pytest.mark.skipif("ISTHMUS_DATA" not in os.environ, reason="ISTHMUS_DATA is not set")
def test_the_tiny_imagenet_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of however many classes: 500 pictures of each for training and 50 for test; ImageNet's constants fit roughly."""
    root = Path(os.environ["ISTHMUS_DATA"])
    if not (root / TINY).is_dir():
        pytest.skip("no Tiny ImageNet under ISTHMUS_DATA")
    data = datasets.load("tiny_imagenet", root, size=32)
    assert np.bincount(data.train.labels).tolist() == [500] * data.classes
    assert np.bincount(data.test.labels).tolist() == [50] * data.classes
    assert data.input_shape == (3, 32, 32)
    found = data.train.inputs.mean((0, 2, 3)) / 255
    assert np.abs(found - data.mean).max() < 0.05
    monkeypatch.setattr(Image, "open", no_open)
    assert datasets.load("tiny_imagenet", root, size=32).digest == data.digest


# --- CINIC-10 -----------------------------------------------------------------------------------

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cinic(part: str) -> dict[str, Bytes]:
    """Two pictures a class, one of CIFAR and one of ImageNet, as they are named."""
    names = [(f"{part}/{name}/{kind}.png") for name in CLASSES for kind in ("cifar10-train-17", "n02691156_8")]
    return {name: drawn(100 * len(part) + i, 32, 32, 3) for i, name in enumerate(names)}


@pytest.mark.parametrize("folder", ["CINIC-10", "cinic10"])
@pytest.mark.parametrize("valid", ["drop", "train"])
def test_cinic10_with_and_without_its_validation_part(tmp_path: Path, folder: str, valid: str) -> None:
    for part in ("train", "valid", "test") if valid == "train" else ("train", "test"):
        write_pictures(tmp_path / folder, cinic(part))
    data = datasets.load("cinic-10", tmp_path, valid=valid)
    training = list(cinic("train").values()) + (list(cinic("valid").values()) if valid == "train" else [])
    assert np.array_equal(data.train.inputs, np.stack(training).transpose(0, 3, 1, 2))
    assert np.array_equal(data.test.inputs, np.stack(list(cinic("test").values())).transpose(0, 3, 1, 2))
    assert data.train.labels.tolist() == [label for label in range(10) for _ in range(2)] * (len(training) // 20)
    assert data.class_names == CLASSES
    told = f"{len(training)} pictures for training and 20 for test"
    assert data.notes == (f"This is a part of CINIC-10: {told}.",)


def test_a_malformed_cinic10_gets_a_sentence(tmp_path: Path) -> None:
    base = tmp_path / "CINIC-10"
    write_pictures(base, cinic("train") | cinic("test"))
    with pytest.raises(MissingData, match=f"^Data set cinic10 is at none of {base}/valid/airplane: fetch CINIC-10"):
        datasets.load("cinic10", tmp_path, valid="train")
    write_pictures(base, {name: drawn(1, 30, 31, 3) for name in cinic("train") | cinic("test")})
    with pytest.raises(BadData, match=f"^{base}: expected pictures of 32x32 pixels, found 31x30: fetch it again"):
        datasets.load("cinic10", tmp_path)
    (base / "test/frog").rename(tmp_path / "frog")
    with pytest.raises(MissingData, match=f"is at none of {base}/test/frog: fetch"):
        datasets.load("cinic10", tmp_path)


# --- a folder of one's own ----------------------------------------------------------------------


def mine(*, part: str = "test") -> dict[str, Bytes]:
    names = ("train/dog/2.png", "train/dog/1.png", "train/ape/9.png", "train/cow/1.bmp", f"{part}/cow/3.png")
    return {name: drawn(i, 4, 6, 3) for i, name in enumerate((*names, f"{part}/ape/1.png"))}


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_folder_of_pictures(tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = mine(part=part)
    write_pictures(tmp_path / "mine", made)
    data = datasets.load("folder", tmp_path, path="mine")
    order = ("train/ape/9.png", "train/cow/1.bmp", "train/dog/1.png", "train/dog/2.png")
    pixels = np.stack([made[name] for name in order]).transpose(0, 3, 1, 2)
    assert np.array_equal(data.train.inputs, pixels)
    assert data.train.labels.tolist() == [0, 1, 2, 2]
    assert data.test.labels.tolist() == [0, 1]
    assert (data.class_names, data.notes) == (("ape", "cow", "dog"), ())
    assert data.mean == tuple(round(float(pixels[:, channel].mean()) / 255, 4) for channel in range(3))
    assert data.std == tuple(round(float((pixels[:, channel] / 255).std()), 4) for channel in range(3))
    monkeypatch.setattr(Image, "open", no_open)
    assert datasets.load("folder", path=str(tmp_path / "mine")).digest == data.digest  # in either way of naming it


def test_sizes_and_modes(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", mine() | {"train/ape/1.png": drawn(7, 9, 8)})
    with pytest.raises(
        BadData, match=r"train/ape/9.png: expected pictures of one size, found 8x9 and 6x4 pixels: give the"
    ):
        datasets.load("folder", tmp_path, size=None)
    assert datasets.load("folder", tmp_path, size=[3, 2]).input_shape == (3, 3, 2)
    assert datasets.load("folder", tmp_path, size=5, mode="L").input_shape == (1, 5, 5)
    for size in (0, [3], [3, 2, 1], "3"):
        with pytest.raises(BadInput, match=r"^Data set folder: argument size: "):
            datasets.load("folder", tmp_path, size=size)


@pytest.mark.parametrize(
    ("damage", "place", "expected"),
    [
        ({"test/eel/1.png": b"x"}, "test/eel", "expected only classes that are in {base}/train, found 'eel'."),
        ({"train/eel/readme.txt": b"x"}, "train/eel", "expected pictures of this class, found none."),
        ({"train/cow/1.bmp": png(drawn(1, 4, 6, 3))[:-60]}, "train/cow/1.bmp", "expected a whole picture, found "),
    ],
)
def test_a_malformed_folder_gets_a_sentence(
    tmp_path: Path, damage: dict[str, bytes], place: str, expected: str
) -> None:
    base = tmp_path / "images"
    write_pictures(base, mine())
    for name, data in damage.items():
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_bytes(data)
    with pytest.raises(BadData) as caught:
        datasets.load("folder", tmp_path)
    assert str(caught.value).startswith(f"{base / place}: {expected.format(base=base)}")


def test_what_is_absent_of_a_folder_is_named(tmp_path: Path) -> None:
    base = tmp_path / "images"
    with pytest.raises(MissingData, match=f"^Data set folder is at none of {base}: fetch your pictures as train/CLASS"):
        datasets.load("folder", path=str(base))
    write_pictures(base, {"test/ape/1.png": drawn(1, 4, 6)})
    with pytest.raises(MissingData, match=f"is at none of {base}/train: fetch"):
        datasets.load("folder", tmp_path)
    (base / "test").rename(base / "train")
    with pytest.raises(MissingData, match=f"is at none of {base}/test, {base}/val: fetch"):
        datasets.load("folder", tmp_path)
    (base / "val").mkdir()
    with pytest.raises(BadData, match=f"^{base}: expected pictures of its classes for test, found none"):
        datasets.load("folder", tmp_path)
