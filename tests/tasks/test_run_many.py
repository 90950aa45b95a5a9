"""run_many: any number of requests with bounded concurrency, each with its outcome."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    ClientClosedError,
    ExtendRequest,
    GenerateRequest,
    GenerationFailedError,
    InvalidRequestError,
    Job,
    Outcome,
    State,
    SubmissionStoppedError,
    SubmissionUncertainError,
)
from luma_async.simulator import Fault, Fixed, LogNormal, Simulator
from tests.clients import HOUR, InTurn, connect, until


def names_of_tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


async def list_of(outcomes: AsyncIterator[Outcome]) -> list[Outcome]:
    return [outcome async for outcome in outcomes]


@pytest.mark.parametrize("jobs", [300, pytest.param(1000, marks=pytest.mark.long)])
async def test_hundreds_of_jobs_stay_within_both_limits(jobs: int) -> None:
    """Never more than 16 requests or 200 jobs at once, and every one of them ends."""
    asyncio.get_running_loop().set_debug(False)  # ten times the pace
    held = Fault.slow(math.inf, on=["generate", "get", "tasks"])
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, max_requests=16) as luma:
        prompts = (f"cat {number}" for number in range(jobs))
        run = asyncio.create_task(list_of(luma.run_many(prompts, max_tasks=200)))
        await until(lambda: sim.ledger.jobs)
        sim.faults.add(held)
        await until(lambda: sim.ledger.most_requests == 16)
        sim.faults.clear()
        for taken in (*range(200, jobs, 200), jobs):
            await until(lambda taken=taken: len(sim.ledger.jobs) == taken)  # type: ignore[misc]
            sim.advance(HOUR)

        outcomes = await run

        assert len(outcomes) == len(sim.ledger.jobs) == jobs
        assert all(outcome.ok for outcome in outcomes)
        assert {outcome.request.prompt for outcome in outcomes} == {
            f"cat {number}" for number in range(jobs)
        }
        assert sim.ledger.most_requests == 16
        assert sim.ledger.most_jobs == 200


async def test_requests_come_in_many_forms() -> None:
    """Prompts, requests and mappings, from lists and from async generators."""
    forms = ["a cat", GenerateRequest("a dog", loop=True), {"prompt": "a cow", "duration": "5s"}]

    async def over_time() -> AsyncIterator[str | GenerateRequest | dict[str, str]]:
        for form in forms:
            await asyncio.sleep(0.01)
            yield form  # type: ignore[misc]

    async with Simulator(durations=Fixed(0.05)) as sim, connect(sim) as luma:
        for requests in (forms, iter(forms), over_time()):
            outcomes = [outcome async for outcome in luma.run_many(requests)]  # type: ignore[arg-type]
            assert {outcome.request.prompt for outcome in outcomes} == {"a cat", "a dog", "a cow"}

        assert sim.ledger.jobs[-1].request in (
            {"user_prompt": "a cat"},
            {"user_prompt": "a dog", "loop": True},
            {"user_prompt": "a cow", "duration": "5s"},
        )


async def test_a_bad_request_does_not_affect_others() -> None:
    """Invalid, rejected, uncertain and failed requests are outcomes with an error."""
    async with Simulator(durations=Fixed(0.1), failure_rate=0.3, seed=3) as sim:
        async with connect(sim) as luma:
            sim.faults.add(Fault.cut(after=True, times=2))
            requests = ["", {"prompt": "a cat", "aspect_ratio": "7:7"}, 7, *map(str, range(20))]

            outcomes = [outcome async for outcome in luma.run_many(requests)]  # type: ignore[arg-type]

        errors = [type(outcome.error) for outcome in outcomes]
        assert len(outcomes) == len(requests)
        assert errors.count(InvalidRequestError) == 3
        assert errors.count(SubmissionUncertainError) == 2
        assert errors.count(GenerationFailedError) >= 1
        assert errors.count(type(None)) >= 10
        assert all((each.generation is None) != (each.error is None) for each in outcomes)
        assert [each.request for each in outcomes if isinstance(each.request, int)] == [7]


async def test_requests_are_read_lazily() -> None:
    """An endless iterable is read no further than jobs run and outcomes wait."""
    read: list[int] = []

    def endless() -> Iterator[str]:
        for number in count():
            read.append(number)
            yield f"cat {number}"

    async with Simulator(durations=Fixed(0.05)) as sim, connect(sim) as luma:
        outcomes = luma.run_many(endless(), max_tasks=5)
        taken = [await anext(outcomes) for _ in range(12)]
        await asyncio.sleep(0.3)

        assert len(taken) == 12
        assert len(sim.ledger.jobs) <= 12 + 10
        await outcomes.aclose()
        read_so_far = len(read)
        await asyncio.sleep(0.1)
        assert len(read) == read_so_far


async def test_outcomes_come_as_jobs_finish() -> None:
    """A slow job does not hold back a quick one."""
    async with Simulator(durations=InTurn(HOUR, 0.1)) as sim, connect(sim) as luma:
        outcomes = luma.run_many(map(str, range(20)))
        quick = [(await anext(outcomes)).id for _ in range(19)]
        slow = sim.ledger.jobs[0].id
        sim.advance(HOUR)

        assert [outcome.id async for outcome in outcomes] == [slow]
        assert sorted([*map(str, quick), slow]) == sorted(job.id for job in sim.ledger.jobs)


async def test_the_clients_own_limit_holds_as_well() -> None:
    """`max_tasks` of the client bounds all jobs of it, from wherever they are submitted."""
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim, max_tasks=3) as luma:
        run = [outcome async for outcome in luma.run_many(map(str, range(12)), max_tasks=50)]
        tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(9)))
        await asyncio.gather(*tasks)

        assert len(run) == 12
        assert sim.ledger.most_jobs <= 3


async def test_each_end_of_a_job_frees_its_place() -> None:
    """Rejected, uncertain, cancelled, forgotten and failed jobs free their places."""
    async with Simulator(durations=Fixed(0.1), failure_rate=1.0) as sim:
        async with connect(sim, max_tasks=1) as luma:
            for fault in (Fault.page(400, times=1), Fault.cut(after=True, times=1)):
                sim.faults.add(fault)
                await asyncio.gather(luma.generate("a cat"), return_exceptions=True)
            sim.faults.add(Fault.slow(math.inf, times=1))
            before = sim.ledger.requests["generate"]
            cancelled = asyncio.create_task(luma.generate("a cat"))
            await until(lambda: sim.ledger.requests["generate"] > before)
            waiting = asyncio.create_task(luma.generate("a cat"))
            await asyncio.sleep(0.05)
            waiting.cancel()
            cancelled.cancel()
            await asyncio.gather(waiting, cancelled, return_exceptions=True)
            sim.faults.clear()
            (await luma.generate("a cat")).forget()
            await asyncio.gather(await luma.generate("a cat"), return_exceptions=True)

            last = await asyncio.wait_for(luma.generate("a cat"), 60)

            assert last.state is State.PENDING


async def test_an_error_of_the_iterable_comes_after_its_jobs() -> None:
    """Outcomes of paid jobs are delivered first."""

    def broken() -> Iterator[str]:
        yield "a cat"
        yield "a dog"
        raise OSError("the file is gone")

    outcomes: list[Outcome] = []
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        with pytest.raises(OSError, match="the file is gone"):
            async for outcome in luma.run_many(broken()):
                outcomes.append(outcome)  # noqa: PERF401  what came before the error counts

    assert [outcome.ok for outcome in outcomes] == [True, True]


async def test_a_request_that_cannot_be_read_ends_the_run() -> None:
    """Such as a row of a database whose connection is lost; the error comes after the outcomes."""

    class LostRow(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise OSError("the connection is lost")

    outcomes: list[Outcome] = []
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        with pytest.raises(OSError, match="the connection is lost"):
            async with asyncio.timeout(60):
                async for outcome in luma.run_many(["a cat", LostRow(prompt="a dog")]):
                    outcomes.append(outcome)  # noqa: PERF401  what came before the error counts

    assert [outcome.ok for outcome in outcomes] == [True]


async def test_leaving_early_stops_submitting() -> None:
    """After `break` nothing more is submitted, no asyncio task is left, jobs stay watched."""
    async with Simulator(durations=LogNormal(median=0.2)) as sim, connect(sim) as luma:
        outcomes = luma.run_many(map(str, range(1000)), max_tasks=10)
        async for _ in outcomes:
            break
        await outcomes.aclose()
        await until(lambda: "luma-async submission" not in names_of_tasks())  # their answers come
        submitted = len(sim.ledger.jobs)
        await asyncio.sleep(0.2)

        assert len(sim.ledger.jobs) == submitted < 50
        for job in sim.ledger.jobs:
            assert (await (await luma.watch(job.id))).state is State.COMPLETED
        assert not any("run_many" in name for name in names_of_tasks())


async def test_closing_the_client_ends_the_run() -> None:
    """Jobs in flight come out with `ClientClosedError`, and the rest is not read to its end."""
    async with Simulator(durations=Fixed(60)) as sim:
        luma = connect(sim)
        outcomes = luma.run_many((f"cat {n}" for n in count()), max_tasks=5)
        waiting = asyncio.create_task(anext(outcomes))
        await until(lambda: len(sim.ledger.jobs) == 5)

        await luma.aclose()

        seen = [await waiting]
        with pytest.raises(ClientClosedError):
            async for outcome in outcomes:
                seen.append(outcome)  # noqa: PERF401  what came before the error counts
        assert len(seen) >= 5
        assert all(isinstance(outcome.error, ClientClosedError) for outcome in seen)


async def test_extensions_that_wait_for_a_source_hold_up_no_others() -> None:
    """Any number of them may wait for a long job, and the next requests are submitted."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, max_requests=2) as luma:
        source = await luma.generate("a cat")
        requests = [{"prompt": "it bows", "extends": source}] * 4 + [{"prompt": "a dog"}]
        outcomes = asyncio.create_task(list_of(luma.run_many(requests)))
        await until(lambda: len(sim.ledger.jobs) == 2)

        assert not source.done()
        assert sim.ledger.jobs[1].request["user_prompt"] == "a dog"
        sim.advance(HOUR)
        await until(lambda: len(sim.ledger.jobs) == 6)
        sim.advance(HOUR)
        assert [outcome.ok for outcome in await outcomes] == [True] * 5


