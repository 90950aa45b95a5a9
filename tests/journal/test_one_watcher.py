"""One watcher for each job: of the processes that share a journal, one polls a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

import pytest

from luma_async import (
    ConfigurationError,
    GenerationFailedError,
    JournalError,
    LumaClient,
    NotFoundError,
    ServedJobs,
    SQLJournal,
    State,
    TaskTimeoutError,
    VideoTask,
)
from luma_async.journal import Entry, EntryState, followed_jobs
from luma_async.journal.followed_jobs import LONGEST_PAUSE, LOOK_EVERY, POLL_AFTER
from luma_async.journal.lease_writer import RETRY_AFTER
from luma_async.journal.running_jobs import RELEASE_AFTER
from luma_async.journal.shared_journal import Change
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR, connect, until
from tests.journal.databases import execute
from tests.loops import skip
from tests.platforms import needs_posix


async def looking(condition: Callable[[], object]) -> None:
    """Return once the condition holds, and skip the time between two looks at the entries."""
    async with asyncio.timeout(HOUR):
        while not condition():
            await next_look()


async def next_look() -> None:
    """Skip the time until the next look at the entries, and wait for its end."""
    skip(LONGEST_PAUSE)
    await asyncio.sleep(0.05)
    await until(lambda: not is_reading())  # the next skip would be too long for a slow transaction


def is_reading() -> bool:
    """Return `True` while a transaction of any journal is under way."""
    names = {task.get_name() for task in asyncio.all_tasks()}
    return "luma-async journal transaction" in names


async def entry_of(luma: LumaClient, key: str) -> Entry:
    assert luma.journal is not None
    entry = await luma.journal.find(key)
    assert entry is not None
    return entry


class Deaf(SQLJournal):
    """A journal that hears the changes of other processes only from a moment on.

    `was_read` is set when the entries of followed jobs were read for the first time.
    """

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.may_hear = asyncio.Event()
        self.was_read = asyncio.Event()

    async def watched_elsewhere(self, server: str, ids: Sequence[str]) -> AbstractSet[str]:
        watched = await super().watched_elsewhere(server, ids)
        self.was_read.set()
        return watched

    @asynccontextmanager
    async def changes(self, on_change: Callable[[Change], None]) -> AsyncGenerator[None, None]:
        await self.may_hear.wait()
        async with super().changes(on_change):
            yield


@pytest.fixture
async def sim() -> AsyncGenerator[Simulator, None]:
    async with Simulator(durations=Fixed(HOUR)) as simulator:
        yield simulator


async def test_the_end_of_a_followed_job_comes_from_the_journal(place: str, sim: Simulator) -> None:
    """A process that resumes or submits the jobs of a live one never looks at them itself."""
    async with connect(sim, journal=place) as watcher, connect(sim, journal=place) as other:
        sim.fail_next("out of memory", times=1)
        await watcher.generate("a dog", key="dog")
        cat = await watcher.generate("a cat", key="cat", metadata={"user": 7})
        followed = {task.key: task for task in await other.resume()}
        assert await other.generate("a cat", key="cat") is followed["cat"]
        assert other.tasks == tuple(followed.values())

        sim.advance(HOUR)
        video = await followed["cat"]
        with pytest.raises(GenerationFailedError, match="out of memory"):
            await followed["dog"]

        assert video == (await cat)
        assert followed["cat"].metadata == {"user": 7}
        assert other.stats().polled_jobs == 0
        assert (other.stats().completed, other.stats().failed) == (1, 1)
        assert other.stats().lateness_mean is None  # it is that of a poller


async def test_no_end_is_lost_between_reading_and_listening(
    place: str, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An end that is written in between is read when listening begins, without a further look."""
    monkeypatch.setattr(followed_jobs, "LOOK_EVERY", HOUR)
    journal = Deaf(place)
    async with (
        journal,
        connect(sim, journal=place) as watcher,
        connect(sim, journal=journal) as other,
    ):
        cat = await watcher.generate("a cat", key="cat")
        [task] = await other.resume()
        await journal.was_read.wait()  # and it is running
        sim.advance(HOUR)
        await cat
        while (await entry_of(watcher, "cat")).state is EntryState.RUNNING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not task.done()
        journal.may_hear.set()
        assert (await task).state is State.COMPLETED
        assert other.stats().polled_jobs == 0


