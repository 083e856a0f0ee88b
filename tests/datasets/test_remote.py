"""Receiving one file: from servers that break off, start again, lie or lead elsewhere, and after being stopped."""

from __future__ import annotations

import hashlib
import io
import resource
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from archive_writers import drawn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web import Page, Silent, Site, served

from isthmus.datasets.sources import UNPUBLISHED, Source
from isthmus.downloads import progress, remote
from isthmus.downloads.progress import Bars, for_stream
from isthmus.downloads.remote import addresses, receive
from isthmus.errors import BadInput, FetchFailed, IsthmusError

DATA = drawn(5, 5003).tobytes()
OTHER = drawn(6, 5003).tobytes()
MD5, OTHER_MD5 = (f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}" for data in (DATA, OTHER))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    monkeypatch.setattr(remote, "CHUNK", 512)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with served() as found:
        yield found


@pytest.fixture(autouse=True)
def fresh(site: Site) -> None:
    site.pages.clear()
    site.asked.clear()


def take(source: Source, folder: Path, urls: tuple[str, ...] = ()) -> tuple[bytes, list[str]]:
    """(what is at the part in the end, what was said)."""
    shown = Silent()
    receive(source, urls or source.mirrors, folder / "x.part", shown)
    assert sorted(path.name for path in folder.iterdir()) == ["x.part"]
    return (folder / "x.part").read_bytes(), shown.said


def test_a_file_is_received_whole_with_both_digests(site: Site, tmp_path: Path) -> None:
    source = site.source("a/file.bin", Page(DATA))
    found = receive(source, source.mirrors, tmp_path / "new" / "x.part", Silent())
    assert (tmp_path / "new" / "x.part").read_bytes() == DATA
    assert found.url == f"{site.url}/a/file.bin"
    assert (found.digests.bytes, f"md5:{found.digests.md5}") == (5003, MD5)
    assert found.digests.sha256 == hashlib.sha256(DATA).hexdigest()
    assert site.asked == [("a/file.bin", None, None)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drops=st.lists(st.integers(1, 2500), max_size=4),
    ranges=st.booleans(),
    validator=st.sampled_from([{}, {"etag": '"v1"'}, {"etag": 'W/"v1"'}, {"changed": "Mon, 05 Feb 2018 10:00:00 GMT"}]),
    framing=st.sampled_from([{}, {"chunked": True}, {"length": False}]),
    known=st.booleans(),
)
def test_however_it_breaks_off_the_file_is_the_file(
    site: Site, tmp_path_factory: pytest.TempPathFactory, drops: list[int], ranges: bool, known: bool, **page: Any
) -> None:
    folder = tmp_path_factory.mktemp("part")
    fields = page["validator"] | page["framing"]
    if page["framing"] == {"length": False}:
        known = True  # where nothing says how long it is, nobody can tell that it was cut
    if not ranges or not known:
        drops = drops[:2]  # what always starts again and never gets further is given up
    made = Page(DATA, ranges=ranges, drops=[*drops], **fields)
    source = site.source("file.bin", made, checksum=MD5 if known else UNPUBLISHED, size=5003 if known else None)
    assert take(source, folder)[0] == DATA


def test_the_rest_and_nothing_else_is_asked_for(site: Site, tmp_path: Path) -> None:
    source = site.source("file.bin", Page(DATA, etag='"v1"', drops=[1200, 900]))
    _, said = take(source, tmp_path)
    assert site.asked == [
        ("file.bin", None, None),
        ("file.bin", "bytes=1200-", '"v1"'),
        ("file.bin", "bytes=2100-", '"v1"'),
    ]
    assert "file.bin: the connection ended after 1,200 of 5,003 bytes; 1,200 bytes are kept, asking again." in said


@pytest.mark.parametrize(
    ("page", "sent"),
    [
        ({"etag": 'W/"v1"'}, None),  # a weak one does not promise the same bytes
        ({"etag": 'W/"v1"', "changed": "Mon, 05 Feb 2018 10:00:00 GMT"}, "Mon, 05 Feb 2018 10:00:00 GMT"),
        ({"etag": '"v1"', "changed": "Mon, 05 Feb 2018 10:00:00 GMT"}, '"v1"'),
    ],
)
def test_what_is_sent_as_validator(site: Site, tmp_path: Path, page: dict[str, str], sent: str | None) -> None:
    source = site.source("file.bin", Page(DATA, drops=[1200], ranges=True, **page))  # type: ignore[arg-type]
    assert take(source, tmp_path)[0] == DATA
    assert site.asked[1] == ("file.bin", "bytes=1200-", sent)


