"""``isthmus data``: which data sets there are, fetching them, checking them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from cyclopts import App, Parameter

from isthmus.errors import BadInput, FetchFailed, Interrupted, IsthmusError, UnknownName

if TYPE_CHECKING:
    from isthmus.datasets import DataSet, Source

__all__ = ["Data", "app"]

Data = Annotated[
    Path | None, Parameter(name="--data", help="Folder of data sets (default: the environment's ISTHMUS_DATA).")
]

app = App(name="data", help="List, fetch and check data sets; `isthmus data` alone lists them.")


@app.default
def alone(*words: Annotated[str, Parameter(show=False)], data: Data = None) -> None:
    """List the data sets, as `isthmus data ls` does."""
    if words:
        raise UnknownName("command of isthmus data", words[0], ("fetch", "ls", "verify"))
    ls(data=data)


@app.command
def ls(*, data: Data = None) -> None:
    """List the data sets: which are at hand, how many examples, where their files belong, what can be fetched."""
    from isthmus import datasets
    from isthmus.errors import BadData, MissingData

    for name in datasets.names():
        try:
            found = datasets.load(name, data)
        except BadData as error:
            _tell(name, f"{'not at hand' if isinstance(error, MissingData) else 'damaged'}. {error}")
        else:
            _tell(name, _summary(found), *found.notes)
        sources = datasets.entry(name)[1].sources
        if sources:
            _tell("", f"isthmus data fetch {name}: {_size(sources)}")


@app.command
def fetch(
    name: str,
    /,
    *more: str,
    data: Data = None,
    mirror: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="Folder of the published files (http://, https:// or file:///), asked instead of where they are"
            " published; as often as needed.",
        ),
    ] = None,
) -> None:
    """Fetch data sets into the data folder: download, check, unpack, read, and only then put into place.

    What is there already is left alone. Stopped at any moment, the same command goes on from there. Files whose
    checksum is not the published one are removed and the next address is asked. Exit code 1 if one was not fetched.

    Parameters
    ----------
    name
        A data set, such as cifar10.
    more
        Further data sets.
    """
    from isthmus.downloads import fetching, progress

    names = list(dict.fromkeys(fetching.fetchable(one)[0] for one in (name, *more)))
    root, shown, failed = _root(data), progress.for_stream(), []
    for one in names:
        try:
            found, fetched = fetching.fetch(one, root, shown, mirror or ())
        except FetchFailed as error:
            failed.append(str(error))
        except KeyboardInterrupt:
            raise Interrupted("Stopped; what was received is kept, and the same command goes on from there.") from None
        else:
            _tell(one, f"{'fetched' if fetched else 'already at hand'}: {_summary(found)}", *found.notes)
            _tell_unpublished(one, root)
    if failed:
        raise IsthmusError("\n".join(failed))


@app.command
def verify(*names: str, data: Data = None) -> None:
    """Read every file of data sets, and say whether they are the published ones, or those that were fetched.

    Exit code 1 if one cannot be read whole, is not what was fetched, or is not there though it was named. Files that
    are not the published ones, but were not fetched either, are right: a note says so.

    Parameters
    ----------
    names
        Data sets, such as cifar10; all that are at hand by default.
    """
    from isthmus import datasets
    from isthmus.downloads import checking

    wanted = list(dict.fromkeys(datasets.entry(name)[0] for name in names)) or datasets.names()
    root, wrong = _folder(data), 0
    for name in wanted:
        found = checking.check(name, root)
        if found.there or names:
            _tell(name, *found.told)
            wrong += not found.right
    if wrong:
        raise IsthmusError(f"{wrong} of these data sets {'is' if wrong == 1 else 'are'} not as they should be.")


def _tell(name: str, first: str, *rest: str) -> None:
    print(f"{name:16} {first}", flush=True)
    for line in rest:
        print(f"{'':16} {line}", flush=True)


def _summary(found: DataSet) -> str:
    return f"{len(found.train):,} + {len(found.test):,} examples, {found.classes} classes, {found.digest[:12]}"


def _size(sources: tuple[Source, ...]) -> str:
    """How much is to be fetched, and from whom."""
    from isthmus.downloads.progress import megabytes

    sizes = [source.size for source in sources if source.size is not None]
    size = megabytes(sum(sizes)) if len(sizes) == len(sources) else "of unknown size"
    hosts = dict.fromkeys(urlsplit(url).netloc for source in sources for url in source.mirrors)
    return f"{size} from {' or '.join(hosts)}"


def _tell_unpublished(name: str, root: Path) -> None:
    """What was found of files whose checksum is not published."""
    from isthmus.datasets import sources
    from isthmus.downloads import manifest

    record = manifest.read(root, name)
    for file in record.files if record else ():
        if file.published == sources.UNPUBLISHED:
            _tell("", f"{file.name}: no checksum is published; found md5:{file.md5}, sha256:{file.sha256}")


def _folder(data: Path | None) -> Path | None:
    from isthmus.datasets.files import data_folder

    return data_folder(data)


def _root(data: Path | None) -> Path:
    root = _folder(data)
    if root is None:
        raise BadInput("No data folder is named: name one with --data or the environment variable ISTHMUS_DATA.")
    return root
