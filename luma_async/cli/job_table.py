"""`luma-async jobs`: the journal from a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from luma_async.cli.age import age_of
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
    is_uncertain = state == EntryState.UNCERTAIN
    table = _table_of_uncertain() if is_uncertain else _table()
    cells = _cells_of_uncertain if is_uncertain else _cells
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
                    table.add_row(*cells(job))
    if not terminal.as_json:
        _show(table if table.row_count else "No such jobs.")
    return ExitCode.DONE


def _table() -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("key", overflow="fold", min_width=8)
    table.add_column("state", no_wrap=True)
    table.add_column("task", overflow="fold", min_width=18)
    table.add_column("submitted", no_wrap=True)
    table.add_column("prompt", min_width=14)
    return table


def _table_of_uncertain() -> Table:
    """Return a table with the columns that are compared with a gateway's list of tasks."""
    table = Table(box=SIMPLE_HEAD, show_lines=True)
    table.add_column("key", overflow="fold", min_width=8)
    table.add_column("submitted (UTC)", no_wrap=True)
    table.add_column("age", no_wrap=True)
    table.add_column("prompt", overflow="fold", min_width=14, ratio=1)
    table.add_column("reason", overflow="fold", min_width=14, ratio=1)
    return table


def _cells(job: dict[str, Any]) -> tuple[Text, ...]:
    return (
        Text(clean(job["key"])),
        Text(job["state"], _STYLES.get(job["state"], "cyan")),
        Text(clean(job["id"] or "")),
        Text(job["submitted_at"][5:16].replace("T", " ")),
        Text(clean(str(job["request"].get("prompt", "")))[:200]),
    )


def _cells_of_uncertain(job: dict[str, Any]) -> tuple[Text, ...]:
    submitted = datetime.fromisoformat(job["submitted_at"])
    prompt = clean(str(job["request"].get("prompt", "")))[:200]
    if job["source_id"] is not None:
        prompt += f" (extends {clean(job['source_id'])})"
    reason = Text(clean(job["reason"] or ""))
    if job["request_id"] is not None:  # the gateway's support may find the job by it
        reason.append(f"\nrequest id {clean(job['request_id'])}", "dim")
    return (
        Text(clean(job["key"]), _STYLES["uncertain"]),
        Text(f"{submitted.astimezone(UTC):%Y-%m-%d %H:%M:%S}"),
        Text(age_of((datetime.now(UTC) - submitted).total_seconds())),
        Text(prompt),
        reason,
    )


def _show(table: Table | str) -> None:
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    print(captured.get(), end="", flush=True)
