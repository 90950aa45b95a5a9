"""What the journal says of a job at each moment of its life."""

from __future__ import annotations

import asyncio
import json
import logging
import math

import pytest

from luma_async import (
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    FixedSchedule,
    Generation,
    GenerationFailedError,
    InvalidRequestError,
    Journal,
    JournalError,
    LumaClient,
    LumaError,
    SQLJournal,
    State,
    SubmissionUncertainError,
)
from luma_async.journal import End, Entry, EntryState
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.tasks.api_key_rejections import APIKeyRejections
from tests.clients import HOUR, connect, until
from tests.journal.test_owners import LONG_ID
from tests.loops import skip


def journal_of(luma: LumaClient) -> Journal:
    assert luma.journal is not None
    return luma.journal


async def entry_of(luma: LumaClient, key: str) -> Entry:
    entry = await journal_of(luma).find(key)
    assert entry is not None
    return entry


async def ended(luma: LumaClient, key: str) -> Entry:
    """Return an entry once its end is written, which nobody waits for."""
    async with asyncio.timeout(60):
        while (entry := await entry_of(luma, key)).state is EntryState.RUNNING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return entry


async def test_an_id_of_any_length_is_written_down(place: str) -> None:
    """It is all that tells of a job which is paid for, whatever the server means by it."""
    answer = json.dumps({"id": LONG_ID, "state": "pending"}).encode()
    async with Simulator() as sim:
        sim.faults.add(Fault.answer(answer, on=["generate"]))
        async with connect(sim, journal=place, schedule=FixedSchedule(60)) as luma:
            task = await luma.generate("a cat", key="cat")
            running = await entry_of(luma, "cat")
            video = Generation(id=LONG_ID, state=State.COMPLETED)
            await journal_of(luma).finish([End(server=sim.url, id=LONG_ID, generation=video)])
            completed = await entry_of(luma, "cat")

    assert task.id == running.id == LONG_ID
    assert running.state is EntryState.RUNNING
    assert completed.state is EntryState.COMPLETED


async def test_a_job_is_written_down_at_each_step(place: str) -> None:
    """Before it leaves, before its caller sees the id, and when it has ended."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.slow(math.inf))
        asked = asyncio.create_task(luma.generate("a cat", key="cat", aspect_ratio="1:1"))
        await until(lambda: sim.ledger.requests["generate"])
        submitting = await entry_of(luma, "cat")
        sim.faults.clear()
        task = await asked
        running = await entry_of(luma, "cat")
        sim.advance(HOUR)
        video = await task
        completed = await ended(luma, "cat")

    assert submitting.state is EntryState.SUBMITTING
    assert submitting.id is None
    assert submitting.request == {"prompt": "a cat", "aspect_ratio": "1:1"}
    assert submitting.server == luma._transport.base_url
    assert (running.state, running.id) == (EntryState.RUNNING, task.id)
    assert completed.state is EntryState.COMPLETED
    assert completed.generation == video
    assert completed.submitted_at <= running.updated_at <= completed.updated_at


async def test_a_failure_is_written_down(place: str) -> None:
    """With the server's last word."""
    async with (
        Simulator(durations=Fixed(0), failure_rate=1) as sim,
        connect(sim, journal=place) as luma,
    ):
        with pytest.raises(GenerationFailedError) as failed:
            await (await luma.generate("a cat", key="cat"))
        entry = await ended(luma, "cat")

    assert entry.state is EntryState.FAILED
    assert entry.generation == failed.value.generation


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=422, body=b'{"error": {"message": "no"}}'), id="422"),
        pytest.param(Fault.page(404), id="404"),
        pytest.param(
            Fault(status=503, body=b'{"code": "model_not_found", "message": "no"}'),
            id="503 without a channel",
        ),
        pytest.param(Fault.rate_limited(retry_after=0.1), id="429"),
    ],
)
async def test_a_refused_submission_leaves_no_entry(place: str, fault: Fault) -> None:
    """The job was not accepted, so the key is free: asked again, it is submitted."""
    async with Simulator() as sim, connect(sim, journal=place, max_tries=2) as luma:
        sim.faults.add(fault)
        with pytest.raises(LumaError):
            await luma.generate("a cat", key="cat")
        assert await journal_of(luma).find("cat") is None

        sim.faults.clear()
        await luma.generate("a cat", key="cat")

        assert len(sim.ledger.jobs) == 1


