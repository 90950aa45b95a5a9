"""Updates: an iterator that survives timeouts, and looks that come as often as a reader wants."""

from __future__ import annotations

import asyncio
import gc
import math
from contextlib import aclosing
from typing import Any, cast

import anyio
import pytest

from luma_async import (
    FixedSchedule,
    Generation,
    InvalidRequestError,
    LumaClient,
    State,
    Updates,
    VideoTask,
)
from luma_async.simulator import Fixed, Simulator, Variant
from luma_async.tasks.watched_job import WatchedJob
from tests.clients import connect, looks_after
from tests.watchers import Witness


def look(state: State, progress: float | None = None) -> Generation:
    return Generation(id="job-1", state=state, progress=progress)


def pending() -> VideoTask:
    return VideoTask(look(State.PENDING), Witness())


def watched(luma: LumaClient, task: VideoTask) -> WatchedJob:
    return luma._manager._watched[task.id]


def next_look(luma: LumaClient) -> float:
    """Return the seconds until the next look."""
    due = luma._manager._agenda.next_due()
    assert due is not None
    return due - asyncio.get_running_loop().time()


async def test_a_wait_that_times_out_loses_nothing() -> None:
    """The next `anext()` returns the status that came in the meantime."""
    task = pending()
    updates = task.updates()
    assert (await anext(updates)).state is State.PENDING

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(updates), 0.001)
    with anyio.move_on_after(0.001) as scope:
        await anext(updates)
    assert scope.cancelled_caught
    task.observe(look(State.PROCESSING, 0.5))
    task.observe(look(State.COMPLETED))

    assert [each async for each in updates] == [
        look(State.PROCESSING, 0.5),
        look(State.COMPLETED),
    ]


async def test_collecting_begins_when_the_iterator_is_created() -> None:
    """Changes before the first `anext()` are not lost."""
    task = pending()
    updates = task.updates()

    task.observe(look(State.PROCESSING))
    task.observe(look(State.COMPLETED))

    states = [generation.state async for generation in updates]
    assert states == [State.PENDING, State.PROCESSING, State.COMPLETED]


async def test_a_closed_iterator_ends_also_for_the_reader_that_waits() -> None:
    """`aclose()` and the end of `async with` close it; other readers go on."""
    task = pending()
    async with task.updates() as updates, aclosing(task.updates()) as others:
        reads = [asyncio.create_task(anext(each, None)) for each in (updates, others)]
        await asyncio.gather(*reads)
        waits = [asyncio.create_task(anext(each, None)) for each in (updates, others)]
        await asyncio.sleep(0)

        await updates.aclose()
        assert await waits[0] is None
        task.observe(look(State.COMPLETED))

        assert await waits[1] == look(State.COMPLETED)
        assert await anext(updates, None) is None
    assert "closed" in repr(updates)


async def test_an_iterator_that_is_dropped_keeps_nothing() -> None:
    """Its unread statuses are freed at once, without the garbage collector."""
    task = pending()
    updates = task.updates()
    gc.collect()
    gc.disable()
    try:
        for percent in range(50):
            task.observe(look(State.PROCESSING, percent / 100))
        kept = sum(type(thing) is Generation for thing in gc.get_objects())
        del updates
        left = sum(type(thing) is Generation for thing in gc.get_objects())
    finally:
        gc.enable()

    assert kept - left >= 49


async def test_a_reader_that_nobody_else_refers_to_is_woken() -> None:
    """The event loop does not keep asyncio tasks alive, so the task does while one waits."""
    task = pending()
    seen: list[State] = []

    async def follow() -> None:
        seen.extend([generation.state async for generation in task.updates()])

    asyncio.create_task(follow())  # noqa: RUF006  as users write it
    await asyncio.sleep(0)
    gc.collect()
    task.observe(look(State.COMPLETED))
    await asyncio.sleep(0)

    assert seen == [State.PENDING, State.COMPLETED]


