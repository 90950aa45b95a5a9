"""`luma-async resume`: watch the unfinished jobs of the journal."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.option_sets import LimitOptions, ServerOptions, connection_of
from luma_async.cli.options import (
    AsJSON,
    Journal,
    OutputPath,
    Overwrite,
    Watermark,
    download_option,
)

if TYPE_CHECKING:
    from luma_async.cli.connection import Connection
    from luma_async.cli.target import DownloadTarget
    from luma_async.cli.terminal import Terminal
    from luma_async.client import LumaClient
    from luma_async.errors import LumaError
    from luma_async.tasks import VideoTask


def resume(
    *,
    download: Annotated[
        bool, download_option("--download", help="Download the videos; implied by --output.")
    ] = False,
    output: OutputPath = None,
    forgotten: Annotated[
        bool,
        typer.Option(
            "--forgotten", help="Also resume the jobs that a program gave up with forget()."
        ),
    ] = False,
    watermark: Watermark = False,
    overwrite: Overwrite = False,
    limits: LimitOptions,
    server: ServerOptions,
    journal: Journal = None,
    as_json: AsJSON = False,
) -> None:
    """Watch all unfinished jobs of the journal until they end."""
    from luma_async.cli.program import run
    from luma_async.cli.target import target_of

    downloads = download or bool(output)
    target = target_of(output, watermark=watermark, overwrite=overwrite) if downloads else None
    connection = connection_of(server, journal, limits=limits)
    run(
        lambda terminal: resume_jobs(terminal, connection, target, forgotten=forgotten),
        as_json=as_json,
    )


async def resume_jobs(
    terminal: Terminal, connection: Connection, target: DownloadTarget | None, *, forgotten: bool
) -> ExitCode:
    """Watch the journal's unfinished jobs until they end, and print the last state of each.

    Forgotten jobs are among them only with `forgotten`.

    Raises:
        LumaError: the API key or a setting is not valid, or the journal cannot be read.

    """
    from luma_async.cli.follower import Follower, resume_command, run_concurrently
    from luma_async.cli.target import DownloadTarget

    errors: list[LumaError | None] = []
    if connection.journal_that_exists is None:
        terminal.say("Nothing to resume: there is no journal yet.")
        return ExitCode.DONE
    if target is None:
        terminal.resume_all_command = _resume_command(connection, None)
    terminal.download_all_command = resume_command(connection, target or DownloadTarget())
    async with connection.client_that_watches() as luma:
        tasks = await luma.resume(forgotten=forgotten)
        if target is not None and len(tasks) > 1:
            target.check_holds_many()
        if not tasks:
            terminal.say("Nothing to resume.")
        with terminal.board(stays=False) as board:
            follower = Follower(luma, terminal, board, connection, target=target)

            async def follow(task: VideoTask) -> None:
                line = board.add(f"{task.id}  {task.generation.prompt or ''}")
                report = await follower.follow(task, line)
                errors.append(report.error)
                if report.error is not None:
                    terminal.print_error(report.error)
                if report.file is None:
                    terminal.result(report.state_line, report.fields, row=report.row)
                else:
                    terminal.result(report.file, report.fields)

            await run_concurrently(follow(task) for task in tasks)
        await _mention_other_jobs(luma, terminal, connection, target, resumed_all=forgotten)
    return ExitCode.of(errors)


async def _mention_other_jobs(
    luma: LumaClient,
    terminal: Terminal,
    connection: Connection,
    target: DownloadTarget | None,
    *,
    resumed_all: bool,
) -> None:
    """Print the numbers of jobs that are uncertain, forgotten, and unfinished at other servers."""
    from luma_async.journal import EntryState

    if luma.journal is None:
        return
    uncertain = forgotten = 0
    elsewhere: Counter[str] = Counter()
    async for line in luma.journal.export():
        entry = json.loads(line)
        uncertain += entry["state"] == EntryState.UNCERTAIN
        if entry["forgotten"] and entry["server"] == connection.api_url:
            forgotten += 1
        elif entry["state"] == EntryState.RUNNING:
            elsewhere[entry["server"]] += 1
    if uncertain:
        listed = connection.journal_command("jobs", "--state", "uncertain")
        terminal.warn(f"Uncertain: {_jobs(uncertain)}. See `{listed}`.")
    if forgotten and not resumed_all:  # their new marks may not be written yet
        command = _resume_command(connection, target, "--forgotten")
        terminal.say(f"Forgotten: {_jobs(forgotten)}. To resume as well: {command}")
    for server, count in elsewhere.items():
        if server != connection.api_url:
            command = _resume_command(_connection_to(server, connection), target)
            terminal.say(f"Unfinished at {server}: {_jobs(count)}. To resume: {command}")


def _connection_to(server: str, connection: Connection) -> Connection:
    """Return the connection to another server of the journal, with the dialect that it has."""
    from luma_async.dialects.known_apis import api_with_url

    name = api_with_url(server).name
    is_same = name == connection.server_dialect.name
    return replace(connection, base_url=server, dialect=connection.dialect if is_same else name)


def _resume_command(connection: Connection, target: DownloadTarget | None, *words: str) -> str:
    from luma_async.cli.follower import resume_command

    if target is None:
        return connection.command("resume", *words, journal=connection.journal)
    return resume_command(connection, target, *words)


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
