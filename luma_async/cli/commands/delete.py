"""`luma-async delete`: delete jobs at the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.option_sets import ServerOptions, connection_of
from luma_async.cli.options import AsJSON, JobIds
from luma_async.errors import LumaError, UnsupportedError

if TYPE_CHECKING:
    from luma_async.cli.connection import Connection
    from luma_async.cli.terminal import Terminal


def delete(ids: JobIds, *, server: ServerOptions, as_json: AsJSON = False) -> None:
    """Delete jobs and their files at the server. This cannot be undone.

    Only the Dream Machine API can delete jobs. Downloaded files and the journal stay as they are.
    """
    from luma_async.cli.program import run

    connection = connection_of(server)
    run(lambda terminal: delete_jobs(terminal, connection, ids), as_json=as_json)


async def delete_jobs(terminal: Terminal, connection: Connection, ids: Sequence[str]) -> ExitCode:
    """Delete jobs one after another, and print the result of each.

    Raises:
        LumaError: the API key or a setting is not valid, or the server cannot delete jobs.

    """
    errors: list[LumaError | None] = []
    async with connection.client() as luma:
        for id in dict.fromkeys(ids):
            error: LumaError | None = None
            try:
                await luma.delete(id)
            except UnsupportedError:
                raise
            except LumaError as problem:
                error = problem
                terminal.print_error(problem)
            errors.append(error)
            fields = {
                "id": id,
                "deleted": error is None,
                "error": str(error) if error else None,
                "error_type": type(error).__name__ if error else None,
            }
            terminal.result(f"{id}  deleted" if error is None else "", fields)
    return ExitCode.of(errors)
