"""A data set, checked: every file of it is read, and compared with what is published and with what was fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from isthmus import datasets
from isthmus.datasets import DataSet, Source, cache
from isthmus.downloads import manifest
from isthmus.downloads.disk import Digests, digests
from isthmus.downloads.manifest import File, Manifest
from isthmus.errors import BadData, MissingData

__all__ = ["Verdict", "check"]


@dataclass(frozen=True)
class Verdict:
    """What is to be said about a data set.

    Attributes:
        there: whether it is there at all.
        right: whether it can be read whole, and is what was fetched where it was fetched. The user's own files are
            right even where they are not the published ones; a note says so.
        told: the first line says what it is, further ones are notes.
    """

    there: bool
    right: bool
    told: tuple[str, ...]


class _Finding(NamedTuple):
    """Of one source: whether its files are as published (None: cannot be told), what is wrong, what is noted."""

    published: bool | None
    wrong: str = ""
    note: str = ""


def check(name: str, root: Path | None) -> Verdict:
    """What is there of a data set, every picture decoded anew and every file that can be compared compared.

    Raises:
        UnknownName: no data set has this name.
    """
    known, entry = datasets.entry(name)
    try:
        with cache.anew():
            found = datasets.load(known, root)
        fetched = manifest.read(root, known) if root is not None else None
        findings = [_compare(source, root, fetched) for source in entry.sources if root is not None]
    except MissingData as error:
        return Verdict(False, False, (f"not at hand. {error}",))
    except BadData as error:
        return Verdict(True, False, (f"damaged. {error}",))
    wrong = tuple(finding.wrong for finding in findings if finding.wrong)
    notes = [*found.notes, *_notes(found, entry.digest, findings)]
    if fetched is not None and fetched.digest != found.digest and not wrong:
        notes.append(_decoded_otherwise(found, fetched))
    published = found.digest == entry.digest or (bool(findings) and all(finding.published for finding in findings))
    what = "the published data" if published else "whole" if entry.needs_files else "at hand"
    sizes = f"{len(found.train):,} + {len(found.test):,} examples, {found.digest[:12]}"
    return Verdict(True, not wrong, (*(wrong or (f"{what}: {sizes}",)), *notes))


def _notes(found: DataSet, published: str | None, findings: list[_Finding]) -> list[str]:
    notes = [finding.note for finding in findings if finding.note]
    if found.digest == published:
        return ["These are the published data in other files than the published ones."] if notes else []
    if any(finding.published is None for finding in findings):
        notes.append("Whether these are the published files cannot be told: there is no checksum to compare with.")
    return notes


def _decoded_otherwise(found: DataSet, fetched: Manifest) -> str:
    import PIL

    return (
        f"The files are those that were fetched, but they were decoded to {fetched.digest[:12]} by pillow"
        f" {fetched.pillow} then and to {found.digest[:12]} by {PIL.__version__} now: results are of different data."
    )


def _compare(source: Source, root: Path, fetched: Manifest | None) -> _Finding:
    records = fetched.files if fetched is not None else ()
    record = next((file for file in records if file.name == source.name), None)
    place = root / source.place
    if source.unpack and place.is_dir():
        return _compare_folder(source, place, record)
    file = root / source.name if source.unpack else place
    return _compare_file(source, file, record) if file.is_file() else _Finding(None)


def _compare_file(source: Source, path: Path, record: File | None) -> _Finding:
    try:
        found = digests(path)
    except OSError as error:
        raise BadData(f"{path}: cannot be read ({error.strerror}): check the file.") from None
    if source.published and found.of(source.checksum) == source.checksum:
        return _Finding(True)
    if record is not None and record.sha256 != found.sha256:
        return _Finding(
            False, f"changed. {path}: expected sha256:{record.sha256} as it was fetched, found {_of(found)}."
        )
    if not source.published:
        return _Finding(None)
    told = f"{path} is not the published file: expected {source.checksum}, found {found.of(source.checksum)}"
    return _Finding(False, note=f"{told}; it is used as it is.")


def _of(found: Digests) -> str:
    return f"sha256:{found.sha256}"


def _compare_folder(source: Source, place: Path, record: File | None) -> _Finding:
    """By what was fetched where it was fetched; else by published checksums of the files in it, where there are any."""
    if record is not None and record.folders is not None:
        now = manifest.folders(manifest.hashes(place))
        other = sorted(name for name in {*now, *record.folders} if now.get(name) != record.folders.get(name))
        if other:
            more = f" and {len(other) - 1} more folders" if other[1:] else ""
            return _Finding(
                False,
                f"changed. {place}: expected the files that were fetched from {record.url}, found others in {other[0]}"
                f"{more}: move it away and fetch it again.",
            )
        return _Finding((source.published and record.published == source.checksum) or None)
    sums = {name: digests(place / name) for name in source.members if (place / name).is_file()}
    if not source.members or len(sums) < len(source.members):
        return _Finding(None)
    return _Finding(all(sums[name].of(checksum) == checksum for name, checksum in source.members.items()))
