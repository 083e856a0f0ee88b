"""The command line. Exit codes: 0; 1 a run failed; 2 bad input; 130 interrupted with everything saved.

Nothing heavy is imported before a command needs it: ``--help`` loads neither torch nor matplotlib.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from isthmus import __version__
from isthmus.errors import BadInput, IsthmusError

if TYPE_CHECKING:
    from isthmus.store import Store
    from isthmus.study import Results, Study

__all__ = ["app", "main"]

app = App(
    name="isthmus",
    help="Train networks, branch them under different SGD noise, interpolate and merge them, and measure the line"
    " between them. Start with `isthmus demo`.",
    version=__version__,
)

Sets = Annotated[
    list[str] | None,
    Parameter(name="--set", negative=(), consume_multiple=False, help="Replace a field of the study: path=value, as often as needed."),
]
Data = Annotated[
    Path | None, Parameter(name="--data", help="Folder of data sets (default: the environment's ISTHMUS_DATA).")
]
Where = Annotated[Path, Parameter(name="--store", help="Folder of results; studies that share it share their trunks.")]
Out = Annotated[Path | None, Parameter(name="--out", help="Folder for tables and figures (default: isthmus-out/NAME).")]
Workers = Annotated[
    int | None, Parameter(name="--workers", help="Processes (default: one a core; 0: this process only).")
]
Threads = Annotated[
    int | None, Parameter(name="--threads", help="Threads of each process (default: the cores divided among them).")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], Parameter(name="--device", help="Where to compute.")]
DryRun = Annotated[bool, Parameter(name="--dry-run", negative=(), help="Say what would be computed, compute nothing.")]
Recompute = Annotated[
    bool,
    Parameter(
        name="--recompute",
        negative=(),
        help="Train stored networks again whose ancestor was itself trained again with other bits.",
    ),
]

STORE = Path("isthmus-store")


@app.command
def run(
    study: Path,
    /,
    *,
    sets: Sets = None,
    data: Data = None,
    store: Where = STORE,
    out: Out = None,
    workers: Workers = None,
    threads: Threads = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    recompute: Recompute = False,
) -> None:
    """Run a study: compute what the store lacks, then write tables (CSV) and figures (PNG).

    Parameters
    ----------
    study
        A study file: .toml, .yaml or .py.
    """
    from isthmus.study import load

    _run(load(study, sets or ()), data, store, out, workers, threads, device, dry_run, recompute)


def _run(
    study: Study,
    data: Path | None,
    store: Path,
    out: Path | None,
    workers: int | None,
    threads: int | None,
    device: str,
    dry_run: bool,
    recompute: bool,
) -> None:
    if dry_run:
        _explain(study, data, store, _device(device))
        return
    from isthmus import figures

    results = _compute(study, data, store, workers, threads, device, recompute)
    folder = out or Path("isthmus-out") / study.name
    _written([*results.to_csv(folder), *figures.draw(results, folder)], results, folder)


def _compute(
    study: Study,
    data: Path | None,
    store: Path,
    workers: int | None,
    threads: int | None,
    device: str,
    recompute: bool,
) -> Results:
    from isthmus.display import for_stream
    from isthmus.execute import cores
    from isthmus.study import run as run_study

    return run_study(
        study,
        store,
        data_root=data,
        workers=cores() if workers is None else workers,
        threads=threads,
        device=_device(device),
        recompute=recompute,
        display=for_stream(),
    )


def _written(files: list[Path], results: Results, folder: Path) -> None:
    trained = "nothing had to be computed" if not results.computed else f"{results.computed} results computed"
    print(f"{trained}; {len(files)} files in {folder}: {', '.join(path.name for path in files)}")


def _device(name: str) -> Literal["cpu", "cuda"]:
    """The device meant; torch is asked only where there may be a GPU."""
    if name == "cpu" or (name == "auto" and not Path("/dev/nvidiactl").exists()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise BadInput("--device cuda: this machine has no GPU that torch can use; leave it out or say --device cpu.")
    return "cpu"


def _explain(study: Study, data: Path | None, where: Path, device: str) -> None:
    """What a study would do, without doing it."""
    import json
    from collections import Counter

    from isthmus.study import prepare

    expansion, plan = prepare(study, _store(where), data_root=data, device=device)
    print(json.dumps(study.model_dump(mode="json", exclude_none=True), indent=1))
    kinds = Counter(node.kind for node in plan.pending.values())
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
    print(f"\n{study.name}: {expansion.data.train:,} training examples, {expansion.steps_per_epoch} steps an epoch.")
    print(f"To compute: {counts}; at hand: {plan.present} of {len(expansion.targets)} measurements.")
    print(f"Cost: about {plan.cost:.3g} forward passes of one example.")


def _store(where: Path) -> Store:
    from isthmus.store import Store

    return Store(where)


@app.command
def reproduce(
    paper: str,
    /,
    *rows: str,
    scale: Annotated[Literal["small", "paper"], Parameter(help="Minutes on two cores, or the published set-up.")] = "small",
    sets: Sets = None,
    data: Data = None,
    store: Where = STORE,
    out: Out = None,
    workers: Workers = None,
    threads: Threads = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    recompute: Recompute = False,
) -> None:
    """Run rows of a paper and judge its claims: tables, figures and claims.csv for each.

    Parameters
    ----------
    paper
        shapira23 (others are to come).
    rows
        Rows of the paper, such as mnist; all of them by default.
    """
    from isthmus import claims, papers
    from isthmus.study.read import from_mapping, override

    for name in rows or papers.names(paper):
        row = papers.row(paper, name)
        study = row.study(scale)
        if sets:
            study = from_mapping(override(study.model_dump(mode="json"), sets), where=f"{paper} {name}")
        if dry_run:
            _explain(study, data, store, _device(device))
            continue
        results = _compute(study, data, store, workers, threads, device, recompute)
        folder = out or Path("isthmus-out") / f"{paper}-{name}"
        tables = dict(row.tables(results))
        tables["claims"] = claims.judge(row.claims, tables)
        files = []
        for title, table in tables.items():
            files.append(folder / f"{title}.csv")
            table.to_csv(files[-1])
        files += row.figures(tables, folder)
        _judged(tables["claims"].rows)
        _written(files, results, folder)


def _judged(rows: object) -> None:
    for row in rows:  # type: ignore[attr-defined]
        print(f"{row['verdict']:>9}  {row['claim']}: {row['statistic']} (threshold {row['threshold']})")


@app.command
def demo(
    *,
    out: Out = None,
    store: Annotated[Path | None, Parameter(help="Folder of results (default: inside the output folder).")] = None,
    workers: Workers = None,
) -> None:
    """Show what isthmus does on data that it ships with, in about a minute."""
    from isthmus import demo as demonstration

    demonstration.run(out or Path("isthmus-demo"), store, workers)


@app.command
def data(*, data: Data = None) -> None:
    """List the data sets: which are at hand, how many examples, where their files belong."""
    from isthmus import datasets
    from isthmus.errors import BadData

    for name in datasets.names():
        try:
            found = datasets.load(name, data)
        except BadData as error:
            print(f"{name:16} not at hand. {error}")
            continue
        print(f"{name:16} {len(found.train):,} + {len(found.test):,} examples, {found.classes} classes, {found.digest[:12]}")
        for note in found.notes:
            print(f"{'':16} {note}")


@app.command
def models() -> None:
    """List the models with their arguments."""
    from isthmus import models as zoo

    for name in zoo.names():
        print(f"{name:16} {zoo.describe(name)}")


@app.command
def show(key: str, /, *, store: Where = STORE) -> None:
    """Show a result: what it is, what it descends from, its numbers, its file.

    Parameters
    ----------
    key
        The key of a result, or its first digits (at least four).
    """
    import json
    from dataclasses import asdict

    found = _existing(store).find(key)
    print(json.dumps(asdict(found), indent=1))
    if found.blob is not None:
        print(_existing(store).blob_path(found))


@app.command
def forget(*keys: str, store: Where = STORE) -> None:
    """Delete results by key; what needs them computes them again.

    Parameters
    ----------
    keys
        Keys of results, or their first digits (at least four).
    """
    place = _existing(store)
    for record in [place.find(key) for key in keys]:
        place.delete(record.key)
        print(f"forgot {record.key[:12]} ({record.label})")


@app.command
def verify(*, store: Where = STORE) -> None:
    """Check that every result in the store has the bytes that were written."""
    problems = _existing(store).verify()
    for problem in problems:
        print(problem)
    if problems:
        raise IsthmusError(f"{len(problems)} damaged result(s) in {store}.")
    print(f"{sum(1 for _ in _existing(store).keys())} results in {store}, all whole.")


def _existing(where: Path) -> Store:
    if not where.is_dir():
        raise BadInput(f"There is no store at {where}; name it with --store.")
    return _store(where)


def main(arguments: list[str] | None = None) -> None:
    """The entry point of the ``isthmus`` command."""
    sys.path.insert(0, os.getcwd())  # package.module:factory is looked up where the user stands
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_guarded(arguments))


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _guarded(arguments: list[str] | None) -> int:
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _complain(f"{error} See isthmus --help.", 2)
    except IsthmusError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("Interrupted.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _complain(message: str, code: int) -> int:
    print(f"isthmus: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
