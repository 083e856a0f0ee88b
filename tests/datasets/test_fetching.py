"""Fetching data sets: whole or not at all, the user's own left alone, and on with it after whatever stopped it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from archive_writers import (
    cifar100_pickles,
    cifar_pickles,
    cinic_files,
    idx,
    mnist_arrays,
    tar_gz,
    tiny_files,
    write_mnist,
    zipped,
)
from web import Page, Silent, Site, served

from isthmus import datasets
from isthmus.datasets import Source
from isthmus.datasets.sources import UNPUBLISHED
from isthmus.downloads import manifest, remote
from isthmus.downloads.fetching import fetch
from isthmus.errors import BadData, BadInput, FetchFailed, IsthmusError, MissingData, UnknownName


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    with served() as found:
        yield found


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``declare(name, *sources)``: what can be fetched of a data set from now on."""

    def change(name: str, *sources: Source) -> None:
        entry = dataclasses.replace(datasets.entry(name)[1], sources=sources)
        monkeypatch.setitem(datasets._entries(), name, entry)

    return change


def inside(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}


MAKE: dict[str, Callable[[], bytes]] = {
    "cifar-10-python.tar.gz": lambda: tar_gz(inside("cifar-10-batches-py", cifar_pickles())),
    "cifar-100-python.tar.gz": lambda: tar_gz(inside("cifar-100-python", cifar100_pickles())),
    "CINIC-10.tar.gz": lambda: tar_gz(cinic_files()),
    "tiny-imagenet-200.zip": lambda: zipped(tiny_files()),
} | {
    f"{stem}-ubyte.gz": lambda array=array: gzip.compress(idx(array), mtime=0) for stem, array in mnist_arrays().items()
}


def packed(site: Site, name: str, **page: Any) -> list[Source]:
    """Its files as they are declared, but small ones on this site."""
    return [
        site.source(f"{name}/{one.name}", Page(MAKE[one.name](), **page), place=one.place, unpack=one.unpack)
        for one in datasets.entry(name)[1].sources
    ]


SETS = ("mnist", "cifar10", "cifar100", "cinic10", "tiny_imagenet")


def left(root: Path) -> list[str]:
    """What lies in the data folder beside data sets."""
    return sorted(path.relative_to(root / ".isthmus").as_posix() for path in (root / ".isthmus").rglob("*"))


@pytest.mark.parametrize("name", SETS)
def test_a_data_set_is_fetched_once(site: Site, tmp_path: Path, declare: Callable[..., None], name: str) -> None:
    sources = packed(site, name)
    declare(name, *sources)
    root = tmp_path / "new" / "data"
    found, fetched = fetch(name.upper(), root, Silent())
    assert fetched
    again = datasets.load(name, root)
    assert again.digest == found.digest
    assert len(found.train) == {"mnist": 7, "cifar10": 30, "cifar100": 6, "cinic10": 20, "tiny_imagenet": 6}[name]
    assert left(root) == [f"{name}.json", f"{name}.lock"]
    assert {path.name for path in root.iterdir()} == {".isthmus", sources[0].place.split("/")[0]}
    kept = manifest.read(root, name)
    assert kept is not None
    assert (kept.data_set, kept.digest) == (name, found.digest)
    assert [(file.name, file.url, file.published, file.bytes) for file in kept.files] == [
        (source.name, source.mirrors[0], source.checksum, source.size) for source in sources
    ]
    asked = len(site.asked)
    assert asked == len(sources)
    (root / ".isthmus" / name).mkdir()  # as when it was stopped just before its end
    (root / ".isthmus" / name / "x.zip").write_bytes(b"x")
    once_more, fetched = fetch(name, root, Silent())
    assert left(root) == [f"{name}.json", f"{name}.lock"]
    assert (once_more.digest, fetched, len(site.asked)) == (found.digest, False, asked)


def test_what_is_missing_is_fetched_and_what_is_there_stays(
    site: Site, tmp_path: Path, declare: Callable[..., None]
) -> None:
    sources = packed(site, "mnist")
    declare("mnist", *sources)
    write_mnist(tmp_path / "MNIST/raw", zipped=True)
    raw = tmp_path / "MNIST/raw"
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in raw.iterdir()}
    (raw / "t10k-labels-idx1-ubyte.gz").unlink()
    shown = Silent()
    _, fetched = fetch("mnist", tmp_path, shown)
    assert fetched
    assert [path for path, *_ in site.asked] == ["mnist/t10k-labels-idx1-ubyte.gz"]
    (raw / "t10k-labels-idx1-ubyte.gz").unlink()
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in raw.iterdir()} == {
        name: state for name, state in before.items() if name != "t10k-labels-idx1-ubyte.gz"
    }


def test_a_part_of_a_data_set_is_neither_filled_up_nor_removed(
    site: Site, tmp_path: Path, declare: Callable[..., None]
) -> None:
    declare("cifar10", *packed(site, "cifar10"))
    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    (base / "data_batch_1").write_bytes(b"mine")
    with pytest.raises(BadData, match=f"^{base}: expected nothing or the whole of cifar10, found a part of it or"):
        fetch("cifar10", tmp_path, Silent())
    assert not site.asked
    assert (base / "data_batch_1").read_bytes() == b"mine"
    (base / "data_batch_1").unlink()
    assert fetch("cifar10", tmp_path, Silent())[1]  # an empty folder is nothing


