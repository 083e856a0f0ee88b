from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archive_writers import (
    cifar_batches,
    cifar_binaries,
    cifar_pickles,
    python2_pickle,
    write_archive,
    write_folder,
)

from isthmus import datasets
from isthmus.errors import BadData, MissingData

PY, BIN = "cifar-10-batches-py", "cifar-10-batches-bin"


def assert_holds(data: datasets.DataSet) -> None:
    *training, test = cifar_batches().values()
    for split, batches in ((data.train, training), (data.test, [test])):
        assert np.array_equal(split.inputs.reshape(len(split), -1), np.concatenate([pixels for pixels, _ in batches]))
        assert split.labels.tolist() == [label for _, labels in batches for label in labels]
    assert data.input_shape == (3, 32, 32)
    assert data.class_names[3] == "cat"


def test_the_python_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / PY, cifar_pickles())
    data = datasets.load("cifar-10", tmp_path)
    assert_holds(data)
    assert data.notes == (
        "These are not the published CIFAR-10 files: data_batch_1, data_batch_2, data_batch_3, data_batch_4, "
        "data_batch_5, test_batch differ in their MD5 sums.",
    )


def test_the_binary_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / BIN, cifar_binaries())
    assert_holds(datasets.load("cifar10", tmp_path))


@pytest.mark.parametrize("prefix", ["", "./"])
def test_the_archives_are_read_without_unpacking(tmp_path: Path, prefix: str) -> None:
    for name, folder, files in (("python", PY, cifar_pickles()), ("binary", BIN, cifar_binaries())):
        root = tmp_path / name
        root.mkdir()
        write_archive(root / f"cifar-10-{name}.tar.gz", f"{prefix}{folder}", files)
        data = datasets.load("cifar10", root)
        assert_holds(data)
        assert data.notes == (
            f"These are not the published CIFAR-10 files: cifar-10-{name}.tar.gz differ in their MD5 sums.",
        )
        assert len(list(root.iterdir())) == 1


def test_all_versions_have_one_digest(tmp_path: Path) -> None:
    write_folder(tmp_path / "a" / PY, cifar_pickles())
    write_folder(tmp_path / "b" / BIN, cifar_binaries())
    assert datasets.load("cifar10", tmp_path / "a").digest == datasets.load("cifar10", tmp_path / "b").digest


@pytest.mark.parametrize(("folder", "files"), [(PY, cifar_pickles), (BIN, cifar_binaries)])
def test_one_absent_file_is_named(tmp_path: Path, folder: str, files: Callable[[], dict[str, bytes]]) -> None:
    write_folder(tmp_path / folder, files())
    absent = sorted((tmp_path / folder).iterdir())[2]
    absent.unlink()
    with pytest.raises(MissingData, match=f"is at none of {absent}: fetch"):
        datasets.load("cifar10", tmp_path)


def test_an_archive_without_a_file_is_named(tmp_path: Path) -> None:
    files = cifar_pickles()
    del files["data_batch_4"]
    write_archive(tmp_path / "cifar-10-python.tar.gz", PY, files)
    with pytest.raises(
        BadData, match=r"python.tar.gz: expected the file cifar-10-batches-py/data_batch_4 in the archive"
    ):
        datasets.load("cifar10", tmp_path)


def test_a_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo(f"{BIN}/data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(BadData, match=r"expected the file cifar-10-batches-bin/data_batch_1.bin in the archive"):
        datasets.load("cifar10", tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.99])
def test_a_cut_archive_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    write_archive(path, PY, cifar_pickles())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadData, match=f"^{path}: expected "):
        datasets.load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda data: data[:-1], "expected whole records of 3073 bytes, found 12291 in all."),
        (lambda data: b"", "expected whole records of 3073 bytes, found 0 in all."),
        (lambda data: data[:3073] + b"\x0b" + data[3074:], "expected labels 0 to 9, found 11 at index 1."),
    ],
)
def test_a_damaged_binary_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes], expected: str) -> None:
    files = cifar_binaries()
    files["data_batch_1.bin"] = damage(files["data_batch_1.bin"])
    write_folder(tmp_path / BIN, files)
    with pytest.raises(BadData) as caught:
        datasets.load("cifar10", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / BIN / 'data_batch_1.bin'}: {expected}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"data": np.ones((2, 3071), np.uint8), "labels": [1, 2]},
            "for each of 2 labels, found an array of shape (2, 3071)",
        ),
        (
            {"data": np.ones((3, 3072), np.uint8), "labels": [1, 2]},
            "for each of 2 labels, found an array of shape (3, 3072)",
        ),
        ({"data": np.ones((0, 3072), np.uint8), "labels": []}, "for each of 0 labels"),
        ({"data": np.ones((2, 3072), np.uint8), "labels": [1, 10]}, "expected labels 0 to 9, found 10 at index 1."),
        ({"data": np.ones((2, 3072), np.uint8), "labels": [-1, 2]}, "expected labels 0 to 9, found -1 at index 0."),
        ({"data": np.ones((2, 3072), np.uint8), "labels": [2**80, 2]}, "found an integer of more than 64 bits"),
    ],
)
def test_a_wrong_batch_is_named(tmp_path: Path, content: dict[str, object], expected: str) -> None:
    write_folder(tmp_path / PY, cifar_pickles() | {"test_batch": python2_pickle(content)})
    with pytest.raises(BadData) as caught:
        datasets.load("cifar10", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / PY / 'test_batch'}: ")
    assert expected in str(caught.value)


@pytest.mark.data
@pytest.mark.skipif("ISTHMUS_DATA" not in os.environ, reason="ISTHMUS_DATA is not set")
def test_the_cifar10_that_is_there() -> None:
    """Also for re-encoded pixels, hence the tolerance on the constants."""
    data = datasets.load("cifar10")
    assert np.bincount(data.train.labels).tolist() == [5000] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    for channel in range(3):
        pixels = data.train.inputs[:, channel]
        assert abs(float(pixels.mean()) / 255 - data.mean[channel]) < 0.002
        assert abs(float(pixels.std()) / 255 - data.std[channel]) < 0.004
