"""`luma-async jobs` and `luma-async settle`: the journal from a terminal."""

from __future__ import annotations

import json
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.terminal import Terminal
from luma_async.cli.text import clean
from luma_async.errors import InvalidRequestError
from luma_async.journal import EntryState, SQLJournal

_STYLES = {"completed": "green", "failed": "red", "lost": "red", "uncertain": "yellow"}


async def show_jobs(terminal: Terminal, connection: Connection, state: str | None) -> ExitCode:
    """Print the jobs of the journal, the oldest first, as a table or as lines of JSON.

    Raises:
        InvalidRequestError: there is no such state.
        JournalError: the journal is not there, or cannot be read.

    """
    if state is not None and state not in list(EntryState):
        raise InvalidRequestError.of(
            "state", f"{state!r} is none; allowed: {', '.join(EntryState)}"
        )
    table = Table(box=SIMPLE_HEAD)
    table.add_column("key", overflow="fold", min_width=8)
    table.add_column("state", no_wrap=True)
    table.add_column("task", overflow="fold", min_width=18)
    table.add_column("submitted", no_wrap=True)
    table.add_column("prompt", min_width=14)
    place = connection.journal_that_exists
    if place is not None:
        async with SQLJournal(place) as journal:
            async for line in journal.export():
                job = json.loads(line)
                if state not in (None, job["state"]):
                    continue
                if terminal.as_json:
                    terminal.result("", job)
                else:
                    table.add_row(*_cells(job))
    if not terminal.as_json:
        _show(table if table.row_count else "No such jobs.")
    return ExitCode.DONE


async def settle_job(
    terminal: Terminal, connection: Connection, key: str, *, id: str | None, resubmit: bool
) -> ExitCode:
    """Say what became of an uncertain job.

    Raises:
        LumaError: there is no such job, or the journal cannot be written.

    """
    if (id is None) is not resubmit:
        raise InvalidRequestError.of("settle", "say either --id ID or --resubmit")
    async with SQLJournal(connection.journal_that_exists or connection.journal_place) as journal:
        await journal.settle(key, id=id, resubmit=resubmit)
    became = "is free: asked for again, it is submitted" if resubmit else f"runs as {id}"
    terminal.result(clean(f"{key} {became}."), {"key": key, "id": id, "resubmit": resubmit})
    return ExitCode.DONE


def _cells(job: dict[str, Any]) -> tuple[Text, ...]:
    return (
        Text(clean(job["key"])),
        Text(job["state"], _STYLES.get(job["state"], "cyan")),
        Text(clean(job["id"] or "")),
        Text(job["submitted_at"][5:16].replace("T", " ")),
        Text(clean(str(job["request"].get("prompt", "")))[:200]),
    )


def _show(table: Table | str) -> None:
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    print(captured.get(), end="", flush=True)
