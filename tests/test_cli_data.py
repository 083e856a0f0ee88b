"""``isthmus data`` as its users meet it: lists, exit codes, one sentence for each mistake."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import small_mnist
from isthmus import cli, datasets

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """``data(*arguments)`` in an empty folder, no data folder named: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(["data", *arguments])
        captured = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, captured.out, captured.err

    yield call
    signal.signal(signal.SIGTERM, before)


def test_help_of_every_command_loads_nothing_heavy() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from isthmus import cli\n"
        "for command in ('ls', 'fetch', 'verify'):\n"
        "    try:\n"
        "        cli.main(['data', command, '--help'])\n"
        "    except SystemExit as left:\n"
        "        assert left.code == 0, command\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'filelock', 'urllib.request', 'tarfile'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Usage: isthmus data ") == 3
    assert "Exit code 1 if one cannot be read whole" in done.stdout


def test_the_list_says_what_is_there_and_what_can_be_fetched(data: Call) -> None:
    listed = data("ls")
    assert listed == data()
    code, out, err = listed
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "isthmus data fetch cifar10: 170.5 MB from www.cs.toronto.edu" in out
    assert "fetch mnist: 11.6 MB from ossci-datasets.s3.amazonaws.com or storage.googleapis.com\n" in out
    starts = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert starts == list(datasets.names())
    assert out.count("isthmus data fetch cifar100") == 2  # once where its files belong, once on its own line
    (mnist,) = (line for line in lines if line.startswith("mnist"))
    assert " or DIR/mnist.npz (`isthmus data fetch mnist --data DIR` does both), and name the folder DIR" in mnist
    (folder,) = (line for line in lines if line.startswith("folder"))
    assert "isthmus data fetch" not in folder


def test_a_folder_with_a_space_can_be_copied_from_the_sentence(data: Call) -> None:
    assert "(`isthmus data fetch cinic10 --data 'a b'` does both)" in data("--data", "a b")[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("fetch",), "NAME requires an argument"),
        (("fetch", "mnits", "--data", "x"), "There is no data set named 'mnits'; did you mean \"mnist\"?"),
        (("fetch", "mnist"), "No data folder is named: name one with --data or the environment variable ISTHMUS_DATA."),
        (("fetch", "mnist", "npz", "--data", "x"), "Data set npz is not fetched. Files: your arrays"),
        (("fetch", "mnist", "--data", "x", "--mirror", "host/x"), "--mirror: expected an address that begins with"),
        (("verify", "mnits"), "There is no data set named 'mnits'"),
        (("fetsh", "mnist"), "no command of isthmus data named 'fetsh'; did you mean \"fetch\"? Known: fetch, ls,"),
    ],
)
def test_a_mistake_is_told_in_one_message(data: Call, tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    code, out, err = data(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("isthmus: ")
    assert err.count("\n") == 1
    assert told in err
    assert not list(tmp_path.iterdir())


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small MNIST as it is published, of which one file has no published checksum."""
    folder = tmp_path / "mirror"
    made = small_mnist.write(tmp_path / "made") / "mnist"
    folder.mkdir()
    sources = []
    for source in datasets.entry("mnist")[1].sources:
        data = gzip.compress((made / source.name.removesuffix(".gz")).read_bytes(), mtime=0)
        (folder / source.name).write_bytes(data)
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        known = "unpublished" if source.name.startswith("t10k-labels") else f"md5:{md5}"
        sources.append(dataclasses.replace(source, checksum=known, size=None))
    changed = dataclasses.replace(datasets.entry("mnist")[1], sources=tuple(sources))
    monkeypatch.setitem(datasets._entries(), "mnist", changed)
    return folder


def test_from_nothing_to_verified_and_damaged(data: Call, tmp_path: Path, mirror: Path) -> None:
    assert "isthmus data fetch mnist: of unknown size from ossci" in data("ls", "--data", "here")[1]
    code, out, err = data("fetch", "mnist", "--data", "here", "--mirror", mirror.as_uri())
    assert code == 0
    first, *rest = out.splitlines()
    assert first.startswith("mnist            fetched: 96 + 40 examples, 10 classes, ")
    labels = (mirror / "t10k-labels-idx1-ubyte.gz").read_bytes()
    sha256 = hashlib.sha256(labels).hexdigest()
    assert rest[-1].strip().startswith("t10k-labels-idx1-ubyte.gz: no checksum is published; found md5:")
    assert rest[-1].endswith(f"sha256:{sha256}")
    assert "train-images-idx3-ubyte.gz, " in err
    code, out, err = data("fetch", "MNIST", "--data", "here")
    assert (code, err) == (0, "")
    assert out.startswith("mnist            already at hand: 96 + 40 examples, ")
    code, out, err = data("verify", "--data", "here")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if line[0] != " "] == ["digits", "mnist", "spiral"]
    assert "mnist            whole: 96 + 40 examples, " in out
    assert "there is no checksum to compare with" in out
    path = tmp_path / "here/MNIST/raw/t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(labels), mtime=1))
    code, out, err = data("verify", "mnist", "--data", "here")
    assert (code, err) == (1, "isthmus: 1 of these data sets is not as they should be.\n")
    assert out.startswith("mnist            changed. here/MNIST/raw/t10k-labels-idx1-ubyte.gz: expected sha256:")
    path.unlink()
    code, out, err = data("verify", "mnist", "cifar10", "--data", "here")
    assert (code, err) == (1, "isthmus: 2 of these data sets are not as they should be.\n")
    assert out.count("not at hand. Data set ") == 2
    assert data("verify", "--data", "here")[0] == 0  # nobody said that it ought to be there


def test_wrong_bytes_are_told_as_they_are_found(data: Call, mirror: Path) -> None:
    name = "train-labels-idx1-ubyte.gz"
    (mirror / name).write_bytes(b"another")
    code, out, err = data("fetch", "mnist", "--data", "here", "--mirror", mirror.as_uri())
    assert (code, out) == (1, "")
    md5 = hashlib.md5(b"another", usedforsecurity=False).hexdigest()
    assert f", found md5:{md5}, these bytes are removed" in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith(f"isthmus: {name} could not be fetched ({mirror.as_uri()}/{name}: expected")
    assert "mnist            not at hand" in data("ls", "--data", "here")[1]
