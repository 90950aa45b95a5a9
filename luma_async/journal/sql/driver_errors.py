"""Classification of database errors: locked, lost connection, conflict, or invalid value."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

_VALUE_STATES = ("21", "22", "23", "54", "P0")
"""Prefixes of the SQLSTATEs that are caused by the written values. All others concern the database:
it is read-only, refuses logins, lacks permissions, tables, space or connections, or restarts."""


class ConflictError(Exception):
    """Another transaction interfered; the transaction may succeed if it is repeated."""


class TransactionCancelledError(Exception):
    """The transaction was cancelled together with all other tasks of the event loop."""


def is_database_failure(error: Exception) -> bool:
    """Return `True` if an error concerns the database as a whole, and not the written values."""
    original = _original(error)
    if isinstance(original, OSError | ConflictError | TransactionCancelledError):
        return True
    if isinstance(original, sqlite3.DatabaseError):
        return not isinstance(original, sqlite3.DataError | sqlite3.IntegrityError)
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = _sqlstate(original)
    return state is not None and not state.startswith(_VALUE_STATES)


def is_locked(error: Exception) -> bool:
    """Return `True` if another program was writing to a SQLite file."""
    code = getattr(_original(error), "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY


def is_conflict(error: Exception) -> bool:
    """Return `True` if another transaction interfered, so that repeating this one may be enough."""
    return isinstance(error, ConflictError) or _sqlstate(_original(error)) in ("40001", "40P01")


def is_lost_connection(error: Exception) -> bool:
    """Return `True` if an error may only mean that a connection opened earlier was lost."""
    original = _original(error)
    if isinstance(original, sqlite3.Error | ConflictError | TimeoutError):
        return False
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return (_sqlstate(original) or "08").startswith(("08", "25", "57"))


def _original(error: BaseException) -> BaseException:
    """Return the driver's error; SQLAlchemy wraps most of them."""
    return error.orig if isinstance(error, DBAPIError) and error.orig else error


def _sqlstate(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None
