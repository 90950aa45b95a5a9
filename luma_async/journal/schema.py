"""The tables of a journal, and how older ones become them."""

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

from luma_async.journal.unusable import Unusable

metadata = MetaData()

versions = Table("luma_schema", metadata, Column("version", Integer, nullable=False))

_IS_OPEN = text("state IN ('submitting', 'uncertain', 'running')")

# The server chooses how long an id is. PostgreSQL's usual index takes at most 2,704 bytes, and a
# longer id of a job that is paid for could not be written at all. A hash index takes any length.
_BY_TASK_ID = Index("luma_jobs_task_id", "task_id", postgresql_using="hash")

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
    _BY_TASK_ID,
    # Few of many jobs are open at a time, and those are the ones that are looked for.
    Index("luma_jobs_open", "state", sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN),
)
"""Times are seconds of the Unix epoch."""

owners = Table(
    "luma_owners",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("heartbeat", Double, nullable=False),
    Column("start", Text),
)
"""Who may have a submission on its way. The heartbeat is by the database's clock; `start` tells a
process from a later one with the same `pid`."""

durations = Table(
    "luma_durations",
    metadata,
    Column("server", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("learned", Text, nullable=False),
)

Migration = Callable[[Connection], None]


def _add_columns(connection: Connection) -> None:
    """Add what version 2 has more than version 1; an empty database got it with its tables."""
    for table, column in (("luma_jobs", "request_id"), ("luma_owners", "start")):
        if column not in {there["name"] for there in inspect(connection).get_columns(table)}:
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column} TEXT")


def _index_ids_of_any_length(connection: Connection) -> None:
    """Make the index of ids one that takes long ones; in SQLite any does."""
    if connection.dialect.name == "postgresql":
        _BY_TASK_ID.drop(connection, checkfirst=True)
        _BY_TASK_ID.create(connection)


MIGRATIONS: tuple[Migration, ...] = (metadata.create_all, _add_columns, _index_ids_of_any_length)
"""The migration at position n makes version n + 1 of version n; an empty database is version 0.

Once released, a migration stays as it is: what a table is to become is a further one.
"""

_LOCK = 0x6C756D61
"""Of those who open a new PostgreSQL database at once, one makes the tables."""


def migrate(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring a database to the newest version.

    Raises:
        Unusable: it is newer than this code.

    """
    newest = len(migrations)
    found = _version(connection)
    if found < newest and connection.dialect.name == "postgresql":
        # Who waited for the lock looks again. Who finds all made takes no lock, and so is held up
        # by nobody.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = _version(connection)
    if found > newest:
        raise Unusable(
            f"its schema has version {found}, and this release knows versions up to {newest}. "
            "Use a newer luma-async"
        )
    if found == newest:
        return
    for migration in migrations[found:]:
        migration(connection)
    statement = insert(versions) if found == 0 else update(versions)
    connection.execute(statement.values(version=newest))


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table(versions.name):
        return 0
    return connection.scalar(select(versions.c.version)) or 0
