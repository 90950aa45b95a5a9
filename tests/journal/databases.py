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


async def empty(database: str) -> None:
    """Remove all that is in a database of PostgreSQL, its settings too, and end its connections."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.execute(f"ALTER DATABASE {database.rpartition('/')[2]} RESET ALL")
        await connection.execute("DROP SCHEMA public CASCADE")
        await connection.execute("CREATE SCHEMA public")
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