async def test_closing_a_run_cancels_waiting_extensions() -> None:
    """An extension whose source is still running is not submitted later."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        source = await luma.generate("a cat")
        outcomes = luma.run_many(["a dog", {"prompt": "it bows", "extends": source}])
        waiting = asyncio.create_task(anext(outcomes))
        await until(lambda: len(sim.ledger.jobs) == 2)
        waiting.cancel()
        await asyncio.wait([waiting])
        await outcomes.aclose()

        sim.advance(HOUR)
        await source

        assert not any("run_many" in name for name in names_of_tasks())
        assert len(sim.ledger.jobs) == 2


async def test_stop_submitting_ends_a_run_after_its_jobs() -> None:
    """Running jobs complete; requests that wait for a place end with an error."""
    read = count()
    async with Simulator(durations=Fixed(0.3)) as sim, connect(sim) as luma:
        outcomes = luma.run_many((f"cat {next(read)}" for _ in range(100)), max_tasks=5)
        async with aclosing(outcomes):
            first = await anext(outcomes)
            luma.stop_submitting()

            ended = [first, *[outcome async for outcome in outcomes]]

        made = [outcome for outcome in ended if outcome.ok]
        stopped = [outcome.error for outcome in ended if not outcome.ok]
        assert len(ended) == next(read) < 100
        assert len(made) == len(sim.ledger.jobs)
        assert all(isinstance(error, SubmissionStoppedError) for error in stopped)


async def test_stop_submitting_ends_a_run_that_waits_for_requests() -> None:
    """A queue of requests that is empty for now is closed."""
    was_closed = False

    async def orders() -> AsyncIterator[str]:
        nonlocal was_closed
        try:
            yield "a cat"
            await asyncio.Event().wait()
        finally:
            was_closed = True

    async with Simulator(durations=Fixed(0.3)) as sim, connect(sim) as luma:
        ended = asyncio.create_task(list_of(luma.run_many(orders())))
        await until(lambda: sim.ledger.jobs)

        luma.stop_submitting()

        [outcome] = await ended
        assert outcome.ok
        assert was_closed


async def test_stop_submitting_ends_an_endless_run() -> None:
    """Only requests that waited for a place were read."""
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        outcomes = luma.run_many((f"cat {n}" for n in count()), max_tasks=5)
        async with asyncio.timeout(60), aclosing(outcomes):
            assert (await anext(outcomes)).ok
            luma.stop_submitting()

            stopped = [outcome async for outcome in outcomes if not outcome.ok]

        assert len(stopped) <= 5


@pytest.mark.parametrize("max_tasks", [1, 5])
async def test_an_iterable_that_raises_a_cancellation_does_not_hang_the_run(
    max_tasks: int,
) -> None:
    """The reader of the outcomes gets the exception."""

    def broken() -> Iterator[str]:
        yield "a cat"
        raise asyncio.CancelledError

    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        outcomes = luma.run_many(broken(), max_tasks=max_tasks)
        async with asyncio.timeout(60):
            assert (await anext(outcomes)).ok
            with pytest.raises(asyncio.CancelledError):
                await anext(outcomes)


async def test_an_async_generator_of_requests_is_closed_with_the_run() -> None:
    """No other code holds a reference to it."""
    closed = []

    async def prompts() -> AsyncIterator[str]:
        try:
            for number in count():
                yield f"cat {number}"
        finally:
            closed.append(True)

    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        outcomes = luma.run_many(prompts(), max_tasks=2)
        await anext(outcomes)
        await outcomes.aclose()

    assert closed == [True]


async def test_outcomes_have_the_ids_of_their_jobs() -> None:
    """After a timeout, too, the job can be found again."""
    async with Simulator(durations=Fixed(60)) as sim, connect(sim, task_timeout=0.3) as luma:
        outcomes = [outcome async for outcome in luma.run_many(["a cat", "a dog", ""])]

        assert {outcome.id for outcome in outcomes} == {job.id for job in sim.ledger.jobs} | {None}


async def test_a_mapping_may_extend_a_video() -> None:
    """The source is a task, a generation or an id; another value is an invalid request."""
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        first = await luma.generate("a cat")
        video = await first
        requests: list[Any] = [
            {"prompt": "one", "extends": first},
            {"prompt": "two", "extends": video},
            {"prompt": "three", "extends": first.id},
            {"prompt": "four", "extends": 7},
            {"prompt": "five", "extends": first, "loop": True},
        ]

        outcomes = [outcome async for outcome in luma.run_many(requests)]

    parents = {job.request["user_prompt"]: job.parent for job in sim.ledger.jobs}
    assert {name for name, parent in parents.items() if parent is not None} == {
        "one",
        "two",
        "three",
    }
    errors = [str(outcome.error) for outcome in outcomes if not outcome.ok]
    assert any("extends: must be a VideoTask, a Generation or an id, got 7" in e for e in errors)
    assert any("loop: is not a field" in error for error in errors)


async def test_a_job_is_submitted_as_it_is(tmp_path: Path) -> None:
    """The outcome has the same request object, and the job key and source of the job."""
    cat, bow = GenerateRequest("a cat", aspect_ratio="1:1"), ExtendRequest("it bows")
    async with Simulator(durations=Fixed(0.1)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            first = await luma.generate("a dog")
            jobs = [Job(cat, key="cat"), Job(bow, key="bow", source=first), Job(cat)]

            outcomes = [outcome async for outcome in luma.run_many(jobs)]

    found = {outcome.key: outcome.request for outcome in outcomes}
    assert found["cat"] is cat
    assert found["bow"] is bow
    assert len(found) == 3
    assert all(outcome.ok for outcome in outcomes)
    parents = {job.request["user_prompt"]: job.parent for job in sim.ledger.jobs}
    assert parents == {"a dog": None, "a cat": None, "it bows": sim.ledger.jobs[0]}


async def test_a_job_whose_key_is_known_is_not_paid_again(tmp_path: Path) -> None:
    """The same job as a pair and as a mapping is the same job."""
    forms: list[Any] = [
        Job(GenerateRequest("a cat", loop=True), key="cat"),
        ("cat", {"prompt": "a cat", "loop": True}),
        {"key": "cat", "prompt": "a cat", "loop": True},
    ]
    async with Simulator(durations=Fixed(0.1)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            outcomes = [outcome for form in forms async for outcome in luma.run_many([form])]

        assert len(sim.ledger.jobs) == 1
    assert [outcome.id for outcome in outcomes] == [sim.ledger.jobs[0].id] * 3


@pytest.mark.parametrize("source", ["running", "finished"])
async def test_jobs_that_wait_for_a_source_hold_up_no_others(source: str) -> None:
    """Extensions of a running job wait apart; all other jobs are submitted."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, max_requests=2) as luma:
        task = await luma.generate("a cat")
        if source == "finished":
            sim.advance(HOUR)
            await task
        extensions = [Job(ExtendRequest("it bows"), source=task)] * 4
        jobs = [*extensions, Job(GenerateRequest("a dog"))]
        outcomes = asyncio.create_task(list_of(luma.run_many(jobs)))
        expected = 6 if source == "finished" else 2
        await until(lambda: len(sim.ledger.jobs) == expected)

        assert "a dog" in {job.request["user_prompt"] for job in sim.ledger.jobs}
        sim.advance(HOUR)
        await until(lambda: len(sim.ledger.jobs) == 6)
        sim.advance(HOUR)
        assert [outcome.ok for outcome in await outcomes] == [True] * 5


