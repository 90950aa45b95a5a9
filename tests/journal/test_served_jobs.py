"""Jobs that a process takes over: whoever reads from its iterators gets each of them once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from luma_async import ClientClosedError, LumaClient, ServedJobs, SQLJournal
from luma_async.journal import Entry, served_jobs
from luma_async.journal.served_jobs import LOOK_EVERY
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR, connect, until
from tests.journal.test_one_watcher import Deaf, next_of
from tests.loops import skip

COUNT = 20


@pytest.fixture
async def sim() -> AsyncGenerator[Simulator, None]:
    async with Simulator(durations=Fixed(HOUR)) as simulator:
        yield simulator


async def submit_many(luma: LumaClient) -> list[str]:
    """Submit jobs, and return their keys in order."""
    keys = [f"cat-{number:02}" for number in range(COUNT)]
    await asyncio.gather(*(luma.generate("a cat", key=key) for key in keys))
    return keys


async def read(jobs: ServedJobs, got: list[str], pause: float) -> None:
    async for task in jobs:
        got.append(task.key or "")
        await asyncio.sleep(pause)


async def test_a_job_that_was_followed_is_served_once(place: str, sim: Simulator) -> None:
    """Its iterator finds it, and its follower hears that the process that watched it has ended."""
    keys = ["cat", "cow", "dog", "fox"]
    async with Deaf(place) as journal, connect(sim, journal=journal) as luma:
        async with connect(sim, journal=place) as other:
            for key in keys:
                await other.generate("a cat", key=key)
            tasks = await luma.resume()
            await journal.was_read.wait()
        jobs = luma.serve()
        got = [(await next_of(jobs)).key for _ in range(2)]  # and it has leased a third one
        journal.may_hear.set()
        await until(lambda: sum(luma._manager.is_polled(task.id) for task in tasks) >= 3)
        got += [(await next_of(jobs)).key for _ in range(2)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(jobs), 0.2)

    assert sorted(map(str, got)) == keys


async def test_several_readers_of_one_iterator_share_its_jobs(place: str, sim: Simulator) -> None:
    """Each job goes to one of them, and all of them end with the iterator."""
    async with connect(sim, journal=place) as earlier:
        keys = await submit_many(earlier)
    got: list[str] = []
    async with connect(sim, journal=place) as luma, asyncio.TaskGroup() as readers:
        async with luma.serve() as jobs:
            for _ in range(3):
                readers.create_task(read(jobs, got, 0.001))
            await until(lambda: set(got) == set(keys))
            skip(LOOK_EVERY)
            await asyncio.sleep(0.2)

    assert sorted(got) == keys


async def test_a_followed_job_goes_to_the_iterator_that_wants_it(
    place: str, sim: Simulator
) -> None:
    """`only` also chooses among the jobs that this process has followed."""
    async with connect(sim, journal=place) as luma:
        red = luma.serve(only=lambda entry: entry.metadata["bot"] == "red")
        blue = luma.serve(only=lambda entry: entry.metadata["bot"] == "blue")
        async with connect(sim, journal=place) as other:
            for bot in ("blue", "red"):
                await other.generate("a cat", key=bot, metadata={"bot": bot})
            await luma.resume()
        assert (await next_of(red)).key == "red"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(red), 0.2)
        assert (await next_of(blue)).key == "blue"


async def test_jobs_that_a_reader_leaves_go_to_the_next(place: str, sim: Simulator) -> None:
    """Followed jobs that were taken over wait for another iterator of this client."""
    async with connect(sim, journal=place) as luma:
        async with luma.serve() as jobs:
            async with connect(sim, journal=place) as other:
                keys = await submit_many(other)
                await luma.resume()
            got = [(await next_of(jobs)).key]
        async with luma.serve() as jobs:
            got += [(await next_of(jobs)).key for _ in range(COUNT - 1)]

    assert sorted(map(str, got)) == keys


async def test_a_job_that_the_program_has_is_not_served_to_it(place: str, sim: Simulator) -> None:
    """Its lease was that of another client with the same journal, which closes."""
    async with SQLJournal(place) as journal, connect(sim, journal=journal) as luma:
        async with luma.serve() as jobs:
            async with connect(sim, journal=journal) as other:
                await other.generate("a cat", key="cat")
                await luma.generate("a cat", key="cat")
                await until(lambda: luma.stats().polled_jobs)
            skip(LOOK_EVERY)
            served = asyncio.create_task(anext(jobs))
            async with asyncio.timeout(60):
                while await journal.unwatched(sim.url):  # noqa: ASYNC110  the iterator leases it
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert not served.done()
            served.cancel()


async def test_a_closed_client_resumes_and_serves_nothing(place: str, sim: Simulator) -> None:
    """Both calls say so, while an iterator that was there before ends."""
    luma = connect(sim, journal=place)
    async with luma:
        jobs = luma.serve()

    assert [task async for task in jobs] == []
    with pytest.raises(ClientClosedError, match=r"^serve\(\): the client is closed\.$"):
        luma.serve()
    with pytest.raises(ClientClosedError, match=r"^resume\(\): the client is closed\.$"):
        await luma.resume()


class Held(SQLJournal):
    """A journal whose reading of unwatched jobs returns when the test says so."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.was_read = asyncio.Event()
        self.may_return = asyncio.Event()

    async def unwatched(self, server: str) -> list[Entry]:
        found = await super().unwatched(server)
        self.was_read.set()
        await self.may_return.wait()
        return found


async def test_a_job_that_is_released_while_the_journal_is_read_is_served_at_once(
    place: str, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the reading takes, it was heard that there is something to read again."""
    monkeypatch.setattr(served_jobs, "LOOK_EVERY", HOUR)
    journal = Held(place)
    async with journal, connect(sim, journal=journal) as luma, luma.serve() as jobs:
        async with connect(sim, journal=place) as other:
            await other.generate("a cat", key="cat")
            served = asyncio.create_task(next_of(jobs))
            await journal.was_read.wait()
        await until(jobs._news.is_set)
        await asyncio.sleep(0.2)
        journal.may_return.set()
        assert (await served).key == "cat"


async def test_a_lease_that_another_client_of_the_journal_released_is_got_again(
    place: str, sim: Simulator
) -> None:
    """The entry was read while the journal had the lease of the other client."""
    async with SQLJournal(place) as journal, connect(sim, journal=journal) as luma:
        task = await luma.generate("a cat", key="cat")
        entry = await journal.find("cat")
        assert entry is not None
        await journal.release(luma.api_url, [task.id])
        assert len(await journal.unwatched(luma.api_url)) == 1

        assert await journal.lease([entry]) == {entry.claim}

        assert await journal.unwatched(luma.api_url) == []