async def test_ends_are_found_without_signals(place: str, sim: Simulator) -> None:
    """Every few seconds a follower looks at the entries, because signals may get lost."""
    journal = Deaf(place)
    async with (
        journal,
        connect(sim, journal=place) as watcher,
        connect(sim, journal=journal) as other,
    ):
        await watcher.generate("a cat", key="cat")
        [task] = await other.resume()
        await journal.was_read.wait()
        sim.advance(HOUR)
        while (await entry_of(watcher, "cat")).state is EntryState.RUNNING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not task.done()
        await looking(task.done)
        assert (await task).state is State.COMPLETED
        assert other.stats().polled_jobs == 0


@pytest.mark.parametrize("how", ["closed", "released", "forgotten", "timed out"])
async def test_a_follower_takes_over(place: str, sim: Simulator, how: str) -> None:
    """If the watcher ends, or watches the job no more, a follower is told, and polls it itself."""
    settings = {"task_timeout": HOUR / 2} if how == "timed out" else {}
    watcher = connect(sim, journal=place, **settings)
    async with watcher, connect(sim, journal=place) as other:
        cat = await watcher.generate("a cat", key="cat")
        [task] = await other.resume()
        if how == "closed":
            await watcher.aclose()
        elif how == "forgotten":
            cat.forget()
        elif how == "timed out":
            cat.abandon(TaskTimeoutError("too late", task_id=cat.id))
        else:
            assert isinstance(watcher.journal, SQLJournal)
            await watcher.journal.release(watcher.api_url, [cat.id])
        await until(lambda: other._manager.is_polled(task.id))
        sim.advance(HOUR)
        assert (await task).state is State.COMPLETED
        while (await entry_of(other, "cat")).state is EntryState.RUNNING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_one_of_many_followers_takes_over(place: str, sim: Simulator) -> None:
    """The others go on following, and a job that was purged meanwhile is polled."""
    others = [connect(sim, journal=place) for _ in range(4)]
    async with others[0], others[1], others[2], others[3]:
        async with connect(sim, journal=place) as watcher:
            for number in range(8):
                await watcher.generate("a cat", key=f"cat-{number}")
            tasks = [task for other in others for task in await other.resume()]
            await asyncio.sleep(0.1)
        await until(lambda: sum(len(_polled(other)) for other in others) == 8)
        assert sorted(id for other in others for id in _polled(other)) == sorted(
            task.id for task in tasks[:8]
        )
        sim.advance(HOUR)
        await asyncio.gather(*tasks)


def _polled(luma: LumaClient) -> list[str]:
    return [task.id for task in luma.tasks if luma._manager.is_polled(task.id)]


async def test_a_reader_of_a_followed_job_gets_its_looks(place: str, sim: Simulator) -> None:
    """As often as it wants, and none after it has left; `watch()` polls the job for good."""
    async with connect(sim, journal=place) as watcher, connect(sim, journal=place) as other:
        cat = await watcher.generate("a cat", key="cat")
        [task] = await other.resume()
        async with task.updates(every=0.01) as updates:
            assert (await anext(updates)).state is State.PENDING
            sim.advance(HOUR / 2)
            assert (await anext(updates)).state is State.PROCESSING
        await until(lambda: task.id in other._manager._followed)
        assert await other.watch(task.id) is task
        assert other._manager.is_polled(task.id)
        sim.advance(HOUR)
        assert (await task).state is (await cat).state is State.COMPLETED


async def test_a_followed_job_is_given_up_after_the_task_timeout(
    place: str, sim: Simulator
) -> None:
    """As a job that is polled; the watcher goes on, and forgetting it is marked in the journal."""
    async with (
        connect(sim, journal=place) as watcher,
        connect(sim, journal=place, task_timeout=HOUR / 2) as other,
    ):
        cat = await watcher.generate("a cat", key="cat")
        dog = await watcher.generate("a dog", key="dog")
        tasks = {task.key: task for task in await other.resume()}
        tasks["dog"].forget()
        skip(HOUR / 2)
        with pytest.raises(TaskTimeoutError, match="no longer"):
            await tasks["cat"]
        assert other.tasks == ()
        while not (await entry_of(other, "dog")).forgotten:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        sim.advance(HOUR)
        assert (await cat).state is (await dog).state is State.COMPLETED


