"""One limit for the jobs of all processes that use a journal: `max_tasks_scope="journal"`."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from luma_async import (
    ClientClosedError,
    ConfigurationError,
    LumaClient,
    SQLJournal,
    SubmissionStoppedError,
    SubmissionUncertainError,
    VideoTask,
)
from luma_async.client_settings import _JOURNAL_METHODS
from luma_async.journal import abandoned_jobs, shared_places
from luma_async.journal.shared_places import SharedPlaces
from luma_async.schedules import AdaptiveSchedule
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import HOUR, KEY, InTurn, connect, until
from tests.journal.databases import execute
from tests.journal.test_owners import new_entry
from tests.journal.workers import worker
from tests.loops import skip

T = TypeVar("T")


def share(simulator: Simulator, place: Any, max_tasks: int = 1, **settings: Any) -> LumaClient:
    """Return a client that counts the jobs of all clients with this journal."""
    return connect(
        simulator, journal=place, max_tasks=max_tasks, max_tasks_scope="journal", **settings
    )


def places_of(luma: LumaClient) -> SharedPlaces:
    assert luma._bookkeeper is not None
    assert luma._bookkeeper._places is not None
    return luma._bookkeeper._places


@asynccontextmanager
async def waiting(luma: LumaClient, key: str | None = None) -> AsyncIterator[asyncio.Task[Any]]:
    """Let a client submit a job that waits for a place, and end the wait at last."""
    task = asyncio.create_task(luma.generate("a cat waits", key=key))
    try:
        await until(lambda: places_of(luma)._turns.waiting or task.done())
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def soon(task: Awaitable[T]) -> T:
    """Return the result of what happens soon, or fail."""
    async with asyncio.timeout(60):
        return await task


@pytest.fixture
def no_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no submission try without news of a free place."""
    assert SharedPlaces.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(SharedPlaces.__init__.__kwdefaults__, "try_every", HOUR)


async def listening(luma: LumaClient) -> None:
    """Return when a client hears of the places that other processes free."""
    assert isinstance(luma.journal, SQLJournal)
    async with luma.journal.changes(lambda _: None):
        pass


def test_processes_together_run_no_more_jobs_than_the_limit(place: str) -> None:
    """Three processes with eight rows each share three places, and each gets all of its videos."""
    with running_simulator(durations=Fixed(0.15), short_side=64) as sim, ExitStack() as stack:
        workers = [
            stack.enter_context(worker(sim.url, place, 8 * number, 8 * number + 8, max_tasks=3))
            for number in range(3)
        ]
        for running in workers:
            running.begin()
        results = [running.results() for running in workers]

        assert sim.ledger.most_jobs == 3
        assert len(sim.ledger.jobs) == 24
    assert [len(found) for found in results] == [8, 8, 8]
    assert not any(error for found in results for _, error in found.values())


async def test_a_freed_place_wakes_another_process_at_once(place: str, no_net: None) -> None:
    """Its end is in the journal, and the others hear of it."""
    async with Simulator(durations=Fixed(HOUR)) as sim, share(sim, place) as one:
        async with share(sim, place) as two:
            first = await one.generate("a cat")
            async with waiting(two) as second:
                await listening(two)
                assert sim.ledger.requests["generate"] == 1
                sim.advance(HOUR)
                await first
                freed_at = asyncio.get_running_loop().time()
                await soon(second)
                assert asyncio.get_running_loop().time() - freed_at < 5.0  # never without the news


@pytest.mark.parametrize("ends_by", ["rejection", "forgetting"])
async def test_a_place_is_free_without_an_end(place: str, no_net: None, ends_by: str) -> None:
    """A submission that was rejected takes none any more, nor does a job that is forgotten."""
    async with Simulator(durations=Fixed(HOUR)) as sim, share(sim, place) as one:
        async with share(sim, place) as two:
            first: VideoTask | None = None
            if ends_by == "forgetting":
                first = await one.generate("a cat")
            else:
                sim.faults.add(Fault(status=400, body=b"{}", delay=math.inf, times=1))
                rejected = asyncio.create_task(one.generate("a cat"))
                await until(lambda: sim.ledger.requests["generate"])
            async with waiting(two) as second:
                await listening(two)
                if first is not None:
                    first.forget()
                else:
                    sim.faults.clear()
                    await asyncio.gather(rejected, return_exceptions=True)
                await soon(second)
    assert len(sim.ledger.jobs) == (2 if ends_by == "forgetting" else 1)


