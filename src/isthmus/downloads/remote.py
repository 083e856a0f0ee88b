"""One file from the first address that gives it: what was received survives, and is gone on from.

The part lies beside a note of which address it came from and the validator (ETag, or date of change) that the server
named. It is gone on from with ``Range`` and ``If-Range``; a server that answers with the whole file starts it again. A
part without a validator is gone on from only where a checksum is published, which tells in the end whether the bytes
belong together: where they do not, that address is asked once more from the start. Bytes that are not what was
published are removed, and the next address is tried.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, InvalidURL
from io import BufferedIOBase
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from isthmus import __version__
from isthmus.datasets.sources import Source
from isthmus.downloads.disk import Digests, digests, remove, writing
from isthmus.downloads.progress import Progress
from isthmus.errors import BadInput, FetchFailed

__all__ = ["Received", "addresses", "receive"]

SCHEMES = ("https://", "http://", "file:///")
CHUNK = 2**18
TIMEOUT = 30.0  # seconds without a byte
TRIES = 3  # in a row that bring no byte
PAUSE = 1.0  # seconds before the second of them, twice as long before the third


@dataclass(frozen=True)
class Received:
    """A file that is whole and, where a checksum is published, as published: where from, its size and digests."""

    url: str
    digests: Digests


class Refused(Exception):
    """An address that did not give the file: why, in a few words."""


class Dropped(Refused):
    """One that may give it, or the rest of it, if it is asked again."""


class Foreign(Refused):
    """Bytes that are not what was published."""


def addresses(source: Source, mirrors: Sequence[str]) -> tuple[str, ...]:
    """Where the file is asked for: its name in each of the folders ``mirrors``, or else where it is published.

    Raises:
        BadInput: for a mirror that is no address.
    """
    for mirror in mirrors:
        if not mirror.startswith(SCHEMES):
            raise BadInput(f"--mirror: expected an address that begins with {', '.join(SCHEMES)}, found {mirror!r}.")
    return tuple(f"{mirror.rstrip('/')}/{source.name}" for mirror in mirrors) or source.mirrors


def receive(source: Source, urls: Sequence[str], part: Path, progress: Progress) -> Received:
    """The file at ``part``, from the first of the addresses that gives it.

    Raises:
        FetchFailed: one sentence with what each of them answered.
        IsthmusError: the disk is full or cannot be written.
    """
    answers = []
    for url in urls:
        try:
            return _from(url, source, part, progress)
        except Refused as error:
            answers.append(f"{url}: {error}")
            progress.say(f"{source.name} from {answers[-1]}.")
    told = "; ".join(answers)
    raise FetchFailed(f"{source.name} could not be fetched ({told}): try again later, or name a --mirror that has it.")


def _from(url: str, source: Source, part: Path, progress: Progress) -> Received:
    whole = source.size is not None and _size(part) == source.size
    joined = whole or _patiently(url, source, part, progress)
    try:
        return _checked(url, source, part)
    except Foreign:
        if not joined:
            raise
    progress.say(f"{source.name}: the parts do not belong together; it is fetched again from the start.")
    _patiently(url, source, part, progress)
    return _checked(url, source, part)


def _checked(url: str, source: Source, part: Path) -> Received:
    with writing(part):
        found = digests(part)
    if source.size not in (None, found.bytes):
        problem = f"expected {source.size:,} bytes, found {found.bytes:,}"
    elif source.published and found.of(source.checksum) != source.checksum:
        problem = f"expected {source.checksum}, found {found.of(source.checksum)}"
    else:
        remove(_note(part))
        return Received(url, found)
    _discard(part)
    raise Foreign(f"{problem}, these bytes are removed")


def _patiently(url: str, source: Source, part: Path, progress: Progress) -> bool:
    """Receive all of it, however often the connection drops; whether it was put together from several answers."""
    furthest, failures = _size(part), 0
    while True:
        try:
            return _once(url, source, part, progress)
        except Dropped as error:
            now = _size(part)
            failures = 0 if now > furthest else failures + 1
            furthest = max(furthest, now)
            if failures == TRIES:
                raise
            progress.say(f"{source.name}: {error}; {now:,} bytes are kept, asking again.")
            time.sleep(PAUSE * 2 ** (failures - 1) if failures else 0)


def _once(url: str, source: Source, part: Path, progress: Progress) -> bool:
    """Receive what one answer brings; whether that was the rest of what was there."""
    validator = _validator(part, url)
    start = _size(part) if source.published or validator else 0
    if source.size is not None and start >= source.size:
        start = 0
    with _file(url) if url.startswith("file:") else _http(url, start, validator, part) as answer:
        if answer.total is not None and source.size not in (None, answer.total):
            raise Refused(f"expected a file of {source.size:,} bytes, found one of {answer.total:,}")
        total = source.size if answer.total is None else answer.total
        with writing(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            _note(part).write_text(json.dumps({"url": url, "validator": answer.validator}), encoding="utf-8")
            progress.begin(source.name, answer.start, total)
            try:
                with part.open("r+b" if answer.start else "wb") as file:
                    done = _copy(answer, file, total, progress)
            finally:
                progress.end()
    if total is not None and done < total and not answer.framed:
        raise Dropped(f"the connection ended after {done:,} of {total:,} bytes")
    return answer.start > 0


def _copy(answer: _Answer, file: IO[bytes], total: int | None, progress: Progress) -> int:
    """Bytes in the file once the answer has ended, or has brought more than ``total``."""
    done = answer.start
    file.seek(done)
    while total is None or done <= total:
        try:
            chunk = answer.stream.read1(CHUNK)  # what there is of it now
        except (OSError, HTTPException) as error:
            raise Dropped(f"the connection broke after {done:,} bytes ({_reason(error)})") from None
        if not chunk:
            break
        file.write(chunk)
        done += len(chunk)
        progress.advance(done)
    file.flush()
    os.fsync(file.fileno())
    return done


# --- answers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Answer:
    """Bytes from ``start`` on of a file of ``total`` (None: not said); ``framed``: their end cannot be mistaken."""

    stream: BufferedIOBase
    start: int
    total: int | None
    validator: str | None
    framed: bool = False


def _opener() -> urllib.request.OpenerDirector:
    """One that knows http, https and the environment's proxies, and nothing else: no redirect leads to a file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        *(urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler),
        *(urllib.request.HTTPRedirectHandler, urllib.request.HTTPDefaultErrorHandler),
        *(urllib.request.HTTPErrorProcessor, urllib.request.UnknownHandler),
    ):
        opener.add_handler(handler())
    return opener


