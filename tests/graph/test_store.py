"""The store: whole or not at all, never overwritten, and honest about damage."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import BadInput, Conflict, Damaged, IsthmusError
from isthmus.store import Record, Store, join_ancestries

KEY, OTHER = "ab" + "1" * 62, "ab" + "2" * 62
BYTES = b"the arrays of a network"


def record(key: str = KEY, **fields: Any) -> Record:
    return Record(**{"key": key, "kind": "train", "label": "train mlp 0 -> 5", "node": {}, "digest": "d1", **fields})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def files(store: Store, folder: str = "objects") -> list[str]:
    return sorted(path.name for path in (store.root / folder).rglob("*") if path.is_file())


def test_what_is_put_comes_back(store: Store) -> None:
    numbers = {"loss": [0.1 + 0.2, float("inf"), float("nan")], "nested": {"1": [True, None]}, "step": 5, "text": "ä"}
    put = store.put(record(summary=numbers, parents={OTHER: "d2"}, ancestry={OTHER: "d2"}), BYTES)
    found = Store(store.root).get(KEY)
    assert repr(found) == repr(put)
    assert repr(found.summary) == repr(numbers)
    assert (found.ancestry, found.digest) == ({OTHER: "d2"}, "d1")
    assert store.blob(found) == BYTES
    assert store.verify() == []
    assert files(store, "tmp") == []


def test_what_is_not_there(store: Store) -> None:
    assert store.record(KEY) is None
    assert not store.has(KEY)
    with pytest.raises(BadInput, match=f"^The store {store.root} has no result {KEY}\\.$"):
        store.get(KEY)
    put = store.put(record())
    with pytest.raises(BadInput, match=r"\(train mlp 0 -> 5\) has no arrays\.$"):
        store.blob(put)


def test_a_second_realisation_does_not_replace_the_first(store: Store) -> None:
    store.put(record(digest="first"), BYTES)
    stands = store.put(record(digest="second"), b"other bits")
    assert stands.digest == "first"
    assert store.blob(store.get(KEY)) == BYTES
    assert len(files(store)) == 2  # the other arrays are gone


def test_the_same_realisation_again_changes_nothing(store: Store) -> None:
    store.put(record(made={"date": "then"}), BYTES)
    before = {path: path.stat().st_ino for path in store.root.rglob("*") if path.is_file()}
    assert store.put(record(made={"date": "now"}), BYTES).made == {"date": "then"}
    assert {path: path.stat().st_ino for path in store.root.rglob("*") if path.is_file()} == before


def test_find_by_the_first_digits(store: Store) -> None:
    store.put(record())
    store.put(record(OTHER))
    assert store.find("ab11").key == KEY
    assert store.find(OTHER).key == OTHER
    for prefix, found in (("ab1", "none"), ("abcd", "none"), ("", "none")):
        with pytest.raises(BadInput) as caught:
            store.find(prefix)
        assert str(caught.value) == (
            f"Expected one result in {store.root} whose key begins with {prefix!r} (at least 4 digits), found {found}."
        )
    store.put(record("ab11" + "3" * 60))
    with pytest.raises(BadInput, match="found 2 of them"):
        store.find("ab11")


# --- damage ---------------------------------------------------------------------------------------------------------


def paths(store: Store) -> tuple[Path, Path]:
    """(record, arrays) of KEY."""
    return store.root / "objects" / "ab" / f"{KEY}.json", store.blob_path(store.get(KEY))


@given(st.data())
def test_a_changed_byte_of_a_record_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    store.put(record(summary={"loss": [0.25, 1.5]}, parents={OTHER: "d2"}), BYTES)
    path, _ = paths(store)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
    if json_or_none(path.read_bytes()) == json.loads(whole):
        return  # white space
    with pytest.raises(Damaged) as caught:
        store.get(KEY)
    assert str(caught.value) == f"The record {path} is damaged; delete it and the result is computed again."
    assert store.verify() == [str(caught.value)]


def json_or_none(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: b"", lambda data: b"[]", lambda data: b"null"])
def test_a_record_that_is_none_is_noticed(store: Store, spoil: Callable[[bytes], bytes]) -> None:
    store.put(record())
    path = store.root / "objects" / "ab" / f"{KEY}.json"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(Damaged, match="is damaged; delete it and the result is computed again"):
        store.get(KEY)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda path: path.write_bytes(BYTES[:-1]), "has 22 bytes that are not the 23 written"),
        (lambda path: path.write_bytes(BYTES[:-1] + b"K"), "has 23 bytes that are not the 23 written"),
        (lambda path: path.unlink(), "cannot be read (No such file or directory)"),
    ],
)
def test_damaged_arrays_are_noticed_and_mended(store: Store, spoil: Callable[[Path], Any], found: str) -> None:
    put = store.put(record(), BYTES)
    path, arrays = paths(store)
    spoil(arrays)
    told = f"The file {arrays} (train mlp 0 -> 5) {found}; delete {path} and the result is computed again."
    with pytest.raises(Damaged) as caught:
        store.blob(put)
    assert str(caught.value) == told
    assert store.verify() == [told]
    path.unlink()  # as the sentence says; the damaged arrays are still there
    assert not store.has(KEY)
    assert store.blob(store.put(record(), BYTES)) == BYTES
    assert store.verify() == []


@pytest.mark.parametrize("spoiled", [False, True])
def test_delete_forgets_what_is_damaged_too(store: Store, spoiled: bool) -> None:
    store.put(record(), BYTES)
    store.put(record(OTHER), BYTES)
    if spoiled:
        paths(store)[0].write_text("{")
    store.delete(KEY)
    store.delete(KEY)  # what is not there
    assert list(store.keys()) == [OTHER]
    assert len(files(store)) == 2
    assert store.verify() == []


def test_set_aside_keeps_the_files_out_of_use(store: Store) -> None:
    store.put(record(digest="first"), BYTES)
    store.set_aside(KEY)
    assert not store.has(KEY)
    assert len(files(store, "superseded")) == 2
    store.put(record(digest="second"), b"other bits")
    store.set_aside(KEY)
    assert len(files(store, "superseded")) == 4


# --- folders that cannot be written ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "todo"), [(errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EROFS, "make it writable")]
)
@pytest.mark.parametrize("where", ["fsync", "link"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_partial(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int, todo: str, where: str, call: int
) -> None:
    real, calls = getattr(os, where), []

    def fail(*arguments: Any) -> Any:
        is_folder = where == "fsync" and os.path.isdir(f"/proc/self/fd/{arguments[0]}")
        calls.extend([] if is_folder else [arguments])
        if len(calls) == call and not is_folder:
            raise OSError(code, os.strerror(code))
        return real(*arguments)

    store.put(record(OTHER), BYTES)
    if where == "link" and call == 1:
        pytest.skip("arrays are renamed into place")
    with monkeypatch.context() as patch:
        patch.setattr(os, where, fail)
        if where == "link":
            calls.append(())
        with pytest.raises(IsthmusError) as caught:
            store.put(record(), b"more")
    assert str(caught.value) == (
        f"The store {store.root} cannot be written: {os.strerror(code)}; what it holds is whole, {todo} and run the"
        " same command again."
    )
    assert not store.has(KEY)
    assert files(store, "tmp") == []
    assert store.verify() == []
    assert store.blob(store.put(record(), b"more")) == b"more"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput) as caught:
        Store(tmp_path / "file")
    assert str(caught.value) == f"The store {tmp_path / 'file'} cannot be used as a folder: Not a directory."
    with pytest.raises(BadInput, match=r"^The store /proc/isthmus cannot be used as a folder: "):
        Store("/proc/isthmus")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write anywhere, and become somebody who cannot")
def test_a_read_only_store_can_be_read_and_says_that_it_cannot_be_written(store: Store) -> None:
    store.put(record(), BYTES)
    for path in (store.root, *store.root.rglob("*")):
        path.chmod(0o555)
    before = os.geteuid()
    for folder in store.root.parents:
        if str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o555)
    os.seteuid(65534)
    try:
        read = Store(store.root)
        assert read.blob(read.get(KEY)) == BYTES
        for write in (lambda: read.put(record(OTHER)), lambda: read.note_state("t", 1, KEY), lambda: read.delete(KEY)):
            with pytest.raises(
                IsthmusError, match=r"cannot be written: Permission denied; .*, make it writable and run"
            ):
                write()
    finally:
        os.seteuid(before)


WRITER = """
import sys
from isthmus.store import Record, Store
store = Store(sys.argv[1])
for number in range(100_000):
    key = f"{number:064x}"[::-1]
    found = Record(key, "train", "a state", {}, str(number), summary={"step": number})
    store.put(found, bytes(str(number), "ascii") * 40_000)
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_store(tmp_path: Path) -> None:
    for attempt in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / str(attempt))], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        time.sleep(0.004 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        store = Store(tmp_path / str(attempt))
        keys = list(store.keys())
        assert len(keys) >= 3
        assert store.verify() == []
        for key in keys:
            found = store.get(key)
            assert store.blob(found) == bytes(found.digest, "ascii") * 40_000


# --- trajectories and ancestries --------------------------------------------------------------------------------------


def test_states_of_a_trajectory_come_last_first_and_only_if_they_are_there(store: Store) -> None:
    for step, key in ((5, KEY), (100, OTHER), (20, "cd" + "3" * 62)):
        store.note_state("t", step, key)
    assert store.states("t", 99) == []
    store.put(record(KEY))
    store.put(record(OTHER))
    assert store.states("t", 100) == [(100, OTHER), (5, KEY)]
    assert store.states("t", 99) == [(5, KEY)]
    assert store.states("other", 99) == []


def test_a_value_agrees_with_the_ancestors_that_are_there(store: Store) -> None:
    child = record(KEY, ancestry={OTHER: "d2"})
    assert store.agrees(child)
    store.put(record(OTHER, digest="d2"))
    assert store.agrees(child)
    store.delete(OTHER)
    store.put(record(OTHER, digest="d3"))
    assert not store.agrees(child)


def test_ancestries_join_unless_they_disagree() -> None:
    trunk = "ee" + "4" * 62
    a = record(KEY, digest="a1", ancestry={trunk: "t1"}, label="train mlp 5 -> 9")
    b = record(OTHER, digest="b1", ancestry={trunk: "t1"}, label="train mlp 5 -> 8")
    assert join_ancestries([a, b]) == {trunk: "t1", KEY: "a1", OTHER: "b1"}
    with pytest.raises(Conflict) as caught:
        join_ancestries([a, record(OTHER, ancestry={trunk: "t2"}, label="train mlp 5 -> 8")])
    assert str(caught.value) == (
        "train mlp 5 -> 9 (ab1111111111) and train mlp 5 -> 8 (ab2222222222) cannot be compared: they descend from two"
        " realisations of their shared ancestor ee4444444444 whose bits differ (t1 and t2), as when it was trained"
        " again on another device or number of threads; run again with --recompute to train the cheaper side again."
    )
    with pytest.raises(Conflict):  # one is itself the other's ancestor
        join_ancestries([record(trunk, digest="t2"), a])