def test_what_is_damaged_has_to_be_moved_away(site: Site, tmp_path: Path, declare: Callable[..., None]) -> None:
    declare("cifar10", *packed(site, "cifar10"))
    mine = tmp_path / "cifar-10-python.tar.gz"
    mine.write_bytes(b"cut")
    with pytest.raises(BadData, match=f"^{mine}: expected a whole tar.gz .* overwritten: move it away, then fetch"):
        fetch("cifar10", tmp_path, Silent())
    assert (mine.read_bytes(), site.asked) == (b"cut", [])


def test_the_users_own_archive_is_used_if_it_is_the_published_one(
    site: Site, tmp_path: Path, declare: Callable[..., None]
) -> None:
    (source,) = packed(site, "tiny_imagenet")
    declare("tiny_imagenet", source)
    data = site.pages["tiny_imagenet/tiny-imagenet-200.zip"].data
    for name, content, asked in (("right", data, 0), ("other", b"another", 1)):
        (tmp_path / name).mkdir()
        mine = tmp_path / name / source.name
        mine.write_bytes(content)
        found, fetched = fetch("tiny_imagenet", tmp_path / name, Silent())
        assert (len(found.train), fetched, len(site.asked)) == (6, True, asked)
        assert mine.read_bytes() == content


def test_a_mirror_is_asked_instead(site: Site, tmp_path: Path, declare: Callable[..., None]) -> None:
    declare("mnist", *packed(site, "mnist"))
    names = [source.name for source in datasets.entry("mnist")[1].sources]
    for name in names:
        site.pages[f"copy/{name}"] = site.pages.pop(f"mnist/{name}")
    assert fetch("mnist", tmp_path, Silent(), [f"{site.url}/none", f"{site.url}/copy"])[1]
    assert [path for path, *_ in site.asked] == [f"{place}/{name}" for name in names for place in ("none", "copy")]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"cifar-10-batches-py/data_batch_1": b"x"},
            "What was fetched of cifar10 is not the data set: Data set cifar1",
        ),
        ({"cifar-10-batches-py/../../../evil": b"x"}, "expected a whole archive that is safe to unpack, found the mem"),
    ],
)
def test_what_is_no_data_set_leaves_nothing(
    site: Site, tmp_path: Path, declare: Callable[..., None], files: dict[str, bytes], told: str
) -> None:
    name = "cifar-10-python.tar.gz"
    page = Page(tar_gz(files))
    fields = {"place": "cifar-10-batches-py", "unpack": True, "checksum": UNPUBLISHED, "size": None}
    declare("cifar10", site.source(name, page, **fields))
    with pytest.raises(FetchFailed) as caught:
        fetch("cifar10", tmp_path / "data", Silent())
    assert told in str(caught.value)
    assert left(tmp_path / "data") == ["cifar10.lock"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    site.pages[name] = Page(tar_gz(inside("cifar-10-batches-py", cifar_pickles())))
    assert fetch("cifar10", tmp_path / "data", Silent())[1]


def test_a_disk_that_is_full_while_unpacking_costs_no_second_download(
    site: Site, tmp_path: Path, declare: Callable[..., None]
) -> None:
    files = inside("cifar-10-batches-py", cifar_pickles()) | {"cifar-10-batches-py/large": bytes(500_000)}
    fields = {"place": "cifar-10-batches-py", "unpack": True}
    declare("cifar10", site.source("cifar-10-python.tar.gz", Page(tar_gz(files)), **fields))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limits[1]))
    try:
        with pytest.raises(IsthmusError, match=r"/large cannot be written \(File too large\): make room; what was"):
            fetch("cifar10", tmp_path, Silent())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(MissingData):
        datasets.load("cifar10", tmp_path)
    assert fetch("cifar10", tmp_path, Silent())[1]
    assert len(site.asked) == 1
    assert left(tmp_path) == ["cifar10.json", "cifar10.lock"]


def test_what_cannot_be_fetched(tmp_path: Path) -> None:
    for name, words in (("digits", "Part of the package."), ("folder", "Files: your pictures"), ("npz", "Files: your")):
        with pytest.raises(BadInput, match=f"^Data set {name} is not fetched. {words}"):
            fetch(name, tmp_path, Silent())
    with pytest.raises(UnknownName, match="no data set named 'mnits'"):
        fetch("mnits", tmp_path, Silent())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(IsthmusError, match=r"mnist.lock cannot be written \(Not a directory\): make it writable or na"):
        fetch("mnist", tmp_path / "file", Silent())


# --- processes that are stopped ---------------------------------------------------------------------------------

