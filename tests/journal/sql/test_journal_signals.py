"""Signals: how they are queued and sent, and how listeners get over troubles of a database."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from luma_async import Hint, JournalError, SQLJournal
from luma_async.errors import InvalidRequestError
from luma_async.journal.sql import postgres_listener, schema
from luma_async.journal.sql.queries import CHANNEL
from luma_async.journal.sql.signal_sender import REPEAT_AFTER, Signal, SignalSender
from luma_async.journal.sql.signals import LARGEST_PAYLOAD
from luma_async.journal.sql.sqlite_file import SQLiteFile
from luma_async.journal.sql.sqlite_listener import SQLiteListener
from tests.clients import until
from tests.journal.databases import execute
from tests.journal.postgres import Server, running_pgbouncer
from tests.journal.test_owners import new_entry
from tests.journal.test_passed_hints import unexpected
from tests.loops import skip
from tests.platforms import needs_posix

A_SIGNAL = Signal("me", "hint", "a job")


class Wire:
    """Place that signals are written to, with the batches that arrived there."""

    def __init__(self) -> None:
        self.batches: list[list[Signal]] = []
        self.failure: JournalError | None = None
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def write(self, signals: Sequence[Signal]) -> None:
        batch = list(signals)
        await self.is_open.wait()
        if self.failure is not None:
            raise self.failure
        self.batches.append(batch)

    @property
    def sent(self) -> list[Signal]:
        return [signal for batch in self.batches for signal in batch]


def numbered(number: int) -> Signal:
    return Signal("me", "hint", f"job {number}")


async def passes(sender: SQLJournal, heard: list[Hint], *, within: float = 60) -> None:
    """Return when hints of a journal arrive. Those of an outage are lost, so it sends new ones."""
    id = str(uuid.uuid4())
    async with asyncio.timeout(within):
        while Hint(id) not in heard:
            id = str(uuid.uuid4())
            with suppress(JournalError):
                await sender.send_hint(id)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await until(lambda: Hint(id) in heard)  # noqa: B023  it ends in this round


async def test_signals_of_one_moment_share_transactions() -> None:
    """Ten thousand need forty of them, and arrive in their order."""
    wire = Wire()
    sender = SignalSender(wire.write)

    await asyncio.gather(*(sender.send(numbered(number)) for number in range(10_000)))

    assert wire.sent == [numbered(number) for number in range(10_000)]
    assert len(wire.batches) == 40
    assert len(sender._sent) <= 4096


async def test_a_signal_that_is_repeated_is_sent_once_more_at_the_end_of_its_second() -> None:
    """The job may have ended after the first one was sent, so the others are not dropped."""
    wire = Wire()
    sender = SignalSender(wire.write)
    await sender.send(A_SIGNAL)

    for _ in range(100):
        await sender.send(A_SIGNAL)

    assert wire.sent == [A_SIGNAL]
    skip(REPEAT_AFTER)
    await until(lambda: len(wire.sent) == 2)
    assert sender._repeats == {}


async def test_a_signal_is_repeated_that_came_while_the_first_one_was_written() -> None:
    """Nobody knows if the first one was heard before."""
    wire = Wire()
    sender = SignalSender(wire.write)
    wire.is_open.clear()
    first = asyncio.create_task(sender.send(A_SIGNAL))
    await until(lambda: sender._sent)

    await sender.send(A_SIGNAL)
    wire.is_open.set()
    await first

    assert wire.sent == [A_SIGNAL]
    skip(REPEAT_AFTER)
    await until(lambda: len(wire.sent) == 2)


async def test_a_signal_that_failed_may_be_sent_again_at_once() -> None:
    """The failure concerns all signals of the queue, and their senders know of it."""
    wire = Wire()
    sender = SignalSender(wire.write)
    wire.failure = JournalError("no database")
    results = await asyncio.gather(
        *(sender.send(numbered(number)) for number in range(300)), return_exceptions=True
    )
    assert results == [wire.failure] * 300

    wire.failure = None
    await sender.send(numbered(0))

    assert wire.sent == [numbered(0)]


async def test_closing_sends_the_queue_and_then_gives_up() -> None:
    """A repeated signal that was due later is sent as well; what cannot be sent, fails."""
    wire = Wire()
    sender = SignalSender(wire.write)
    await sender.send(A_SIGNAL)
    await sender.send(A_SIGNAL)
    await sender.aclose(JournalError("closed"), within=60)
    assert wire.sent == [A_SIGNAL] * 2

    stuck = SignalSender(wire.write)
    wire.is_open.clear()
    sending = asyncio.create_task(stuck.send(A_SIGNAL))
    await until(lambda: stuck._sent)
    await stuck.aclose(JournalError("closed"), within=0.01)

    with pytest.raises(JournalError, match="closed"):
        await sending


async def test_a_sender_whose_caller_is_cancelled_goes_on() -> None:
    """Others may wait for the same signal."""
    wire = Wire()
    sender = SignalSender(wire.write)
    wire.is_open.clear()
    one, other = (asyncio.create_task(sender.send(A_SIGNAL)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    wire.is_open.set()
    await asyncio.wait([one])
    await other

    assert one.cancelled()
    assert wire.sent == [A_SIGNAL]


async def test_topics_are_apart(place: str) -> None:
    """A listener hears its own topic, with any text in the payload."""
    heard: list[str] = []
    async with SQLJournal(place) as one, SQLJournal(place) as other:
        async with (await other._opened()).signals.listen("free_place", heard.append):
            signals = (await one._opened()).signals
            await signals.send("hint", "nothing for you")
            await signals.send("free_place", "at 'Luma', since 10:00 \u2728")
            await signals.send("free_place", "x" * LARGEST_PAYLOAD)
            await until(lambda: len(heard) == 2)
            with pytest.raises(InvalidRequestError, match="payload: must have"):
                await signals.send("free_place", "x" * (LARGEST_PAYLOAD + 1))
            with pytest.raises(InvalidRequestError, match="topic: must be one word"):
                await signals.send("free place", "at Luma")

    assert heard == ["at 'Luma', since 10:00 \u2728", "x" * LARGEST_PAYLOAD]


async def test_a_function_that_fails_ends_no_listening(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its exception is in the log."""
    heard: list[Hint] = []

    def fail(hint: Hint) -> None:
        raise ZeroDivisionError

    async with SQLJournal(place) as one, SQLJournal(place) as other:
        async with other.hints(fail), other.hints(heard.append):
            await passes(one, heard)

    assert "ZeroDivisionError" in caplog.text


