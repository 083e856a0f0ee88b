"""A web site on this machine for the tests of downloads: it misbehaves on request, and remembers what it was asked."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from isthmus.datasets import Source
from isthmus.downloads.progress import Lines


@dataclass
class Page:
    """A file, and how the server treats those who ask for it."""

    data: bytes
    ranges: bool = True
    etag: str | None = None
    changed: str | None = None
    drops: list[int] = field(default_factory=list)  # bytes after which each of the next answers breaks off
    status: int = 200
    redirect: str = ""
    length: bool = True
    chunked: bool = False
    shift: int = 0  # how far the range of an answer is beside the one asked for
    pause: float = 0.0  # seconds between pieces of 1,000 bytes
    gate: Event | None = None  # nothing is answered until it is set


@dataclass
class Site:
    """Pages by path; ``asked`` holds the path, Range and If-Range of every request."""

    url: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    def put(self, path: str, page: Page) -> str:
        self.pages[path] = page
        return f"{self.url}/{path}"

    def source(self, path: str, page: Page, **fields: object) -> Source:
        """The page as it would be declared, with its MD5 sum and size; ``fields`` replace these."""
        url = self.put(path, page)
        name = path.rpartition("/")[2]
        md5 = hashlib.md5(page.data, usedforsecurity=False).hexdigest()
        known: dict[str, object] = {"checksum": f"md5:{md5}", "place": name, "size": len(page.data)}
        return Source(name, (url,), **(known | fields))  # type: ignore[arg-type]


class Silent(Lines):
    """Remembers what is said instead of showing it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.every = 1e9

    def say(self, message: str) -> None:
        self.said.append(message)


@contextmanager
def served() -> Iterator[Site]:
    site = Site("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            site.asked.append((self.path[1:], self.headers.get("Range"), self.headers.get("If-Range")))
            page = site.pages.get(self.path[1:])
            if page is None or page.status != 200:
                self.send_error(404 if page is None else page.status)
                return
            if page.redirect:
                self.send_response(302)
                self.send_header("Location", page.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if page.gate is not None:
                page.gate.wait(30)
            self.answer(page)

        def answer(self, page: Page) -> None:
            start, whole = 0, len(page.data)
            wanted, valid = self.headers.get("Range"), self.headers.get("If-Range")
            if page.ranges and wanted and valid in (None, page.etag, page.changed):
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= whole:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{whole}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                start += page.shift
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            else:
                self.send_response(200)
            for name, value in (("ETag", page.etag), ("Last-Modified", page.changed)):
                if value:
                    self.send_header(name, value)
            data = page.data[start:]
            if page.chunked:
                self.send_header("Transfer-Encoding", "chunked")
                data = b"".join(
                    b"%x\r\n%s\r\n" % (len(data[i:][:700]), data[i:][:700]) for i in range(0, len(data), 700)
                )
                data += b"0\r\n\r\n"
            elif page.length:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.close_connection = not (page.length or page.chunked)
            if page.drops:
                data = data[: page.drops.pop(0)]
                self.close_connection = True
            for place in range(0, len(data), 1000) if page.pause else ():
                self.wfile.write(data[place:][:1000])
                time.sleep(page.pause)
            self.wfile.write(b"" if page.pause else data)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that was killed is no error."""

    with Server(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield site
        server.shutdown()
