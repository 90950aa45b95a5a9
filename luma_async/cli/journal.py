"""`luma-async jobs` and `luma-async settle`: the journal from a terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path

from platformdirs import user_state_path
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from luma_async.errors import JournalError
from luma_async.journal import SQLJournal

_STYLES = {"completed": "green", "failed": "red", "lost": "red", "uncertain": "yellow"}


def default_place() -> str:
    """Return where the command line's journal is: `LUMA_JOURNAL`, or a file of the user's."""
    return os.environ.get("LUMA_JOURNAL") or str(user_state_path("luma-async") / "journal.db")


async def show_jobs(place: str, *, state: str | None, as_json: bool) -> None:
    """Print the jobs of a journal, the oldest first, as a table or as lines of JSON.

    Raises:
        JournalError: it is not there, or cannot be read.

    """
    console = Console(highlight=False)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("key", overflow="fold", min_width=8)
    table.add_column("state", no_wrap=True)
    table.add_column("task", overflow="fold", min_width=18)
    table.add_column("submitted", no_wrap=True)
    table.add_column("prompt", min_width=14)
    async with _existing(place) as journal:
        async for line in journal.export():
            job = json.loads(line)
            if state not in (None, job["state"]):
                continue
            if as_json:
                print(line)
                continue
            table.add_row(
                escape(job["key"]),
                f"[{_STYLES.get(job['state'], 'cyan')}]{job['state']}",
                escape(job["id"] or ""),
                job["submitted_at"][5:16].replace("T", " "),
                escape(str(job["request"].get("prompt", ""))[:200]),
            )
    if not as_json:
        console.print(table if table.row_count else "No such jobs.")


async def settle_job(place: str, key: str, *, id: str | None, resubmit: bool) -> None:
    """Say what became of an uncertain job.

    Raises:
        LumaError: there is no such job, or the journal cannot be written.

    """
    async with _existing(place) as journal:
        await journal.settle(key, id=id, resubmit=resubmit)
    print(
        f"{key} is free: asked for again, it is submitted." if resubmit else f"{key} runs as {id}."
    )


def _existing(place: str) -> SQLJournal:
    if "://" not in place and not Path(place).expanduser().exists():
        raise JournalError(f"There is no journal at {place}. Name it: --journal, or LUMA_JOURNAL.")
    return SQLJournal(place)
