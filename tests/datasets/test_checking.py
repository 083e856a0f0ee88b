"""``isthmus data verify``: every file is read, whatever a cache holds, and compared."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archive_writers import cifar_pickles, drawn, png, tar_gz, tiny_files, write_mnist, zipped
from web import Silent

from isthmus import datasets
from isthmus.datasets import Source
from isthmus.datasets.sources import UNPUBLISHED
from isthmus.downloads import manifest
from isthmus.downloads.checking import Verdict, check
from isthmus.downloads.fetching import fetch
from isthmus.errors import BadInput

TINY = "tiny-imagenet-200"


@pytest.fixture(autouse=True)
def users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)


Declare = Callable[..., Source]


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """``declare(name, data)``: these bytes are what is published of the one file of a data set."""

    def change(name: str, data: bytes, **fields: Any) -> Source:
        entry = datasets.entry(name)[1]
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        known: dict[str, Any] = {"checksum": f"md5:{md5}", "size": len(data), "members": {}}
        source = dataclasses.replace(entry.sources[0], **known | fields)
        monkeypatch.setitem(datasets._entries(), name, dataclasses.replace(entry, sources=(source,)))
        (tmp_path / "mirror").mkdir(exist_ok=True)
        (tmp_path / "mirror" / source.name).write_bytes(data)
        return source

    return change


@pytest.fixture
def tiny(tmp_path: Path, declare: Declare) -> Path:
    """A data folder with a Tiny ImageNet that was fetched."""
    declare("tiny_imagenet", zipped(tiny_files()))
    fetch("tiny_imagenet", tmp_path / "data", Silent(), [(tmp_path / "mirror").as_uri()])
    return tmp_path / "data"


def test_what_was_fetched_is_the_published_data(tiny: Path) -> None:
    found = check("Tiny-ImageNet", tiny)
    digest = datasets.load("tiny_imagenet", tiny).digest
    note = "This is a part of Tiny ImageNet: 3 classes, 6 pictures for training and 4 for test."
    assert found == Verdict(True, True, (f"the published data: 6 + 4 examples, {digest[:12]}", note))


def test_a_picture_that_was_damaged_is_named_although_the_cache_has_it(tiny: Path) -> None:
    """Same size and same time of change: no cache could notice."""
    path = next((tiny / TINY / "train").rglob("*_1.JPEG"))
    state, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:100] + bytes(len(data) - 100))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert len(datasets.load("tiny_imagenet", tiny).train) == 6  # from the cache
    found = check("tiny_imagenet", tiny)
    assert (found.there, found.right) == (True, False)
    assert found.told[0].startswith(f"damaged. {path}: expected a whole picture, found ")


def change_picture(base: Path) -> str:
    path = next((base / "val/images").iterdir())
    path.write_bytes(png(drawn(77, 64, 64, 3)))
    return "val/images"


def remove_boxes(base: Path) -> str:
    (base / "words.txt").unlink()
    return "."


def add_file(base: Path) -> str:
    (base / "train/extra").mkdir()
    (base / "train/extra/note.txt").write_bytes(b"x")
    return "train/extra"


@pytest.mark.parametrize("change", [change_picture, remove_boxes, add_file])
def test_what_is_other_than_it_was_fetched_is_wrong(tiny: Path, change: Callable[[Path], str]) -> None:
    place = change(tiny / TINY)
    found = check("tiny_imagenet", tiny)
    assert not found.right
    told = f"changed. {tiny / TINY}: expected the files that were fetched from file:///"
    assert found.told[0].startswith(told)
    assert found.told[0].endswith(f", found others in {place}: move it away and fetch it again.")


def test_hidden_files_do_not_count(tiny: Path) -> None:
    (tiny / TINY / "train/.DS_Store").write_bytes(b"x")
    assert check("tiny_imagenet", tiny).right


def test_other_pixels_of_the_same_files_are_noted(tiny: Path) -> None:
    kept = manifest.read(tiny, "tiny_imagenet")
    assert kept is not None
    manifest.save(tiny, kept.model_copy(update={"digest": "ab" * 32, "pillow": "9.0"}))
    found = check("tiny_imagenet", tiny)
    assert found.right
    assert "but they were decoded to abababababab by pillow 9.0 then and to " in found.told[-1]


def test_files_of_ones_own_are_right_with_a_note(tmp_path: Path, declare: Declare) -> None:
    for name, data in tiny_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    found = check("tiny_imagenet", tmp_path)
    assert found.right
    assert found.told[0].startswith("whole: 6 + 4 examples, ")
    assert found.told[-1].startswith("Whether these are the published files cannot be told: there is no checksum to")
    declare("tiny_imagenet", b"published")
    (tmp_path / "tiny-imagenet-200.zip").write_bytes(b"mine")  # beside the folder it is not what is read
    assert check("tiny_imagenet", tmp_path).told == found.told


def test_an_archive_is_compared_where_it_is_what_is_read(tmp_path: Path, declare: Declare) -> None:
    data = tar_gz({f"cifar-10-batches-py/{name}": content for name, content in cifar_pickles().items()})
    source = declare("cifar10", data)
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(data)
    assert check("cifar10", tmp_path).told[0].startswith("the published data: 30 + 9 examples, ")
    declare("cifar10", b"published")
    found = check("cifar10", tmp_path)
    assert found.right
    assert found.told[0].startswith("whole: ")
    assert found.told[-1].startswith(f"{path} is not the published file: expected md5:")
    assert f", found {source.checksum}; it is used as it is." in found.told[-1]


@pytest.mark.parametrize("right", [True, False])
def test_published_checksums_of_the_files_in_a_folder(tmp_path: Path, declare: Declare, right: bool) -> None:
    files = cifar_pickles()
    (tmp_path / "cifar-10-batches-py").mkdir()
    for name, data in files.items():
        (tmp_path / "cifar-10-batches-py" / name).write_bytes(data)
    sums = {name: f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in files.items()}
    if not right:
        sums["test_batch"] = f"sha256:{'0' * 64}"
    declare("cifar10", b"published", members=sums)
    found = check("cifar10", tmp_path)
    assert found.right
    assert found.told[0].startswith("the published data: " if right else "whole: ")
    assert not any("cannot be told" in line for line in found.told)


def test_mnist_packed_otherwise_is_still_the_published_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path / "MNIST/raw", zipped=True)
    found = check("mnist", tmp_path)
    assert found.right
    assert sum(" is not the published file: expected md5:" in line for line in found.told) == 4
    digest = datasets.load("mnist", tmp_path).digest
    entry = dataclasses.replace(datasets.entry("mnist")[1], digest=digest)
    monkeypatch.setitem(datasets._entries(), "mnist", entry)
    found = check("mnist", tmp_path)
    assert found.told[0] == f"the published data: 7 + 5 examples, {digest[:12]}"
    assert found.told[-1] == "These are the published data in other files than the published ones."


def test_a_file_without_a_published_checksum_is_compared_with_the_one_fetched(tmp_path: Path, declare: Declare) -> None:
    write_mnist(tmp_path / "data/MNIST/raw", zipped=True)
    path = tmp_path / "data/MNIST/raw/train-images-idx3-ubyte.gz"
    first = path.read_bytes()
    path.unlink()
    declare("mnist", first, checksum=UNPUBLISHED, size=None)
    fetch("mnist", tmp_path / "data", Silent(), [(tmp_path / "mirror").as_uri()])
    assert check("mnist", tmp_path / "data").right
    path.write_bytes(first + b"")
    assert check("mnist", tmp_path / "data").right
    path.write_bytes(first[:4] + b"\1" + first[5:])  # another time in the header of gzip: the same arrays
    found = check("mnist", tmp_path / "data")
    assert not found.right
    assert found.told[0].startswith(f"changed. {path}: expected sha256:{hashlib.sha256(first).hexdigest()} as it was")


def test_what_is_not_there_and_what_needs_no_files(tmp_path: Path, tiny: Path) -> None:
    found = check("cifar100", tmp_path)
    assert (found.there, found.right) == (False, False)
    assert found.told[0].startswith("not at hand. Data set cifar100 is at none of ")
    assert check("digits", None).told[0].startswith("at hand: 1,437 + 360 examples, 6d7e2b019abe")
    (tiny / ".isthmus/tiny_imagenet.json").write_text("{}")
    found = check("tiny_imagenet", tiny)
    assert not found.right
    assert "tiny_imagenet.json: expected the record of what was fetched, found something else: remove" in found.told[0]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"checksum": "md5:12"}, "expected md5: or sha256: and its digits, or unpublished, found 'md5:12'"),
        ({"checksum": "sha1:" + "a" * 40}, "found 'sha1:"),
        ({"members": {"a": "md5:" + "g" * 32}}, "found 'md5:ggg"),
        ({"place": "../out"}, "expected a path below the data folder, found '../out'"),
        ({"place": "/abs"}, "found '/abs'"),
        ({"name": "a/b.zip"}, "found 'a/b.zip'"),
        ({"mirrors": ("ftp://host/x.zip",)}, "expected addresses of http or https, found 'ftp://host/x.zip'"),
        ({"mirrors": ()}, "expected at least one address, found none"),
        ({"name": "x.rar"}, "expected one of .zip, .tar, .tar.gz, .tgz, found none"),
    ],
)
def test_a_declaration_that_nobody_could_follow(fields: dict[str, Any], told: str) -> None:
    right: dict[str, Any] = {
        "name": "x.zip",
        "mirrors": ("https://host/x.zip",),
        "checksum": "md5:" + "a" * 32,
        "place": "x",
        "unpack": True,
    }
    assert Source(**right).published
    with pytest.raises(BadInput) as caught:
        Source(**right | fields)
    assert told in str(caught.value)


def test_everything_that_needs_files_is_either_fetched_or_the_users_own() -> None:
    fetched = {name for name in datasets.names() if datasets.entry(name)[1].sources}
    assert fetched == {"mnist", "cifar10", "cifar100", "cinic10", "tiny_imagenet"}
    assert {name for name in datasets.names() if datasets.entry(name)[1].needs_files} == fetched | {"folder", "npz"}
    for name in fetched:
        for source in datasets.entry(name)[1].sources:
            assert source.published
            assert source.size