async def test_a_submission_that_waits_to_be_repeated_is_not_in_the_journal(place: str) -> None:
    """Killed while it waits out a 429, it would leave nothing uncertain."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.rate_limited(retry_after=60, times=1))
        asked = asyncio.create_task(luma.generate("a cat", key="cat"))
        await until(lambda: sim.ledger.statuses[429])
        await until(lambda: luma._submission_transport._waits._scopes)  # it waits

        assert await journal_of(luma).find("cat") is None
        skip(60)
        await asked
        assert (await entry_of(luma, "cat")).state is EntryState.RUNNING


async def test_jobs_that_wait_for_their_turn_are_not_in_the_journal(place: str) -> None:
    """Of twenty asked for at once, only those on the wire could become uncertain."""
    async with Simulator() as sim, connect(sim, journal=place, max_requests=3) as luma:
        sim.faults.add(Fault.slow(math.inf))
        asked = [asyncio.create_task(luma.generate(f"cat {n}", key=f"cat-{n}")) for n in range(20)]
        await until(lambda: sim.ledger.requests["generate"] == 2)

        entries = [await journal_of(luma).find(f"cat-{n}") for n in range(20)]

        assert sum(entry is not None for entry in entries) == 2
        for each in asked:
            each.cancel()
        sim.faults.clear()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.cut(after=True), id="connection cut"),
        pytest.param(Fault.answer(b"{}", after=True), id="a 200 that is {}"),
        pytest.param(Fault.page(502, after=True), id="a 502 page"),
        pytest.param(Fault.slow(math.inf, after=True), id="a timeout"),
    ],
)
async def test_lost_answers_make_exactly_those_jobs_uncertain(place: str, fault: Fault) -> None:
    """Ten of twenty answers are lost: those ten are uncertain, none of them is repeated."""
    async with Simulator(durations=Fixed(0.1)) as sim:
        async with connect(sim, journal=place, timeout=60) as luma:
            for number in range(10):
                await luma.generate(f"good {number}", key=f"good-{number}")
            sim.faults.add(fault)
            lost = [
                asyncio.create_task(luma.generate(f"lost {number}", key=f"lost-{number}"))
                for number in range(10)
            ]
            await until(lambda: len(sim.ledger.jobs) == 20)
            if fault.delay:
                skip(60)
            results = await asyncio.gather(*lost, return_exceptions=True)
        sim.faults.clear()
        async with connect(sim, journal=place) as luma:
            asked = [
                (f"{word}-{number}", f"{word} {number}")
                for word in ("good", "lost")
                for number in range(10)
            ]
            outcomes = {o.key: o async for o in luma.run_many(asked)}
            uncertain = await journal_of(luma).uncertain()

        lost_keys = {f"lost-{number}" for number in range(10)}
        assert {type(result) for result in results} == {SubmissionUncertainError}
        assert {entry.key for entry in uncertain} == lost_keys
        assert {key for key, outcome in outcomes.items() if not outcome.ok} == lost_keys
        assert len(sim.ledger.jobs) == 20
        assert all(entry.reason and "/luma/generations" in entry.reason for entry in uncertain)


async def test_an_uncertain_job_is_settled_by_its_id(place: str) -> None:
    """From then on it runs: the key and `resume()` watch it, and it is not paid for again."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.cut(after=True, times=1))
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat", key="cat")

        await journal_of(luma).settle("cat", id=sim.ledger.jobs[0].id)
        [resumed] = await luma.resume()
        task = await luma.generate("a cat", key="cat")

        assert resumed is task
        sim.advance(HOUR)
        assert (await task).id == sim.ledger.jobs[0].id
        assert await journal_of(luma).uncertain() == []
        assert len(sim.ledger.jobs) == 1


async def test_an_uncertain_job_is_settled_as_not_taken(place: str) -> None:
    """Then its key is free."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.page(502, times=1))  # before it is taken, which nobody can know
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat", key="cat")

        await journal_of(luma).settle("cat", resubmit=True)
        await luma.generate("a cat", key="cat")

        assert len(sim.ledger.jobs) == 1


async def test_a_job_without_a_key_is_settled_by_the_one_it_was_given(place: str) -> None:
    """The error and the list of uncertain jobs name it."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.cut(after=True, times=1))
        with pytest.raises(SubmissionUncertainError) as caught:
            await luma.generate("a cat")
        [entry] = await journal_of(luma).uncertain()

        assert caught.value.key == entry.key
        await journal_of(luma).settle(entry.key, id=sim.ledger.jobs[0].id)
        assert [task.id for task in await luma.resume()] == [sim.ledger.jobs[0].id]


