from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from archive_writers import (
    CIFAR100_NAMES,
    cifar100_arrays,
    cifar100_binaries,
    cifar100_pickles,
    python2_pickle,
    write_archive,
    write_folder,
)

from isthmus import datasets
from isthmus.errors import BadData, BadInput, MissingData

PY, BIN = "cifar-100-python", "cifar-100-binary"
FILES = {PY: cifar100_pickles, BIN: cifar100_binaries}
LABELS = pytest.mark.parametrize("labels", ["fine", "coarse"])
VERSIONS = pytest.mark.parametrize("version", FILES)


def assert_holds(data: datasets.DataSet, labels: str) -> None:
    for split, (pixels, fine, coarse) in zip((data.train, data.test), cifar100_arrays().values()):
        assert np.array_equal(split.inputs.reshape(len(split), -1), pixels)
        assert np.array_equal(split.labels, fine if labels == "fine" else coarse)
    assert (data.input_shape, data.classes) == ((3, 32, 32), len(CIFAR100_NAMES[labels]))
    assert data.class_names == tuple(CIFAR100_NAMES[labels])


@LABELS
@VERSIONS
def test_a_folder_and_an_archive_hold_the_same(tmp_path: Path, version: str, labels: Literal["fine", "coarse"]) -> None:
    write_folder(tmp_path / "a" / version, FILES[version]())
    (tmp_path / "b").mkdir()
    write_archive(tmp_path / "b" / f"{version}.tar.gz", version, FILES[version]())
    for root, named in (("a", "train, test, meta" if version == PY else ""), ("b", f"{version}.tar.gz")):
        data = datasets.load("CIFAR-100", tmp_path / root, labels=labels)
        assert_holds(data, labels)
        note = f"These are not the published CIFAR-100 files: {named} differ in their MD5 sums."
        assert data.notes == ((note,) if named else ())
    assert [path.name for path in (tmp_path / "b").iterdir()] == [f"{version}.tar.gz"]


def test_labels_are_fine_unless_told() -> None:
    assert "labels='fine'" in datasets.describe("cifar100")
    with pytest.raises(BadInput, match=r"argument labels cannot be 'course'; did you mean \"coarse\"\?"):
        datasets.load("cifar100", labels="course")


@VERSIONS
def test_each_absent_file_is_named(tmp_path: Path, version: str) -> None:
    for index, name in enumerate(FILES[version]()):
        root = tmp_path / str(index)
        write_folder(root / version, FILES[version]())
        (root / version / name).unlink()
        with pytest.raises(MissingData, match=f"^Data set cifar100 is at none of {root / version / name}: fetch"):
            datasets.load("cifar100", root)


@VERSIONS
@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
def test_a_cut_archive_is_refused(tmp_path: Path, version: str, share: float) -> None:
    path = tmp_path / f"{version}.tar.gz"
    write_archive(path, version, FILES[version]())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadData, match=f"^{path}: expected "):
        datasets.load("cifar100", tmp_path)


def pickled(**changes: Any) -> bytes:
    content = {"data": np.full((2, 3072), 7, np.uint8), "fine_labels": [3, 99], "coarse_labels": [19, 4]}
    return python2_pickle(content | changes)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (Path("never"),)


@pytest.mark.parametrize(
    ("version", "name", "data", "labels", "expected"),
    [
        (BIN, "test.bin", bytes(3073), "fine", "expected whole records of 3074 bytes, found 3073 in all."),
        (BIN, "train.bin", bytes([19, 100]) + bytes(3072), "fine", "expected labels 0 to 99, found 100 at index 0."),
        (BIN, "train.bin", bytes([20, 99]) + bytes(3072), "coarse", "expected labels 0 to 19, found 20 at index 0."),
        (BIN, "fine_label_names.txt", b"a\nb\n", "fine", "expected the names of 100 classes, found 2"),
        (PY, "train", pickled(fine_labels=[100, 2]), "fine", "expected labels 0 to 99, found 100 at index 0."),
        (PY, "test", pickled(coarse_labels=[2, -1]), "coarse", "expected labels 0 to 19, found -1 at index 1."),
        (PY, "test", pickled(coarse_labels=[2]), "coarse", "expected 3072 pixels for each of 1 labels"),
        (PY, "train", pickled(fine_labels=[2**70, 2]), "fine", "found an integer of more than 64 bits."),
        (PY, "train", pickled(fine_labels="12"), "fine", "expected a list of integers under 'fine_labels'"),
        (PY, "meta", pickled(), "fine", "expected a list of names under 'fine_label_names'"),
        (PY, "meta", python2_pickle({"fine_label_names": [b"a", 2]}), "fine", "expected a list of names under"),
        (PY, "meta", python2_pickle({"coarse_label_names": [b"a"] * 19}), "coarse", "of 20 classes, found 19"),
        (PY, "meta", pickle.dumps(Hostile(), 2), "fine", "nothing of it was run"),
        (PY, "test", pickled()[:-9], "fine", "expected a whole CIFAR pickle"),
    ],
)
def test_a_damaged_file_is_named(
    tmp_path: Path, version: str, name: str, data: bytes, labels: str, expected: str
) -> None:
    write_folder(tmp_path / version, FILES[version]() | {name: data})
    with pytest.raises(BadData) as caught:
        datasets.load("cifar100", tmp_path, labels=labels)
    assert str(caught.value).startswith(f"{tmp_path / version / name}: ")
    assert expected in str(caught.value)
    assert not Path("never").exists()


def test_what_is_not_asked_for_is_not_judged(tmp_path: Path) -> None:
    """Fine labels are read although the coarse ones are of another make."""
    write_folder(tmp_path / PY, cifar100_pickles() | {"train": pickled(coarse_labels=None), "test": pickled()})
    assert datasets.load("cifar100", tmp_path).train.labels.tolist() == [3, 99]
