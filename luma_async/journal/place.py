"""Place of a journal: a SQLite file or a PostgreSQL database, as a path or URL names it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

from luma_async.errors import ConfigurationError
from luma_async.journal.postgres import PostgresDatabase
from luma_async.journal.postgres_url import PARAMETERS, unreadable
from luma_async.journal.sqlite_file import SQLiteFile

Place: TypeAlias = SQLiteFile | PostgresDatabase

_SCHEME = re.compile(r"[a-z][a-z0-9.-]{0,30}", re.IGNORECASE)
_LOOKS_LIKE_URL = re.compile(r"\s*(?:postgres|postgresql|sqlite)(?:\+\w+)?:", re.IGNORECASE)
_LOOKS_LIKE_LOGIN = re.compile(r"[^/\s]*[/]{0,2}[\w.+-]+:[^/@\s]+@[\w.\[-]")
_FIRST_NAME = re.compile(r"\s*(\w+)\s*=")
_TELLING_NAME = re.compile(r"(?:^|[\s;?&])(?:password|passwd|pwd|dbname)\s*=", re.IGNORECASE)
"""A parameter that no file name has by chance, wherever it stands."""


def parse_place(place: str) -> Place:
    """Return the place that a path or a database URL names; a relative path is fixed now.

    Raises:
        ConfigurationError: there can be no journal.

    """
    if _is_connection_string(place):
        raise ConfigurationError(
            "The journal is named by connection parameters (host=... dbname=...), which can be "
            "given as a URL only: postgresql://user:password@host:5432/name?parameter=value. If a "
            "file of that name is meant, write ./ before it."
        )
    if not is_url(place):
        return SQLiteFile(place)
    scheme, _, rest = place.strip().partition("://")
    kind = scheme.partition("+")[0].lower()
    if not _SCHEME.fullmatch(kind):
        raise unreadable()
    if kind in ("postgresql", "postgres"):
        return PostgresDatabase(place.strip())
    if kind == "sqlite":
        return _sqlite_file(rest)
    raise ConfigurationError(
        f"A journal can be in SQLite (a path) or PostgreSQL (postgresql://...), not {kind!r}."
    )


def is_url(place: str) -> bool:
    """Whether a place is meant to be a URL, and no path, even if there is a slip in it."""
    return (
        "://" in place
        or _LOOKS_LIKE_URL.match(place) is not None
        or _LOOKS_LIKE_LOGIN.match(place) is not None
        or _is_connection_string(place)
    )


def _is_connection_string(place: str) -> bool:
    """Whether a place names parameters, as libpq's `host=... dbname=...`, and is no file's name."""
    if "://" in place:
        return False
    first = _FIRST_NAME.match(place)
    has_parameters = first is not None and first[1].lower() in PARAMETERS
    return (has_parameters or _TELLING_NAME.search(place) is not None) and not _is_file(place)


def _is_file(place: str) -> bool:
    try:
        return Path(place).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # too long, or no name of a file at all
        return False


def shown(place: str) -> str:
    """Return a place as it may be shown: without a password, and otherwise as it was named."""
    if not is_url(place):
        return place
    try:
        found = parse_place(place)
    except ConfigurationError:
        return "postgresql://..."
    return found.shown if isinstance(found, PostgresDatabase) else place


def _sqlite_file(rest: str) -> SQLiteFile:
    """Return the file of `sqlite:///relative.db` or `sqlite:////whole/path.db`."""
    host, _, path = rest.partition("/")
    if host or "?" in path:
        raise ConfigurationError(
            "A journal in SQLite is named by its path alone: jobs.db, or sqlite:///jobs.db."
        )
    return SQLiteFile(path)
