"""The command line. Exit codes: 0; 1 a run failed; 2 bad input; 130 interrupted with everything saved.

Nothing heavy is imported before a command needs it: ``--help`` loads neither torch nor matplotlib.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from isthmus import __version__, cli_audit, cli_data
from isthmus.cli_data import Data
from isthmus.errors import BadInput, IsthmusError, MissingData, RunFailed

if TYPE_CHECKING:
    from isthmus.graph import Plan
    from isthmus.papers import Row
    from isthmus.store import Store
    from isthmus.study import Results, Study
    from isthmus.study.expand import Published
    from isthmus.study.requests import Expansion

__all__ = ["app", "main"]

app = App(
    name="isthmus",
    help="Train networks, branch them under different SGD noise, interpolate and merge them, and measure the line"
    " between them. Start with `isthmus demo`.",
    version=__version__,
    help_format="plaintext",  # Markdown would cost a quarter of the time that --help takes
    suppress_keyboard_interrupt=False,  # ours to tell: see _guarded
)

app.command(cli_data.app)

STORE, _OUT = Path("isthmus-store"), Path("isthmus-out")
Where = Annotated[Path, Parameter(name="--store", help="Folder of results; studies that share it share their trunks.")]
Workers = Annotated[
    int | None, Parameter(name="--workers", help="Processes (default: one a core, at most 8 a GPU; 0: this one only).")
]


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """What `run` and `reproduce` share."""

    sets: Annotated[
        list[str] | None,
        Parameter(name="--set", negative=(), help="Replace a field of the study: path=value, as often as needed."),
    ] = None
    data: Data = None
    store: Where = STORE
    out: Annotated[
        Path | None,
        Parameter(help="Folder for tables and figures (default: isthmus-out/NAME); several rows get one each in it."),
    ] = None
    workers: Workers = None
    threads: Annotated[
        int | None, Parameter(help="Threads of each process (default: the cores divided among them).")
    ] = None
    device: Annotated[Literal["auto", "cpu", "cuda"], Parameter(help="Where to compute.")] = "auto"
    dry_run: Annotated[bool, Parameter(negative=(), help="Say what would be computed, compute nothing.")] = False
    recompute: Annotated[
        bool,
        Parameter(negative=(), help="Train stored networks again whose ancestor was trained again with other bits."),
    ] = False

    audit: Annotated[
        bool,
        Parameter(negative=(), help="Also under every other norm_stats mode and rule for optimiser buffers."),
    ] = False

    def folder(self, name: str, *, alone: bool = True) -> Path:
        """Where the files of a study go: ``--out`` itself, or a folder in it where several studies share it.

        Raises:
            BadInput: no files can be written there, which is better known before a run than after it.
        """
        if self.out is None:
            return _writable(_OUT / name)
        return _writable(self.out if alone else self.out / name)


def _writable(folder: Path) -> Path:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise BadInput(f"No files can be written into {folder}: {there} is no folder that may be written to.")
    return folder


_DEFAULT = Options()


@app.command
def run(study: Path, /, *, options: Options = _DEFAULT) -> None:
    """Run a study: compute what the store lacks, then write tables (CSV) and figures (PNG).

    Parameters
    ----------
    study
        A study file: .toml, .yaml or .py.
    """
    from isthmus.study import load

    found = load(study, options.sets or ())
    if options.dry_run:
        _explain(found, options)
        _explain_audit(found, options)
        return
    from isthmus import figures
    from isthmus.redraw import draw_if_changed

    folder, about = options.folder(found.name), found.model_dump(mode="json")

    def write(results: Results) -> None:
        files = results.to_csv(folder)
        files += draw_if_changed(folder, results.tables, lambda: figures.draw(results, folder), about)
        _written(files, results, folder)

    try:
        results = _compute(found, options)
        write(results)
    except RunFailed as error:
        if error.results is not None:
            write(error.results)  # of what there is
        raise
    if options.audit:
        _files(cli_audit.study(results, lambda one: _compute(one, options), folder))


@app.command
def reproduce(
    paper: str | None = None,
    /,
    *rows: str,
    scale: Annotated[
        Literal["small", "paper"], Parameter(help="Minutes on two cores, or the published set-up.")
    ] = "small",
    list_rows: Annotated[
        bool,
        Parameter(name="--list", negative=(), help="List what can be reproduced: data, cost, latest verdicts."),
    ] = False,
    options: Options = _DEFAULT,
) -> None:
    """Run rows of a paper and judge its claims: tables, figures and claims.csv for each.

    Parameters
    ----------
    paper
        The paper, such as shapira23; or a row of your own, package.module:ROW.
    rows
        Rows of the paper, such as mnist; all of them by default.
    """
    from isthmus import papers

    if paper is None and not list_rows:
        known = ", ".join(papers.names())
        raise BadInput(f"reproduce: expected a paper ({known}), found none; --list shows what there is.")
    every = papers.names() if paper is None else {paper: rows or papers.names(paper)}
    found = [papers.row(of, name) for of, names in every.items() for name in names]
    chosen = list({(row.paper, row.name): row for row in found}.values())
    if list_rows:
        _list(chosen, options)
        return
    missing: list[str] = []
    for row in chosen:
        try:
            _reproduce(row, scale, options, alone=len(chosen) == 1)
        except MissingData as error:  # the other rows may do without
            missing.append(str(error))
    if missing:
        raise BadInput("\n".join(dict.fromkeys(missing)))


def _list(rows: list[Row], options: Options) -> None:
    from isthmus.execute import cores
    from isthmus.papers.listing import listing
    from isthmus.speed import this_machine

    machine = this_machine(options.workers or cores(), options.store)
    for line in listing(rows, machine, options.data, options.out or _OUT):
        print(line)


def _reproduce(row: Row, scale: Literal["small", "paper"], options: Options, *, alone: bool) -> None:
    from isthmus import claims, plots
    from isthmus.papers.substituting import labelled, settled
    from isthmus.redraw import draw_if_changed
    from isthmus.tables import Table, write_tables

    found = settled(row, scale, options.sets or (), options.data, at_all=not options.dry_run)
    if found.sentence:
        print(f"isthmus: {found.sentence}", file=sys.stderr)
    if options.dry_run:
        print(f"{row.paper} {row.name}, {scale} scale: {row.title}\n")
        _explain_row(found.own, scale, options)
        if found.used:
            print("What takes its place here:\n")
            _explain_row(found.study, scale, options)
        print("Claims that will be judged:")
        for one in row.claims_at(scale):
            print(f"  {one.id}: {one.statistic}: {one.rule}.")
        _explain_audit(found.study, options)
        return
    name = f"{row.paper}-{row.name}" + ("-substitute" if found.used else "")
    folder = options.folder(name, alone=alone)
    results = _compute(found.study, options)
    tables = dict(row.tables(results))
    tables |= {"claims": claims.judge(row.claims_at(scale), tables), "provenance": results["provenance"]}
    tables |= {"run": Table.of([{"paper": row.paper, "row": row.name, "scale": scale}])}
    tables = labelled(tables, found)
    files = write_tables(tables, folder)
    with plots.marked(found.mark):
        about = {"study": found.study.model_dump(mode="json"), "mark": found.mark}
        files += draw_if_changed(folder, tables, lambda: row.figures(tables, folder), about)
    for claim in tables["claims"]:
        print(f"{claim['verdict']:>9}  {claims.sentence(claim)}{' [substitute data]' if found.used else ''}")
    _written(files, results, folder)
    if options.audit:
        _files(cli_audit.claims(row, scale, found.study, tables["claims"], lambda one: _compute(one, options), folder))


def _files(files: list[Path]) -> None:
    print(f"Conventions beside each other: {', '.join(path.name for path in files)}")


def _explain_audit(study: Study, options: Options) -> None:
    if options.audit:
        cli_audit.explain(study, options.store, data_root=options.data, device=_device(options.device))


def _explain_row(study: Study, scale: Literal["small", "paper"], options: Options) -> None:
    """What a study would train and what that costs, without doing it; what is not at hand is as it is published."""
    from isthmus.execute import cores
    from isthmus.papers.costs import networks, of_plan, on_h100, seconds
    from isthmus.papers.listing import resting_on, rough
    from isthmus.papers.setup import blocks, described
    from isthmus.speed import this_machine
    from isthmus.study.needs import needs

    wanted = needs(study, options.data)
    parted = scale == "paper" and any(need.there for need in wanted)
    expansion, plan = _planned(study, options, published="all" if parted else "absent")
    print("\n".join(blocks(described(study, expansion.grounds))), end="\n\n")
    for need in wanted:
        if need.there is None or (parted and need.there):
            print(f"Not at hand: {need.lacking}; counted as it is published.")
        elif need.there:
            print(f"At hand of {need.name}: {need.there}.")
    _counts(study, expansion, plan)
    found = of_plan(plan)
    machine = this_machine(options.workers or cores(), options.store)
    print(
        f"{networks(found)} networks to train: about {rough(seconds(found, machine))} on this machine,"
        f" {rough(on_h100(found))} on an H100."
    )
    print("\n".join(resting_on(machine)), end="\n\n")


def _compute(study: Study, options: Options) -> Results:
    from isthmus.display import for_stream
    from isthmus.study import run as run_study

    device = _device(options.device)
    return run_study(
        study,
        options.store,
        data_root=options.data,
        workers=_workers(device) if options.workers is None else options.workers,
        threads=options.threads,
        device=device,
        recompute=options.recompute,
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


def _workers(device: str) -> int:
    """How many processes keep a machine busy: one a core, and on GPUs eight on each, if there are cores for them."""
    from isthmus.execute import cores

    if device == "cpu":
        return cores()
    import torch

    return min(cores(), 8 * torch.cuda.device_count())


def _explain(study: Study, options: Options) -> None:
    """What a study would do, without doing it."""
    import json

    expansion, plan = _planned(study, options)
    print(json.dumps(study.model_dump(mode="json", exclude_none=True), indent=1))
    print()
    _counts(study, expansion, plan)
    print(f"Cost: about {plan.cost:.3g} forward passes of one example.")


def _planned(study: Study, options: Options, *, published: Published = "no") -> tuple[Expansion, Plan]:
    """The nodes of a study and what of them the store lacks; no store is made for that."""
    import tempfile

    from isthmus.study import prepare

    device = _device(options.device)
    with tempfile.TemporaryDirectory() as empty:
        place = options.store if options.store.exists() else Path(empty)
        return prepare(study, _store(place), data_root=options.data, device=device, published=published)


def _counts(study: Study, expansion: Expansion, plan: Plan) -> None:
    """What of a study is to be computed."""
    from collections import Counter

    kinds = Counter(node.kind for node in plan.pending.values())
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
    for name, ground in expansion.grounds.items():
        what = f"{study.name}, {name}" if name else study.name
        print(f"{what}: {ground.data.train:,} training examples, {ground.steps_per_epoch} steps an epoch.")
    targets = {node.key for node in expansion.targets}
    print(f"To compute: {counts}; at hand: {plan.present} of {len(targets)} measurements.")


def _store(where: Path) -> Store:
    from isthmus.store import Store

    return Store(where)


@app.command
def demo(
    *,
    out: Annotated[Path, Parameter(help="Folder for tables and figures.")] = Path("isthmus-demo"),
    store: Annotated[Path | None, Parameter(help="Folder of results (default: inside the output folder).")] = None,
    workers: Workers = None,
) -> None:
    """Show what isthmus does on data that it ships with, in about a minute."""
    from isthmus import demo as demonstration

    demonstration.run(_writable(out), store, workers)


@app.command
def models() -> None:
    """List the models with their arguments, and which other packages' models can be named."""
    from isthmus import adapters
    from isthmus import models as zoo

    for name in zoo.names():
        print(f"{name:16} {zoo.describe(name)}")
    for prefix in adapters.names():
        print(f"{prefix + ':':16} {adapters.overview(prefix)}")


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
def forget(key: str, /, *more: str, store: Where = STORE) -> None:
    """Delete results by key; what needs them computes them again.

    Parameters
    ----------
    key
        The key of a result, or its first digits (at least four).
    more
        Further keys.
    """
    place = _existing(store)
    for record in {found.key: found for found in map(place.find, (key, *more))}.values():
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
    print(f"{len(list(_existing(store).keys()))} results in {store}, all whole.")


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
        sys.stdout.flush()  # here a reader who has left is noticed, at the interpreter's end it would be a traceback
    except CycloptsError as error:
        return _complain(f"{error} See isthmus --help.", 2)
    except IsthmusError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("Interrupted.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(f"{error.filename or 'A file'}: {error.strerror or error}.", 1)
    return 0


def _complain(message: str, code: int) -> int:
    print(f"isthmus: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
