"""A look behind a journal's back, into its database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import asyncpg
from sqlalchemy import Connection, Engine, event


async def execute(place: str, statement: str) -> list[Any]:
    """Run a statement at the database of a journal, and return its rows."""
    if "://" not in place:
        return await asyncio.to_thread(_execute, place, statement)
    connection = await asyncpg.connect(place)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def _execute(place: str, statement: str) -> list[Any]:
    with closing(sqlite3.connect(place, timeout=30)) as file, file:
        return file.execute(statement).fetchall()


@contextmanager
def counted_commits() -> Iterator[list[Connection]]:
    """Collect the connections of this process on which something is committed meanwhile."""
    commits: list[Connection] = []

    def note(connection: Connection) -> None:
        commits.append(connection)

    event.listen(Engine, "commit", note)
    try:
        yield commits
    finally:
        event.remove(Engine, "commit", note)
