"""Database schema of a journal, and its migrations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
    update,
)

from luma_async.journal.sql.error_explanations import UnusableError

metadata = MetaData()

versions = Table("luma_schema", metadata, Column("version", Integer, nullable=False))

_IS_OPEN = text("state IN ('submitting', 'uncertain', 'running')")

# The server chooses the length of an id. PostgreSQL's default index takes at most 2,704 bytes, so a
# longer id of a job that is paid for could not be written at all. A hash index takes any length.
_BY_TASK_ID = Index("luma_jobs_task_id", "task_id", postgresql_using="hash")

# Servers of one journal look every few seconds for jobs whose owner is dead.
_IS_RUNNING = text("state = 'running'")
_BY_OWNER = Index(
    "luma_jobs_watched",
    "server",
    "owner",
    sqlite_where=_IS_RUNNING,
    postgresql_where=_IS_RUNNING,
)

jobs = Table(
    "luma_jobs",
    metadata,
    Column("key", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("claim", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("server", Text, nullable=False),
    Column("source_id", Text),
    Column("request", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("task_id", Text),
    Column("generation", Text),
    Column("reason", Text),
    Column("earlier_ids", Text),
    Column("submitted_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("request_id", Text),
    Column("metadata", Text),
    Column("forgotten", Integer),
    Column("has_ended", Integer),
    _BY_TASK_ID,
    # Only few jobs are open at a time, and queries look for those.
    Index("luma_jobs_open", "state", sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN),
    _BY_OWNER,
)
"""Table of entries. Times are seconds of the Unix epoch. `owner` is the one that submitted the job,
and for a running job the one that watches it; it is empty if nobody does. `metadata` is JSON, and
NULL if a job has none. `forgotten` is 1 for a running job that is not to be resumed. `has_ended` is
1 for a job that has ended and counts as running until its result is delivered. Both are NULL for
others."""

owners = Table(
    "luma_owners",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("heartbeat", Double, nullable=False),
    Column("start", Text),
)
"""Table of the processes that may have submissions under way, or watch jobs. The heartbeat is by
the clock of the database; `start` tells a process from a later one with the same `pid`."""

durations = Table(
    "luma_durations",
    metadata,
    Column("server", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("learned", Text, nullable=False),
)

files = Table(
    "luma_files",
    metadata,
    Column("server", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("file_id", Text, nullable=False),
    Column("uploaded_at", Double, nullable=False),
)
"""Table of the files that were uploaded to each server, by the digest of their content."""

signals = Table(
    "luma_signals",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("sender", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("sent_at", Double, nullable=False),
    # The id of a row that was deleted must not be used again: readers look for later ids.
    sqlite_autoincrement=True,
)
"""Table of the signals of the last minute, in SQLite only; PostgreSQL has NOTIFY."""

Migration = Callable[[Connection], None]


def _add_column(connection: Connection, table: str, column: str, type_: str = "TEXT") -> None:
    """Add a column, unless `create_all` has just created it."""
    if column not in {there["name"] for there in inspect(connection).get_columns(table)}:
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column} {type_}")


def _add_columns(connection: Connection) -> None:
    """Add the columns of version 2."""
    _add_column(connection, "luma_jobs", "request_id")
    _add_column(connection, "luma_owners", "start")


def _index_ids_of_any_length(connection: Connection) -> None:
    """Replace the index of task ids by one without a limit of length, in PostgreSQL."""
    if connection.dialect.name == "postgresql":
        _BY_TASK_ID.drop(connection, checkfirst=True)
        _BY_TASK_ID.create(connection)


def _add_metadata(connection: Connection) -> None:
    """Add the columns of version 4: metadata, and the marks of forgotten jobs."""
    _add_column(connection, "luma_jobs", "metadata")
    _add_column(connection, "luma_jobs", "forgotten", "INTEGER")


def _add_files(connection: Connection) -> None:
    """Add the table of version 5: uploaded files."""
    files.create(connection, checkfirst=True)


def _add_signals(connection: Connection) -> None:
    """Add the table of version 6: signals between processes, in SQLite."""
    if connection.dialect.name == "sqlite":
        signals.create(connection, checkfirst=True)


def _add_leases(connection: Connection) -> None:
    """Add the column and the index of version 7: jobs by owner, and jobs to be delivered."""
    _add_column(connection, "luma_jobs", "has_ended", "INTEGER")
    _BY_OWNER.create(connection, checkfirst=True)


MIGRATIONS: tuple[Migration, ...] = (
    metadata.create_all,
    _add_columns,
    _index_ids_of_any_length,
    _add_metadata,
    _add_files,
    _add_signals,
    _add_leases,
)
"""Migrations from each version to the next: the one at position n leads from version n to n + 1.

An empty database has version 0. Once released, a migration never changes: each further change of a
table is a further migration.
"""

_LOCK = 0x6C756D61
"""Id of the lock that lets only one process at a time create the tables of a PostgreSQL
database."""


def migrate(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Upgrade a database to the newest version.

    Raises:
        UnusableError: the database is newer than this code.

    """
    newest = len(migrations)
    found = _version(connection)
    if found < newest and connection.dialect.name == "postgresql":
        # After waiting for the lock, the version may be another one. A database that is up to date
        # needs no lock, so nothing can delay its opening.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = _version(connection)
    if found > newest:
        raise UnusableError(
            f"its schema has version {found}, and this release supports versions up to {newest}. "
            "Use a newer luma-async"
        )
    if found == newest:
        return
    is_empty = found == 0 and not inspect(connection).has_table(jobs.name)
    if is_empty:
        _create(connection)
    for migration in migrations[len(MIGRATIONS) if is_empty else found :]:
        migration(connection)
    statement = insert(versions) if found == 0 else update(versions)
    connection.execute(statement.values(version=newest))


def _create(connection: Connection) -> None:
    """Create the newest tables. Each migration would look for changes that are already in them."""
    metadata.create_all(connection)
    _add_signals(connection)


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table(versions.name):
        return 0
    return connection.scalar(select(versions.c.version)) or 0