async def test_a_job_that_is_being_delivered_stays_with_its_watcher(
    place: str, sim: Simulator
) -> None:
    """A follower learns of its end at once, and records it only if the watcher is gone."""
    watcher, other = connect(sim, journal=place), connect(sim, journal=place)
    async with watcher, other:
        cat = await watcher.generate("a cat", key="cat")
        [task] = await other.resume()
        with pytest.raises(ZeroDivisionError), cat.delivery():
            sim.advance(HOUR)
            await cat
            assert isinstance(watcher.journal, SQLJournal)
            await watcher.journal.mark_ended(watcher.api_url, [cat.id])
            await looking(task.done)
            assert (await task).state is State.COMPLETED
            skip(LONGEST_PAUSE)
            await asyncio.sleep(0.2)
            assert (await entry_of(other, "cat")).state is EntryState.RUNNING
            raise ZeroDivisionError  # it could not be delivered
        await watcher.aclose()
        while (await entry_of(other, "cat")).state is EntryState.RUNNING:
            await next_look()


@needs_posix  # elsewhere, the jump of the clock makes the watcher look dead
async def test_followed_jobs_are_polled_while_the_journal_cannot_be_read(
    place: str, sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """After a minute of that, and only until it can be read again."""
    async with connect(sim, journal=place) as watcher, connect(sim, journal=place) as other:
        await watcher.generate("a cat", key="cat")
        [task] = await other.resume()
        await asyncio.sleep(0.1)
        await execute(place, "ALTER TABLE luma_jobs RENAME TO elsewhere")
        skip(LOOK_EVERY)
        await until(lambda: other._bookkeeper._running._followed._unread_since)  # type: ignore[union-attr]
        assert not other._manager.is_polled(task.id)
        skip(POLL_AFTER)
        await until(lambda: other._manager.is_polled(task.id))
        assert "are polled meanwhile: 1 job" in caplog.text
        await execute(place, "ALTER TABLE elsewhere RENAME TO luma_jobs")
        await looking(lambda: not other._manager.is_polled(task.id))
        sim.advance(HOUR)
        assert (await task).state is State.COMPLETED
    caplog.clear()


async def test_a_job_that_is_lost_or_replaced_is_so_for_its_followers(
    place: str, sim: Simulator
) -> None:
    """The error is that of a poller; an entry that is gone makes the follower poll."""
    async with connect(sim, journal=place) as watcher, connect(sim, journal=place) as other:
        cat = await watcher.generate("a cat", key="cat")
        await watcher.generate("a dog", key="dog")
        tasks = {task.key: task for task in await other.resume()}
        cat.abandon(NotFoundError("gone", status=404, call="GET /x"))
        with pytest.raises(NotFoundError, match="gone"):
            await tasks["cat"]
        await execute(place, "DELETE FROM luma_jobs WHERE key = 'dog'")
        await looking(lambda: other._manager.is_polled(tasks["dog"].id))


async def next_of(jobs: ServedJobs) -> VideoTask:
    async with asyncio.timeout(30):
        return await anext(jobs)


async def test_serving_takes_over_what_nobody_watches(place: str, sim: Simulator) -> None:
    """First the jobs of earlier processes, then those of one that ends meanwhile, at once."""
    async with connect(sim, journal=place) as earlier:
        await earlier.generate("a cat", key="cat")
    async with connect(sim, journal=place) as other, connect(sim, journal=place) as luma:
        await other.generate("a dog", key="dog")
        async with luma.serve() as jobs:
            assert (await next_of(jobs)).key == "cat"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(jobs), 0.2)  # which loses nothing
            await other.aclose()
            dog = await next_of(jobs)
            assert dog.key == "dog"
        with pytest.raises(StopAsyncIteration):
            await anext(jobs)
        assert "closed" in repr(jobs)
        sim.advance(HOUR)
        assert (await dog).state is State.COMPLETED  # still watched


