"""Unpacking: whole archives give exactly their files, hostile ones touch nothing outside their folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from archive_writers import drawn
from hypothesis import given
from hypothesis import strategies as st

from isthmus.downloads import unpack as module
from isthmus.downloads.unpack import unpack
from isthmus.errors import BadData

FILES = {f"set/{name}": drawn(i, 300 + 700 * i).tobytes() for i, name in enumerate(("a", "b/c", "b/d e", "b/f/ü.png"))}
KINDS = ("x.zip", "x.tar.gz", "x.tgz", "x.tar")


def tar_member(name: str, **fields: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(found, field, value)
    return found


def pack(path: Path, files: Mapping[str, bytes], *, folders: tuple[str, ...] = ()) -> Path:
    """An archive of the kind that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name in folders:
                made.writestr(zipfile.ZipInfo(f"{name}/"), b"")
            for name, data in files.items():
                made.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as tar:
        for name in folders:
            tar.addfile(tar_member(name, type=tarfile.DIRTYPE, mode=0o755))
        for name, data in files.items():
            tar.addfile(tar_member(name, size=len(data), mode=0o6777), io.BytesIO(data))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """All that is in a folder: contents by path, folders as b"/", links by where they lead."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found[name] = os.readlink(path).encode() if path.is_symlink() else b"/" if path.is_dir() else path.read_bytes()
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(folder).items() if data != b"/"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", ["", "./"])
def test_a_whole_archive_gives_exactly_its_files(tmp_path: Path, kind: str, prefix: str) -> None:
    archive = pack(tmp_path / kind, {prefix + name: data for name, data in FILES.items()}, folders=("set", "set/empty"))
    told: list[int] = []
    found = unpack(archive, tmp_path / "to", told.append)
    assert files(tmp_path / "to") == FILES
    assert (tmp_path / "to/set/empty").is_dir()
    assert found == {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    assert told == sorted(told)
    assert 0 < told[-1] <= archive.stat().st_size
    for path in (tmp_path / "to").rglob("*"):
        assert path.is_dir() or not path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID | 0o111)


PIECES = st.sampled_from(["..", ".", "", "a", "b", "a b", "..a", "C:", "\\", "..\\x", "~", "\0", "x" * 300, "ü", "-"])
NAMES = st.lists(PIECES, min_size=1, max_size=4).map("/".join)


@given(names=st.lists(st.tuples(NAMES, st.booleans()), min_size=1, max_size=5), zipped=st.booleans())
def test_no_name_leads_out_of_the_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, bool]], zipped: bool
) -> None:
    place = tmp_path_factory.mktemp("deep") / "1" / "2" / "3" / "4" / "5"
    place.mkdir(parents=True)
    archive = place / ("x.zip" if zipped else "x.tar")
    everything = {name: name.encode() for name, is_folder in names if not is_folder}
    pack(archive, everything, folders=tuple(name for name, is_folder in names if is_folder and name))
    top = place.parents[4]
    before = tree(top)
    told, found = "", None
    try:
        found = unpack(archive, place / "to")
    except BadData as error:
        told = str(error)
    assert found or told.startswith(f"{archive}: expected a whole archive that is safe to unpack, found ")
    assert "\n" not in told
    after = {name: data for name, data in tree(top).items() if not name.startswith("1/2/3/4/5/to")}
    assert after == before
    inside = files(place / "to")
    assert set(inside.values()) <= set(everything.values()) | {name.partition("\0")[0].encode() for name in everything}
    if found is not None:  # all of it, each where its name says
        assert {os.path.normpath(name) for name in everything if "\0" not in name} <= set(inside)
        assert set(found) == set(inside)


LINK = {"type": tarfile.SYMTYPE, "linkname": "../out"}


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([("set/a", LINK)], "the member 'set/a', which is neither a file nor a folder"),
        ([("link", {"type": tarfile.SYMTYPE, "linkname": "b"}), ("link/new", {})], "the member 'link', which is"),
        ([("link", LINK), ("link/new", {})], "the member 'link', which is neither"),
        ([("hard", {"type": tarfile.LNKTYPE, "linkname": "../out/secret"})], "the member 'hard', which is"),
        ([("null", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3})], "the member 'null', which is"),
        ([("disk", {"type": tarfile.BLKTYPE})], "the member 'disk', which is"),
        ([("pipe", {"type": tarfile.FIFOTYPE})], "the member 'pipe', which is"),
        ([("/tmp/abs", {})], "the member '/tmp/abs', whose path may lead out of its folder"),
        ([("a/../../out/new", {})], "the member 'a/../../out/new', whose path may lead"),
        ([("a", {}), ("a", {})], "the member 'a' in the place of another"),
        ([("a", {}), ("./a", {})], "the member 'a' in the place of another"),
        ([("a", {}), ("a/b", {})], "the member 'b' in the place of another"),
        ([("a/b", {}), ("a", {})], "the member 'a' in the place of another"),
        ([("a", {}), ("a", {"type": tarfile.DIRTYPE})], "the member 'a' in the place of another"),
        ([("./", {})], "a file named './'"),
        ([("folder", {"type": tarfile.DIRTYPE})], "no file in it"),
    ],
    ids=str,
)
def test_a_member_of_harm_ends_it(tmp_path: Path, members: list[tuple[str, dict[str, Any]]], told: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/secret").write_bytes(b"secret")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        for name, fields in members:
            data = b"" if fields else b"data"
            tar.addfile(tar_member(name, size=len(data), **fields), io.BytesIO(data))
    with pytest.raises(BadData) as caught:
        unpack(tmp_path / "x.tar.gz", tmp_path / "to")
    assert told in str(caught.value)
    assert tree(tmp_path / "out") == {"secret": b"secret"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_links_and_passwords_in_a_zip(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("set/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as made:
        made.writestr(link, "../../out")
    with pytest.raises(BadData, match="'set/link', which is neither a file nor a folder"):
        unpack(tmp_path / "link.zip", tmp_path / "a")
    data = bytearray(pack(tmp_path / "x.zip", {"a": b"abc"}).read_bytes())
    for place in (data.index(b"PK\3\4") + 6, data.index(b"PK\1\2") + 8):
        data[place] |= 1  # says that it is encrypted
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(BadData, match="encrypted"):
        unpack(tmp_path / "x.zip", tmp_path / "b")


@pytest.mark.parametrize("kind", ["x.zip", "x.tar.gz"])
def test_a_bomb_is_stopped_when_it_has_grown_too_far(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOM", 50_000)
    monkeypatch.setattr(module, "CHUNK", 5_000)
    archive = pack(tmp_path / kind, {f"{i}": bytes(40_000) for i in range(9)})
    with pytest.raises(BadData, match="found far more bytes in it than its size lets expect"):
        unpack(archive, tmp_path / "to")
    assert sum(map(len, files(tmp_path / "to").values())) <= 50_000 + 10 * archive.stat().st_size
    monkeypatch.setattr(module, "ROOM", 400_000)
    assert len(unpack(archive, tmp_path / "again")) == 9
    monkeypatch.setattr(module, "MEMBERS", 8)
    with pytest.raises(BadData, match="found more than 8 members"):
        unpack(archive, tmp_path / "many")


def test_a_header_that_is_a_bomb_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOM", 50_000)
    header = tar_member("PaxHeader", type=tarfile.XHDTYPE, size=2**40).tobuf()
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(header + bytes(2**20)))
    with pytest.raises(BadData, match="far more bytes in it"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "to")


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_archive_is_refused_wherever_it_was_cut(tmp_path: Path, kind: str) -> None:
    whole = pack(tmp_path / kind, FILES).read_bytes()
    if kind == "x.tar":
        cuts = [*range(0, len(whole.rstrip(b"\0")), 512), 100, 700]
    else:
        cuts = [0, 1, 30, *range(50, len(whole) - 1, 397), len(whole) - 1]
    for number, cut in enumerate(cuts):
        (tmp_path / kind).write_bytes(whole[:cut])
        with pytest.raises(BadData, match=f"^{tmp_path / kind}: expected a whole archive"):
            unpack(tmp_path / kind, tmp_path / f"to{number}")


@pytest.mark.parametrize("kind", KINDS)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_damaged_bit_never_gives_other_files(
    tmp_path_factory: pytest.TempPathFactory, kind: str, place: float, bit: int
) -> None:
    """But for those of an uncompressed tar, which has no checksums of its contents, and for times and the like."""
    folder = tmp_path_factory.mktemp("bit")
    data = bytearray(pack(folder / kind, FILES).read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    (folder / kind).write_bytes(data)
    try:
        unpack(folder / kind, folder / "to")
    except BadData:
        return
    found = files(folder / "to")
    assert set(found) <= set(FILES) if kind == "x.tar" else found == FILES


def test_a_damaged_header_in_the_middle_is_no_end(tmp_path: Path) -> None:
    data = bytearray(pack(tmp_path / "x.tar", FILES).read_bytes())
    data[data.index(b"set/b/d e")] ^= 1
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(BadData, match="something that is no member in the middle of it"):
        unpack(tmp_path / "x.tar", tmp_path / "to")
