"""What can be fetched of a data set: the files that its authors publish, where from, and how they are recognised."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from isthmus.errors import BadInput

__all__ = ["UNPUBLISHED", "Source"]

UNPUBLISHED = "unpublished"
"""The checksum of a file for which none is known with certainty: what is found is recorded and shown."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
DIGITS = {"md5": 32, "sha256": 64}


@dataclass(frozen=True)
class Source:
    """A file that is published.

    Attributes:
        name: the file's, as it is published.
        mirrors: its addresses, tried in turn.
        checksum: ``md5:`` or ``sha256:`` and the hexadecimal digits that are published, or :data:`UNPUBLISHED`.
        place: where it belongs below the data folder, with ``/``; of an archive, the folder of what is in it.
        size: its bytes; None where that is not known.
        unpack: whether it is an archive that is unpacked (``.zip``, ``.tar``, ``.tar.gz`` or ``.tgz`` by its name).
        members: published checksums of files in the archive, by their path below ``place``.

    Raises:
        BadInput: for a declaration that nobody could follow.
    """

    name: str
    mirrors: tuple[str, ...]
    checksum: str
    place: str
    size: int | None = None
    unpack: bool = False
    members: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for text in (self.checksum, *self.members.values()):
            kind, _, digits = text.partition(":")
            if text != UNPUBLISHED and not re.fullmatch(f"[0-9a-f]{{{DIGITS.get(kind, 0) or 1}}}", digits):
                raise BadInput(f"{self.name}: expected md5: or sha256: and its digits, or unpublished, found {text!r}.")
        for path in (self.name, self.place, *self.members):
            parts = PurePosixPath(path).parts
            if not parts or parts[0] == "/" or ".." in parts or (path is self.name and len(parts) > 1):
                raise BadInput(f"{self.name}: expected a path below the data folder, found {path!r}.")
        for url in self.mirrors:
            if not url.startswith(("https://", "http://")):
                raise BadInput(f"{self.name}: expected addresses of http or https, found {url!r}.")
        if not self.mirrors or (self.unpack and not self.name.endswith(ARCHIVES)):
            expected = f"one of {', '.join(ARCHIVES)}" if self.mirrors else "at least one address"
            raise BadInput(f"{self.name}: expected {expected}, found none.")

    @property
    def published(self) -> bool:
        """Whether a checksum is published."""
        return self.checksum != UNPUBLISHED
