"""`luma-async watch`: print the state changes of jobs until they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.option_sets import ServerOptions, connection_of
from luma_async.cli.options import AsJSON, JobIds, Journal

if TYPE_CHECKING:
    from luma_async.cli.connection import Connection
    from luma_async.cli.terminal import Terminal
    from luma_async.errors import LumaError
    from luma_async.generation import Generation


def watch(
    ids: JobIds,
    *,
    server: ServerOptions,
    journal: Journal = None,
    as_json: AsJSON = False,
) -> None:
    """Watch jobs until they end, and print a line whenever a job changes state."""
    from luma_async.cli.program import run

    connection = connection_of(server, journal)
    run(lambda terminal: watch_jobs(terminal, connection, ids), as_json=as_json)


async def watch_jobs(terminal: Terminal, connection: Connection, ids: Sequence[str]) -> ExitCode:
    """Print a line whenever a job changes state.

    Raises:
        LumaError: the API key or a setting is not valid, or the journal was not found.

    """
    from luma_async.cli.follower import (
        Follower,
        download_command,
        run_concurrently,
        watch_command,
    )
    from luma_async.cli.report import Report

    unique = list(dict.fromkeys(ids))
    errors: list[LumaError | None] = []
    terminal.resume_all_command = watch_command(connection, unique)
    terminal.download_all_command = download_command(connection, unique, None)

    def print_state(id: str, generation: Generation) -> None:
        report = Report(id=id, generation=generation)
        text = report.state_line
        if report.best_link:
            text = f"{text}  {report.best_link}"
        terminal.result(text, report.fields, row=report.row)

    async with connection.client_that_watches() as luma:
        with terminal.board(stays=False, logs_changes=False) as board:
            follower = Follower(luma, terminal, board, connection)

            async def follow(id: str) -> None:
                report = await follower.find(
                    id, board.add(id), on_change=lambda generation: print_state(id, generation)
                )
                errors.append(report.error)
                if report.error is not None:
                    terminal.print_error(report.error)
                    if report.last_generation is None or not report.last_generation.state.terminal:
                        terminal.result("", report.fields)

            await run_concurrently(follow(id) for id in unique)
    return ExitCode.of(errors)
