"""Calls about an account: its jobs page by page, deletion, balance and concepts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from luma_async import (
    APIConnectionError,
    ConfigurationError,
    FixedSchedule,
    GenerationFailedError,
    NotFoundError,
    State,
    SubmissionUncertainError,
    TaskForgottenError,
    UnsupportedError,
)
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, connect

DREAM = "dream-machine"
PROMPT = "a cat that nobody else wants"


async def test_the_jobs_of_an_account_are_listed_as_far_as_they_are_read() -> None:
    """One request for each page, the newest job first, and none before it is needed."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, dialect=DREAM) as luma:
        tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(7)))
        newest = [job.id for job in reversed(sim.ledger.jobs)]

        jobs = luma.generations(page_size=3)
        assert sim.ledger.requests["dream-machine.list"] == 0
        first = [await anext(jobs) for _ in range(3)]
        assert sim.ledger.requests["dream-machine.list"] == 1
        rest = [generation async for generation in jobs]

        assert [generation.id for generation in (*first, *rest)] == newest
        assert {generation.id for generation in (*first, *rest)} == {task.id for task in tasks}
        assert sim.ledger.requests["dream-machine.list"] == 3
        assert first[0].state is State.PENDING
        assert [job.id async for job in luma.generations()] == newest
        with pytest.raises(ConfigurationError, match="page_size"):
            await anext(luma.generations(page_size=0))


async def test_jobs_may_be_submitted_and_deleted_while_they_are_listed() -> None:
    """No job comes twice, and none is left out."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, dialect=DREAM) as luma:
        before = {(await luma.generate(f"cat {n}")).id for n in range(9)}
        found: list[str] = []

        async for job in luma.generations(page_size=4):
            found.append(job.id)
            if len(found) in (2, 4):
                await luma.generate("a dog")
            await luma.delete(job)

        assert len(found) == len(set(found))
        assert before <= set(found)
        assert {job.prompt async for job in luma.generations()} <= {"a dog"}


async def test_a_deleted_job_is_forgotten() -> None:
    """Whoever awaits it does not wait until the server has answered 404 for a minute."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, dialect=DREAM) as luma:
        task = await luma.generate("a cat")
        waiting = asyncio.create_task(task.wait())
        await asyncio.sleep(0)

        await luma.delete(task)

        with pytest.raises(TaskForgottenError):
            await waiting
        assert luma.tasks == ()
        with pytest.raises(NotFoundError):
            await luma.get(task.id)
        with pytest.raises(NotFoundError):
            await luma.delete(task.id)


@pytest.mark.parametrize("fault", [Fault.cut, Fault.page], ids=["cut", "502"])
async def test_a_deletion_whose_answer_is_lost_is_repeated(fault: Callable[..., Fault]) -> None:
    """The 404 of the repeat says that the first one was carried out."""
    async with (
        Simulator(durations=Fixed(HOUR)) as sim,
        connect(sim, dialect=DREAM, schedule=FixedSchedule(HOUR)) as luma,
    ):
        task = await luma.generate("a cat")
        sim.faults.add(fault(on=["dream-machine.delete"], after=True, times=1))

        await luma.delete(task)

        assert sim.ledger.requests["dream-machine.delete"] == 2
        assert sim.ledger.statuses[404] == 1
        assert [job async for job in luma.generations()] == []


async def test_the_reading_calls_are_repeated() -> None:
    """They are safe to repeat, and give up after `max_tries` with the last error."""
    async with Simulator(credits=5) as sim, connect(sim, dialect=DREAM, max_tries=2) as luma:
        calls = ("dream-machine.list", "dream-machine.credits", "dream-machine.concepts")
        for call in calls:
            sim.faults.add(Fault.cut(on=[call], times=1))

        assert [job async for job in luma.generations()] == []
        assert (await luma.credits()).usd == 2.0
        assert "dolly_zoom" in await luma.concepts()

        assert [sim.ledger.requests[call] for call in calls] == [2, 2, 2]
        sim.faults.add(Fault.cut(on=calls))
        with pytest.raises(APIConnectionError):
            await luma.credits()


@pytest.mark.parametrize("dialect", ["gateway", "agents"])
async def test_other_servers_are_not_asked(dialect: str) -> None:
    """The error names the dialect, and nothing is sent."""
    async with Simulator() as sim, connect(sim, dialect=dialect) as luma:
        calls = [luma.credits(), luma.concepts(), luma.delete("a"), anext(luma.generations())]
        for call in calls:
            with pytest.raises(UnsupportedError, match=f"the {dialect} dialect has no"):
                await call

        assert sim.ledger.requests.total() == 0


async def test_a_lost_submission_is_found_in_the_list(tmp_path: Path) -> None:
    """The API has a list, so that nobody has to guess if a job was accepted."""
    async with (
        Simulator(durations=Fixed(HOUR)) as sim,
        connect(sim, dialect=DREAM, journal=tmp_path / "jobs.db") as luma,
    ):
        sim.faults.add(Fault.cut(on=["dream-machine.generate"], after=True, times=1))
        with pytest.raises(SubmissionUncertainError, match=r"LumaClient\.generations\(\)"):
            await luma.generate(PROMPT, key="row-1")

        found = [job async for job in luma.generations() if job.prompt == PROMPT]
        assert luma.journal is not None
        await luma.journal.settle("row-1", id=found[0].id)
        task = await luma.generate(PROMPT, key="row-1")

        assert task.id == found[0].id
        assert len(sim.ledger.jobs) == 1


async def test_failures_are_told_in_the_words_of_the_server() -> None:
    """A failed source is an error before anything is sent for it."""
    async with Simulator(durations=Fixed(0.02)) as sim, connect(sim, dialect=DREAM) as luma:
        sim.fail_next("the worker crashed")
        task = await luma.generate("a cat")
        with pytest.raises(GenerationFailedError, match="the worker crashed"):
            await task
        with pytest.raises(GenerationFailedError, match="the worker crashed"):
            await luma.edit(task, "now it rains", strength="flex_1")

        assert len(sim.ledger.jobs) == 1
