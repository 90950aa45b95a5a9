"""Hints: a process that gets the callback of a job passes it on to the one that watches the job."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from luma_async import FixedSchedule, Hint, JournalError, LumaClient, SQLJournal, WebhookReceiver
from luma_async.errors import InvalidRequestError
from luma_async.journal.hint_relay import FIRST_PAUSE, MOST_WAITING
from luma_async.journal.sql import signal_sender
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.webhook_tokens import CallbackTokens
from tests.clients import HOUR, KEY, until
from tests.forked_programs import PYTHON, ForkedProgram
from tests.journal.databases import counted_commits, execute
from tests.journal.workers import ROOT
from tests.loops import skip

HOOK = "http://127.0.0.1:9/hook"
"""Address that nothing listens at: each test brings the callbacks to a receiver itself."""

ENDINGS = [(b"processing", b"completed"), (b"completed", b"processing")]
"""States in two callbacks about one job, which may come in any order."""


def new_ids(number: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(number)]


def unexpected(hint: Hint) -> None:
    """Fail, because no hint is expected."""
    pytest.fail(f"got {hint}")


async def test_a_hint_reaches_the_other_journals_that_listen(place: str) -> None:
    """All of them, because any may belong to the process of the job; never the sender itself."""
    heard: dict[str, list[Hint]] = {"sender": [], "one": [], "other": []}
    async with (
        SQLJournal(place) as sender,
        SQLJournal(place) as one,
        SQLJournal(place) as other,
        sender.hints(heard["sender"].append),
        one.hints(heard["one"].append),
        other.hints(heard["other"].append),
    ):
        ids = new_ids(3)
        for id in ids:
            await sender.send_hint(id)
        await until(lambda: len(heard["one"]) == len(heard["other"]) == 3)
        [last] = new_ids(1)
        await one.send_hint(last.upper().replace("-", ""))
        await until(lambda: heard["sender"] and len(heard["other"]) == 4)

    hints = [Hint(id) for id in ids]
    assert heard == {"sender": [Hint(last)], "one": hints, "other": [*hints, Hint(last)]}


async def test_a_journal_that_is_opened_again_goes_on_to_listen(place: str) -> None:
    """The contexts that were entered before hear the hints from then on, until they are left."""
    heard: list[str] = []
    first, second, third = new_ids(3)
    async with SQLJournal(place) as sender, SQLJournal(place) as journal:
        async with journal.hints(lambda hint: heard.append(hint.request_id)):
            await sender.send_hint(first)
            await until(lambda: heard == [first])
            await journal.aclose()
            await journal.open()
            deadline = time.monotonic() + 10
            while second not in heard and time.monotonic() < deadline:
                await sender.send_hint(second)
                await asyncio.sleep(0.05)
        await sender.send_hint(third)
        assert not [task for task in asyncio.all_tasks() if "listener" in task.get_name()]

    assert set(heard) == {first, second}


async def test_a_hint_is_there_soon(place: str) -> None:
    """Within the 0.2 s that a callback has to resolve its job; half of them in 0.03 s."""
    heard: dict[str, float] = {}
    sent: dict[str, float] = {}
    async with SQLJournal(place) as one, SQLJournal(place) as other:
        async with other.hints(lambda hint: heard.update({hint.request_id: time.perf_counter()})):
            for id in new_ids(9):
                sent[id] = time.perf_counter()
                await one.send_hint(id)
                await until(lambda: heard.keys() == sent.keys())

    delays = sorted(heard[id] - sent[id] for id in sent)
    assert delays[4] < 0.2  # this machine may be busy


async def test_ten_thousand_hints_arrive(place: str) -> None:
    """Many of them share a transaction, and rows of the last minute do not slow the journal."""
    heard: list[Hint] = []
    ids = new_ids(10_000)
    async with SQLJournal(place) as one, SQLJournal(place) as other, other.hints(heard.append):
        with counted_commits() as commits:
            await asyncio.gather(*map(one.send_hint, ids))
        await until(lambda: len(heard) == len(ids))

    assert heard == [Hint(id) for id in ids]
    assert len(commits) < 60


@pytest.mark.parametrize("id", ["", "a job", "x" * 32, "0' OR '1", None, 7])
async def test_a_hint_is_about_a_request_id(tmp_path: Path, id: str) -> None:
    """Another text is an error, before the journal is opened."""
    journal = SQLJournal(tmp_path / "jobs.db")

    with pytest.raises(InvalidRequestError, match="request_id: must be a UUID"):
        await journal.send_hint(id)

    assert not (tmp_path / "jobs.db").exists()


async def test_an_earlier_hint_is_not_heard(place: str) -> None:
    """The poller has looked at the job since, or will."""
    heard: list[Hint] = []
    early, late = new_ids(2)
    async with SQLJournal(place) as one, SQLJournal(place) as other:
        await one.send_hint(early)
        async with other.hints(heard.append):
            await one.send_hint(late)
            await until(lambda: heard)

    assert heard == [Hint(late)]


async def test_rows_of_hints_are_deleted_after_a_minute(tmp_path: Path) -> None:
    """By those that send the next ones; an id of a row is never used again."""
    place = str(tmp_path / "jobs.db")
    heard: list[Hint] = []
    ids = new_ids(3)
    async with SQLJournal(place) as one, SQLJournal(place) as other, other.hints(heard.append):
        for id in ids:
            await one.send_hint(id)
            await until(lambda: heard[-1:] == [Hint(id)])  # noqa: B023  it ends in this round
            await execute(place, "UPDATE luma_signals SET sent_at = sent_at - 61")

    assert heard == [Hint(id) for id in ids]
    assert await execute(place, "SELECT count(*), max(id) FROM luma_signals") == [(1, 3)]


async def test_a_closed_journal_passes_nothing_on(place: str) -> None:
    """Nothing is left of its listener. A context that is still open then ends as usual."""
    tasks = asyncio.all_tasks()
    journal = SQLJournal(place)
    async with journal.hints(unexpected):
        await journal.aclose()
        assert asyncio.all_tasks() == tasks
        threads = [thread for thread in threading.enumerate() if "listener" in thread.name]
        for thread in threads:  # it has closed its connection, and only has to return
            thread.join(1)
            assert not thread.is_alive()
        with pytest.raises(JournalError, match="closed"):
            await journal.send_hint(new_ids(1)[0])
        with pytest.raises(JournalError, match="closed"):
            await journal.hints(unexpected).__aenter__()


async def test_a_listening_task_can_be_cancelled(place: str) -> None:
    """At any moment of it; others of the same journal go on listening."""
    heard: list[Hint] = []
    async with SQLJournal(place) as one, SQLJournal(place) as other:

        async def listen() -> None:
            async with other.hints(unexpected):
                await asyncio.get_running_loop().create_future()

        for steps in range(0, 30, 3):
            listening = asyncio.create_task(listen())
            for _ in range(steps):
                await asyncio.sleep(0)
            listening.cancel()
            await asyncio.wait([listening])
            assert listening.cancelled()
        async with other.hints(heard.append):
            [id] = new_ids(1)
            await one.send_hint(id)
            await until(lambda: heard)

    assert heard == [Hint(id)]


async def test_a_callback_that_comes_while_one_is_passed_on_is_passed_on_as_well(
    tmp_path: Path,
) -> None:
    """The first one may be about the start of the job, and the other about its end."""
    [id] = new_ids(1)
    sent: list[Hint] = []
    is_free = asyncio.Event()

    class SlowJournal(SQLJournal):
        async def send_hint(self, request_id: str, *, says_ended: bool = False) -> None:
            sent.append(Hint(request_id, says_ended))
            await is_free.wait()

    receiver = WebhookReceiver(HOOK)
    token = CallbackTokens(KEY).token(id)
    async with (
        Simulator() as sim,
        SlowJournal(tmp_path / "jobs.db") as journal,
        LumaClient(KEY, base_url=sim.url, journal=journal, webhook=receiver),
    ):
        assert receiver.receive(token, b"") == 204
        await until(lambda: sent)
        assert receiver.receive(token, b"") == 204
        is_free.set()
        await until(lambda: len(sent) == 2)

    assert sent == [Hint(id), Hint(id)]


async def test_a_journal_that_fails_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In both directions. The log has the reasons, and the next callbacks are passed on."""
    caplog.set_level(logging.INFO, "luma_async")
    first, second = new_ids(2)
    sent: list[str] = []
    listened: list[float] = []

    class FailingJournal(SQLJournal):
        async def send_hint(self, request_id: str, *, says_ended: bool = False) -> None:
            sent.append(request_id)
            if request_id == first:
                raise JournalError("there is no database")

        @asynccontextmanager
        async def hints(self, on_hint: Callable[[Hint], None]) -> AsyncGenerator[None, None]:
            listened.append(asyncio.get_running_loop().time())
            if len(listened) == 1:
                raise OSError("there are no notifications")
            yield

    receiver, tokens = WebhookReceiver(HOOK), CallbackTokens(KEY)
    async with (
        Simulator() as sim,
        FailingJournal(tmp_path / "jobs.db") as journal,
        LumaClient(KEY, base_url=sim.url, journal=journal, webhook=receiver),
    ):
        assert receiver.receive(tokens.token(first), b"") == 204
        await until(lambda: "could not be passed on: there is no database" in caplog.text)
        assert receiver.receive(tokens.token(second), b"") == 204
        await until(lambda: sent == [first, second])
        await until(lambda: "cannot be heard: there are no notifications" in caplog.text)
        skip(FIRST_PAUSE)
        await until(lambda: len(listened) == 2)

    assert listened[1] - listened[0] >= FIRST_PAUSE


