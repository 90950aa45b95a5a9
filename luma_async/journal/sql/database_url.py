"""Database URLs of journals: parsing of a path or URL to a SQLite file or PostgreSQL database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

from luma_async.errors import ConfigurationError
from luma_async.journal.sql.postgres import PostgresDatabase
from luma_async.journal.sql.postgres_url import PARAMETERS, unreadable
from luma_async.journal.sql.sqlite_file import SQLiteFile
from luma_async.paths import is_file_path

Database: TypeAlias = SQLiteFile | PostgresDatabase

_SCHEME = re.compile(r"[a-z][a-z0-9.-]{0,30}", re.IGNORECASE)
_LOOKS_LIKE_URL = re.compile(r"\s*(?:postgres|postgresql|sqlite)(?:\+\w+)?:", re.IGNORECASE)
_LOOKS_LIKE_LOGIN = re.compile(r"[^/\s]*[/]{0,2}[\w.+-]+:[^/@\s]+@[\w.\[-]")
_LOOKS_LIKE_DRIVE = re.compile(r"[a-z]:\\", re.IGNORECASE)
"""Beginning of a path of Windows. The names of its folders may contain @, as logins do."""

_FIRST_NAME = re.compile(r"\s*(\w+)\s*=")
_TELLING_NAME = re.compile(r"(?:^|[\s;?&])(?:password|passwd|pwd|dbname)\s*=", re.IGNORECASE)
"""Parameters that do not occur in a file name by chance, at any position."""


def parse_database_url(place: str) -> Database:
    """Parse a path or a database URL. A relative path is resolved now.

    Raises:
        ConfigurationError: there can be no journal at this location.

    """
    if _is_connection_string(place):
        raise ConfigurationError(
            "The journal is given by connection parameters (host=... dbname=...). Give them as a "
            "URL: postgresql://user:password@host:5432/name?parameter=value. For a file of that "
            "name, write ./ before it."
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
        "A journal must be in SQLite (a path) or in PostgreSQL (postgresql://...), not in "
        f"{kind!r}."
    )


def is_url(place: str) -> bool:
    """Return `True` if a location is meant as a URL and not as a path, even if it has mistakes."""
    return (
        "://" in place
        or _LOOKS_LIKE_URL.match(place) is not None
        or _looks_like_login(place)
        or _is_connection_string(place)
    )


def _looks_like_login(place: str) -> bool:
    is_path = _LOOKS_LIKE_DRIVE.match(place) is not None
    return not is_path and _LOOKS_LIKE_LOGIN.match(place) is not None


def _is_connection_string(place: str) -> bool:
    """Return `True` for libpq's `host=... dbname=...` and the like, unless it is a file's name."""
    if "://" in place:
        return False
    first = _FIRST_NAME.match(place)
    has_parameters = first is not None and first[1].lower() in PARAMETERS
    return (has_parameters or _TELLING_NAME.search(place) is not None) and not _is_file(place)


def _is_file(place: str) -> bool:
    try:
        return is_file_path(Path(place).expanduser())
    except RuntimeError:  # there is no home folder
        return False


def masked(place: str) -> str:
    """Return a location for display: without a password, and otherwise as it was given."""
    if not is_url(place):
        return place
    try:
        found = parse_database_url(place)
    except ConfigurationError:
        return "postgresql://..."
    return found.shown if isinstance(found, PostgresDatabase) else place


def _sqlite_file(rest: str) -> SQLiteFile:
    """Return the file of `sqlite:///relative.db` or `sqlite:////absolute/path.db`."""
    host, _, path = rest.partition("/")
    if host or "?" in path:
        raise ConfigurationError(
            "A journal in SQLite takes a path and nothing else: jobs.db, or sqlite:///jobs.db."
        )
    return SQLiteFile(path)
