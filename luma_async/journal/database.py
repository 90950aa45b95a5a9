"""The database of a journal: where it is, how it is opened, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, ColumnElement, Connection, event, literal_column, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from luma_async.errors import ConfigurationError

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
ANSWER_TIMEOUT = 10.0
"""Seconds that a PostgreSQL server may take to answer."""

_CHECKED_SIZE = 32 * 2**20
"""Bytes up to which a file is checked for damage when it is opened, which takes 0.1 s or less."""

_MEANINGS = (
    ("readonly", "it is read-only. Allow writing to the file and its folder"),
    ("read-only", "it is read-only. Allow writing to it"),
    ("is full", "the disk is full. Make room"),
    ("no space", "the disk is full. Make room"),
    ("not a database", "it is no journal, or damaged. Move it away, or restore a copy of it"),
    ("malformed", "it is damaged. Restore a copy of it, or rescue it with `sqlite3 ... .recover`"),
    ("locked", "another program keeps it locked. End that, or try again"),
    ("unable to open", "it cannot be opened. Make its folder, and allow writing there"),
    ("disk i/o", "the disk fails. Check it, and the room on it"),
    ("password", "the database server refuses the user or password. Check the URL"),
    ("does not exist", "there is no such thing at the database server. Check the URL"),
    ("connect call failed", "the database server cannot be reached. Start it, or check the URL"),
    ("name or service", "the database server cannot be reached. Check the URL"),
)
_PASSING_STATES = ("40001", "40P01", "53", "55P03", "57", "58", "08")
"""SQLSTATEs, or their beginnings, of trouble that may pass: deadlocks, no room, a shutdown."""


class Clash(Exception):  # noqa: N818  a signal within the journal, which tries again
    """Others got in the way."""


class ReplacedError(OSError):
    """The file is no longer the one that was opened."""


class Unusable(Exception):  # noqa: N818  a signal within the journal, which says the rest
    """The database cannot be a journal, and why."""


def parse_place(place: str | os.PathLike[str]) -> URL:
    """Return the URL of a journal at a path or a database URL.

    Raises:
        ConfigurationError: there can be no journal.

    """
    if not (isinstance(place, str) and "://" in place):
        path = str(Path(place).expanduser()) if place else ""
        return URL.create(_DRIVERS["sqlite"], database=path)
    try:
        url = make_url(place)
    except ArgumentError:
        raise ConfigurationError("The journal's URL cannot be read as one.") from None
    kind = url.drivername.partition("+")[0]
    if kind not in _DRIVERS:
        raise ConfigurationError(
            f"A journal can be in SQLite (a path) or PostgreSQL (postgresql://...), not {kind!r}."
        )
    return url.set(drivername=_DRIVERS[kind])


def check_place(url: URL) -> URL:
    """Return the URL if what is written there stays.

    Raises:
        ConfigurationError: it does not.

    """
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise ConfigurationError("A journal in memory survives nothing: name a file.")
        if url.query:
            raise ConfigurationError("A journal in SQLite is named by its path alone.")
    return url


def shown(url: URL) -> str:
    """Return a place as it may be shown: without a password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)


def connect(url: URL, *, timeout: float) -> AsyncEngine:
    """Return an engine whose commits are durable; nothing is opened yet.

    `timeout` is how many seconds a lock of somebody else's is waited for.
    """
    if url.get_backend_name() == "postgresql":
        return create_async_engine(
            _as_asyncpg_has_it(url),
            connect_args={"timeout": ANSWER_TIMEOUT, "command_timeout": ANSWER_TIMEOUT},
            pool_size=2,
            pool_pre_ping=True,
        )
    engine = create_async_engine(url, connect_args={"timeout": timeout}, pool_size=2)

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


def _as_asyncpg_has_it(url: URL) -> URL:
    """Return a URL as libpq has it in the words of asyncpg."""
    query = dict(url.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    query.pop("connect_timeout", None)
    return url.set(query=query)


class FileWatch:
    """Notices when a SQLite file is no longer the one that was opened.

    A deleted file takes what is written to it, and nobody finds it again.
    """

    def __init__(self, url: URL) -> None:
        self._path = url.database if url.get_backend_name() == "sqlite" else None
        self._inode = 0

    def begin(self) -> None:
        """Remember the file that is there now."""
        if self._path is not None:
            self._inode = Path(self._path).stat().st_ino

    def check(self) -> None:
        """Look whether it is still there.

        Raises:
            ReplacedError: it is gone, or another one is in its place.

        """
        if self._path is None:
            return
        try:
            inode = Path(self._path).stat().st_ino
        except FileNotFoundError:
            inode = None
        if inode != self._inode:
            raise ReplacedError


def check_for_damage(connection: Connection) -> None:
    """Look through a small file.

    Raises:
        Unusable: it is damaged.

    """
    database = connection.engine.url.database
    if connection.dialect.name != "sqlite" or Path(database or "").stat().st_size > _CHECKED_SIZE:
        return
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise Unusable(dict(_MEANINGS)["malformed"])


def now(dialect: str) -> ColumnElement[float]:
    """Return the database's clock, in seconds of the Unix epoch.

    Heartbeats are told by it: those who share a database need not agree about the time.
    """
    if dialect == "postgresql":
        return literal_column("extract(epoch FROM clock_timestamp())")
    return literal_column("((julianday('now') - 2440587.5) * 86400.0)")


def may_pass(error: Exception) -> bool:
    """Whether what went wrong may go well later; other troubles lie in what was to be written."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError | sqlite3.OperationalError | Clash)
    if error.connection_invalidated or isinstance(error.orig, sqlite3.OperationalError):
        return True
    state = str(getattr(error.orig, "sqlstate", "") or "")
    return state.startswith(_PASSING_STATES) or isinstance(error.orig, OSError)


def is_clash(error: Exception) -> bool:
    """Whether another transaction got in the way of one that can simply be done again."""
    if isinstance(error, Clash):
        return True
    original = error.orig if isinstance(error, DBAPIError) else None
    return getattr(original, "sqlstate", None) in ("40001", "40P01")


def is_lost(error: BaseException) -> bool:
    """Whether the connection that something went wrong on cannot be used any more."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return not isinstance(error, sqlite3.Error | Clash)


def explain(error: BaseException) -> str:
    """Return what went wrong, and what to do about it."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    said = str(original).strip() or type(original).__name__
    if isinstance(original, ReplacedError):
        return "its file was deleted or replaced while it was open. Close it, and open it again"
    if isinstance(original, TimeoutError):
        return f"no answer in {ANSWER_TIMEOUT:g} s. Look whether a table is locked, or the way cut"
    if isinstance(error, Unusable):
        return said
    lower = said.lower()
    for words, meaning in _MEANINGS:
        if words in lower:
            return f"{meaning} ({said.splitlines()[0]})"
    return f"the database failed: {said.splitlines()[0]}"
