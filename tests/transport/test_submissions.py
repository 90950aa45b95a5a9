"""Submissions cost money: ten calls make ten jobs, even if answers are lost."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import aiohttp
import pytest

from luma_async import (
    GatewayDialect,
    GenerateRequest,
    Generation,
    LumaClient,
    SQLJournal,
    State,
    SubmissionStoppedError,
    SubmissionUncertainError,
    VideoTask,
)
from luma_async.dialects import JSONObject
from luma_async.journal import Entry
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, connect, until
from tests.loops import skip


async def ask_for_ten(luma: LumaClient) -> list[VideoTask | BaseException]:
    asked = (luma.generate(f"cat {number}") for number in range(10))
    return await asyncio.gather(*asked, return_exceptions=True)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.cut(after=True), id="connection cut"),
        pytest.param(Fault.answer(b"{}", after=True), id="a 200 that is {}"),
        pytest.param(Fault.page(502, after=True), id="a 502 page"),
        pytest.param(Fault.page(504, after=True), id="a 504 page"),
        pytest.param(Fault.slow(math.inf, after=True), id="a timeout"),
    ],
)
async def test_a_lost_answer_never_makes_a_second_job(fault: Fault) -> None:
    """Ten jobs accepted, ten answers lost: ten in the ledger, ten `SubmissionUncertainError`."""
    async with Simulator() as sim, connect(sim, timeout=30) as luma:
        sim.faults.add(fault)
        asked = asyncio.create_task(ask_for_ten(luma))
        await until(lambda: len(sim.ledger.jobs) == 10)
        if fault.delay:
            skip(31.0)

        results = await asked

        assert [type(result) for result in results] == [SubmissionUncertainError] * 10
        assert len(sim.ledger.jobs) == 10
        assert sim.ledger.requests["generate"] == 10


async def test_refusals_before_the_job_is_taken_cost_nothing() -> None:
    """Refused connections first, then 429: ten jobs, ten results, no error."""
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim, max_tries=15) as luma:
        async with sim.unreachable():
            asked = asyncio.create_task(ask_for_ten(luma))
            await asyncio.sleep(0.1)
            assert not asked.done()
        sim.faults.add(Fault.rate_limited(retry_after=0.2, times=10))

        tasks = [task for task in await asked if isinstance(task, VideoTask)]
        videos = await asyncio.gather(*tasks)

        assert len(videos) == len(sim.ledger.jobs) == 10
        assert sim.ledger.statuses[429] == 10


async def test_an_uncertain_submission_says_which_job_it_was() -> None:
    """The error has the request, how the answer was lost, and what to do."""
    request = GenerateRequest("a cat dances", aspect_ratio="1:1")
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault.cut(after=True))

        with pytest.raises(SubmissionUncertainError) as caught:
            await luma.generate(request)

        assert caught.value.prompt == request.prompt
        for word in ("POST /luma/generations", "a cat dances", "list of tasks", "retry_uncertain"):
            assert word in str(caught.value)


async def test_an_uncertain_extension_says_what_it_extends() -> None:
    """An extension is a paid job like any other."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        video = await (await luma.generate("a cat"))
        sim.faults.add(Fault.cut(after=True))

        with pytest.raises(SubmissionUncertainError) as caught:
            await luma.extend(video, "the cat bows")

        assert caught.value.source_id == video.id
        assert len(sim.ledger.jobs) == 2


async def test_an_answer_that_breaks_its_reader_leaves_the_submission_uncertain() -> None:
    """A dialect of the user's may have a slip; the job is there for all that."""

    class Broken(GatewayDialect):
        def generation(self, row: JSONObject) -> Generation:
            raise KeyError(row["state"])

    async with Simulator() as sim, connect(sim, dialect=Broken()) as luma:
        with pytest.raises(SubmissionUncertainError, match=r"reading it failed \(KeyError"):
            await luma.generate("a cat")

        assert len(sim.ledger.jobs) == 1


async def test_middleware_that_repeats_requests_repeats_no_submission() -> None:
    """A session of the user's may try everything twice; a lost answer is uncertain then, too."""

    async def twice(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except aiohttp.ClientError:
            return await handler(request)

    async with (
        Simulator() as sim,
        aiohttp.ClientSession(middlewares=(twice,)) as session,
        connect(sim, session=session) as luma,
    ):
        sim.faults.add(Fault.cut(after=True, times=1))

        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat")

        assert len(sim.ledger.jobs) == sim.ledger.requests["generate"] == 1


async def test_reads_share_connections() -> None:
    """A hundred looks one after another need one connection."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        await task
        before = sim.ledger.connections

        for _ in range(100):
            await luma.get(task.id)

        assert sim.ledger.connections <= before + 1


async def test_a_submission_cancelled_on_its_way_is_seen_through(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Cancellation goes through at once; the job is watched, and the log has its id."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, max_tasks=1) as luma:
        sim.faults.add(Fault.slow(math.inf, after=True, times=1))
        asked = asyncio.create_task(luma.generate("a cat"))
        await until(lambda: sim.ledger.jobs)

        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        next_one = asyncio.create_task(luma.generate("a dog"))
        sim.faults.clear()
        await until(lambda: "was accepted" in caplog.text)

        [job] = sim.ledger.jobs
        looks = sum(sim.ledger.requests[name] for name in ("get", "tasks"))
        task = await luma.watch(job.id)
        assert f"watch({job.id!r})" in caplog.text
        assert sum(sim.ledger.requests[name] for name in ("get", "tasks")) == looks
        assert not next_one.done()  # the first one keeps its place
        sim.advance(HOUR)
        await task
        await next_one
        assert sim.ledger.most_jobs == 1


async def test_a_submission_cancelled_on_its_way_and_never_answered_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where nobody can know, the log says that a job may have been accepted."""
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault(on=["generate"], after=True, delay=math.inf, drop=True))
        asked = asyncio.create_task(luma.generate("a cat"))
        await until(lambda: sim.ledger.jobs)
        asked.cancel()
        closing = asyncio.create_task(luma.aclose())
        await asyncio.sleep(0.05)
        assert not closing.done()
        sim.faults.clear()

        await closing

        assert "the job may have been accepted" in caplog.text