async def test_the_task_of_another_key_settles_nothing(place: str) -> None:
    """Else the job that was meant would be lost from sight."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        known = await luma.generate("a dog", key="dog")
        sim.faults.add(Fault.cut(after=True, times=1))
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat", key="cat")

        with pytest.raises(JournalError, match=f"job {known.id} belongs to 'dog'"):
            await journal_of(luma).settle("cat", id=known.id)

        assert [entry.key for entry in await journal_of(luma).uncertain()] == ["cat"]
        await journal_of(luma).settle("cat", id=sim.ledger.jobs[1].id)


async def test_only_what_is_uncertain_can_be_settled(place: str) -> None:
    """Anything else is a slip, and says so."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        await luma.generate("a cat", key="cat")
        journal = journal_of(luma)

        with pytest.raises(JournalError, match="is running"):
            await journal.settle("cat", id="job-1")
        with pytest.raises(JournalError, match="is not in the journal"):
            await journal.settle("dog", resubmit=True)
        with pytest.raises(InvalidRequestError, match="either"):
            await journal.settle("cat")
        with pytest.raises(InvalidRequestError, match="either"):
            await journal.settle("cat", id="job-1", resubmit=True)
        with pytest.raises(InvalidRequestError, match="must be the id of a job"):
            await journal.settle("cat", id=" ")


@pytest.mark.usefixtures("quick_retries")
async def test_a_risked_repeat_ends_in_one_entry(place: str) -> None:
    """With `retry_uncertain=True`, lost answers and then a good one: the good one's id."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.cut(after=True, times=2))

        task = await luma.generate("a cat", key="cat", retry_uncertain=True)

        assert (await entry_of(luma, "cat")).id == task.id == sim.ledger.jobs[2].id


async def test_a_risked_repeat_that_is_refused_stays_uncertain(place: str) -> None:
    """The first may have been accepted, whatever the second was told."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.cut(after=True, times=1))
        sim.faults.add(Fault(status=422, body=b'{"error": {"message": "no"}}', after=True))

        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat", key="cat", retry_uncertain=True)

        assert (await entry_of(luma, "cat")).state is EntryState.UNCERTAIN


async def test_unfinished_jobs_are_resumed(place: str) -> None:
    """Each is watched, looked at at once, and ends in the journal."""
    async with Simulator(durations=Fixed(HOUR)) as sim, Simulator() as other:
        async with connect(sim, journal=place) as luma:
            done = await luma.generate("done", key="done")
            sim.advance(HOUR)
            await done
            await ended(luma, "done")
            tasks = [await luma.generate(f"cat {n}", key=f"cat-{n}") for n in range(3)]
        with pytest.raises(ClientClosedError):
            await tasks[0]
        async with connect(other, journal=place) as luma:
            assert await luma.resume() == []
        async with connect(sim, journal=place) as luma:
            resumed = await luma.resume()
            sim.advance(HOUR)

            assert [task.key for task in resumed] == ["cat-0", "cat-1", "cat-2"]
            assert [(await task).id for task in resumed] == [task.id for task in tasks]
            assert (await ended(luma, "cat-0")).state is EntryState.COMPLETED
        assert len(sim.ledger.jobs) == 4


async def test_a_resumed_job_is_looked_at_at_once(place: str) -> None:
    """However long the schedule would wait."""
    async with Simulator(durations=Fixed(0)) as sim:
        async with connect(sim, journal=place, schedule=_Never()) as luma:
            sim.faults.add(Fault.answer(b'{"id": "job-1", "state": "pending"}', times=1))
            await luma.generate("a cat", key="cat")
        async with connect(sim, journal=place, schedule=_Never()) as luma:
            before = sim.ledger.requests["get"]
            await luma.resume()
            await until(lambda: sim.ledger.requests["get"] > before)


class _Never:
    def next_delay(self, age: float, looks: int) -> float:
        return 1000.0

    def observe(self, duration: float) -> None:
        pass


async def test_a_refused_key_leaves_the_journal_as_it_is(place: str) -> None:
    """The awaits end, the jobs do not: with the right key they are there again."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        rejections = APIKeyRejections(final_after=0.1)
        async with connect(sim, journal=place, rejections=rejections) as luma:
            task = await luma.generate("a cat", key="cat")
            sim.faults.add(Fault(status=401, body=b"{}", on=["get", "tasks"]))
            with pytest.raises(AuthenticationError):
                await task
            assert (await entry_of(luma, "cat")).state is EntryState.RUNNING
        sim.faults.clear()
        async with connect(sim, journal=place) as luma:
            [again] = await luma.resume()
            sim.advance(HOUR)
            assert (await again).id == task.id


async def test_a_submission_cancelled_on_its_way_is_in_the_journal(place: str) -> None:
    """Its caller never saw the id; the journal did."""
    async with Simulator(durations=Fixed(0.1)) as sim:
        async with connect(sim, journal=place) as luma:
            sim.faults.add(Fault.slow(math.inf, after=True))
            asked = asyncio.create_task(luma.generate("a cat", key="cat"))
            await until(lambda: sim.ledger.jobs)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            sim.faults.clear()
        async with connect(sim, journal=place) as luma:
            assert (await luma.generate("a cat", key="cat")).id == sim.ledger.jobs[0].id
        assert len(sim.ledger.jobs) == 1


async def test_a_submission_cancelled_before_it_leaves_is_not_made(place: str) -> None:
    """At whatever moment before: no job, no entry."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        for steps in range(30):
            asked = asyncio.create_task(luma.generate("a cat", key=f"cat-{steps}"))
            for _ in range(steps):
                await asyncio.sleep(0)
            before = sim.ledger.requests["generate"]
            asked.cancel()
            await asyncio.wait([asked])
            if before == 0:
                assert asked.cancelled()
        await until(lambda: not luma._submission_transport._deliveries)

        keys = [key for key in (f"cat-{n}" for n in range(30)) if await journal_of(luma).find(key)]
        assert len(keys) == len(sim.ledger.jobs)