async def test_few_callbacks_wait_for_a_journal_that_hangs(tmp_path: Path) -> None:
    """Polling makes up for the others, and the memory of the process does not grow."""
    first, last, *others = new_ids(MOST_WAITING + 12)
    sent: list[str] = []
    is_free = asyncio.Event()

    class HangingJournal(SQLJournal):
        async def send_hint(self, request_id: str, *, says_ended: bool = False) -> None:
            sent.append(request_id)
            await is_free.wait()

    receiver, tokens = WebhookReceiver(HOOK), CallbackTokens(KEY)
    async with (
        Simulator() as sim,
        HangingJournal(tmp_path / "jobs.db") as journal,
        LumaClient(KEY, base_url=sim.url, journal=journal, webhook=receiver),
    ):
        receiver.receive(tokens.token(first), b"")
        await until(lambda: sent)
        for id in others:
            assert receiver.receive(tokens.token(id), b"") == 204
        is_free.set()
        await until(lambda: len(sent) > MOST_WAITING)
        receiver.receive(tokens.token(last), b"")
        await until(lambda: last in sent)

    assert sent == [first, *others[:MOST_WAITING], last]


@contextmanager
def waiter(sim: Simulator, place: str) -> Iterator[Callable[[], Awaitable[str]]]:
    """Run a program that waits for a job, and yield the function that reads its next line."""
    command = [*PYTHON, "-m", "tests.journal.waiter", sim.url, place, HOOK]
    with ForkedProgram(command, loaded=True, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield partial(asyncio.to_thread, process.stdout.readline)
        finally:
            process.kill()


async def test_a_callback_at_another_process_resolves_the_job(place: str) -> None:
    """At once, though the process of the job would look at it in an hour only."""
    receiver = WebhookReceiver(HOOK)
    async with (
        Simulator(durations=Fixed(HOUR), short_side=64) as sim,
        LumaClient(KEY, base_url=sim.url, journal=place, webhook=receiver) as luma,
    ):
        await luma.get_many(["the client is open, and knows its own API key"])
        with waiter(sim, place) as line:
            assert await line() == "submitted\n"
            sim.advance(HOUR)
            looks = sim.ledger.requests.total()
            hook = str(sim.ledger.jobs[0].request["notify_hook"])

            assert receiver.receive(hook.rpartition("/")[2], b"") == 204

            assert await line() == "completed\n"
            assert sim.ledger.requests.total() - looks <= 2


async def test_a_hint_about_the_end_is_not_taken_for_a_repeated_one(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callbacks about the start and the end of a job come within a second: both arrive at once."""
    monkeypatch.setattr(signal_sender, "REPEAT_AFTER", HOUR)  # a slow machine may take a second
    [id] = new_ids(1)
    heard: list[Hint] = []
    async with SQLJournal(place) as one, SQLJournal(place) as other, other.hints(heard.append):
        began = asyncio.get_running_loop().time()
        await one.send_hint(id)
        await one.send_hint(id, says_ended=True)
        await one.send_hint(id, says_ended=True)
        await until(lambda: len(heard) == 2)
        assert heard == [Hint(id), Hint(id, says_ended=True)]
        assert asyncio.get_running_loop().time() - began < HOUR
        skip(HOUR)
        await until(lambda: len(heard) == 3)

    assert heard[2] == Hint(id, says_ended=True)


async def test_callbacks_that_are_passed_on_together_tell_of_the_end(tmp_path: Path) -> None:
    """If one of them does, in any order."""
    ids = new_ids(2)
    sent: list[Hint] = []

    class OtherJournal(SQLJournal):
        async def send_hint(self, request_id: str, *, says_ended: bool = False) -> None:
            sent.append(Hint(request_id, says_ended))

    receiver = WebhookReceiver(HOOK)
    tokens = [CallbackTokens(KEY).token(id) for id in ids]
    async with (
        Simulator() as sim,
        OtherJournal(tmp_path / "jobs.db") as journal,
        LumaClient(KEY, base_url=sim.url, journal=journal, webhook=receiver),
    ):
        for token, states in zip(tokens, ENDINGS, strict=True):
            for state in states:
                assert receiver.receive(token, b'{"id": "a", "state": "%s"}' % state) == 204
        await until(lambda: len(sent) == 2)

    assert sent == [Hint(id, says_ended=True) for id in ids]


async def test_the_owner_looks_again_soon_if_its_server_is_behind_a_callback(place: str) -> None:
    """As if the callback had come to it: the hint carries that the job is said to have ended."""
    receivers = [WebhookReceiver(HOOK) for _ in range(2)]
    async with (
        Simulator(short_side=64, same_films=True, durations=Fixed(HOUR)) as sim,
        SQLJournal(place) as journal,
        SQLJournal(place) as elsewhere,
        LumaClient(
            KEY,
            base_url=sim.url,
            journal=journal,
            webhook=receivers[0],
            schedule=FixedSchedule(HOUR),
            link_timeout=2.0,
        ) as luma,
        LumaClient(KEY, base_url=sim.url, journal=elsewhere, webhook=receivers[1]) as other,
    ):
        sim.faults.add(Fault.cut(on=["callback"]))
        await other.get_many(["the client is open, and knows its own API key"])
        task = await luma.generate("a cat dances")
        async with journal.hints(lambda _: None):  # which waits until the client listens
            token = str(sim.ledger.jobs[0].request["notify_hook"]).rpartition("/")[2]
        row = b'{"id": "%s", "state": "%%s"}' % task.id.encode()
        sim.faults.add(Fault.answer(row % b"processing", on=["get"], times=2))
        looks = sim.ledger.requests["get"]
        sim.advance(HOUR)
        assert receivers[1].receive(token, row % b"completed") == 204

        async with asyncio.timeout(5):
            await task

        assert sim.ledger.requests["get"] - looks == 3
