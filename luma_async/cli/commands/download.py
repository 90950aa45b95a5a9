"""`luma-async download`: the files of jobs."""

from __future__ import annotations

from collections.abc import Sequence

from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.follower import Follower, side_by_side
from luma_async.cli.target import Output
from luma_async.cli.terminal import Terminal
from luma_async.errors import LumaError


async def download(
    terminal: Terminal, connection: Connection, ids: Sequence[str], output: Output
) -> ExitCode:
    """Download a file of each job, waiting for those that are not done, and print their paths.

    Raises:
        LumaError: there is no key, no such journal, or no place for so many.

    """
    unique = list(dict.fromkeys(ids))
    if len(unique) > 1:
        output.check_holds_many()
    errors: list[LumaError | None] = []

    async def fetch(id: str, follower: Follower) -> None:
        report = await follower.find(id, board.add(id))
        errors.append(report.error)
        if report.error is not None:
            terminal.complain(report.error)
        terminal.result(report.file or "", report.fields)

    async with connection.client_that_watches() as luma:
        with terminal.board(stays=False) as board:
            follower = Follower(luma, terminal, board, connection, output=output)
            await side_by_side(fetch(id, follower) for id in unique)
    return ExitCode.of(errors)
