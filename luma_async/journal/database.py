"""The database of a journal: how it is connected to, and which of its errors may pass."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from threading import Thread
from typing import Any

from sqlalchemy import URL, ColumnElement, Connection, event, literal_column
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from luma_async.journal.explanations import DAMAGED
from luma_async.journal.place import Place
from luma_async.journal.postgres import PostgresDatabase
from luma_async.journal.sqlite_file import SQLiteFile
from luma_async.journal.unusable import Unusable

_CHECKED_SIZE = 32 * 2**20
"""Bytes up to which a file is checked for damage when it is opened, which takes 0.1 s or less."""

_VALUE_STATES = ("21", "22", "23", "54", "P0")
"""Beginnings of SQLSTATEs that are about what was to be written; others are about the database: it
is read-only, refuses logins, lacks permissions, tables, room or connections, restarts."""


class _ForgottenConnection(sqlite3.Connection):
    """A SQLite connection that is closed once nobody has it any more.

    One that was being opened when everything was cancelled reaches nobody who could close it.
    """

    def __del__(self) -> None:
        with suppress(sqlite3.Error):
            self.close()


def _with_daemon_thread(*place: Any, **settings: Any) -> Any:
    """Return a connection whose thread does not keep a program from ending.

    SQLAlchemy sees to that, too, but only its newer releases do for newer releases of the driver.
    """
    import aiosqlite  # noqa: PLC0415  who has PostgreSQL need not have it

    connection: Any = aiosqlite.connect(*place, **settings)
    thread = connection if isinstance(connection, Thread) else connection._thread  # noqa: SLF001
    thread.daemon = True
    return connection


class Clash(Exception):  # noqa: N818  a signal within the journal, which tries again
    """Others got in the way."""


def connect(place: Place, *, timeout: float) -> AsyncEngine:
    """Return an engine whose commits are durable; nothing is opened yet.

    `timeout` is how many seconds a lock of somebody else's is waited for.
    """
    if isinstance(place, PostgresDatabase):
        return _connect_to_server(place)
    return _connect_to_file(place, timeout)


def _connect_to_server(place: PostgresDatabase) -> AsyncEngine:
    def create() -> Any:
        # No statement is prepared for longer than its transaction (the driver's own cache is off as
        # well), so a pooler may have each transaction done in another session of the server's.
        driver: Any = engine.sync_engine.dialect.dbapi
        return driver.connect(async_creator_fn=place.connect, prepared_statement_cache_size=0)

    engine = create_async_engine(
        "postgresql+asyncpg://",
        creator=create,
        # Whatever a database's default is, who waited for a lock sees what was done meanwhile.
        isolation_level="READ COMMITTED",
        pool_size=2,
        pool_pre_ping=True,
    )
    return engine


def _connect_to_file(place: SQLiteFile, timeout: float) -> AsyncEngine:
    # SQLite makes a file that is not there unless the mode says otherwise, also when the second
    # connection is made, and a journal that is empty would know of no job.
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
            connection.isolation_level = None  # transactions begin where SQLAlchemy says
            cursor = connection.cursor()
            # Readers and one writer do not wait for each other; a commit is on the disk.
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.close()
        except BaseException:
            connection.close()
            raise

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # To become a writer later would fail at once if somebody else wrote meanwhile.
        driver: Any = connection.connection.dbapi_connection
        driver.run_async(lambda sqlite: sqlite.execute("BEGIN IMMEDIATE"))

    return engine


def check_for_damage(connection: Connection, place: Place) -> None:
    """Look through a small file.

    Raises:
        Unusable: it is damaged.

    """
    if not isinstance(place, SQLiteFile) or place.path.stat().st_size > _CHECKED_SIZE:
        return
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise Unusable(DAMAGED)


def now(dialect: str) -> ColumnElement[float]:
    """Return the database's clock, in seconds of the Unix epoch.

    Heartbeats are told by it: those who share a database need not agree about the time.
    """
    if dialect == "postgresql":
        return literal_column("extract(epoch FROM clock_timestamp())")
    return literal_column("((julianday('now') - 2440587.5) * 86400.0)")


def is_trouble(error: Exception) -> bool:
    """Whether what went wrong is the database's; other errors lie in what was to be written."""
    original = _original(error)
    if isinstance(original, OSError | Clash):
        return True
    if isinstance(original, sqlite3.DatabaseError):
        return not isinstance(original, sqlite3.DataError | sqlite3.IntegrityError)
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = _state(original)
    return state is not None and not state.startswith(_VALUE_STATES)


def is_locked(error: Exception) -> bool:
    """Whether another program was writing to a SQLite file."""
    code = getattr(_original(error), "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY


def is_clash(error: Exception) -> bool:
    """Whether another transaction got in the way of one that can simply be done again."""
    return isinstance(error, Clash) or _state(_original(error)) in ("40001", "40P01")


def is_lost(error: Exception) -> bool:
    """Whether an error may be that of a connection which was made earlier, and nothing else's."""
    original = _original(error)
    if isinstance(original, sqlite3.Error | Clash | TimeoutError):
        return False
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return (_state(original) or "08").startswith(("08", "25", "57"))


def _original(error: BaseException) -> BaseException:
    """Return the driver's error; some come without SQLAlchemy's around them."""
    return error.orig if isinstance(error, DBAPIError) and error.orig else error


def _state(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None