async def test_rows_of_strangers_are_ignored(tmp_path: Path) -> None:
    """Any program that writes to the file can add some."""
    place = str(tmp_path / "jobs.db")
    heard: list[Hint] = []
    async with SQLJournal(place) as one, SQLJournal(place) as other, other.hints(heard.append):
        await execute(
            place,
            "INSERT INTO luma_signals (sender, topic, payload, sent_at) VALUES"
            " ('x', 'hint', 'DROP TABLE', 1e10), (CAST(x'ff' AS TEXT), 'hint', x'00ff', 1e10),"
            " ('x', 'hint', CAST(x'ff' AS TEXT), 1e10), (1, 2, 3.5, 1e10), ('x', '-', '', 1e10)",
        )
        await passes(one, heard)

    assert len(heard) == 1


async def test_notifications_of_strangers_are_ignored(postgres_place: str) -> None:
    """Any user of the database can send some."""
    heard: list[Hint] = []
    async with SQLJournal(postgres_place) as one, SQLJournal(postgres_place) as other:
        async with other.hints(heard.append):
            for text in ("", "hint", "x hint DROP TABLE", "x  ", "x - probe"):
                await execute(postgres_place, f"SELECT pg_notify({CHANNEL}, '{text}')")
            await passes(one, heard)

    assert len(heard) == 1


async def test_journals_in_two_schemas_do_not_hear_each_other(postgres_place: str) -> None:
    """The channel belongs to the tables of a journal, and not to the database."""
    await execute(postgres_place, "CREATE SCHEMA other")
    elsewhere = f"{postgres_place}?options=-c%20search_path%3Dother"
    heard: list[Hint] = []
    async with SQLJournal(postgres_place) as one, SQLJournal(elsewhere) as other:
        async with one.hints(heard.append), other.hints(unexpected):
            async with SQLJournal(postgres_place) as sender:
                await passes(sender, heard)