@pytest.mark.parametrize(
    ("request_", "source", "field", "shown"),
    [
        ("a cat", None, "request", "must be a GenerateRequest or another request, got 'a cat'"),
        ({"prompt": "a cat"}, None, "request", "must be a GenerateRequest or another request"),
        (GenerateRequest("a cat"), "job-1", "source", "a GenerateRequest has no source"),
        (ExtendRequest("it bows"), None, "source", "must be a VideoTask, a Generation or an id"),
        (ExtendRequest("it bows"), 7, "source", "got 7"),
    ],
    ids=["text", "mapping", "source of a new video", "no source", "not a source"],
)
def test_a_job_is_checked_when_it_is_made(
    request_: Any, source: Any, field: str, shown: str
) -> None:
    """Its request is a checked one, and only an extension has a source."""
    with pytest.raises(InvalidRequestError) as caught:
        Job(request_, source=source)

    assert shown in caught.value.fields[field]


async def test_an_invalid_job_does_not_affect_others() -> None:
    """A blank id and a job in a pair are outcomes with an error."""
    cat = GenerateRequest("a cat")
    requests: list[Any] = [
        Job(ExtendRequest("one"), source=" "),
        ("key", Job(cat)),
        ExtendRequest("two"),
        Job(cat),
    ]
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        outcomes = [outcome async for outcome in luma.run_many(requests)]

        assert len(sim.ledger.jobs) == 1
    errors = " ".join(sorted(str(outcome.error) for outcome in outcomes if not outcome.ok))
    assert "source: must not be blank" in errors
    assert "pass Job(request, key=...)" in errors
    assert "pass Job(request, source=...)" in errors
    assert [outcome.request for outcome in outcomes if outcome.ok] == [cat]
