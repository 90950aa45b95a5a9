"""Place of a journal: a SQLite file or a PostgreSQL database, as a path or URL names it."""

from __future__ import annotations

import re
from typing import TypeAlias

from luma_async.errors import ConfigurationError
from luma_async.journal.postgres import PostgresDatabase
from luma_async.journal.postgres_url import unreadable
from luma_async.journal.sqlite_file import SQLiteFile

Place: TypeAlias = SQLiteFile | PostgresDatabase

_SCHEME = re.compile(r"[a-z][a-z0-9.-]{0,30}", re.IGNORECASE)
_LOOKS_LIKE_URL = re.compile(r"\s*(?:postgres|postgresql|sqlite)(?:\+\w+)?:", re.IGNORECASE)
_LOOKS_LIKE_LOGIN = re.compile(r"[^/\s]*[/]{0,2}[\w.+-]+:[^/@\s]+@[\w.\[-]")
_LOOKS_LIKE_PARAMETERS = re.compile(r"(?:^|\s)(?:password|dbname)\s*=", re.IGNORECASE)
"""Connection strings of libpq's other form, `host=... password=...`."""


def parse_place(place: str) -> Place:
    """Return the place that a path or a database URL names; a relative path is fixed now.

    Raises:
        ConfigurationError: there can be no journal.

    """
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
        or _LOOKS_LIKE_PARAMETERS.search(place) is not None
    )


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
