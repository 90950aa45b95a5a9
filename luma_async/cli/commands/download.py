"""`luma-async download`: download a file of each job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.option_sets import LimitOptions, ServerOptions, connection_of
from luma_async.cli.options import (
    AsJSON,
    JobIds,
    Journal,
    OutputPath,
    Overwrite,
    WatermarkWithAlias,
    WhatFile,
    parse_what,
)

if TYPE_CHECKING:
    from luma_async.cli.connection import Connection
    from luma_async.cli.target import DownloadTarget
    from luma_async.cli.terminal import Terminal
    from luma_async.errors import LumaError
    from luma_async.media.job_files import What


def download(
    ids: JobIds,
    *,
    output: OutputPath = None,
    what: WhatFile = "output",
    watermark: WatermarkWithAlias = False,
    overwrite: Overwrite = False,
    limits: LimitOptions,
    server: ServerOptions,
    journal: Journal = None,
    as_json: AsJSON = False,
) -> None:
    """Download a file of each job once the job is completed, and print the file's path.

    With `--what all`, download all outputs of each job.
    """
    from luma_async.cli.program import run
    from luma_async.cli.target import target_of

    file = cast("What | Literal['all']", parse_what(what))
    target = target_of(output, what=file, watermark=watermark, overwrite=overwrite)
    connection = connection_of(server, journal, limits=limits)
    run(lambda terminal: download_files(terminal, connection, ids, target), as_json=as_json)


async def download_files(
    terminal: Terminal, connection: Connection, ids: Sequence[str], target: DownloadTarget
) -> ExitCode:
    """Wait for each job to end, download its file, and print the file's path.

    Raises:
        LumaError: the API key or a setting is not valid, the journal was not found, or the target
            is one file for several jobs.

    """
    from luma_async.cli.follower import Follower, download_command, run_concurrently

    unique = list(dict.fromkeys(ids))
    if len(unique) > 1 or target.what == "all":
        target.check_holds_many("jobs" if len(unique) > 1 else "outputs")
    errors: list[LumaError | None] = []
    terminal.download_all_command = download_command(connection, unique, target)
    async with connection.client_that_watches() as luma:
        with terminal.board(stays=False) as board:
            follower = Follower(luma, terminal, board, connection, target=target)

            async def fetch(id: str) -> None:
                report = await follower.find(id, board.add(id))
                errors.append(report.error)
                if report.error is not None:
                    terminal.print_error(report.error)
                terminal.result(report.plain_files, report.fields)

            await run_concurrently(fetch(id) for id in unique)
    return ExitCode.of(errors)
