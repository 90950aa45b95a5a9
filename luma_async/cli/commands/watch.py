"""`luma-async watch`: jobs as they move, to their ends."""

from __future__ import annotations

from collections.abc import Sequence

from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.follower import Follower, side_by_side
from luma_async.cli.progress_display import Board
from luma_async.cli.report import Report
from luma_async.cli.terminal import Terminal
from luma_async.errors import LumaError
from luma_async.generation import Generation


async def watch(terminal: Terminal, connection: Connection, ids: Sequence[str]) -> ExitCode:
    """Print a line whenever a job is somewhere else.

    Raises:
        LumaError: there is no key, or no such journal.

    """
    unique = list(dict.fromkeys(ids))
    errors: list[LumaError | None] = []
    terminal.take_up_all = connection.command("watch", *unique)

    async def follow(id: str, follower: Follower, board: Board) -> None:
        def tell(generation: Generation) -> None:
            report = Report(id=id, generation=generation)
            text = report.state_line
            if report.best_link:
                text = f"{text}  {report.best_link}"
            terminal.result(text, report.fields)

        report = await follower.find(id, board.add(id), observe=tell)
        errors.append(report.error)
        if report.error is not None:
            terminal.complain(report.error)
            if report.seen is None or not report.seen.state.terminal:
                terminal.result("", report.fields)

    async with connection.client_that_watches() as luma:
        with terminal.board(stays=False, speaks=False) as board:
            follower = Follower(luma, terminal, board, connection)
            await side_by_side(follow(id, follower, board) for id in unique)
    return ExitCode.of(errors)
