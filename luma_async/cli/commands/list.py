"""`luma-async list`: list the jobs of the account at the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.option_sets import ServerOptions, connection_of
from luma_async.cli.options import AsJSON

if TYPE_CHECKING:
    from luma_async.cli.connection import Connection
    from luma_async.cli.terminal import Terminal
    from luma_async.generation import Generation


def list(
    *,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Maximum number of jobs.", show_default="all"),
    ] = None,
    server: ServerOptions,
    as_json: AsJSON = False,
) -> None:
    """List the jobs of the account at the server, the newest first.

    Only the Dream Machine API has such a list. `luma-async jobs` lists those of the journal.
    """
    from luma_async.cli.program import run

    connection = connection_of(server)
    run(lambda terminal: show_jobs(terminal, connection, limit), as_json=as_json)


async def show_jobs(terminal: Terminal, connection: Connection, limit: int | None) -> ExitCode:
    """Print a line for each job as soon as its page has arrived.

    Raises:
        LumaError: the server has no list of jobs, or gave no usable answer.

    """
    from contextlib import aclosing

    from luma_async.account_calls import PAGE_SIZE
    from luma_async.cli.report import Report

    found = 0
    async with connection.client() as luma:
        page_size = min(PAGE_SIZE, limit or PAGE_SIZE)
        async with aclosing(luma.generations(page_size=page_size)) as generations:
            async for generation in generations:
                found += 1
                report = Report(id=generation.id, generation=generation)
                terminal.result(_line(generation), report.fields, row=report.row)
                if found == limit:
                    break
    if not found and not terminal.as_json:
        terminal.say("No jobs.")
    return ExitCode.DONE


def _line(generation: Generation) -> str:
    created = generation.created_at
    when = f"{created:%Y-%m-%d %H:%M}" if created else ""
    return f"{generation.id}  {generation.state:<10}  {when:<16}  {generation.prompt or ''}"