async def test_a_pooler_that_delivers_no_news_delays_only_a_little(pooled_place: str) -> None:
    """A try every second finds the free place."""
    async with Simulator(durations=Fixed(HOUR)) as sim, share(sim, pooled_place) as one:
        async with share(sim, pooled_place) as two:
            first = await one.generate("a cat")
            async with waiting(two) as second:
                sim.advance(HOUR)
                await first
                await soon(second)


async def test_a_known_job_key_needs_no_place(place: str) -> None:
    """A run over rows that are in the journal returns their jobs while the account is full."""
    async with Simulator(durations=InTurn(0, HOUR)) as sim, share(sim, place) as luma:
        await (await luma.generate("a cat", key="cat"))
        await luma.generate("a dog", key="dog")
        async with waiting(luma):
            assert (await soon(luma.generate("a cat", key="cat"))).state == "completed"
            assert (await soon(luma.generate("a dog", key="dog"))).state == "pending"
            async with share(sim, place) as other:
                assert (await soon(other.generate("a cat", key="cat"))).state == "completed"


async def test_a_job_that_waits_for_its_delivery_takes_no_place(place: str) -> None:
    """However long the delivery takes; the job is resumed all the same if it fails."""
    async with Simulator(durations=Fixed(0.1)) as sim, share(sim, place) as one:
        async with share(sim, place) as two:
            first = await one.generate("a cat")
            with first.delivery():
                await first
                second = await soon(two.generate("a dog"))
            await soon(second)
            assert sim.ledger.most_jobs == 1


