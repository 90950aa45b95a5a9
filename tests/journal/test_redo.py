"""A job that has ended is submitted anew under its job key, once for each redo."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from luma_async import (
    GenerateRequest,
    InvalidRequestError,
    Job,
    KeyConflictError,
    LumaClient,
    Outcome,
    SQLJournal,
    SubmissionUncertainError,
)
from luma_async.journal import Entry, EntryState
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, connect

CAT, DOG = GenerateRequest("a cat"), GenerateRequest("a dog")


async def run_one(luma: LumaClient, request: GenerateRequest, **options: Any) -> Outcome:
    """Return the outcome of one job with the job key `row`."""
    [outcome] = [each async for each in luma.run_many([Job(request, "row", **options)])]
    return outcome


async def entry_in(place: str) -> Entry:
    async with SQLJournal(place) as journal:
        entry = await journal.find("row")
    assert entry is not None
    return entry


async def test_a_completed_job_is_submitted_anew_once(place: str) -> None:
    """The same redo again gets the handle of the new job; the journal keeps the earlier id."""
    async with Simulator(durations=Fixed(0)) as sim:
        async with connect(sim, journal=place) as luma:
            first = await run_one(luma, CAT)
        async with connect(sim, journal=place) as luma:
            second = await run_one(luma, CAT, redo=first.id)
            again = await run_one(luma, CAT, redo=first.id)

        assert [job.id for job in sim.ledger.jobs] == [first.id, second.id]
    assert again.id == second.id
    entry = await entry_in(place)
    assert (entry.id, entry.earlier_ids) == (second.id, (first.id,))


async def test_a_redo_may_have_another_request(place: str) -> None:
    """That is the way to submit an edited request under its job key."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, journal=place) as luma:
        first = await run_one(luma, CAT)

        changed = await run_one(luma, DOG, redo=first.id)
        third = await run_one(luma, CAT, redo=changed.id)

        assert [job.request["user_prompt"] for job in sim.ledger.jobs] == [
            "a cat",
            "a dog",
            "a cat",
        ]
    entry = await entry_in(place)
    assert (entry.id, entry.earlier_ids) == (third.id, (first.id, changed.id))


async def test_two_callers_that_redo_one_job_pay_once(place: str) -> None:
    """The journal lets one of them replace the entry, and the other gets its job."""
    async with Simulator(durations=Fixed(0)) as sim:
        async with connect(sim, journal=place) as luma:
            first = await run_one(luma, CAT)
        async with connect(sim, journal=place) as one, connect(sim, journal=place) as other:
            outcomes = await asyncio.gather(
                *(run_one(luma, CAT, redo=first.id) for luma in (one, other) for _ in range(3))
            )

        assert len(sim.ledger.jobs) == 2
    assert {outcome.id for outcome in outcomes} == {sim.ledger.jobs[1].id}


async def test_a_running_job_is_not_redone(place: str) -> None:
    """It is paid for, and may still give a video."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, journal=place) as luma:
        task = await luma.generate("a cat", key="row")

        outcome = await run_one(luma, CAT, redo=task.id)

        assert len(sim.ledger.jobs) == 1
    assert isinstance(outcome.error, KeyConflictError)
    assert "is still running" in str(outcome.error)


async def test_a_job_whose_end_the_journal_does_not_know_yet_is_redone(place: str) -> None:
    """Another process may have watched it; the server is asked."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=place) as luma:
            first = await luma.generate("a cat", key="row")
        sim.advance(HOUR)
        async with connect(sim, journal=place) as luma:
            running = asyncio.create_task(run_one(luma, CAT, redo=first.id))
            while not running.done():
                sim.advance(HOUR)
                await asyncio.sleep(0.01)
            outcome = await running

        assert [job.id for job in sim.ledger.jobs] == [first.id, outcome.id]


async def test_a_redo_names_the_job_that_the_key_has(place: str) -> None:
    """Any other id is an error that says which one it is."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, journal=place) as luma:
        first = await run_one(luma, CAT)

        outcome = await run_one(luma, CAT, redo="another")

        assert len(sim.ledger.jobs) == 1
    assert isinstance(outcome.error, KeyConflictError)
    assert f"redo={first.id!r} submits that job anew" in str(outcome.error)


@pytest.mark.parametrize("options", [{"redo": "job-1"}, {"any_request": True}])
def test_a_redo_without_a_job_key_is_an_error(options: Any) -> None:
    """No journal entry could tell that it was done, and each run would pay once more."""
    with pytest.raises(InvalidRequestError, match="is for a job that has a job key"):
        Job(CAT, **options)


async def test_a_rejected_redo_leaves_the_job_as_it_was(place: str) -> None:
    """The journal restores the entry with its id and its video."""
    async with Simulator(durations=Fixed(0)) as sim:
        async with connect(sim, journal=place) as luma:
            first = await run_one(luma, CAT)
            sim.faults.add(Fault.explained(422, on=["generate"]))

            rejected = await run_one(luma, DOG, redo=first.id)

        entry = await entry_in(place)
    assert rejected.error is not None
    assert (entry.id, entry.state, entry.earlier_ids) == (first.id, EntryState.COMPLETED, ())
    assert entry.generation is not None
    assert entry.generation.video is not None


async def test_an_uncertain_redo_is_not_sent_again(place: str) -> None:
    """It may be paid for. The same redo again says so, until it is settled."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, journal=place) as luma:
        first = await run_one(luma, CAT)
        sim.faults.add(Fault.cut(after=True, times=1))

        outcomes = [await run_one(luma, CAT, redo=first.id) for _ in range(2)]

        assert len(sim.ledger.jobs) == 2
    assert {type(outcome.error) for outcome in outcomes} == {SubmissionUncertainError}


async def test_a_redo_is_repeated_after_it_was_settled(place: str) -> None:
    """Freeing the key has deleted its entry. The redo is sent then, and once only."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, journal=place) as luma:
        first = await run_one(luma, CAT)
        sim.faults.add(Fault.page(502, times=1))
        await run_one(luma, CAT, redo=first.id)
        assert luma.journal is not None
        await luma.journal.settle("row", resubmit=True)

        outcomes = [await run_one(luma, CAT, redo=first.id) for _ in range(2)]

        assert [job.id for job in sim.ledger.jobs] == [first.id, outcomes[0].id]
    assert outcomes[0].id == outcomes[1].id
    assert (await entry_in(place)).earlier_ids == (first.id,)


async def test_a_key_may_be_asked_for_its_job_whatever_its_request_was(place: str) -> None:
    """`any_request` returns the job that was paid for; the error without it names that job."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, journal=place) as luma:
        first = await run_one(luma, CAT)

        conflict = await run_one(luma, DOG)
        found = await run_one(luma, DOG, any_request=True)

        assert len(sim.ledger.jobs) == 1
    assert isinstance(conflict.error, KeyConflictError)
    assert conflict.error.id == found.id == first.id
