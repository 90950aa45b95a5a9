"""`luma-async get`: one look at each job."""

from __future__ import annotations

from collections.abc import Sequence

from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.report import Report
from luma_async.cli.terminal import Terminal
from luma_async.client import LumaClient
from luma_async.errors import LumaError


async def get(terminal: Terminal, connection: Connection, ids: Sequence[str]) -> ExitCode:
    """Print how jobs stand.

    Raises:
        LumaError: there was no usable answer.

    """
    errors: list[LumaError | None] = []
    async with connection.client() as luma:
        unique = list(dict.fromkeys(ids))
        found = await luma.get_many(unique) if len(unique) > 1 else {}
        for id in unique:
            generation = found.get(id)
            report = (
                await _look(luma, id)
                if generation is None
                else Report(id=id, generation=generation)
            )
            if report.error is not None:
                terminal.complain(report.error)
            errors.append(report.error)
            terminal.result(report.lines if report.error is None else "", report.fields)
    return ExitCode.of(errors)


async def _look(luma: LumaClient, id: str) -> Report:
    try:
        return Report(id=id, generation=await luma.get(id))
    except LumaError as error:
        return Report(id=id, error=error)
