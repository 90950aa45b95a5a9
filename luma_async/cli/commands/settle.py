"""`luma-async settle`: mark uncertain jobs accepted or rejected."""

from __future__ import annotations

from typing import Annotated

import typer

from luma_async.cli.options import AsJSON, Journal


def settle(
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY", help="Job keys, as `luma-async jobs --state uncertain` lists them."
        ),
    ] = None,
    *,
    id: Annotated[
        str | None, typer.Option(metavar="ID", help="The job was accepted, and this is its id.")
    ] = None,
    resubmit: Annotated[
        bool,
        typer.Option(
            "--resubmit", help="The jobs were rejected: their keys may be submitted again."
        ),
    ] = False,
    ids: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Settle the jobs in a file, or in standard input (-). Its lines are KEY ID, CSV "
            "with columns key,id, or those of `jobs --json` with the ids filled in.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Settle all uncertain jobs of the journal.")
    ] = False,
    prefix: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Settle the uncertain jobs whose keys begin with TEXT."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="Settle the uncertain jobs submitted longer ago: 90s, 30m, 2h or 1d.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the changes, do not make them.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help="Do not ask before --all, --prefix or --older-than settles jobs."
        ),
    ] = False,
    journal: Journal = None,
    as_json: AsJSON = False,
) -> None:
    """Mark uncertain jobs as accepted or as rejected.

    Look for the jobs first, in the gateway's list of tasks or with `luma-async list`; the Agents
    API has no list, and Luma's support finds a job by its request id. A job that was accepted, and
    is submitted again, is paid for twice.

    Name the jobs by their keys or in a file (--ids), or select uncertain jobs with --all, --prefix
    and --older-than. Either all of them are settled or none.
    """
    from luma_async.cli.connection import Connection
    from luma_async.cli.program import run
    from luma_async.cli.settlement import SettleOptions, settle_jobs

    options = SettleOptions(
        keys=tuple(keys or ()),
        ids=ids,
        every=every,
        prefix=prefix,
        older_than=older_than,
        id=id,
        resubmit=resubmit,
        dry_run=dry_run,
        yes=yes,
    )
    connection = Connection(journal=journal)
    run(lambda terminal: settle_jobs(terminal, connection, options), as_json=as_json)
