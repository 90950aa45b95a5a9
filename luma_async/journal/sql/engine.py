"""Database engines of a journal: SQLAlchemy engines whose commits are durable."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from operator import methodcaller
from threading import Thread
from typing import Any

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from luma_async.journal.sql.database_url import Database
from luma_async.journal.sql.error_explanations import DAMAGED, UnusableError
from luma_async.journal.sql.postgres import PostgresDatabase
from luma_async.journal.sql.sqlite_file import SQLiteFile

_CHECKED_SIZE = 32 * 2**20
"""Maximum size, in bytes, of a file that is checked for damage when it is opened. The check takes
0.1 s or less up to here."""


_BEGIN = methodcaller("execute", "BEGIN IMMEDIATE")


class _ForgottenConnection(sqlite3.Connection):
    """A SQLite connection that is closed when it is garbage-collected.

    If all tasks are cancelled while a connection is being opened, no caller receives it to close
    it.
    """

    def __del__(self) -> None:
        with suppress(sqlite3.Error):
            self.close()


def _with_daemon_thread(*place: Any, **settings: Any) -> Any:
    """Return a connection whose thread does not keep the program from exiting.

    SQLAlchemy does this as well, but only its newer releases do it for newer releases of the
    driver.
    """
    import aiosqlite  # noqa: PLC0415  PostgreSQL works without it

    connection: Any = aiosqlite.connect(*place, **settings)
    thread = connection if isinstance(connection, Thread) else connection._thread  # noqa: SLF001
    thread.daemon = True
    return connection


def connect(place: Database, *, timeout: float) -> AsyncEngine:
    """Return an engine whose commits are durable, without opening a connection yet.

    `timeout` is the number of seconds to wait for a lock that another program holds.
    """
    if isinstance(place, PostgresDatabase):
        return _connect_to_server(place)
    return _connect_to_file(place, timeout)


def _connect_to_server(place: PostgresDatabase) -> AsyncEngine:
    def create() -> Any:
        # Prepared statements end with their transaction (the driver's own cache is off as well), so
        # a pooler may run each transaction in another session of the server.
        driver: Any = engine.sync_engine.dialect.dbapi
        return driver.connect(async_creator_fn=place.connect, prepared_statement_cache_size=0)

    engine = create_async_engine(
        "postgresql+asyncpg://",
        creator=create,
        # A statement that has waited for a lock must see the rows that were committed meanwhile,
        # and a database may have another default.
        isolation_level="READ COMMITTED",
        pool_size=2,
        pool_pre_ping=True,
    )
    return engine


def _connect_to_file(place: SQLiteFile, timeout: float) -> AsyncEngine:
    # Without this mode SQLite creates a missing file, even for the second connection, and an empty
    # journal would not know any job.
    query = {"mode": "rw", "uri": "true"}
    url = URL.create("sqlite+aiosqlite", database=place.path.as_uri(), query=query)
    settings = {
        "timeout": timeout,
        "factory": _ForgottenConnection,
        "async_creator_fn": _with_daemon_thread,
    }
    engine = create_async_engine(url, connect_args=settings, pool_size=2)

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        try:
            connection.isolation_level = None  # SQLAlchemy begins transactions
            cursor = connection.cursor()
            # With WAL, readers and a writer do not wait for each other. FULL: commits are on disk.
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.close()
        except BaseException:
            connection.close()
            raise

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that starts as a reader fails at once when it writes after another writer.
        driver: Any = connection.connection.dbapi_connection
        driver.run_async(_BEGIN)

    return engine


def check_for_damage(connection: Connection, place: Database) -> None:
    """Check a small SQLite file for damage.

    Raises:
        UnusableError: the file is damaged.

    """
    if not isinstance(place, SQLiteFile) or place.path.stat().st_size > _CHECKED_SIZE:
        return
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise UnusableError(DAMAGED)