async def test_a_lost_connection_is_made_again(postgres_place: str) -> None:
    """Soon, and without a warning."""
    heard: list[Hint] = []
    async with SQLJournal(postgres_place) as one, SQLJournal(postgres_place) as other:
        async with other.hints(heard.append):
            await passes(one, heard)
            await execute(
                postgres_place,
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            await passes(one, heard)


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_refuses_connections_is_tried_again(
    new_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning for the whole outage, which says why, and nothing is raised."""
    name = Path(new_database).name
    superuser = str(Path(new_database).parent / "postgres").replace(":/", "://")
    heard: list[Hint] = []
    async with SQLJournal(new_database) as one, SQLJournal(new_database) as other:
        async with other.hints(heard.append):
            await execute(superuser, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await execute(
                superuser,
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608
            )
            await until(lambda: "does not receive the signals" in caplog.text)
            await asyncio.sleep(0.5)  # in which it tries several times
            await execute(superuser, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await passes(one, heard)

    warnings = [text for text in caplog.messages if "does not receive the signals" in text]
    assert len(warnings) == 1
    assert "not currently accepting connections" in warnings[0]
    assert "not-secret" not in warnings[0]


@pytest.mark.usefixtures("impatient")
async def test_a_listener_closes_while_the_server_is_frozen(
    postgres_server: Server, postgres_place: str
) -> None:
    """In bounded time; nothing of it is left."""
    before = asyncio.all_tasks()
    journal = SQLJournal(postgres_place)
    async with journal.hints(unexpected):
        with postgres_server.frozen():
            async with asyncio.timeout(10):
                await journal.aclose(timeout=0.1)
    await until(lambda: asyncio.all_tasks() == before)


async def test_a_pooler_in_transaction_mode_is_noticed(
    new_database: str,
    pooled_place: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Hints are sent through it. That it delivers none is in the log once."""
    monkeypatch.setattr(postgres_listener, "_PROBE_TIMEOUT", 0.3)
    monkeypatch.setattr(postgres_listener, "_PAUSE_WHEN_DEAF", 0.1)
    heard: list[Hint] = []
    async with SQLJournal(new_database) as direct, SQLJournal(pooled_place) as pooled:
        async with direct.hints(heard.append), pooled.hints(lambda _: None):
            await passes(pooled, heard)
            await until(lambda: "delivers no notifications" in caplog.text)
            await asyncio.sleep(0.5)  # in which it tries once more
            await pooled.claim(new_entry("cat"))  # the pooler works for all else

    assert caplog.text.count("delivers no notifications") == 1
    assert "pool_mode=session" in caplog.text


async def test_a_pooler_in_session_mode_delivers(
    new_database: str, postgres_server: Server
) -> None:
    """Each of its clients has a session of the server."""
    heard: list[Hint] = []
    with running_pgbouncer(postgres_server, pool_mode="session") as pooler:
        place = pooler.url(Path(new_database).name)
        async with SQLJournal(new_database) as direct, SQLJournal(place) as pooled:
            async with pooled.hints(heard.append):
                await passes(direct, heard)


async def test_listening_goes_on_after_everything_was_cancelled(place: str) -> None:
    """As after other catastrophes."""
    heard: list[Hint] = []
    async with SQLJournal(place) as one, SQLJournal(place) as other, other.hints(heard.append):
        await passes(one, heard)
        mine = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not mine and task.get_name().startswith("luma-async"):
                task.cancel()

        await passes(one, heard)


@needs_posix
async def test_a_file_that_is_gone_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Hints cannot be sent, which is an error; a listener that begins then logs it."""
    place = tmp_path / "jobs.db"
    async with SQLJournal(place) as journal:
        place.unlink()

        with pytest.raises(JournalError, match="deleted or replaced"):
            await journal.send_hint(str(uuid.uuid4()))
        async with journal.hints(unexpected):
            pass

    assert "does not receive the signals" in caplog.text
    assert "deleted or replaced" in caplog.text


async def test_a_listener_keeps_no_writer_waiting(tmp_path: Path) -> None:
    """It reads in passing, so that even the log beside the file can be emptied."""
    place = str(tmp_path / "jobs.db")
    heard: list[Hint] = []
    async with SQLJournal(place) as one, SQLJournal(place) as other, other.hints(heard.append):
        await one.claim(new_entry("cat"))
        await passes(one, heard)

        assert await execute(place, "PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]


def test_a_loop_that_ends_with_a_listener_ends_its_thread(tmp_path: Path) -> None:
    """A program may exit without closing its journal."""
    file = SQLiteFile(str(tmp_path / "jobs.db"))

    async def listen() -> list[threading.Thread]:
        async with SQLJournal(file.path):
            file.prepare()
        before = threading.enumerate()
        listener = SQLiteListener(file, lambda _: None)
        listener.start()
        await listener.ready()
        return [thread for thread in threading.enumerate() if thread not in before]

    [thread] = asyncio.run(listen())

    thread.join(60)
    assert not thread.is_alive()


async def test_a_journal_of_version_5_gets_the_signals(place: str) -> None:
    """In SQLite, as a table; PostgreSQL needs none."""
    heard: list[Hint] = []
    async with SQLJournal(place):
        pass
    await execute(place, "DROP TABLE IF EXISTS luma_signals")
    await execute(place, "UPDATE luma_schema SET version = 5")

    async with SQLJournal(place) as one, SQLJournal(place) as other, other.hints(heard.append):
        await passes(one, heard)

    newest = len(schema.MIGRATIONS)
    assert await execute(place, "SELECT version FROM luma_schema") == [(newest,)]
