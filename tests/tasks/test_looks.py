"""Looks: many jobs in one request where the gateway offers it, and news of each of them."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import pytest

from luma_async import FixedSchedule, State
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.tasks.batch_size import BatchSize
from tests.clients import HOUR, connect, looks_after, until
from tests.loops import skip

LOOKS = ["get", "tasks"]


async def test_many_jobs_share_a_look() -> None:
    """A hundred jobs that end together take one batch request and no single ones."""
    asyncio.get_running_loop().set_debug(False)
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, schedule=FixedSchedule(600.0)) as luma:
            tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(100)))
            sim.advance(HOUR)
            skip(700.0)

            await asyncio.gather(*tasks)

            assert sim.ledger.requests["tasks"] == 1
            assert sim.ledger.requests["get"] == 0


async def test_batches_are_no_larger_than_allowed() -> None:
    """`batch_size` is the maximum number of ids in one request."""
    variant = Variant(largest_batch=7)
    async with Simulator(durations=Fixed(0.1), variant=variant) as sim:
        async with connect(sim, batch_size=7) as luma:
            tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(30)))
            await asyncio.gather(*tasks)

            found = await luma.get_many([task.id for task in tasks])

            assert len(found) == 30
            assert 400 not in sim.ledger.statuses


@pytest.mark.parametrize("status", ["404", "405"])
async def test_a_gateway_without_the_batch_call_is_asked_one_by_one(
    status: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The batch request is tried once, and logged once."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(0.2), variant=Variant(batch=status)) as sim:
        async with connect(sim, max_requests=4) as luma:
            tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(10)))
            await asyncio.gather(*tasks)
            found = await luma.get_many([*(task.id for task in tasks), "unknown"])

            assert set(found) == {task.id for task in tasks}
            assert 1 <= sim.ledger.requests["tasks"] <= 4  # those in flight at the first answer
            assert caplog.text.count("looking one by one") == 1


async def test_a_gateway_that_refuses_large_batches_is_asked_for_less() -> None:
    """A rejected size is halved and remembered: 20, 10 and 5 are tried once each."""
    every = FixedSchedule(10.0)
    async with Simulator(durations=Fixed(HOUR), variant=Variant(largest_batch=3)) as sim:
        # One request at a time, so that no two looks are refused at once.
        async with connect(sim, max_requests=1, schedule=every) as luma:
            for n in range(20):
                await luma.generate(f"cat {n}")

            while sim.ledger.requests["tasks"] <= 20:
                await looks_after(11.0, luma, sim)

            assert sim.ledger.statuses[400] == 3


async def test_a_batch_rejected_for_its_size_is_repeated_one_by_one() -> None:
    """The jobs need not wait until the right size is found."""
    async with Simulator(durations=Fixed(HOUR), variant=Variant(largest_batch=3)) as sim:
        async with connect(sim, schedule=FixedSchedule(HOUR)) as luma:
            ids = [(await luma.generate(f"cat {n}")).id for n in range(20)]

            found = await luma.get_many(ids)

            assert set(found) == set(ids)
            assert sim.ledger.requests["tasks"] == 1
            assert sim.ledger.requests["get"] == 20


@pytest.mark.parametrize(
    "fault",
    [
        Fault.page(200, on=["tasks"]),
        Fault.page(500, on=["tasks"]),
        Fault.page(501, on=["tasks"]),
        Fault.page(403, on=["tasks"]),
        Fault.answer(b'{"code": "task_not_exist", "message": "no", "data": null}', on=["tasks"]),
        Fault.answer(b'[{"id": "x"', on=["tasks"]),
        Fault.cut(on=["tasks"]),
        Fault.rate_limited(retry_after=0, on=["tasks"]),
        Fault.slow(math.inf, on=["tasks"]),
    ],
    ids=[
        "200 page",
        "500",
        "501",
        "403",
        "one unknown",
        "half an answer",
        "cut",
        "429",
        "no answer",
    ],
)
async def test_a_batch_call_that_fails_is_not_held_against_its_jobs(fault: Fault) -> None:
    """Jobs end by single looks then, and are not treated as not found."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, max_tries=1, timeout=30.0) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(3)]
            looks = sim.ledger.requests["tasks"]
            sim.faults.add(fault)
            await until(lambda: sim.ledger.requests["tasks"] > looks)
            sim.advance(HOUR)
            if fault.delay:
                skip(31.0)

            videos = await asyncio.gather(*tasks)

            assert [video.state for video in videos] == [State.COMPLETED] * 3


