"""``isthmus reproduce``: rows of a paper computed and their claims judged, or listed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from isthmus.cli import audit, plans
from isthmus.cli.options import DEFAULT, OUT, Options
from isthmus.cli.studies import audited, compute, written
from isthmus.errors import BadInput, MissingData

if TYPE_CHECKING:
    from isthmus.papers import Row

__all__ = ["reproduce"]


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
    options: Options = DEFAULT,
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
    for line in listing(rows, machine, options.data, options.out or OUT):
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
        plans.explain_row(found.own, scale, options)
        if found.used:
            print("What takes its place here:\n")
            plans.explain_row(found.study, scale, options)
        print("Claims that will be judged:")
        for one in row.claims_at(scale):
            print(f"  {one.id}: {one.statistic}: {one.rule}.")
        plans.explain_audit(found.study, options)
        return
    name = f"{row.paper}-{row.name}" + ("-substitute" if found.used else "")
    folder = options.folder(name, alone=alone)
    results = compute(found.study, options)
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
    written(files, results, folder)
    if options.audits:
        judged, only = tables["claims"], options.audit_of or ()
        audited(audit.claims(row, scale, found.study, judged, lambda one: compute(one, options), folder, only))