async def test_a_timeout_around_a_submission_loses_no_job(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`asyncio.timeout` around `generate()` gives up the wait, not the job."""
    async with Simulator(durations=Fixed(0.5)) as sim, connect(sim, timeout=HOUR) as luma:
        sim.faults.add(Fault.slow(math.inf, after=True, times=1))

        asked = asyncio.create_task(asyncio.wait_for(luma.generate("a cat"), 60.0))
        await until(lambda: sim.ledger.jobs)
        skip(60.0)
        with pytest.raises(TimeoutError):
            await asked
        sim.faults.clear()
        await until(lambda: "was accepted" in caplog.text)

        [job] = sim.ledger.jobs
        assert (await (await luma.watch(job.id))).state is State.COMPLETED


@pytest.mark.parametrize("bound", ["max_requests", "max_tasks"])
async def test_nothing_leaves_once_submitting_was_stopped(bound: str) -> None:
    """What waits for its turn ends at once and unpaid; what has left gets its answer."""
    bounds = {"max_requests": {"max_requests": 2}, "max_tasks": {"max_tasks": 1}}
    async with Simulator(durations=Fixed(0.5)) as sim, connect(sim, **bounds[bound]) as luma:
        sim.faults.add(Fault.slow(math.inf, after=True, times=1))
        on_its_way = asyncio.create_task(luma.generate("a cat"))
        await until(lambda: sim.ledger.jobs)
        waiting = [asyncio.create_task(luma.generate(f"dog {n}")) for n in range(5)]
        await asyncio.sleep(0.05)

        luma.stop_submitting()

        for each in waiting:
            with pytest.raises(SubmissionStoppedError, match="the job was not accepted"):
                await each
        assert not on_its_way.done()
        with pytest.raises(SubmissionStoppedError):
            await luma.generate("a bird")
        sim.faults.clear()
        assert (await (await on_its_way)).state is State.COMPLETED
        assert len(sim.ledger.jobs) == sim.ledger.requests["generate"] == 1


async def test_nothing_is_tried_again_once_submitting_was_stopped() -> None:
    """A server that said when to come back is not come back to."""
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault.rate_limited(retry_after=60))
        asked = asyncio.create_task(luma.generate("a cat"))
        await until(lambda: sim.ledger.statuses[429])

        luma.stop_submitting()

        with pytest.raises(SubmissionStoppedError):
            await asked
        assert sim.ledger.requests["generate"] == 1


async def test_looks_go_on_once_submitting_was_stopped() -> None:
    """Also those that wait for their turn: what was begun is watched to its end."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, max_requests=1) as luma:
        video = await (await luma.generate("a cat"))
        before = sim.ledger.requests["get"]
        sim.faults.add(Fault.slow(0.3, on=["get"], times=1))
        looks = [asyncio.create_task(luma.get(video.id)) for _ in range(2)]
        await until(lambda: sim.ledger.requests["get"] > before)

        luma.stop_submitting()

        assert [(await look).id for look in looks] == [video.id] * 2


async def test_nothing_leaves_that_is_being_written_down_when_submitting_is_stopped(
    tmp_path: Path,
) -> None:
    """The journal gives its key back."""
    claimed, goes_on = asyncio.Event(), asyncio.Event()

    class Slow(SQLJournal):
        async def claim(self, entry: Entry, *, instead_of: Entry | None = None) -> Entry:
            stands = await super().claim(entry, instead_of=instead_of)
            claimed.set()
            await goes_on.wait()
            return stands

    async with (
        Simulator() as sim,
        Slow(tmp_path / "jobs.db") as journal,
        connect(sim, journal=journal) as luma,
    ):
        asked = asyncio.create_task(luma.generate("a cat", key="cat"))
        await claimed.wait()

        luma.stop_submitting()
        goes_on.set()

        with pytest.raises(SubmissionStoppedError, match="the job was not accepted"):
            await asked
        assert sim.ledger.requests["generate"] == 0
        assert await journal.find("cat") is None
