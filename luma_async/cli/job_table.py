"""List of the journal's jobs: a table for people, and a line for each job for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from luma_async.cli.age import format_age
from luma_async.cli.streams import broken_pipes
from luma_async.cli.text import clean

_STYLES = {"completed": "green", "failed": "red", "lost": "red", "uncertain": "yellow"}

_MAX_PROMPT_CHARACTERS = 200
"""A longer prompt is cut, because one of many thousand characters would fill the screen."""


def job_row(job: dict[str, Any]) -> list[str]:
    """Return the cells of a line for programs.

    They are the job key, state, id, time of submission, prompt, source, reason, request id, and
    `forgotten` for such a job.
    """
    cells = (
        *(job["key"], job["state"], job["id"], job["submitted_at"], job["request"].get("prompt")),
        *(job["source_id"], job["reason"], job["request_id"]),
        "forgotten" if job["forgotten"] else None,
    )
    return ["" if cell is None else str(cell) for cell in cells]


class JobTable:
    """Table of jobs, as the journal exports them, on a terminal.

    With `uncertain_only` it has the columns that a server's list of jobs has, too, so that the
    two can be compared.
    """

    def __init__(self, *, uncertain_only: bool) -> None:
        self._table = _table_of_uncertain() if uncertain_only else _table_of_all()
        self._cells = _cells_of_uncertain if uncertain_only else _cells

    def add(self, job: dict[str, Any]) -> None:
        """Add a row."""
        self._table.add_row(*self._cells(job))

    def show(self) -> None:
        """Print the table to standard output."""
        console = Console(highlight=False)
        # Captured and printed, because a Console exits by itself when a pipe is closed.
        with console.capture() as captured:
            console.print(self._table if self._table.row_count else "No such jobs.")
        with broken_pipes():
            print(captured.get(), end="", flush=True)


def _table_of_all() -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("key", overflow="fold", min_width=8)
    table.add_column("state", no_wrap=True)
    table.add_column("id", overflow="fold", min_width=18)
    table.add_column("submitted", no_wrap=True)
    table.add_column("prompt", min_width=14)
    return table


def _table_of_uncertain() -> Table:
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
        Text(_state(job), _STYLES.get(job["state"], "cyan")),
        Text(clean(job["id"] or "")),
        Text(job["submitted_at"][5:16].replace("T", " ")),
        Text(_prompt(job)),
    )


def _cells_of_uncertain(job: dict[str, Any]) -> tuple[Text, ...]:
    submitted = datetime.fromisoformat(job["submitted_at"])
    prompt = _prompt(job)
    if job["source_id"] is not None:
        prompt += f" (extends {clean(job['source_id'])})"
    reason = Text(clean(job["reason"] or ""))
    if job["request_id"] is not None:  # the server's support may find the job by it
        reason.append(f"\nrequest id {clean(job['request_id'])}", "dim")
    return (
        Text(clean(job["key"]), _STYLES["uncertain"]),
        Text(f"{submitted.astimezone(UTC):%Y-%m-%d %H:%M:%S}"),
        Text(format_age((datetime.now(UTC) - submitted).total_seconds())),
        Text(prompt),
        reason,
    )


def _state(job: dict[str, Any]) -> str:
    return f"{job['state']}, forgotten" if job["forgotten"] else str(job["state"])


def _prompt(job: dict[str, Any]) -> str:
    return clean(str(job["request"].get("prompt", "")))[:_MAX_PROMPT_CHARACTERS]