@pytest.mark.parametrize(("checksum", "asked"), [(MD5, "bytes=900-"), (UNPUBLISHED, None)])
def test_a_validator_is_for_the_address_that_named_it(
    site: Site, tmp_path: Path, checksum: str, asked: str | None
) -> None:
    source = site.source("a/file.bin", Page(DATA, etag='"v1"', drops=[900, 0, 0, 0]), checksum=checksum)
    other = site.put("b/file.bin", Page(DATA, etag='"v1"'))
    assert take(source, tmp_path, (*source.mirrors, other))[0] == DATA
    assert site.asked[-1] == ("b/file.bin", asked, None)


@pytest.mark.parametrize("etag", ['"v2"', None])
@pytest.mark.parametrize("checksum", [OTHER_MD5, UNPUBLISHED])
def test_a_file_that_was_replaced_meanwhile_is_not_pieced_together(
    site: Site, tmp_path: Path, etag: str | None, checksum: str
) -> None:
    source = site.source("file.bin", Page(DATA, etag='"v1"', drops=[1200]), checksum=checksum, size=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "TRIES", 0)
        patch.setattr(remote, "_patiently", remote._once)
        with pytest.raises(FetchFailed):
            take(source, tmp_path)
    assert (tmp_path / "x.part").read_bytes() == DATA[:1200]
    site.put("file.bin", Page(OTHER, etag=etag))
    assert take(source, tmp_path)[0] == OTHER


def test_a_part_without_a_validator_is_gone_on_from_where_the_checksum_will_tell(site: Site, tmp_path: Path) -> None:
    for checksum, asked in ((MD5, "bytes=700-"), (UNPUBLISHED, None)):
        (tmp_path / "x.part").write_bytes(DATA[:700])
        source = site.source("file.bin", Page(DATA), checksum=checksum)
        assert take(source, tmp_path)[0] == DATA
        assert site.asked[-1] == ("file.bin", asked, None)


@pytest.mark.parametrize("part", [OTHER[:700], OTHER, DATA + b"x", OTHER + b"more"], ids=len)
def test_a_part_that_does_not_belong_to_it_costs_one_more_request(site: Site, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "x.part").write_bytes(part)
    source = site.source("file.bin", Page(DATA))
    found, said = take(source, tmp_path)
    assert found == DATA
    assert len(site.asked) <= 2
    together = "file.bin: the parts do not belong together; it is fetched again from the start."
    assert (together in said) == (len(part) <= len(DATA))