async def test_a_job_is_looked_at_as_often_as_a_reader_wants() -> None:
    """The next look is brought forward, and the schedule is back when the reader closes."""
    async with Simulator() as sim, connect(sim, schedule=FixedSchedule(60.0)) as luma:
        task = await luma.generate("a cat")
        assert next_look(luma) > 50

        async with task.updates(every=2.0) as updates:
            assert (await anext(updates)).state is State.PENDING
            assert 1.5 < next_look(luma) <= 2.0
            for _ in range(3):
                await looks_after(2.0, luma, sim)
                assert 1.5 < next_look(luma) <= 2.0
            assert watched(luma, task).looks == 0  # the schedule counts its own looks only
        await looks_after(2.0, luma, sim)

        assert next_look(luma) > 50
        assert watched(luma, task).audience is None
        assert sim.ledger.requests["get"] == 4


async def test_the_shortest_interval_of_all_readers_counts() -> None:
    """One that was dropped without being closed does not count."""
    async with Simulator() as sim, connect(sim, schedule=FixedSchedule(60.0)) as luma:
        task = await luma.generate("a cat")
        slow, quick = task.updates(every=20.0), task.updates(every=5.0)
        task.updates(every=1.0)
        gc.collect()

        await looks_after(5.0, luma, sim)
        assert 4.5 < next_look(luma) <= 5.0
        del quick
        gc.collect()
        await looks_after(5.0, luma, sim)

        assert 19.5 < next_look(luma) <= 20.0
        assert slow.every == 20.0


async def test_a_reader_never_makes_looks_rarer() -> None:
    """An interval above that of the schedule changes nothing."""
    async with Simulator() as sim, connect(sim, schedule=FixedSchedule(3.0)) as luma:
        task = await luma.generate("a cat")

        async with task.updates(every=60.0):
            await looks_after(3.2, luma, sim)

            assert 2.5 < next_look(luma) <= 3.15
            assert watched(luma, task).looks == 1


async def test_other_jobs_keep_their_schedule() -> None:
    """Looks are brought forward for the job of the reader only."""
    async with Simulator() as sim:
        async with connect(sim, schedule=FixedSchedule(60.0), batch_size=1) as luma:
            mine, other = [await luma.generate(f"cat {n}") for n in range(2)]

            async with mine.updates(every=2.0):
                await looks_after(2.0, luma, sim)

            assert watched(luma, other).due - asyncio.get_running_loop().time() > 50
            assert sim.ledger.requests["get"] == 1


async def test_a_job_that_is_being_looked_at_is_looked_at_once_more_in_time() -> None:
    """It is not on the agenda at that moment, and gets there only once."""
    async with Simulator() as sim, connect(sim, schedule=FixedSchedule(60.0)) as luma:
        task = await luma.generate("a cat")
        job = watched(luma, task)
        luma._manager._agenda.remove(job, job.due)  # as if its look were under way

        async with task.updates(every=2.0):
            assert luma._manager._agenda.next_due() is None
            luma._manager._plan.put([job], asyncio.get_running_loop().time())

            assert 1.5 < next_look(luma) <= 2.0


@pytest.mark.parametrize("every", [0, -1.0, math.inf, math.nan, "2"])
async def test_an_interval_must_be_a_time(every: object) -> None:
    """Zero would be a busy loop."""
    with pytest.raises(InvalidRequestError, match="every: must be more than 0 seconds"):
        pending().updates(every=cast("Any", every))


async def test_a_job_that_has_ended_needs_no_looks() -> None:
    """Its updates are its last status."""
    task = VideoTask.finished(look(State.COMPLETED))

    updates = task.updates(every=1.0)

    assert isinstance(updates, Updates)
    assert updates.every is None
    assert [each async for each in updates] == [look(State.COMPLETED)]


async def test_a_fixed_schedule_is_kept_whatever_the_server_estimates() -> None:
    """With an estimate of 37 s, looks come after 3, 6 and 9 s, give or take the jitter."""
    simulator = Simulator(durations=Fixed(37.0), variant=Variant(estimates=True))
    async with simulator as sim, connect(sim, schedule=FixedSchedule(3.0)) as luma:
        task = await luma.generate("a cat")
        await looks_after(3.2, luma, sim)
        assert 30 < (task.generation.estimate_wait_seconds or 0) <= 37

        for looks in (1, 2, 3):
            assert sim.ledger.requests["get"] == looks
            assert 2.5 < next_look(luma) <= 3.15
            await looks_after(3.2, luma, sim)
