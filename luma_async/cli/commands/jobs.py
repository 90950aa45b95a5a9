"""`luma-async jobs`: list the jobs of the journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.options import STATES, AsJSON, Journal, complete_state
from luma_async.errors import InvalidRequestError

if TYPE_CHECKING:
    from luma_async.cli.connection import Connection
    from luma_async.cli.terminal import Terminal


def jobs(
    *,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="STATE",
            help=f"List only jobs in this state: {', '.join(STATES)}.",
            autocompletion=complete_state,
        ),
    ] = None,
    journal: Journal = None,
    as_json: AsJSON = False,
) -> None:
    """List the jobs of the journal."""
    from luma_async.cli.connection import Connection
    from luma_async.cli.program import run

    connection = Connection(journal=journal)
    run(lambda terminal: list_jobs(terminal, connection, state), as_json=as_json)


async def list_jobs(terminal: Terminal, connection: Connection, state: str | None) -> ExitCode:
    """Print the jobs of the journal, the oldest first.

    A terminal gets a table, and a pipe or a script a line for each job.

    Raises:
        InvalidRequestError: `state` is not a state of the journal.
        JournalError: the journal was not found, or cannot be read.

    """
    from luma_async.cli.job_table import JobTable, job_row
    from luma_async.journal import SQLJournal

    if state is not None and state not in STATES:
        raise InvalidRequestError.of("state", f"must be one of {', '.join(STATES)}; got {state!r}")
    table = JobTable(uncertain_only=state == "uncertain")
    found = 0
    place = connection.journal_that_exists
    if place is not None:
        async with SQLJournal(place) as journal:
            async for line in journal.export():
                job = json.loads(line)
                if state not in (None, job["state"]):
                    continue
                found += 1
                if terminal.as_json or terminal.prints_rows:
                    terminal.result("", job, row=job_row(job))
                else:
                    table.add(job)
    if terminal.prints_rows and not found:
        terminal.say("No such jobs.")
    elif not (terminal.as_json or terminal.prints_rows):
        table.show()
    return ExitCode.DONE