async def test_of_processes_that_serve_one_gets_each_job(place: str, sim: Simulator) -> None:
    """Two processes with two iterators each split the jobs of one that has ended."""
    async with connect(sim, journal=place) as earlier:
        await asyncio.gather(*(earlier.generate("a cat", key=f"cat-{i}") for i in range(40)))
    got: list[str | None] = []

    async def take(luma: LumaClient) -> None:
        async for task in luma.serve():
            got.append(task.key)
            await asyncio.sleep(0.001)

    one, two = connect(sim, journal=place), connect(sim, journal=place)
    async with asyncio.TaskGroup() as group:
        async with one, two:
            for luma in (one, two, one, two):
                group.create_task(take(luma))
            await until(lambda: len(got) >= 40)
            assert {task.key for task in one.tasks} | {task.key for task in two.tasks} == set(got)
            assert not {task.key for task in one.tasks} & {task.key for task in two.tasks}
            assert sorted(map(str, got)) == sorted(f"cat-{i}" for i in range(40))


async def test_a_job_whose_end_is_not_recorded_yet_is_served_once(
    place: str, sim: Simulator
) -> None:
    """A second iterator that has found the job before does not yield it after its end."""
    async with connect(sim, journal=place) as earlier:
        await earlier.generate("a cat", key="cat")
        await earlier.generate("a dog", key="dog")
    sim.advance(HOUR / 2)  # the cow outlives them: its watcher must leave it unfinished
    async with connect(sim, journal=place) as other, connect(sim, journal=place) as luma:
        await other.generate("a cow", key="cow")
        one, two = luma.serve(), luma.serve()
        assert (await next_of(one)).key == "cat"  # and it has found the dog as well
        dog = await next_of(two)
        sim.advance(HOUR / 2)
        await dog
        following = asyncio.create_task(next_of(one))
        await other.aclose()
        assert (await following).key == "cow"


async def test_a_reader_that_takes_its_time_gets_one_job_at_a_time(
    place: str, sim: Simulator
) -> None:
    """What it does not take goes to others: after a while, or when it leaves in the middle."""
    async with connect(sim, journal=place) as earlier:
        await asyncio.gather(*(earlier.generate("a cat", key=f"cat-{i}") for i in range(20)))
    async with connect(sim, journal=place) as slow, connect(sim, journal=place) as quick:
        jobs = slow.serve()
        first = [(await next_of(jobs)).key for _ in range(2)]  # of them, the second has a next
        skip(LOOK_EVERY)
        others = quick.serve()
        rest = [(await next_of(others)).key for _ in range(17)]
        assert len({*first, *rest}) == 19
        await others.aclose()
        assert (await next_of(jobs)).key not in {*first, *rest}
        assert len(slow.tasks) == 3


async def test_only_some_jobs_are_taken_over(place: str, sim: Simulator) -> None:
    """The jobs of other programs wait for these."""
    async with connect(sim, journal=place) as earlier:
        await earlier.generate("a cat", key="cat", metadata={"user": 7})
        await earlier.generate("a dog", key="dog")
    async with connect(sim, journal=place) as luma, connect(sim, journal=place) as other:
        async with luma.serve(only=lambda entry: "user" in entry.metadata) as jobs:
            assert (await next_of(jobs)).key == "cat"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(jobs), 0.2)
        assert (await next_of(other.serve())).key == "dog"


async def test_a_job_that_was_not_delivered_is_served_elsewhere(place: str, sim: Simulator) -> None:
    """Not again here, where it has failed, and not before this program had time to try again."""
    one, two = connect(sim, journal=place), connect(sim, journal=place)
    async with one, two, one.serve() as mine, two.serve() as others:
        cat = await one.generate("a cat", key="cat")
        sim.advance(HOUR)
        with pytest.raises(ZeroDivisionError), cat.delivery():
            await cat
            raise ZeroDivisionError
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(others), 0.2)
        skip(RELEASE_AFTER)
        task = await next_of(others)
        assert task.key == "cat"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(mine), 0.1)
        with task.delivery():
            await task
        while (await entry_of(two, "cat")).state is EntryState.RUNNING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_client_gives_its_jobs_back_when_its_journal_stays_open(
    place: str, sim: Simulator
) -> None:
    """The process lives, but does not watch them; nor does it take a job that it gave up."""
    async with SQLJournal(place) as journal, connect(sim, journal=place) as other:
        luma = connect(sim, journal=journal)
        async with luma:
            await luma.generate("a cat", key="cat")
            dog = await luma.generate("a dog", key="dog")
            mine = luma.serve()
            dog.abandon(TaskTimeoutError("too late", task_id=dog.id))
            async with other.serve() as jobs:
                assert (await next_of(jobs)).key == "dog"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(mine), 0.1)
        with pytest.raises(StopAsyncIteration):
            await anext(mine)
        assert (await next_of(other.serve())).key == "cat"


