"""``isthmus run``: a study computed, its tables and figures written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.cli import audit, hardware, plans
from isthmus.cli.options import DEFAULT, Options
from isthmus.errors import RunFailed

if TYPE_CHECKING:
    from isthmus.study import Results, Study

__all__ = ["audited", "compute", "run", "written"]


def run(study: Path, /, *, options: Options = DEFAULT) -> None:
    """Run a study: compute what the store lacks, then write tables (CSV) and figures (PNG).

    Parameters
    ----------
    study
        A study file: .toml, .yaml or .py.
    """
    from isthmus.study import load

    found = load(study, options.sets or ())
    if options.dry_run:
        plans.explain(found, options)
        plans.explain_audit(found, options)
        return
    from isthmus import figures
    from isthmus.redraw import draw_if_changed

    folder, about = options.folder(found.name), found.model_dump(mode="json")

    def write(results: Results) -> None:
        files = results.to_csv(folder)
        files += draw_if_changed(folder, results.tables, lambda: figures.draw(results, folder), about)
        written(files, results, folder)

    try:
        results = compute(found, options)
        write(results)
    except RunFailed as error:
        if error.results is not None:
            write(error.results)  # of what there is
        raise
    if options.audits:
        audited(audit.study(results, lambda one: compute(one, options), folder, options.audit_of or ()))


def compute(study: Study, options: Options) -> Results:
    """The results of a study, on what the options say, with bars or lines while it goes on."""
    from isthmus.display import for_stream
    from isthmus.study import run as run_study

    device = hardware.device(options.device)
    return run_study(
        study,
        options.store,
        data_root=options.data,
        workers=hardware.workers(device) if options.workers is None else options.workers,
        threads=options.threads,
        device=device,
        recompute=options.recompute,
        display=for_stream(),
    )


def written(files: list[Path], results: Results, folder: Path) -> None:
    """Say how much was computed, and which files were written."""
    trained = "nothing had to be computed" if not results.computed else f"{results.computed} results computed"
    print(f"{trained}; {len(files)} files in {folder}: {', '.join(path.name for path in files)}")


def audited(files: list[Path]) -> None:
    """Say which files an audit wrote."""
    print(f"Conventions beside each other: {', '.join(path.name for path in files)}")
