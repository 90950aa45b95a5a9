"""Explanations of database errors: the problem, and the next step for the user."""

from __future__ import annotations

import re
import socket
import ssl

from luma_async.journal.sql.postgres import ANSWER_TIMEOUT

DAMAGED = "it is damaged. Restore a copy of it, or recover its data with `sqlite3 ... .recover`"
_FULL = "the disk is full. Free some space"
_NO_ROOM = (
    "the database server has no free connection. Close some, raise max_connections there, or use a "
    "pooler such as pgbouncer"
)
_NOT_ALLOWED = (
    "the database server does not allow this user to connect from here. Check user, host and "
    "sslmode in the URL, and pg_hba.conf on the server"
)
_WRONG_PASSWORD = "the database server rejected the user or password. Check the URL"  # noqa: S105
_UNREACHABLE = "the database server cannot be reached. Start it, or check the URL"
_CUT_OFF = (
    "the database server, or a pooler in front of it, closed the connection. Try again; pgbouncer "
    "must have pool_mode=transaction or session"
)
_NOT_READY = "the database server is starting up or shutting down. Try again"

_BY_STATE = (
    ("28P01", _WRONG_PASSWORD),
    ("28", _NOT_ALLOWED),
    ("3D000", "the server has no database of this name. Create it, or check the URL"),
    ("3F000", "there is no schema to create tables in. Create one, or set search_path"),
    (
        "25006",
        (
            "the database is read-only: a standby server, or one configured so. Use one that "
            "accepts writes; among several hosts in the URL, target_session_attrs=read-write "
            "finds it"
        ),
    ),
    (
        "42501",
        (
            "the user lacks a permission. Grant it: to create tables for the first opening "
            "(GRANT CREATE ON SCHEMA public), and to read and write the tables luma_*"
        ),
    ),
    ("42P01", "a table of the journal is missing. Restore it, or use another database"),
    ("53100", _FULL),
    ("53300", _NO_ROOM),
    ("57P03", _NOT_READY),
    ("57P", "the database server ended the connection. Try again"),
    ("57014", "the database server cancelled the statement. Raise statement_timeout"),
    ("55P03", "another program keeps a table locked. End that program, or try again"),
)
"""Explanations by SQLSTATE or its prefix. Longer prefixes come before shorter ones."""

_BY_TEXT = (
    # Texts of PostgreSQL, its driver and poolers. A server may write them in another language, so
    # they matter only for errors without a SQLSTATE.
    (
        "unsupported startup parameter",
        (
            "the pooler in front of the database server rejects a parameter of the URL. "
            "Leave it out, or add it to ignore_startup_parameters there"
        ),
    ),
    (
        "no such database",
        (
            "the pooler in front of the database server has no database of this name. "
            "Add it there, or check the URL"
        ),
    ),
    ("no such user", _WRONG_PASSWORD),
    ("no more connections allowed", _NO_ROOM),
    ("query_wait_timeout", _NO_ROOM),
    (
        "statement pooling",
        (
            "the pooler in front of the database server does not support transactions. "
            "Set pool_mode=transaction"
        ),
    ),
    ("authentication failed", _WRONG_PASSWORD),
    ("password", _WRONG_PASSWORD),
    (
        "rejected ssl upgrade",
        (
            "the database server has no TLS. Enable it there, or disable it here with sslmode "
            "in the URL"
        ),
    ),
    (
        "target attribute",
        (
            "no host in the URL matches target_session_attrs. List all hosts, "
            "or choose another value"
        ),
    ),
    ("connection was closed", _CUT_OFF),
    ("connection is closed", _CUT_OFF),
    ("connect call failed", _UNREACHABLE),
    ("connection refused", _UNREACHABLE),
    ("multiple exceptions", _UNREACHABLE),
    ("unreachable", _UNREACHABLE),
    ("no route", _UNREACHABLE),
    # Texts of SQLite.
    ("readonly", "it is read-only. Allow writing to the file and its folder"),
    ("is full", _FULL),
    ("no space", _FULL),
    ("not a database", "it is not a journal, or is damaged. Move it away, or restore a copy of it"),
    ("malformed", DAMAGED),
    ("locked", "another program keeps it locked. End that program, or try again"),
    ("unable to open", "it cannot be opened. Allow reading and writing the file and its folder"),
    ("disk i/o", "the disk failed. Check the disk and its free space"),
)

_LOGIN = re.compile(r"://[^\s'\"]*@")


def explain(error: BaseException) -> str:
    """Describe an error of a database or its driver, with the next step for the user."""
    # The error of the driver. SQLAlchemy wraps most of them; it is not imported here, because this
    # module is loaded even if the extra is missing.
    original: BaseException = getattr(error, "orig", None) or error
    if isinstance(original, ReplacedError):
        return (
            "its file was deleted or replaced since it was opened. Put it back; if the file there "
            "now is the right one, create a new SQLJournal or restart the program"
        )
    if isinstance(original, UnusableError):
        return str(original)
    text = _LOGIN.sub("://***@", (str(original).strip() or type(original).__name__).splitlines()[0])
    meaning = _by_type(original) or _by_state(original) or _by_text(text)
    if isinstance(original, TimeoutError):
        return meaning or f"the database failed: {text}"
    return f"{meaning} ({text})" if meaning else f"the database failed: {text}"


def _by_type(error: BaseException) -> str | None:
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_TIMEOUT:g} s. Check for a locked table, and the network"
    if isinstance(error, socket.gaierror):
        return "the host name of the database server is not known. Check the host in the URL"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "the database server's certificate is not trusted. Set sslrootcert in the URL to its "
            "certificate authority, and use the host name in the certificate"
        )
    if isinstance(error, ssl.SSLError):
        return "TLS with the database server failed. Check sslmode and the certificates in the URL"
    if isinstance(error, ConnectionError | FileNotFoundError) and "SSL" not in str(error):
        return _UNREACHABLE
    return None


def _by_state(error: BaseException) -> str | None:
    state = str(getattr(error, "sqlstate", None) or "")
    return next(
        (meaning for prefix, meaning in _BY_STATE if state and state.startswith(prefix)), None
    )


def _by_text(text: str) -> str | None:
    lower = text.lower()
    return next((meaning for part, meaning in _BY_TEXT if part in lower), None)


class ReplacedError(OSError):
    """The file is no longer the one that was opened."""


class UnusableError(Exception):
    """The database cannot be used as a journal; the text has the reason and the next step."""