def test_a_part_that_is_whole_is_not_asked_for(site: Site, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(DATA)
    assert take(site.source("file.bin", Page(DATA)), tmp_path)[0] == DATA
    assert not site.asked


@pytest.mark.parametrize("page", [Page(DATA, shift=3), Page(DATA[:600])], ids=["another range", "too short"])
def test_an_answer_to_another_question_is_not_taken(site: Site, tmp_path: Path, page: Page) -> None:
    (tmp_path / "x.part").write_bytes(DATA[:700])
    md5 = hashlib.md5(page.data, usedforsecurity=False).hexdigest()
    source = site.source("file.bin", page, checksum=f"md5:{md5}", size=None)
    found, said = take(source, tmp_path)
    assert found == page.data
    assert "asking again" in "".join(said)


def test_addresses_are_tried_in_turn_and_each_says_why_not(site: Site, tmp_path: Path) -> None:
    source = site.source("good/file.bin", Page(DATA))
    urls = (
        f"{site.url}/none",
        site.put("broken", Page(DATA, status=500)),
        site.put("page", Page(b"<html>moved</html>")),
        site.put("stream", Page(b"<html>moved</html>", chunked=True)),
        site.put("wrong", Page(OTHER)),
        site.put("files", Page(b"", redirect="file:///etc/passwd")),
        site.put("old", Page(b"", redirect="ftp://127.0.0.1/file.bin")),
        site.put("round", Page(b"", redirect="/round")),
        site.put("dropping", Page(DATA, drops=[0] * 9)),
        "http://127.0.0.1:1/file.bin",
        "http://127.0.0.1:none/file.bin",
        f"{site.url}/with space",
        (tmp_path / "absent").as_uri(),
    )
    with pytest.raises(FetchFailed) as caught:
        receive(source, urls, tmp_path / "x.part", Silent())
    told = str(caught.value)
    for url, words in zip(
        urls,
        (
            "HTTP 404 Not Found",
            "HTTP 500 Internal Server Error",
            "expected a file of 5,003 bytes, found one of 18",
            "expected 5,003 bytes, found 18, these bytes are removed",
            f"expected {MD5}, found {OTHER_MD5}, these bytes are removed",
            "HTTP 302",
            "no connection (unknown url type: ftp)",
            "HTTP 302",
            "the connection ended after 0 of 5,003 bytes",
            "no connection (Connection refused)",
            "no a",
            "no a",
            "cannot be read (No such file or directory)",
        ),
        strict=True,
    ):
        assert f"{url}: {words}" in told
    assert told.startswith("file.bin could not be fetched (")
    assert told.endswith("): try again later, or name a --mirror that has it.")
    assert [path for path, *_ in site.asked].count("broken") == remote.TRIES
    assert [path for path, *_ in site.asked].count("none") == 1
    with pytest.raises(FetchFailed):
        receive(source, (urls[4],), tmp_path / "x.part", Silent())
    assert not list(tmp_path.iterdir())
    found, said = take(source, tmp_path, (urls[0], urls[4], *source.mirrors))
    assert found == DATA
    assert any(f"expected {MD5}, found {OTHER_MD5}" in line for line in said)


def test_a_redirect_is_followed_and_the_range_goes_with_it(site: Site, tmp_path: Path) -> None:
    source = site.source("real.bin", Page(DATA, etag='"v1"', drops=[1500]))
    url = site.put("latest", Page(b"", redirect="/real.bin"))
    assert take(source, tmp_path, (url,))[0] == DATA
    assert site.asked[-1] == ("real.bin", "bytes=1500-", '"v1"')


def test_a_folder_of_this_machine_is_a_mirror_too(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "file.bin").write_bytes(DATA)
    source = site.source("file.bin", Page(OTHER), checksum=MD5)
    urls = addresses(source, [f"{site.url}/", (tmp_path / "a b").as_uri()])
    assert urls == (f"{site.url}/file.bin", f"{(tmp_path / 'a b').as_uri()}/file.bin")
    (tmp_path / "into").mkdir()
    assert take(source, tmp_path / "into", urls)[0] == DATA
    assert addresses(source, []) == source.mirrors
    for mirror in ("ftp://host", "/a/folder", "file://host/folder"):
        with pytest.raises(BadInput, match=f"^--mirror: expected an address that begins with .*, found '{mirror}'"):
            addresses(source, [mirror])


def test_a_disk_that_takes_no_more_gets_a_sentence_and_keeps_the_part(site: Site, tmp_path: Path) -> None:
    source = site.source("file.bin", Page(DATA))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(IsthmusError) as caught:
            receive(source, source.mirrors, tmp_path / "x.part", Silent())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    told = "x.part cannot be written (File too large): make room; what was received is kept, and the same command goes"
    assert told in str(caught.value)
    assert (tmp_path / "x.part").read_bytes() == DATA[:2000]
    assert take(source, tmp_path)[0] == DATA
    assert site.asked[-1] == ("file.bin", "bytes=2000-", None)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(IsthmusError, match=r"file/x\.part cannot be written \(File exists\): make it writable or"):
        receive(source, source.mirrors, tmp_path / "file" / "x.part", Silent())


# --- what is shown -----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(stream: io.StringIO) -> str:
    shown = for_stream(stream)
    shown.begin("file.bin", 1_000_000, 4_000_000)
    shown.advance(3_000_000)
    shown.advance(4_000_000)
    shown.end()
    shown.say("[done]")
    return stream.getvalue()


def test_lines_tell_bytes_seconds_and_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 112.5, 113.0, 116.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(times)))
    assert show(io.StringIO()).splitlines() == [
        "file.bin, 4.0 MB, going on from 1.0 MB",
        "  3.0 MB (75%) in 12.5 s, 0.2 MB/s",
        "  4.0 MB in 16.0 s, 0.2 MB/s",
        "[done]",
    ]


def test_a_terminal_gets_a_bar() -> None:
    assert isinstance(for_stream(Terminal()), Bars)
    drawn_ = show(Terminal())
    assert "file.bin" in drawn_
    assert "4.0/4.0 MB" in drawn_
    assert "[done]" in drawn_
