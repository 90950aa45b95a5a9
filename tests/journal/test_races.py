"""Several who ask for the same at once: it is paid for once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest

from luma_async import (
    Generation,
    SQLJournal,
    State,
    SubmissionUncertainError,
    VideoTask,
)
from luma_async.journal import Entry
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import connect
from tests.journal.workers import worker


@pytest.mark.parametrize("keys", [100, pytest.param(500, marks=pytest.mark.long)])
def test_two_processes_with_the_same_keys_pay_once(place: str, keys: int) -> None:
    """So many keys each, at once: as many jobs, and both have all of their results."""
    with running_simulator(durations=Fixed(0.3), short_side=90) as sim:
        with worker(sim.url, place, 0, keys) as one, worker(sim.url, place, 0, keys) as other:
            one.begin()
            other.begin()
            results, same_results = one.results(), other.results()

        jobs = {f"row-{job.prompt.removeprefix('cat ')}": job.id for job in sim.ledger.jobs}
        assert len(sim.ledger.jobs) == len(jobs) == keys
        assert results == same_results == {key: (id, None) for key, id in jobs.items()}


async def test_one_process_that_asks_twice_at_once_pays_once(place: str) -> None:
    """Both get the same handle."""
    async with Simulator(durations=Fixed(60)) as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.slow(0.1))

        handles = await asyncio.gather(*(luma.generate("a cat", key="cat") for _ in range(5)))

        assert len(set(map(id, handles))) == 1
        assert len(sim.ledger.jobs) == 1


async def test_two_clients_share_a_journal(place: str) -> None:
    """The second watches what the first submits, and waits until its id is known."""
    async with (
        Simulator(durations=Fixed(0.2)) as sim,
        connect(sim, journal=place) as one,
        connect(sim, journal=place) as other,
    ):
        sim.faults.add(Fault.slow(0.3))

        first, second = await asyncio.gather(
            one.generate("a cat", key="cat"), other.generate("a cat", key="cat")
        )

        assert first is not second
        assert (await first).id == (await second).id
        assert len(sim.ledger.jobs) == 1


async def test_a_refused_submission_leaves_the_key_to_the_other(place: str) -> None:
    """Who waited for the first one's submission makes its own, as that was not accepted."""
    async with (
        Simulator(durations=Fixed(0.0)) as sim,
        connect(sim, journal=place) as one,
        connect(sim, journal=place) as other,
    ):
        sim.faults.add(Fault(status=422, body=b'{"error": {"message": "no"}}', delay=0.3, times=1))

        results = await asyncio.gather(
            one.generate("a cat", key="cat"),
            other.generate("a cat", key="cat"),
            return_exceptions=True,
        )

        assert Counter(type(result) for result in results)[VideoTask] == 1
        assert len(sim.ledger.jobs) == 1


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_jobs_without_a_key_never_meet(place: str) -> None:
    """Ten of the same are ten jobs, each under a key of its own."""
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim, journal=place) as luma:
        handles = await asyncio.gather(*(luma.generate("a cat") for _ in range(10)))

        assert len({task.key for task in handles}) == len(sim.ledger.jobs) == 10


CLIENTS = 4


class _StartingLine(SQLJournal):
    """A journal that makes its first claim when all of those who share a barrier are to make it."""

    def __init__(self, place: str, barrier: asyncio.Barrier) -> None:
        super().__init__(place)
        self._barrier: asyncio.Barrier | None = barrier

    async def claim(self, entry: Entry, *, instead_of: Entry | None = None) -> Entry:
        if (barrier := self._barrier) is not None:
            self._barrier = None
            await barrier.wait()
        return await super().claim(entry, instead_of=instead_of)


class _Looked(SQLJournal):
    """A journal that tells when it was asked for a key."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.was_asked = asyncio.Event()

    async def find(self, key: str) -> Entry | None:
        found = await super().find(key)
        self.was_asked.set()
        return found


async def race(sim: Simulator, place: str) -> None:
    """Let several clients, none of which submits before all have begun, repeat a job once.

    Each of them is told that it is uncertain.
    """
    barrier = asyncio.Barrier(CLIENTS)
    journals = [_StartingLine(place, barrier) for _ in range(CLIENTS)]
    async with AsyncExitStack() as stack:
        for journal in journals:
            await stack.enter_async_context(journal)
        clients = [
            await stack.enter_async_context(connect(sim, journal=journal)) for journal in journals
        ]
        told = await asyncio.gather(
            *(luma.generate("a cat", key="cat", retry_uncertain="once") for luma in clients),
            return_exceptions=True,
        )
    assert [type(error) for error in told] == [SubmissionUncertainError] * CLIENTS


async def leave_uncertain(sim: Simulator, place: str, *keys: str) -> None:
    """Have jobs accepted whose answers are lost, as those of all further ones will be."""
    sim.faults.add(Fault.cut(after=True))
    async with connect(sim, journal=place) as luma:
        for key in keys:
            with pytest.raises(SubmissionUncertainError):
                await luma.generate("a cat", key=key)


async def test_several_who_repeat_an_uncertain_job_once_send_it_once(place: str) -> None:
    """One of them does; where its answer is lost as well, that is nobody else's to repeat."""
    async with Simulator() as sim:
        await leave_uncertain(sim, place, "cat")

        await race(sim, place)

        assert len(sim.ledger.jobs) == 2


async def test_several_who_may_repeat_once_submit_a_new_job_once(place: str) -> None:
    """Nothing was uncertain when they began, so there is nothing to repeat."""
    async with Simulator() as sim:
        sim.faults.add(Fault.cut(after=True))

        await race(sim, place)

        assert len(sim.ledger.jobs) == 1


async def test_an_extension_that_waited_for_its_source_repeats_nothing_newer(place: str) -> None:
    """What another client leaves uncertain meanwhile was not uncertain when the call began."""
    journal = _Looked(place)
    async with (
        Simulator(durations=Fixed(0)) as sim,
        journal,
        connect(sim, journal=journal, max_tries=1) as waiting,
        connect(sim, journal=place) as other,
    ):
        lost = Fault.cut(after=True, on=["extend"])
        sim.faults.add(lost, Fault(status=503, on=["get", "tasks"]))  # no end is seen
        source = await waiting.generate("a cat")
        asked = asyncio.create_task(
            waiting.extend(source, "it bows", key="bow", retry_uncertain="once")
        )
        async with asyncio.timeout(30):
            await journal.was_asked.wait()
        with pytest.raises(SubmissionUncertainError):
            await other.extend(
                Generation(id=source.id, state=State.COMPLETED), "it bows", key="bow"
            )
        sim.faults.clear()
        sim.faults.add(lost)

        with pytest.raises(SubmissionUncertainError):
            await asked

        assert len(sim.ledger.jobs) == 2


async def test_a_run_repeats_what_was_uncertain_when_it_began(place: str) -> None:
    """Once, however often a key is in it, and not what another client has just sent once more."""
    async with (
        Simulator() as sim,
        connect(sim, journal=place) as luma,
        connect(sim, journal=place) as other,
    ):
        await leave_uncertain(sim, place, "cat", "dog")

        async def requests() -> AsyncGenerator[tuple[str, str], None]:
            with pytest.raises(SubmissionUncertainError):
                await other.generate("a cat", key="cat", retry_uncertain="once")
            for key in ("cat", "dog", "dog"):
                yield key, "a cat"

        run = luma.run_many(requests(), retry_uncertain="once")
        outcomes = [outcome async for outcome in run]

        assert [type(outcome.error) for outcome in outcomes] == [SubmissionUncertainError] * 3
        assert len(sim.ledger.jobs) == 2 + 2