SCRIPT = """
import dataclasses, json, sys, time
from isthmus import cli, datasets
from isthmus.downloads import unpack
declared, slow = json.loads(sys.argv[1])
for name, sources in declared.items():
    entry = datasets.entry(name)[1]
    datasets._entries()[name] = dataclasses.replace(entry, sources=tuple(datasets.Source(**one) for one in sources))
write = unpack._write
unpack._write = lambda *arguments: (time.sleep(slow), write(*arguments))[1]
cli.main(["data", *sys.argv[2:]])
"""


def start(declared: dict[str, list[Source]], *arguments: str, slow: float = 0.0) -> subprocess.Popen[str]:
    """``isthmus data`` with these arguments, where these sources are declared and each member unpacks so slowly."""
    sources = {name: [dataclasses.asdict(source) for source in found] for name, found in declared.items()}
    told = json.dumps([sources, slow])
    command = [sys.executable, "-c", SCRIPT, told, *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(datasets.__file__).parents[2])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.002)


def ended(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    return out, err


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_stopped_while_it_downloads_it_goes_on(site: Site, tmp_path: Path, stop: signal.Signals, code: int) -> None:
    sources = packed(site, "tiny_imagenet", pause=0.05, etag='"1"')
    part = tmp_path / ".isthmus/tiny_imagenet/tiny-imagenet-200.zip.part"
    process = start({"tiny_imagenet": sources}, "fetch", "tiny_imagenet", "--data", str(tmp_path))
    wait_for(lambda: part.exists() and part.stat().st_size > 20_000)
    process.send_signal(stop)
    _, err = ended(process, code)
    if code == 130:
        assert err.endswith("isthmus: Stopped; what was received is kept, and the same command goes on from there.\n")
    assert 20_000 <= part.stat().st_size < (sources[0].size or 0)
    with pytest.raises(MissingData):
        datasets.load("tiny_imagenet", tmp_path)
    received = part.stat().st_size
    site.pages["tiny_imagenet/tiny-imagenet-200.zip"].pause = 0.0
    out, err = ended(start({"tiny_imagenet": sources}, "fetch", "tiny_imagenet", "--data", str(tmp_path)), 0)
    assert out.startswith("tiny_imagenet    fetched: 6 + 4 examples, 3 classes, ")
    assert site.asked[1:] == [("tiny_imagenet/tiny-imagenet-200.zip", f"bytes={received}-", '"1"')]
    assert f", going on from {received / 1e6:.3f} MB\n" in err


def test_killed_while_it_unpacks_it_goes_on(site: Site, tmp_path: Path) -> None:
    sources = packed(site, "cinic10")
    fetching = ("fetch", "cinic10", "--data", str(tmp_path))
    process = start({"cinic10": sources}, *fetching, slow=0.02)
    contents = tmp_path / ".isthmus/cinic10/contents"
    wait_for(lambda: len(list(contents.rglob("*.png"))) > 5)
    process.kill()
    ended(process, -9)
    assert 5 < len(list(contents.rglob("*.png"))) < 60
    with pytest.raises(MissingData):
        datasets.load("cinic10", tmp_path)
    out, _ = ended(start({"cinic10": sources}, *fetching), 0)
    assert out.startswith("cinic10          fetched: 20 + 20 examples, 10 classes, ")
    assert len(site.asked) == 1
    assert left(tmp_path) == ["cinic10.json", "cinic10.lock"]
    assert len(datasets.load("cinic10", tmp_path, valid="train").train) == 40


def test_two_processes_fetch_it_once(site: Site, tmp_path: Path) -> None:
    gate = Event()
    sources = {"cifar100": packed(site, "cifar100", gate=gate)}
    first = start(sources, "fetch", "cifar100", "--data", str(tmp_path))
    wait_for(lambda: len(site.asked) == 1)
    second = start(sources, "fetch", "cifar100", "--data", str(tmp_path))
    assert second.stderr is not None
    told = f"cifar100: another process is fetching it into {tmp_path}; waiting for it.\n"
    assert second.stderr.readline() == told
    gate.set()
    assert ended(first, 0)[0].startswith("cifar100         fetched: 6 + 7 examples, ")
    assert ended(second, 0)[0].startswith("cifar100         already at hand: 6 + 7 examples, ")
    assert len(site.asked) == 1


def test_one_that_fails_does_not_stop_the_others(site: Site, tmp_path: Path) -> None:
    sources = {"cifar10": packed(site, "cifar10"), "mnist": packed(site, "mnist")}
    del site.pages["cifar10/cifar-10-python.tar.gz"]
    _, err = ended(start(sources, "fetch", "mnist", "spiral", "--data", str(tmp_path)), 2)
    assert err == "isthmus: Data set spiral is not fetched. Drawn from a seed.\n"
    assert (site.asked, list(tmp_path.iterdir())) == ([], [])
    out, err = ended(start(sources, "fetch", "cifar-10", "mnist", "CIFAR10", "--data", str(tmp_path)), 1)
    assert out.startswith("mnist            fetched: 7 + 5 examples, 10 classes, ")
    assert err.splitlines()[-1].startswith("isthmus: cifar-10-python.tar.gz could not be fetched (http://127.0.0.1:")
    assert len(site.asked) == 5
