"""Explanations: errors of databases and their drivers, in words that say what to do."""

from __future__ import annotations

import re
import socket
import ssl

from sqlalchemy.exc import DBAPIError

from luma_async.journal.postgres import ANSWER_TIMEOUT
from luma_async.journal.unusable import ReplacedError, Unusable

DAMAGED = "it is damaged. Restore a copy of it, or rescue it with `sqlite3 ... .recover`"
_FULL = "the disk is full. Make room"
_NO_ROOM = (
    "the database server has no connection free. Close some, allow more there (max_connections), "
    "or put a pooler such as pgbouncer before it"
)
_NOT_ALLOWED = (
    "the database server does not let this user in from here. Check user, host and sslmode in the "
    "URL, and pg_hba.conf at the server"
)
_WRONG_PASSWORD = "the database server refuses the user or password. Check the URL"  # noqa: S105
_UNREACHABLE = "the database server cannot be reached. Start it, or check the URL"
_CUT_OFF = (
    "the database server, or a pooler before it, closed the connection. Try again; pgbouncer must "
    "have pool_mode=transaction or session"
)
_NOT_READY = "the database server starts or stops just now. Try again"

_BY_STATE = (
    ("28P01", _WRONG_PASSWORD),
    ("28", _NOT_ALLOWED),
    ("3D000", "the database server has no database of this name. Make it, or check the URL"),
    ("3F000", "there is no schema to make tables in. Make one, or set search_path"),
    (
        "25006",
        (
            "the database is read-only: a standby server, or one that was set so. Name the one "
            "that takes writes; among several hosts in the URL, target_session_attrs=read-write "
            "finds it"
        ),
    ),
    (
        "42501",
        (
            "the user may not do that there. Grant it: to make tables for the first opening "
            "(GRANT CREATE ON SCHEMA public), and to read and write the tables luma_*"
        ),
    ),
    ("42P01", "a table is missing that was there. Restore it, or use another database"),
    ("53100", _FULL),
    ("53300", _NO_ROOM),
    ("57P03", _NOT_READY),
    ("57P", "the database server ended the connection. Try again"),
    ("57014", "the database server broke the statement off. Allow more in statement_timeout"),
    ("55P03", "another program keeps a table locked. End that, or try again"),
)
"""What SQLSTATEs, or their beginnings, mean. The longer ones come before the shorter."""

_BY_WORDS = (
    # PostgreSQL's, in English only where no SQLSTATE tells it.
    (
        "unsupported startup parameter",
        (
            "the pooler before the database server refuses a parameter "
            "of the URL. Leave it out, or add it to ignore_startup_parameters there"
        ),
    ),
    (
        "no such database",
        (
            "the pooler before the database server has no database of this name. "
            "Add it there, or check the URL"
        ),
    ),
    ("no such user", _WRONG_PASSWORD),
    ("no more connections allowed", _NO_ROOM),
    ("query_wait_timeout", _NO_ROOM),
    (
        "statement pooling",
        "the pooler before the database server does no transactions. Set pool_mode=transaction",
    ),
    ("authentication failed", _WRONG_PASSWORD),
    ("password", _WRONG_PASSWORD),
    (
        "rejected ssl upgrade",
        (
            "the database server has no TLS. Set it up there, or ask for none "
            "with sslmode in the URL"
        ),
    ),
    (
        "target attribute",
        (
            "no host of the URL is one that target_session_attrs asks for. Name all "
            "hosts, or ask for another kind"
        ),
    ),
    ("connection was closed", _CUT_OFF),
    ("connection is closed", _CUT_OFF),
    ("connect call failed", _UNREACHABLE),
    ("connection refused", _UNREACHABLE),
    ("multiple exceptions", _UNREACHABLE),
    ("unreachable", _UNREACHABLE),
    ("no route", _UNREACHABLE),
    # SQLite's.
    ("readonly", "it is read-only. Allow writing to the file and its folder"),
    ("is full", _FULL),
    ("no space", _FULL),
    ("not a database", "it is no journal, or damaged. Move it away, or restore a copy of it"),
    ("malformed", DAMAGED),
    ("locked", "another program keeps it locked. End that, or try again"),
    ("unable to open", "it cannot be opened. Allow reading and writing the file and its folder"),
    ("disk i/o", "the disk fails. Check it, and the room on it"),
)

_LOGIN = re.compile(r"://[^\s'\"]*@")


def explain(error: BaseException) -> str:
    """Return what went wrong, and what to do about it."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    if isinstance(original, ReplacedError):
        return (
            "its file was deleted or replaced since it was opened. Put it back; if the file that "
            "is there is the right one, make a new SQLJournal or start the program again"
        )
    if isinstance(original, Unusable):
        return str(original)
    said = _LOGIN.sub("://***@", (str(original).strip() or type(original).__name__).splitlines()[0])
    meaning = _by_kind(original) or _by_state(original) or _by_words(said)
    if isinstance(original, TimeoutError):
        return meaning or f"the database failed: {said}"
    return f"{meaning} ({said})" if meaning else f"the database failed: {said}"


def _by_kind(error: BaseException) -> str | None:
    if isinstance(error, TimeoutError):
        return f"no answer in {ANSWER_TIMEOUT:g} s. Look whether a table is locked, or the way cut"
    if isinstance(error, socket.gaierror):
        return "the database server's name is not known. Check the host in the URL"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "the database server's certificate is not trusted. Name its authority as sslrootcert "
            "in the URL, and the host as the certificate has it"
        )
    if isinstance(error, ssl.SSLError):
        return "TLS with the database server failed. Check sslmode and the certificates in the URL"
    if isinstance(error, ConnectionError | FileNotFoundError) and "SSL" not in str(error):
        return _UNREACHABLE
    return None


def _by_state(error: BaseException) -> str | None:
    state = str(getattr(error, "sqlstate", None) or "")
    return next(
        (meaning for start, meaning in _BY_STATE if state and state.startswith(start)), None
    )


def _by_words(said: str) -> str | None:
    lower = said.lower()
    return next((meaning for words, meaning in _BY_WORDS if words in lower), None)
