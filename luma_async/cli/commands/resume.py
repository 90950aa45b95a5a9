"""`luma-async resume`: what the journal knows to be unfinished."""

from __future__ import annotations

import json
from collections import Counter

from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.follower import Follower, side_by_side
from luma_async.cli.target import Output
from luma_async.cli.terminal import Terminal
from luma_async.client import LumaClient
from luma_async.errors import LumaError
from luma_async.journal import EntryState
from luma_async.tasks import VideoTask


async def resume(terminal: Terminal, connection: Connection, output: Output | None) -> ExitCode:
    """Watch the journal's unfinished jobs to their ends, and print how each ended.

    Raises:
        LumaError: there is no key, or the journal cannot be read.

    """
    errors: list[LumaError | None] = []
    if connection.journal_that_exists is None:
        terminal.say("Nothing to resume: no job was submitted from here yet.")
        return ExitCode.DONE
    terminal.take_up_all = connection.command(
        "resume",
        *(["--download", *connection.downloads.typed()] if output else []),
        journal=connection.journal,
        output=output.named_place if output else None,
    )
    async with connection.client_that_watches() as luma:
        tasks = await luma.resume()
        if output is not None and len(tasks) > 1:
            output.check_holds_many()
        if not tasks:
            terminal.say("Nothing to resume.")
        with terminal.board(stays=False) as board:
            follower = Follower(luma, terminal, board, connection, output=output)

            async def follow(task: VideoTask) -> None:
                line = board.add(f"{task.id}  {task.generation.prompt or ''}")
                report = await follower.see_through(task, line)
                errors.append(report.error)
                if report.error is not None:
                    terminal.complain(report.error)
                terminal.result(report.file or report.state_line, report.fields)

            await side_by_side(follow(task) for task in tasks)
        await _tell_the_rest(luma, terminal, connection)
    return ExitCode.of(errors)


async def _tell_the_rest(luma: LumaClient, terminal: Terminal, connection: Connection) -> None:
    """Say which jobs of the journal nobody takes up here."""
    if luma.journal is None:
        return
    uncertain = 0
    elsewhere: Counter[str] = Counter()
    async for line in luma.journal.export():
        entry = json.loads(line)
        uncertain += entry["state"] == EntryState.UNCERTAIN
        if entry["state"] == EntryState.RUNNING:
            elsewhere[entry["server"]] += 1
    if uncertain:
        listed = connection.journal_command("jobs", "--state", "uncertain")
        terminal.warn(f"Uncertain whether they were taken: {_jobs(uncertain)}. See `{listed}`.")
    for server, count in elsewhere.items():
        if server != connection.server:
            terminal.say(f"Unfinished at {server}: {_jobs(count)}. Name it: --base-url {server}")


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