async def test_a_follower_that_takes_over_serves_the_job(place: str, sim: Simulator) -> None:
    """Perhaps nothing awaits its handle: it came of a message that was delivered twice."""
    async with connect(sim, journal=place) as luma, luma.serve() as jobs:
        async with connect(sim, journal=place) as watcher:
            await watcher.generate("a cat", key="cat")
            followed = await luma.generate("a cat", key="cat")
        assert await next_of(jobs) is followed


async def test_serving_goes_on_after_an_outage(
    place: str, sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, and finds the jobs of those that ended meanwhile."""
    async with connect(sim, journal=place) as luma, luma.serve() as jobs:
        other = connect(sim, journal=place)
        await other.generate("a cat", key="cat")
        waiting = asyncio.create_task(next_of(jobs))
        await asyncio.sleep(0.1)
        await execute(place, "ALTER TABLE luma_jobs RENAME TO elsewhere")
        while "are not taken over until then" not in caplog.text:
            skip(LOOK_EVERY)
            await asyncio.sleep(0.1)
        await execute(place, "ALTER TABLE elsewhere RENAME TO luma_jobs")
        await other.aclose()
        assert caplog.text.count("are not taken over until then") == 1
        assert (await waiting).key == "cat"
    caplog.clear()


async def test_serving_needs_a_journal_that_can_be_shared(tmp_path: object, sim: Simulator) -> None:
    """Without one, an error says so; with a simpler one, each process polls what it resumes."""

    class Simple:
        def __init__(self, journal: SQLJournal) -> None:
            self._journal = journal

        def __getattr__(self, name: str) -> object:
            if name == "lease":
                raise AttributeError(name)
            return getattr(self._journal, name)

    async with SQLJournal(f"{tmp_path}/jobs.db") as journal, connect(sim) as bare:
        with pytest.raises(ConfigurationError, match=r"serve\(\) needs a journal: "):
            bare.serve()
        simple = Simple(journal)
        async with connect(sim, journal=simple) as one, connect(sim, journal=simple) as two:
            with pytest.raises(ConfigurationError, match="SharedJournal"):
                one.serve()
            await one.generate("a cat", key="cat")
            [task] = await two.resume()
            assert two._manager.is_polled(task.id)


class Reluctant(SQLJournal):
    """A journal that writes no leases for a while."""

    error: JournalError | None = JournalError("no leases")

    async def lease(self, entries: Sequence[Entry]) -> AbstractSet[str]:
        if self.error is not None:
            raise self.error
        return await super().lease(entries)


async def test_leases_that_cannot_be_written_delay_no_look(place: str, sim: Simulator) -> None:
    """The jobs are polled at once, and leased when that is possible, by this process or another."""
    async with connect(sim, journal=place) as earlier:
        await earlier.generate("a cat", key="cat")
        await earlier.generate("a dog", key="dog")
    journal = Reluctant(place)
    async with journal, connect(sim, journal=journal) as luma, SQLJournal(place) as other:
        tasks = {task.key: task for task in await luma.resume()}
        await until(lambda: len(_polled(luma)) == 2)
        await other.lease([await entry_of(luma, "dog")])
        journal.error = None
        skip(RETRY_AFTER)
        await until(lambda: _polled(luma) == [tasks["cat"].id])
        owners = await execute(place, "SELECT key, owner FROM luma_jobs ORDER BY key")
        assert journal._store is not None
        assert owners[0] == ("cat", journal._store._owner.id)
        assert owners[0][1] != owners[1][1] != ""