@contextmanager
def _http(url: str, start: int, validator: str | None, part: Path) -> Iterator[_Answer]:
    """What the server answers to a request for the bytes from ``start`` on."""
    headers = {"User-Agent": f"isthmus/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": validator} if validator else {})
    try:
        response = _opener().open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            _discard(part)
            raise Dropped("it is shorter than what was received before") from None
        again = error.code >= 500 or error.code in (408, 429)
        raise (Dropped if again else Refused)(f"HTTP {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        timed_out = isinstance(error.reason, TimeoutError)
        raise (Dropped if timed_out else Refused)(f"no connection ({_reason(error.reason)})") from None
    except (ValueError, InvalidURL) as error:
        raise Refused(f"no address ({error})") from None
    except (OSError, HTTPException) as error:
        raise Dropped(f"no answer ({_reason(error)})") from None
    with response:
        length = response.headers.get("Content-Length", "")
        count = int(length) if length.isascii() and length.isdigit() else None
        total: int | None = count
        if response.status == 206 and start:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != start:
                _discard(part)
                raise Dropped("it answered with other bytes than the ones asked for")
            total = int(found[2]) if found[2] != "*" else None if count is None else start + count
        elif response.status != 200:
            raise Refused(f"HTTP {response.status} {response.reason}")
        else:
            start = 0
        etag = response.headers.get("ETag", "")
        strong = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        yield _Answer(response, start, total, strong, framed=bool(response.chunked))


@contextmanager
def _file(url: str) -> Iterator[_Answer]:
    """The file itself, from its start."""
    path = Path(urllib.request.url2pathname(urlsplit(url).path))
    try:
        file = path.open("rb")
    except OSError as error:
        raise Refused(f"cannot be read ({error.strerror})") from None
    with file:
        yield _Answer(file, 0, path.stat().st_size, None)


def _reason(error: object) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


# --- the part ---------------------------------------------------------------------------------------


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _validator(part: Path, url: str) -> str | None:
    """What the server named, where the part came from this address."""
    with suppress(OSError, ValueError):
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        if isinstance(note, dict) and note.get("url") == url and isinstance(note.get("validator"), str):
            return str(note["validator"])
    return None


def _discard(part: Path) -> None:
    remove(part)
    remove(_note(part))