async def test_places_of_a_dead_process_become_free(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its jobs take places until they end, which those who wait find out. Then it is resumed."""
    monkeypatch.setattr(shared_places, "CHECK_AFTER", 0.1)
    monkeypatch.setattr(shared_places, "CHECK_PAUSES", (0.05, 0.1))
    with running_simulator(durations=Fixed(HOUR)) as sim:
        async with share(sim, place) as luma:
            with worker(sim.url, place, 0, 1) as dying:
                dying.begin()
                await until(lambda: sim.ledger.jobs)
                await until_running(place)
                dying.kill()
            async with waiting(luma) as task:
                await until(lambda: sim.ledger.requests["get"] > 1)
                assert not task.done()
                sim.advance(HOUR)
                await soon(task)
            [resumed] = [task for task in await luma.resume() if task.key == "row-0"]
            assert (await resumed).state == "completed"
        assert sim.ledger.most_jobs == 1


async def test_places_of_a_dead_process_become_free_while_others_turn_over(place: str) -> None:
    """A job that ends every six seconds delays no look at the jobs of the dead process."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with share(sim, place, 2) as dead:
            await dead.generate("a cat that nobody watches")
        async with share(sim, place, 2) as luma:
            running = await luma.generate("a cat")
            for _ in range(20):
                async with waiting(luma) as next_one:
                    skip(6)
                    sim.advance(HOUR)
                    await running
                    running = await soon(next_one)
                if not await unwatched_places(luma):
                    break
            else:
                pytest.fail("the job of the dead process takes a place still")
        assert sim.ledger.most_jobs == 2


async def unwatched_places(luma: LumaClient) -> int:
    """Return the number of places that jobs take whose process has died."""
    assert isinstance(luma.journal, SQLJournal)
    jobs = await luma.journal.unwatched(luma.api_url)
    return sum(not job.has_ended for job in jobs)


async def until_running(place: str) -> None:
    """Return when the id of a job is in the journal."""
    async with asyncio.timeout(60):
        while not await execute(place, "SELECT key FROM luma_jobs WHERE state = 'running'"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_job_of_a_dead_process_that_is_lost_frees_its_place(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has not known it for a minute; one answer says nothing."""
    monkeypatch.setattr(shared_places, "CHECK_AFTER", 0.1)
    monkeypatch.setattr(shared_places, "CHECK_PAUSES", (0.05, 0.1))
    monkeypatch.setattr(abandoned_jobs, "LOST_AFTER", 0.2)
    async with Simulator(durations=Fixed(HOUR)) as sim, share(sim, place) as luma:
        async with SQLJournal(place) as dead:
            entry = new_entry("row")
            await dead.claim(entry)
            await dead.mark_accepted(entry, "unknown")
        await execute(place, f"UPDATE luma_jobs SET server = '{luma.api_url}'")  # noqa: S608
        async with waiting(luma) as task:
            await soon(task)
        assert sim.ledger.statuses[404] > 1


async def test_lost_jobs_free_places_even_if_there_are_too_many_for_one_look(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job stays missing while others are looked at, so that its second look finds it lost."""
    monkeypatch.setattr(shared_places, "CHECK_AFTER", 0.1)
    monkeypatch.setattr(shared_places, "CHECK_PAUSES", (0.01, 0.02))
    monkeypatch.setattr(abandoned_jobs, "MOST_LOOKED_AT", 1)
    monkeypatch.setattr(abandoned_jobs, "LOST_AFTER", 0.4)
    async with Simulator(durations=Fixed(HOUR)) as sim, share(sim, place, 6) as luma:
        await put_jobs(luma, place, [f"unknown-{number}" for number in range(6)])
        async with waiting(luma) as task:
            await soon(task)
        assert len(sim.ledger.jobs) == 1


async def leave_jobs(sim: Simulator, place: str, number: int) -> None:
    """Submit jobs whose client is closed before they end at the server."""
    async with share(sim, place, number, dialect="agents") as dead:
        for each in range(number):
            await dead.generate(f"a cat that nobody watches, number {each}")
    sim.advance(HOUR)


async def test_a_job_that_cannot_be_looked_at_keeps_no_place_but_its_own(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ends of the other jobs without a process are found in the same look."""
    monkeypatch.setattr(shared_places, "CHECK_AFTER", 0.1)
    monkeypatch.setattr(shared_places, "CHECK_PAUSES", (HOUR, HOUR))
    async with Simulator(durations=Fixed(HOUR)) as sim:
        await leave_jobs(sim, place, 3)
        sim.faults.add(Fault.explained(400, on=["agents.get"], times=1))
        async with share(sim, place, 3, dialect="agents") as luma:
            async with waiting(luma) as task:
                await soon(task)
            assert await unwatched_places(luma) == 1
        assert sim.ledger.statuses[400] == 1


async def test_the_log_says_once_that_jobs_without_a_process_cannot_be_looked_at(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning has their number, an id and the error; they are looked at until that succeeds."""
    monkeypatch.setattr(shared_places, "CHECK_AFTER", 0.1)
    monkeypatch.setattr(shared_places, "CHECK_PAUSES", (0.01, 0.02))
    async with Simulator(durations=Fixed(HOUR)) as sim:
        await leave_jobs(sim, place, 2)
        sim.faults.add(Fault.explained(400, on=["agents.get"]))
        async with share(sim, place, 2, dialect="agents") as luma, waiting(luma) as task:
            await until(lambda: sim.ledger.statuses[400] >= 6)
            sim.faults.clear()
            await soon(task)
        ids = {job.id for job in sim.ledger.jobs[:2]}
    [warning] = [line for line in caplog.messages if "Cannot be looked at" in line]
    assert "taking places: 2 jobs. Job " in warning
    assert "HTTP 400" in warning
    assert any(id in warning for id in ids)


async def test_a_job_that_spoils_a_batch_keeps_no_place_but_its_own(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the oldest one, whose error counts for all jobs of a batch that begins with it."""
    monkeypatch.setattr(shared_places, "CHECK_AFTER", 0.1)
    monkeypatch.setattr(shared_places, "CHECK_PAUSES", (0.01, 0.02))
    async with Simulator(durations=Fixed(HOUR)) as sim, share(sim, place, 2) as luma:
        await put_jobs(luma, place, [".."])  # not a valid part of a URL, so each single look fails
        async with share(sim, place, 2) as dead:
            await dead.generate("a cat that nobody watches")
        sim.advance(HOUR)
        sim.faults.add(Fault.explained(400, on=["tasks"]))
        async with waiting(luma) as task:
            await soon(task)


async def put_jobs(luma: LumaClient, place: str, ids: list[str]) -> None:
    """Write running jobs of a process that has died into a journal."""
    async with SQLJournal(place) as dead:
        for number, id in enumerate(ids):
            entry = replace(new_entry(f"row-{number}"), server=luma.api_url)
            await dead.claim(entry)
            await dead.mark_accepted(entry, id)


async def test_an_uncertain_submission_takes_a_place_for_a_while(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job may be running, and nobody will see it end."""
    monkeypatch.setattr(shared_places, "DEFAULT_HOLD", 0.6)
    async with Simulator(durations=Fixed(0)) as sim, share(sim, place) as luma:
        sim.faults.add(Fault.cut(after=True, times=1))
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat")
        async with waiting(luma) as task:
            assert not task.done()
            await soon(task)
        assert len(sim.ledger.jobs) == 2


async def test_a_repeat_that_finds_no_place_stays_uncertain(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job may have been accepted, and the error must say so."""
    monkeypatch.setattr(shared_places, "DEFAULT_HOLD", 0.0)
    async with Simulator(durations=Fixed(HOUR)) as sim, share(sim, place) as luma:
        async with share(sim, place, 2) as other:
            sim.faults.add(Fault.cut(after=True, delay=math.inf, times=1))
            task = asyncio.create_task(luma.generate("a cat", retry_uncertain=True))
            await until(lambda: sim.ledger.requests["generate"])
            await soon(other.generate("a dog"))
            sim.faults.clear()
            with pytest.raises(SubmissionUncertainError):
                await soon(task)
        assert len(sim.ledger.jobs) == 2


async def test_a_repeat_of_a_rejected_submission_waits_for_a_place(place: str) -> None:
    """Between its tries it takes none, so another may have taken that; nothing is lost by it."""
    async with Simulator(durations=Fixed(HOUR)) as sim, share(sim, place) as luma:
        sim.faults.add(Fault.rate_limited(retry_after=8, times=1))
        task = asyncio.create_task(luma.generate("a cat"))
        await until(lambda: sim.ledger.statuses[429])
        async with share(sim, place) as other:
            dog = await soon(other.generate("a dog"))
            skip(8)
            await until(lambda: places_of(luma)._turns.waiting)
            sim.advance(HOUR)
            await dog
            assert (await soon(task)).id == sim.ledger.jobs[1].id
        assert sim.ledger.most_jobs == 1


async def test_a_turn_that_is_not_used_goes_to_the_next(tmp_path: Path) -> None:
    """A wait may be cancelled at the moment in which it ends."""
    async with Simulator() as sim, share(sim, tmp_path / "jobs.db") as luma:
        places = places_of(luma)
        assert places.take_now() is not None
        first, second = (asyncio.create_task(places.take()) for _ in range(2))
        await until(lambda: places._turns.waiting == 2)
        places.given_up(is_uncertain=False)
        assert places._turns.waiting == 1
        first.cancel()
        await soon(second)
        places.given_up(is_uncertain=False)


async def test_a_refused_claim_uses_up_nothing_of_the_rate(place: str, no_net: None) -> None:
    """Requests that the server still allows are left for those that are sent."""
    async with Simulator(durations=Fixed(HOUR)) as sim, share(sim, place) as luma:
        async with share(sim, place) as other:
            await other.generate("a cat")
        limiter = luma._submission_transport._lane.limiter
        limiter._set_remaining(5.0)
        async with waiting(luma):
            assert limiter._remaining == 5.0
        assert len(sim.ledger.jobs) == 1


@pytest.mark.parametrize("end", ["cancelled", "stopped", "closed"])
async def test_a_wait_for_a_place_ends_at_once(place: str, end: str, no_net: None) -> None:
    """Nothing is left of it, and the next one waits in its place."""
    async with Simulator(durations=Fixed(HOUR)) as sim, share(sim, place) as luma:
        first = await luma.generate("a cat")
        async with waiting(luma) as task:
            match end:
                case "cancelled":
                    task.cancel()
                case "stopped":
                    luma.stop_submitting()
                case "closed":
                    await luma.aclose()
            await asyncio.wait([task], timeout=60)
        expected = {
            "cancelled": asyncio.CancelledError,
            "stopped": SubmissionStoppedError,
            "closed": ClientClosedError,
        }
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        assert type(error) is expected[end]
        turns = places_of(luma)._turns
        assert (turns.waiting, turns.trying) == (0, 0)
        if end == "cancelled":
            async with waiting(luma) as second:
                sim.advance(HOUR)
                await first
                await soon(second)
        assert len(sim.ledger.jobs) == (2 if end == "cancelled" else 1)
        assert set((await states(place)).values()) <= {"running", "completed"}


async def test_a_wait_that_times_out_delays_no_later_submission(
    place: str, no_net: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next submissions take free places at once, and the log does not say that they wait."""
    monkeypatch.setattr(shared_places, "TELL_EVERY", 0.0)
    caplog.set_level("INFO", "luma_async")
    async with Simulator(durations=Fixed(HOUR)) as sim, share(sim, place, 2) as luma:
        running = [await luma.generate("a cat"), await luma.generate("a dog")]
        async with waiting(luma) as task:
            task.cancel()
            await asyncio.wait([task], timeout=60)
        sim.advance(HOUR)
        await asyncio.gather(*running)
        await until_none_runs(place)
        caplog.clear()

        await soon(asyncio.gather(luma.generate("a cow"), luma.generate("a pig")))

        assert len(sim.ledger.jobs) == 4
        assert "max_tasks allows" not in caplog.text


async def until_none_runs(place: str) -> None:
    """Return when the ends of all jobs are in the journal."""
    async with asyncio.timeout(60):
        while await execute(place, "SELECT key FROM luma_jobs WHERE state = 'running'"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def states(place: str) -> dict[str, str]:
    async with SQLJournal(place) as journal:
        return dict(await journal.states())


async def test_a_process_without_a_job_gets_its_share(place: str) -> None:
    """One that has all places, and many rows that wait, leaves about half of them to the next."""
    async with Simulator(durations=Fixed(0.15)) as sim:
        async with share(sim, place, 4) as one, share(sim, place, 4) as two:
            run = one.run_many([f"one {number}" for number in range(20)])
            first = asyncio.create_task(anext(run))  # begins, with all places
            await until(lambda: len(sim.ledger.jobs) == 4)
            both = asyncio.gather(outcomes(run, first), outcomes(two.run_many(["two"] * 10)))
            await until(lambda: len(sim.ledger.jobs) >= 16)
            shares = Counter(job.prompt.split()[0] for job in sim.ledger.jobs[6:16])
            assert 2 <= shares["two"] <= 8
            assert list(await soon(both)) == [20, 10]
        assert sim.ledger.most_jobs == 4


async def outcomes(run: Any, first: asyncio.Task[Any] | None = None) -> int:
    done = [await first] if first is not None else []
    done += [outcome async for outcome in run]
    assert all(outcome.ok for outcome in done)
    return len(done)


async def test_submissions_are_sent_in_the_order_in_which_they_came(place: str) -> None:
    """Also those whose claims were refused meanwhile."""
    async with Simulator(durations=Fixed(0.02)) as sim, share(sim, place, 2) as luma:
        names = [f"cat {number:02}" for number in range(12)]
        tasks = await asyncio.gather(*map(luma.generate, names))
        await asyncio.gather(*tasks)
        sent = [job.prompt for job in sim.ledger.jobs]
    assert all(abs(sent.index(name) - names.index(name)) < 2 for name in names)


async def test_the_log_says_once_that_submissions_wait(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line, however many of them wait."""
    caplog.set_level("INFO", "luma_async")
    async with Simulator(durations=Fixed(0.02)) as sim, share(sim, place, 2) as luma:
        await asyncio.gather(*(luma.run(f"cat {number}") for number in range(8)))
    assert sum("max_tasks allows for the journal (2)" in line for line in caplog.messages) == 1


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"max_tasks": 3, "journal": None}, "needs journal as well"),
        ({"max_tasks": None}, "needs max_tasks as well"),
        ({"max_tasks": 3, "max_tasks_scope": "account"}, "'client' or 'journal', got 'account'"),
    ],
)
def test_a_limit_that_cannot_be_shared_is_an_error(settings: Any, problem: str) -> None:
    """The error names the setting that is missing, before anything is submitted."""
    settings = {"journal": "jobs.db", "max_tasks_scope": "journal", **settings}
    with pytest.raises(ConfigurationError, match=problem):
        LumaClient(KEY, base_url="http://host", **settings)


def test_a_journal_without_the_methods_cannot_be_shared() -> None:
    """A limit that only some processes keep would be none."""
    names = [name for name in _JOURNAL_METHODS if name != "claim_within"]
    old: Any = type("OldJournal", (), dict.fromkeys(names, print))()
    with pytest.raises(ConfigurationError, match=r"OldJournal lacks methods"):
        LumaClient(
            KEY,
            base_url="http://host",
            journal=old,
            max_tasks=3,
            max_tasks_scope="journal",
        )


def test_an_uncertain_job_counts_for_as_long_as_nearly_all_jobs_take() -> None:
    """At least a minute, and half an hour at most."""
    hold = shared_places._hold_of_uncertain
    assert 600 < hold(AdaptiveSchedule(expected=60.0)) < 630
    assert hold(AdaptiveSchedule(expected=1.0)) == 60
    assert hold(AdaptiveSchedule(expected=900.0)) == 1800
    learned = AdaptiveSchedule(expected=60.0)
    for _ in range(100):
        learned.for_jobs("slow", 1).observe(300.0)
    assert 290 < hold(learned) < 450
