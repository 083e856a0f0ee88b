"""Decoding pictures once: what comes out, what the cache promises, and what is never followed."""

from __future__ import annotations

import hashlib
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_writers import Bytes, drawn, png, write_pictures
from PIL import Image

from isthmus.datasets import pictures as module
from isthmus.datasets.pictures import CACHE, constants, decode, folders, pictures
from isthmus.errors import BadData


@pytest.fixture(autouse=True)
def users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "isthmus"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Five pictures of 6x4, written out of the order of their names."""
    write_pictures(tmp_path / "set", {f"a/{name}.png": picture(name) for name in "dbeac"})
    return tmp_path / "set"


def picture(name: str) -> Bytes:
    return drawn(ord(name), 4, 6, 3)


def expected(names: str = "abcde") -> Bytes:
    return np.stack([picture(name).transpose(2, 0, 1) for name in names])


def load(base: Path, **options: Any) -> Bytes:
    return decode(base, pictures(base, "a"), **options)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pictures that pillow opens."""
    names: list[str] = []
    real = Image.open

    def spy(path: Path, **options: Any) -> Any:
        names.append(path.name)
        return real(path, **options)

    monkeypatch.setattr(Image, "open", spy)
    return names


def caches(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("at_once", [1, 2, 5, 512])
def test_pictures_come_in_the_order_of_their_names(base: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    found = load(base)
    assert np.array_equal(found, expected())
    assert type(found) is np.ndarray
    assert not found.flags.writeable


def test_the_second_time_no_picture_is_opened(base: Path, opened: list[str]) -> None:
    first = load(base)
    assert sorted(opened) == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    again = load(base)
    assert len(opened) == 5
    assert np.array_equal(first, again)
    assert [path.suffix for path in caches(base / CACHE)] == [".npy"]  # and no temporary file
    assert np.array_equal(np.load(caches(base / CACHE)[0], allow_pickle=False), first)  # any reader of npy reads it


def rewrite(base: Path) -> dict[str, Any]:
    (base / "a/b.png").write_bytes(png(picture("z")))
    return {}


def touch(base: Path) -> dict[str, Any]:
    state = (base / "a/b.png").stat()
    os.utime(base / "a/b.png", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    return {}


def add(base: Path) -> dict[str, Any]:
    write_pictures(base, {"a/bb.png": picture("b")})
    return {}


def rename(base: Path) -> dict[str, Any]:
    (base / "a/b.png").rename(base / "a/bc.png")
    return {}


@pytest.mark.parametrize(
    "change", [rewrite, touch, add, rename, lambda _: {"size": (2, 5)}, lambda _: {"mode": "L"}], ids=str
)
def test_another_list_or_another_decoding_is_decoded_anew(
    base: Path, opened: list[str], change: Callable[[Path], dict[str, Any]]
) -> None:
    load(base)
    before = len(opened)
    options = change(base)
    load(base, **options)
    assert len(opened) >= before + 5
    if options:  # the cache of the first decoding is still there, and still its own
        before = len(opened)
        assert np.array_equal(load(base), expected())
        assert len(opened) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data[:40],
        lambda data: data[:200] + bytes([data[200] ^ 4]) + data[201:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: b"of another program",
    ],
)
def test_a_damaged_cache_is_written_again(base: Path, opened: list[str], damage: Callable[[bytes], bytes]) -> None:
    load(base)
    (cache,) = caches(base / CACHE)
    whole = cache.read_bytes()
    cache.write_bytes(damage(whole))
    assert np.array_equal(load(base), expected())
    assert len(opened) == 10
    assert cache.read_bytes() == whole


@pytest.mark.parametrize("array", [drawn(1, 5, 3, 4, 7), drawn(1, 4, 3, 4, 6), drawn(1, 5, 3, 4, 6).astype(np.int8)])
def test_a_whole_cache_of_another_array_is_not_taken(base: Path, tmp_path: Path, array: Any) -> None:
    load(base, size=(4, 6))
    (cache,) = caches(base / CACHE)
    np.save(tmp_path / "other.npy", array)
    data = (tmp_path / "other.npy").read_bytes()
    cache.write_bytes(data + hashlib.sha256(data).digest())
    assert np.array_equal(load(base, size=(4, 6)), expected())


def block_with_file(base: Path) -> None:
    (base / CACHE).write_bytes(b"")


def block_with_link(base: Path) -> None:
    (base.parent / "elsewhere").mkdir()
    (base / CACHE).symlink_to(base.parent / "elsewhere")


@pytest.mark.parametrize("block", [block_with_file, block_with_link])
def test_where_the_folder_cannot_be_written_the_users_cache_is(
    base: Path, users_cache: Path, opened: list[str], block: Callable[[Path], None]
) -> None:
    block(base)
    assert np.array_equal(load(base), expected())
    assert np.array_equal(load(base), expected())
    assert len(opened) == 5
    assert len(caches(users_cache)) == 1
    assert not caches(base.parent / "elsewhere")


def test_the_users_cache_keeps_folders_apart(tmp_path: Path) -> None:
    """Names, sizes and times of change may agree by chance, as where an archive sets them."""
    for name in "xy":
        write_pictures(tmp_path / name, {"a/p.png": np.full((4, 6), ord(name), np.uint8)})
        os.utime(tmp_path / name / "a/p.png", ns=(5, 5))
        (tmp_path / name / CACHE).write_bytes(b"")
    assert pictures(tmp_path / "x", "a") == pictures(tmp_path / "y", "a")
    assert [int(load(tmp_path / name)[0, 0, 0, 0]) for name in "xy"] == [ord("x"), ord("y")]


def test_where_nothing_can_be_written_pictures_are_decoded_into_memory(base: Path, tmp_path: Path) -> None:
    block_with_file(base)
    (tmp_path / "xdg").write_bytes(b"")
    assert np.array_equal(load(base), expected())
    assert not load(base).flags.writeable


def test_a_full_disk_costs_only_the_cache(base: Path, monkeypatch: pytest.MonkeyPatch, users_cache: Path) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert np.array_equal(load(base), expected())
    assert not caches(base / CACHE)
    assert not caches(users_cache)


def test_grey_transparent_and_palette_pictures(tmp_path: Path) -> None:
    grey, clear = drawn(1, 4, 6), drawn(2, 4, 6, 4)
    write_pictures(tmp_path, {"a/1.png": grey, "a/2.PNG": clear})
    palette = Image.fromarray(drawn(3, 4, 6, 3)).quantize(9)
    palette.save(tmp_path / "a/3.gif")
    palette.save(tmp_path / "a/4.png", transparency=b"\x00\x80\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load(tmp_path)
    assert all(np.array_equal(channel, grey) for channel in found[0])
    assert np.array_equal(found[1], clear[..., :3].transpose(2, 0, 1))
    indices, table = np.asarray(palette), np.array(palette.getpalette(), np.uint8).reshape(-1, 3)
    assert np.array_equal(found[2], table[indices].transpose(2, 0, 1))
    assert np.array_equal(found[3], found[2])
    assert np.array_equal(load(tmp_path, mode="L")[0, 0], grey)


def test_half_the_size_is_the_rounded_mean_of_four(base: Path) -> None:
    sums = expected().reshape(5, 3, 2, 2, 3, 2).astype(int).sum((3, 5))
    assert np.array_equal(load(base, size=(2, 3)), (sums + 2) // 4)


def test_other_sizes_are_means_of_the_pixels_whose_centres_are_covered(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.array([10, 20, 40, 80, 160, 250], np.uint8), (3, 6))
    write_pictures(tmp_path, {"a/r.png": ramp})
    # 6 columns on 4: centres at 0.5, 1.5, ..., intervals (0, 1.5], (1.5, 3], (3, 4.5], (4.5, 6]
    assert load(tmp_path, size=(3, 4), mode="L")[0, 0].tolist() == [[15, 40, 120, 250]] * 3
    assert np.array_equal(load(tmp_path, size=(6, 12), mode="L")[0, 0], ramp.repeat(2, 0).repeat(2, 1))  # enlarged


def test_pictures_of_two_sizes_need_one(base: Path) -> None:
    write_pictures(base, {"a/ca.png": drawn(8, 6, 9, 3)})
    with pytest.raises(BadData) as caught:
        load(base)
    sizes = "expected pictures of one size, found 6x4 and 9x6 pixels: give the option size."
    assert str(caught.value) == f"{base / 'a/ca.png'}: {sizes}"
    found = load(base, size=(4, 6))
    assert np.array_equal(np.delete(found, 3, axis=0), expected())


def huge() -> bytes:
    data = png(drawn(1, 4, 6))
    header = b"IHDR" + struct.pack(">II", 9000, 9000) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (png(picture("b"))[:-30], "image file is truncated"),
        (png(picture("b"))[:20], "expected a whole picture, found "),
        (b"", "found something else: fetch it again or remove it."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n", "found something else: "),
        (huge(), "found one of 9000x9000 pixels"),
        (b"P5 6 4 65535 " + bytes(48), "found one of mode I"),
    ],
    ids=["cut", "cut in its head", "empty", "a program", "a bomb", "16 bits"],
)
def test_a_picture_that_cannot_be_read_is_named(base: Path, users_cache: Path, data: bytes, found: str) -> None:
    (base / "a/b.png").write_bytes(data)
    (base / "a/d.png").write_bytes(b"")  # the first of two is named, whichever thread is done first
    with pytest.raises(BadData) as caught:
        load(base)
    assert str(caught.value).startswith(f"{base / 'a/b.png'}: expected a whole picture, found ")
    assert found in str(caught.value)
    assert not caches(base / CACHE)
    assert not caches(users_cache)


def test_a_cut_jpeg_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a/x.jpeg"
    Image.fromarray(drawn(3, 40, 56, 3)).save(path)
    assert load(tmp_path).shape == (1, 3, 40, 56)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadData, match=f"^{path}: expected a whole picture, found image file is truncated"):
        load(tmp_path)


def test_links_are_followed_inside_the_folder_only(base: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path, {"out/o.png": picture("o")})
    (base / "a/f.png").symlink_to("../a/b.png")
    (tmp_path / "base").symlink_to(base)  # the folder itself may be a link: it is the one that was named
    assert np.array_equal(load(tmp_path / "base"), expected("abcdeb"))
    for link, target in (
        ("a/g.png", tmp_path / "out/o.png"),
        ("b", tmp_path / "out"),
        ("a/h.png", tmp_path / "none.png"),
    ):
        (base / link).symlink_to(target)
        with pytest.raises(BadData, match=f"^{base / link}: expected nothing that lies outside {base}, found a link"):
            pictures(base, link.partition("/")[0])
        (base / link).unlink()
    for nowhere in ("i.png", "none.png"):
        (base / "a/i.png").symlink_to(nowhere)
        with pytest.raises(BadData, match=r"a/i.png: expected a picture, found a link that leads nowhere"):
            pictures(base, "a")
        (base / "a/i.png").unlink()


def test_what_is_no_picture_is_left_alone(base: Path) -> None:
    (base / "a/notes.txt").write_text("none")
    (base / "a/.hidden.png").write_bytes(b"")
    (base / "a/folder.png").mkdir()
    (base / ".git").mkdir()
    os.mkfifo(base / "a/pipe.png")
    assert [file.path for file in pictures(base, "a")] == [f"a/{name}.png" for name in "abcde"]
    assert folders(base, ".") == ["a"]
    with pytest.raises(BadData, match=r"none: cannot be read \(No such file or directory\): check the folder"):
        pictures(base, "none")


def test_constants_weigh_every_pixel_alike() -> None:
    inputs = drawn(4, 1100, 2, 3, 5)  # more than are counted at once
    mean, std = constants(inputs)
    for channel in range(2):
        assert mean[channel] == round(float((inputs[:, channel] / 255).mean()), 4)
        assert std[channel] == round(float((inputs[:, channel] / 255).std()), 4)