async def test_closing_in_the_middle_leaves_nothing_half_written(place: str) -> None:
    """Submissions on their way get their answer, and the journal gets it, too."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        luma = connect(sim, journal=place, max_requests=4)
        async with luma:
            sim.faults.add(Fault.slow(math.inf, after=True))
            asked = [
                asyncio.create_task(luma.generate(f"cat {n}", key=f"cat-{n}")) for n in range(20)
            ]
            await until(lambda: sim.ledger.jobs)
            closing = asyncio.create_task(luma.aclose())
            await until(lambda: any(each.done() for each in asked))  # those that had not left
            sim.faults.clear()
            await closing
        results = await asyncio.gather(*asked, return_exceptions=True)
        taken = {job.id for job in sim.ledger.jobs}

        async with connect(sim, journal=place) as again:
            assert {task.id for task in await again.resume()} == taken
            assert await journal_of(again).uncertain() == []
        assert sum(not isinstance(result, ClientClosedError) for result in results) == len(taken)


async def test_a_job_watched_by_id_ends_in_the_journal(place: str) -> None:
    """Whichever handle saw it."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=place) as luma:
            task = await luma.generate("a cat", key="cat")
        sim.advance(HOUR)
        async with connect(sim, journal=place) as luma:
            await (await luma.watch(task.id))
            assert (await ended(luma, "cat")).state is EntryState.COMPLETED


async def test_the_log_has_the_job_only(place: str, caplog: pytest.LogCaptureFixture) -> None:
    """When all goes well, it is told once however often it is asked for, and SQL is not told."""
    caplog.set_level(logging.INFO)
    async with Simulator(durations=Fixed(3600)) as sim, connect(sim, journal=place) as luma:
        asked = [luma.generate("a cat", key="row") for _ in range(3)]
        tasks = await asyncio.gather(*asked)
        sim.advance(3600)
        await asyncio.gather(*tasks)

    assert {each.name for each in caplog.records} <= {"asyncio", "aiohttp.access", "luma_async"}
    ours = [each.getMessage() for each in caplog.records if each.name == "luma_async"]
    assert ["was submitted" in text or "is completed" in text for text in ours] == [True, True]


async def test_a_refusal_is_told_as_without_a_journal(place: str) -> None:
    """The journal adds nothing to it."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault(status=400, body=b'{"error": {"message": "no cats"}}'))

        with pytest.raises(BadRequestError, match="no cats"):
            await luma.generate("a cat", key="cat")


async def test_opening_can_be_cancelled_at_any_moment(place: str) -> None:
    """Nothing of it stays open, and the next one opens it."""
    async with Simulator() as sim:
        for steps in range(0, 60, 3):
            luma = connect(sim, journal=place)
            asked = asyncio.create_task(luma.generate("a cat", key="cat"))
            for _ in range(steps):
                await asyncio.sleep(0)
            asked.cancel()
            await asyncio.wait([asked])
            await luma.aclose()
        async with connect(sim, journal=place) as luma:
            await luma.generate("a dog", key="dog")


async def test_a_heart_beats_only_while_something_is_submitted_or_watched(place: str) -> None:
    """A journal that is open writes nothing by itself."""
    async with Simulator() as sim, SQLJournal(place, owner_timeout=0.5) as journal:
        async with connect(sim, journal=journal) as luma, connect(sim, journal=journal) as other:
            await asyncio.gather(
                luma.generate("a cat", key="cat"), other.generate("a cat", key="cat")
            )
            assert journal._store is not None
            heart = journal._store._heart
            assert not journal._store._owner.claims
            assert heart._task is not None
            end = End(server=luma.api_url, id=luma.tasks[0].id, reason="gone")
            await journal.finish([end])
            await until(lambda: heart._task is None)