async def test_an_outage_is_not_made_worse_by_single_looks() -> None:
    """During an outage, a failed batch is followed by one single look, not by one for each job."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, max_tries=1, schedule=FixedSchedule(10.0)) as luma:
            for n in range(30):
                await luma.generate(f"cat {n}")
            sim.faults.add(Fault.page(503, on=LOOKS))
            for _ in range(4):
                await looks_after(11.0, luma, sim)

            assert sim.ledger.requests["tasks"] >= 4
            assert sim.ledger.requests["get"] <= sim.ledger.requests["tasks"] + 2


async def test_a_batch_call_that_was_away_is_taken_up_again() -> None:
    """After a passing error of the batch request, batches are used again."""
    size = BatchSize(100, first_pause=0.3, longest_pause=0.6)
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, adapted_size=size) as luma:
        tasks = [await luma.generate(f"cat {n}") for n in range(5)]
        sim.faults.add(Fault.page(404, on=["tasks"], times=1))
        await until(lambda: sim.ledger.statuses[404])
        looks = sim.ledger.requests["tasks"]

        await until(lambda: sim.ledger.requests["tasks"] > looks + 5)

        sim.advance(HOUR)
        await asyncio.gather(*tasks)


async def test_a_batch_that_was_made_smaller_grows_again() -> None:
    """After enough successful batches the size is doubled."""
    size = BatchSize(8, grow_after=3)
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim, adapted_size=size) as luma:
        tasks = [await luma.generate(f"cat {n}") for n in range(8)]
        await asyncio.gather(*tasks)
        sim.faults.add(Fault.page(413, on=["tasks"], times=1))
        ids = [task.id for task in tasks]
        await luma.get_many(ids)
        assert size.limit == 4

        for _ in range(3):
            await luma.get_many(ids)  # two batches each

        assert size.limit == 8


async def test_a_passing_404_does_not_cost_the_batch_call() -> None:
    """If single looks are answered 404 as well, the batch request is not at fault."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, schedule=FixedSchedule(10.0)) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(5)]
            sim.faults.add(
                Fault.page(404, on=["tasks"], times=1), Fault.page(404, on=["get"], times=5)
            )
            await looks_after(11.0, luma, sim)  # one, with all of them in it
            assert sim.ledger.statuses[404] == 6

            sim.advance(HOUR)
            skip(11.0)
            await asyncio.gather(*tasks)

            assert sim.ledger.statuses[404] == 6
            assert sim.ledger.requests["tasks"] > 1


async def test_success_said_of_a_submission_is_not_said_of_the_job() -> None:
    """Some envelopes say "success" when the job has only begun."""
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        first = await luma.generate("a cat")
        answer = f'{{"status": "success", "data": {{"task_id": "{first.id}"}}}}'
        first.forget()
        sim.faults.add(Fault.answer(answer.encode(), times=1))

        task = await luma.generate("a dog")

        assert not task.done()
        assert (await task).video is not None


@pytest.mark.parametrize("row_data", ["stale", "null"])
async def test_a_row_without_its_video_is_looked_at_singly(row_data: Any) -> None:
    """A batch that shows the end but not the video does not end the task without it."""
    variant = Variant(batch="rows", row_data=row_data)
    async with Simulator(durations=Fixed(0.1), variant=variant) as sim, connect(sim) as luma:
        tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(5)))

        videos = await asyncio.gather(*tasks)

        assert all(video.video and video.video.url for video in videos)


async def test_ids_that_a_batch_leaves_out_are_looked_at_singly() -> None:
    """A gateway that leaves out half of each batch costs looks, not jobs."""
    async with Simulator(durations=Fixed(0.2), variant=Variant(forgets=0.5)) as sim:
        async with connect(sim) as luma:
            tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(20)))

            assert len(await asyncio.gather(*tasks)) == 20


@pytest.mark.parametrize("jobs", [1, 3], ids=["single look", "batch"])
async def test_a_job_that_has_not_changed_costs_no_new_object(jobs: int) -> None:
    """A row without news is not read."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        tasks = [await luma.generate(f"cat {n}") for n in range(jobs)]
        await until(lambda: sim.ledger.jobs_looked_at >= 3 * jobs)
        seen = [task.generation for task in tasks]
        looked_at = sim.ledger.jobs_looked_at
        await until(lambda: sim.ledger.jobs_looked_at >= looked_at + 5 * jobs)

        assert all(task.generation is was for task, was in zip(tasks, seen, strict=True))


async def test_a_change_of_what_a_job_says_of_itself_is_news() -> None:
    """The same holds for changes within the same state."""
    variant = Variant(progress=False)
    async with Simulator(durations=Fixed(60), variant=variant) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        await until(lambda: sim.ledger.requests["get"] >= 3)
        answer = f'{{"id": "{task.id}", "state": "pending", "queue_state": "third"}}'

        sim.faults.add(Fault.answer(answer.encode(), on=["get"]))
        await until(lambda: task.generation.queue_state)

        assert task.generation.queue_state == "third"
        assert task.state is State.PENDING
