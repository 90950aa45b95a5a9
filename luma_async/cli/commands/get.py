"""`luma-async get`: poll each job once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.option_sets import ServerOptions, connection_of
from luma_async.cli.options import AsJSON, JobIds
from luma_async.errors import LumaError

if TYPE_CHECKING:
    from luma_async.cli.connection import Connection
    from luma_async.cli.report import Report
    from luma_async.cli.terminal import Terminal
    from luma_async.client import LumaClient


def get(ids: JobIds, *, server: ServerOptions, as_json: AsJSON = False) -> None:
    """Show the state, links and failure reason of jobs.

    To show that a job failed is a success: the exit code is 0.
    """
    from luma_async.cli.program import run

    connection = connection_of(server)
    run(lambda terminal: show(terminal, connection, ids), as_json=as_json)


async def show(terminal: Terminal, connection: Connection, ids: Sequence[str]) -> ExitCode:
    """Poll each job once, and print its generation.

    Raises:
        LumaError: the API key or a setting is not valid, or no job could be polled.

    """
    from luma_async.cli.report import Report

    errors: list[LumaError | None] = []
    async with connection.client() as luma:
        unique = list(dict.fromkeys(ids))
        found = await luma.get_many(unique) if len(unique) > 1 else {}
        for id in unique:
            generation = found.get(id)
            report = (
                await _poll(luma, id)
                if generation is None
                else Report(id=id, generation=generation)
            )
            if report.error is not None:
                terminal.print_error(report.error)
            errors.append(report.error)
            if report.error is None:
                terminal.result(report.lines, report.fields, row=report.row)
            else:
                terminal.result("", report.fields)
    return ExitCode.of(errors)


async def _poll(luma: LumaClient, id: str) -> Report:
    from luma_async.cli.report import Report

    try:
        return Report(id=id, generation=await luma.get(id))
    except LumaError as error:
        return Report(id=id, error=error)
