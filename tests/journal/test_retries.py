"""Before a job is paid for again, the one before is looked at once more; ids tell tries apart."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from luma_async import (
    GenerateRequest,
    GenerationFailedError,
    Job,
    KeyConflictError,
    LumaClient,
    ServerError,
    SQLJournal,
    SubmissionUncertainError,
)
from luma_async.journal import EntryState
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import connect
from tests.journal.databases import execute
from tests.journal.test_entries import ended, entry_of


async def call_it(place: str, state: str) -> None:
    """Let the journal have a job that it believes to be over."""
    await execute(place, f"UPDATE luma_jobs SET state = '{state}'")  # noqa: S608


async def submit_one(luma: LumaClient) -> str:
    task = await luma.generate("a cat", key="cat")
    return task.id


@pytest.mark.parametrize("state", ["failed", "lost"])
async def test_a_job_that_succeeded_after_all_is_not_paid_for_again(place: str, state: str) -> None:
    """It is returned, and the journal knows it."""
    async with Simulator(durations=Fixed(0)) as sim:
        async with connect(sim, journal=place) as luma:
            id = await submit_one(luma)
        await call_it(place, state)

        async with connect(sim, journal=place) as luma:
            video = await (await luma.generate("a cat", key="cat", retry_failed=True))

        async with SQLJournal(place) as journal:
            assert (await journal.states())["cat"] is EntryState.COMPLETED
        assert [job.id for job in sim.ledger.jobs] == [video.id] == [id]


async def test_a_job_that_runs_after_all_is_watched(place: str) -> None:
    """It is paid for already."""
    async with Simulator(durations=Fixed(60)) as sim:
        async with connect(sim, journal=place) as luma:
            id = await submit_one(luma)
        await call_it(place, "failed")

        async with connect(sim, journal=place) as luma:
            task = await luma.generate("a cat", key="cat", retry_failed=True)
            assert (task.id, task.done()) == (id, False)

        assert len(sim.ledger.jobs) == 1


async def test_a_job_that_another_server_lost_is_not_paid_for_at_this_one(place: str) -> None:
    """Only that server can find it again, so the error names both, and what to do."""
    async with Simulator(durations=Fixed(0)) as one, Simulator(durations=Fixed(0)) as other:
        async with connect(one, journal=place) as luma:
            id = await submit_one(luma)
        await call_it(place, "lost")

        async with connect(other, journal=place) as elsewhere:
            with pytest.raises(KeyConflictError) as caught:
                await elsewhere.generate("a cat", key="cat", retry_failed=True)
            assert (await entry_of(elsewhere, "cat")).state is EntryState.LOST

        assert f"job {id} at {one.url}, but this client is at {other.url}" in str(caught.value)
        assert f"Use base_url={one.url!r}" in str(caught.value)
        assert other.ledger.jobs == []


async def test_a_job_that_failed_at_another_server_is_submitted_at_this_one(place: str) -> None:
    """That server said so itself, and this one could tell nothing of it."""
    async with (
        Simulator(durations=Fixed(0), failure_rate=1) as one,
        Simulator(durations=Fixed(60)) as other,
    ):
        async with connect(one, journal=place) as luma:
            await submit_one(luma)
            await ended(luma, "cat")

        async with connect(other, journal=place) as elsewhere:
            task = await elsewhere.generate("a cat", key="cat", retry_failed=True)

        assert [job.id for job in other.ledger.jobs] == [task.id]
        assert (len(one.ledger.jobs), other.ledger.requests["get"]) == (1, 0)


async def test_a_failure_is_confirmed_with_one_look(place: str) -> None:
    """Then the job is paid for again."""
    async with (
        Simulator(durations=Fixed(0), failure_rate=1) as sim,
        connect(sim, journal=place) as luma,
    ):
        task = await luma.generate("a cat", key="cat")
        await ended(luma, "cat")
        looks = sim.ledger.requests["get"]
        again = await luma.generate("a cat", key="cat", retry_failed=True)

        assert sim.ledger.requests["get"] == looks + 1
        assert [job.id for job in sim.ledger.jobs] == [task.id, again.id]


async def test_while_nobody_can_say_nothing_is_paid(place: str) -> None:
    """The server is asked another time."""
    async with Simulator(durations=Fixed(60)) as sim:
        async with connect(sim, journal=place) as luma:
            await submit_one(luma)
        await call_it(place, "failed")
        sim.faults.add(Fault(status=503, on=["get"]))

        async with connect(sim, journal=place, max_tries=1) as luma:
            with pytest.raises(ServerError):
                await luma.generate("a cat", key="cat", retry_failed=True)
            assert (await entry_of(luma, "cat")).state is EntryState.FAILED

        assert len(sim.ledger.jobs) == 1


async def test_another_request_does_not_replace_what_succeeded_after_all(place: str) -> None:
    """The key names a finished video, as the journal says from now on."""
    async with Simulator(durations=Fixed(0)) as sim:
        async with connect(sim, journal=place) as luma:
            await submit_one(luma)
        await call_it(place, "failed")

        async with connect(sim, journal=place) as luma:
            with pytest.raises(KeyConflictError, match="completed after all"):
                await luma.generate("a dog", key="cat", retry_failed=True)

        async with SQLJournal(place) as journal:
            assert (await journal.states())["cat"] is EntryState.COMPLETED
        assert len(sim.ledger.jobs) == 1


async def test_a_repeat_has_the_request_id_of_the_first(place: str) -> None:
    """So that a server which knows such ids makes one job of the two; the export has it, too."""
    async with Simulator(durations=Fixed(60)) as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.cut(after=True))
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat", key="cat")
        first = (await entry_of(luma, "cat")).request_id
        sim.faults.clear()
        with pytest.raises(SubmissionUncertainError) as told:
            await luma.generate("a cat", key="cat")
        await luma.generate("a cat", key="cat", retry_uncertain=True)
        second = await entry_of(luma, "cat")
        assert isinstance(luma.journal, SQLJournal)
        [line] = [json.loads(line) async for line in luma.journal.export()]

    assert first
    assert told.value.request_id == second.request_id == first == line["request_id"]


async def test_a_new_job_has_a_request_id_of_its_own(place: str) -> None:
    """One that is submitted after a failure is another job."""
    async with (
        Simulator(durations=Fixed(0), failure_rate=1) as sim,
        connect(sim, journal=place) as luma,
    ):
        await luma.generate("a cat", key="cat")
        first = await ended(luma, "cat")
        await luma.generate("a cat", key="cat", retry_failed=True)
        second = await entry_of(luma, "cat")

    assert first.request_id
    assert second.request_id
    assert first.request_id != second.request_id


async def test_a_job_that_has_just_failed_is_submitted_again(place: str) -> None:
    """A loop of tries need not wait until the journal knows the end, which is written later."""
    async with Simulator(durations=Fixed(0), short_side=90) as sim:
        sim.fail_next("moderated")
        async with connect(sim, journal=place) as luma:
            with pytest.raises(GenerationFailedError):
                await luma.run("a cat", key="cat")
            video = await luma.run("a cat", key="cat", retry_failed=True)

        failed, again = sim.ledger.jobs
        assert again.id == video.id
        async with SQLJournal(place) as journal:
            entry = await journal.find("cat")
        assert entry is not None
        assert (entry.id, entry.state) == (video.id, EntryState.COMPLETED)
        assert entry.earlier_ids == (failed.id,)


async def test_a_job_of_many_can_be_left_as_it_failed(place: str) -> None:
    """A run that submits failed jobs again leaves the ones for which that is not wanted."""
    async with Simulator(durations=Fixed(0), failure_rate=1.0) as sim:
        async with connect(sim, journal=place) as luma:
            jobs = [Job(GenerateRequest(prompt="a cat"), key=key) for key in ("cat", "dog")]
            ends = [outcome async for outcome in luma.run_many(jobs)]
            jobs[0] = replace(jobs[0], retries=False)

            again = [outcome async for outcome in luma.run_many(jobs, retry_failed=True)]

        before = {outcome.key: outcome.id for outcome in ends}
        after = {outcome.key: outcome.id for outcome in again}
    assert after["cat"] == before["cat"]
    assert after["dog"] != before["dog"]
    assert len(sim.ledger.jobs) == 3
