"""Callbacks of users: plain or async, in order, each in its context, and never in the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from luma_async import ClientClosedError, Generation, InvalidRequestError, State, VideoTask
from luma_async.callback_runner import CallbackRunner
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, connect, until
from tests.watchers import Witness

request: ContextVar[str] = ContextVar("request", default="nobody's")


def look(state: State, progress: float | None = None) -> Generation:
    return Generation(id="job-1", state=state, progress=progress)


def pending() -> VideoTask:
    return VideoTask(look(State.PENDING), Witness())


async def turns() -> None:
    """Let everything run that is due."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_update_callback_is_called_at_every_change_and_last_at_the_end() -> None:
    """It is called soon after it was added, too."""
    task = pending()
    seen: list[tuple[State, float | None, bool]] = []

    def note(task: VideoTask) -> None:
        seen.append((task.state, task.generation.progress, task.done()))

    task.add_update_callback(note)
    await turns()
    for each in [
        look(State.PROCESSING),
        look(State.PROCESSING, 0.5),
        look(State.PROCESSING, 0.5),
        look(State.COMPLETED),
    ]:
        task.observe(each)
        await turns()

    assert seen == [
        (State.PENDING, None, False),
        (State.PROCESSING, None, False),
        (State.PROCESSING, 0.5, False),
        (State.COMPLETED, None, True),
    ]


async def test_an_update_callback_hears_of_an_end_without_a_result() -> None:
    """The last call is with a task that is done, and `error` tells why."""
    task = pending()
    errors: list[object] = []
    task.add_update_callback(lambda task: errors.append(task.error))
    await turns()

    task.abandon(ClientClosedError("closed"))
    await turns()

    assert [type(error) for error in errors] == [type(None), ClientClosedError]


async def test_an_update_callback_of_a_finished_job_is_called_once() -> None:
    """Its first call is its last."""
    task = VideoTask.finished(look(State.COMPLETED))
    seen: list[State] = []

    task.add_update_callback(lambda task: seen.append(task.state))
    await turns()

    assert seen == [State.COMPLETED]


async def test_the_calls_of_an_async_callback_are_merged_but_never_the_last() -> None:
    """They come in order, one at a time; a slow one sees the newest state, then the end."""
    task = pending()
    goes_on = asyncio.Event()
    running = 0
    seen: list[tuple[State, float | None]] = []

    async def slowly(task: VideoTask) -> None:
        nonlocal running
        running += 1
        assert running == 1
        seen.append((task.state, task.generation.progress))
        await goes_on.wait()
        running -= 1

    task.add_update_callback(slowly)
    await turns()
    task.observe(look(State.PROCESSING, 0.1))
    task.observe(look(State.PROCESSING, 0.2))
    await turns()
    assert seen == [(State.PENDING, None)]
    goes_on.set()
    await turns()
    goes_on.clear()
    task.observe(look(State.PROCESSING, 0.3))
    task.observe(look(State.COMPLETED, 1.0))
    goes_on.set()
    await turns()

    assert seen[:2] == [(State.PENDING, None), (State.PROCESSING, 0.2)]
    assert seen[-1] == (State.COMPLETED, 1.0)


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_exception_in_a_callback_is_logged_once_and_changes_nothing(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The other callbacks and the awaits get the end."""
    task = pending()
    called: list[VideoTask] = []

    def fail(task: VideoTask) -> None:
        raise RuntimeError(f"no such message of {task.id}")

    async def fail_later(task: VideoTask) -> None:
        await asyncio.sleep(0)
        fail(task)

    task.add_done_callback(fail_later if is_async else fail)
    task.add_done_callback(called.append)
    task.observe(look(State.COMPLETED))
    await turns()

    assert called == [task]
    assert (await task).state is State.COMPLETED
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "fail" in record.message
    assert record.exc_info is not None
    assert "no such message of job-1" in str(record.exc_info[1])
    caplog.clear()


async def test_a_callback_that_returns_its_task_is_not_async() -> None:
    """`lambda task: found.setdefault(...)` may return the handle, which is awaitable."""
    runner = CallbackRunner()

    assert runner.call(lambda task: task, pending()) is None
    assert not runner.is_busy


async def test_a_callback_can_be_removed() -> None:
    """All that are equal are removed, and their number is returned, as futures do."""
    task = pending()
    called: list[VideoTask] = []
    task.add_done_callback(called.append)
    task.add_done_callback(called.append)

    assert task.remove_done_callback(called.append) == 2
    assert task.remove_done_callback(called.append) == 0
    task.observe(look(State.COMPLETED))
    await turns()

    assert called == []


async def test_a_callback_runs_in_the_context_of_its_caller() -> None:
    """Or in the context that it was added with, as for asyncio's futures."""
    task = pending()
    seen: list[str] = []

    async def note(_: VideoTask) -> None:
        await asyncio.sleep(0)
        seen.append(request.get())

    request.set("mine")
    given = copy_context()
    given.run(request.set, "given")
    task.add_done_callback(note)
    task.add_done_callback(note, context=given)
    request.set("later")
    task.observe(look(State.COMPLETED))
    await turns()

    assert sorted(seen) == ["given", "mine"]


async def test_on_update_is_called_from_the_acceptance_to_the_end() -> None:
    """The first call has the id, and the function may be async."""
    seen: list[tuple[str, State]] = []

    async def note(task: VideoTask) -> None:
        seen.append((task.id, task.state))

    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat", on_update=note)
        longer = await luma.extend(await task, "it bows", on_update=note)
        await longer
        await until(lambda: seen and seen[-1] == (longer.id, State.COMPLETED))

    for each in (task, longer):
        states = [state for id, state in seen if id == each.id]
        assert states[0] is State.PENDING
        assert states[-1] is State.COMPLETED
        assert states.count(State.COMPLETED) == 1


async def test_on_update_of_many_jobs_tells_of_each() -> None:
    """`run_many(on_update=)` calls it with the handle of each job."""
    ended: set[str] = set()

    def note(task: VideoTask) -> None:
        if task.done():
            ended.add(task.id)

    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        requests = [f"cat {n}" for n in range(3)]
        ids = {outcome.id async for outcome in luma.run_many(requests, on_update=note)}
        await turns()

    assert ended == ids
    assert len(ids) == 3


async def test_on_update_is_attached_to_a_job_that_the_journal_knows(tmp_path: Path) -> None:
    """A running job is followed, and a finished one is reported once."""
    seen: list[State] = []

    def note(task: VideoTask) -> None:
        seen.append(task.state)

    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            await luma.generate("a cat", key="cat")
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            task = await luma.generate("a cat", key="cat", on_update=note)
            await turns()
            assert seen[0] is State.PENDING
            sim.advance(HOUR)
            await task
            await until(lambda: seen[-1] is State.COMPLETED)
        seen.clear()
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            await luma.generate("a cat", key="cat", on_update=note)
            await turns()

        assert seen == [State.COMPLETED]
        assert len(sim.ledger.jobs) == 1


async def test_on_update_is_called_if_the_caller_was_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The submission had left, so its job is watched; the context is still that of the caller."""
    seen: list[tuple[str, State]] = []

    def note(task: VideoTask) -> None:
        seen.append((request.get(), task.state))

    async def submit() -> None:
        request.set("cancelled")
        await luma.generate("a cat", on_update=note)

    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        sim.faults.add(Fault.slow(0.2, on=["generate"]))
        submitting = asyncio.create_task(submit())
        await until(lambda: sim.ledger.requests["generate"])
        submitting.cancel()
        await asyncio.wait([submitting])
        await until(lambda: seen and seen[-1][1] is State.COMPLETED)

    assert {owner for owner, _ in seen} == {"cancelled"}
    assert "job was accepted" in caplog.text


async def test_closing_waits_for_callbacks_that_are_running() -> None:
    """A program that ends still says "it is done"."""
    told: list[str] = []

    async def tell(task: VideoTask) -> None:
        await asyncio.sleep(0.05)
        told.append(task.id)

    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        task.add_done_callback(tell)
        await task

    assert told == [task.id]


async def test_the_callback_of_run_many_has_the_context_of_the_call() -> None:
    """The outcomes may be read elsewhere, such as where a web framework streams an answer."""
    seen: list[str] = []

    def note(_: VideoTask) -> None:
        seen.append(request.get())
        request.set("a callback's")  # does not reach the other job

    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        request.set("caller's")
        outcomes = luma.run_many(["a cat", "a dog"], on_update=note)
        request.set("reader's")
        assert len([outcome async for outcome in outcomes]) == 2

    assert seen.count("caller's") == 2
    assert "reader's" not in seen


async def edit_message(task: VideoTask) -> None:
    """Do nothing, as a callback."""


@pytest.mark.parametrize("fn", [5, "edit", None, edit_message], ids=["5", "text", "None", "called"])
async def test_a_callback_that_is_not_a_function_is_an_error_at_once(fn: Any) -> None:
    """Before the job is paid for, and not a traceback at each of its changes."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        wrong: Any = fn(task) if fn is edit_message else fn
        calls: list[Callable[[], Any]] = [
            lambda: task.add_done_callback(wrong),
            lambda: task.add_update_callback(wrong),
        ]
        if wrong is not None:  # which means no function there
            calls.append(lambda: luma.run_many(["a dog"], on_update=wrong))
            with pytest.raises(InvalidRequestError, match="on_update: must be a function"):
                await luma.generate("a dog", on_update=wrong)
        for call in calls:
            with pytest.raises(InvalidRequestError, match=r": must be a function.*, got "):
                call()
        if fn is edit_message:
            wrong.close()

    assert len(sim.ledger.jobs) == 1


async def test_closing_waits_for_callbacks_no_longer_than_the_timeout(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A callback that hangs does not keep the program, and the log tells of it."""
    hanging: list[asyncio.Task[None] | None] = []

    async def hang(_: VideoTask) -> None:
        hanging.append(asyncio.current_task())
        await asyncio.sleep(HOUR)

    async with Simulator(durations=Fixed(0)) as sim:
        async with connect(sim, timeout=0.2) as luma:
            for prompt in ("a cat", "a dog"):
                (await luma.generate(prompt)).add_done_callback(hang)
            await until(lambda: len(hanging) == 2)

        assert "Callbacks that have not ended within 0.2 s are no longer waited for" in caplog.text
        assert f"{hang.__qualname__} (2 times)." in caplog.text
        for each in hanging:
            assert each is not None
            each.cancel()
            await asyncio.wait([each])


async def test_a_callback_can_close_the_client() -> None:
    """Closing does not wait for the callback that it is called from, or for two that close."""
    closed: list[str] = []

    async def close(task: VideoTask) -> None:
        await luma.aclose()
        closed.append(task.id)

    async with Simulator(durations=Fixed(0)) as sim:
        luma = connect(sim, timeout=HOUR)
        task = await luma.generate("a cat")
        task.add_done_callback(close)
        task.add_done_callback(close)
        await until(lambda: len(closed) == 2)


LONG_LIVED = {
    "luma-async poller",
    "luma-async ends",
    "luma-async opening",
    "luma-async journal writer",
    "luma-async journal heartbeat",
}
"""Names of the asyncio tasks that outlive the call that starts them."""


async def test_workers_that_live_on_have_no_context_of_a_request(tmp_path: Path) -> None:
    """The poller and the writers of the journal are started by a request, and outlive it."""
    loop = asyncio.get_running_loop()
    contexts: list[tuple[asyncio.Task[Any], Context]] = []

    def note(
        loop: asyncio.AbstractEventLoop, work: Any, *, context: Context | None = None, **rest: Any
    ) -> asyncio.Task[Any]:
        context = copy_context() if context is None else context
        task = asyncio.Task(work, loop=loop, context=context, **rest)
        contexts.append((task, context))
        return task

    loop.set_task_factory(cast("Any", note))
    request.set("mine")
    async with Simulator(durations=Fixed(0.05)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            await (await luma.generate("a cat"))
    loop.set_task_factory(None)

    names = {
        (task.get_name(), context.get(request))
        for task, context in contexts
        if task.get_name() in LONG_LIVED
    }
    assert names == {(name, None) for name in LONG_LIVED}
    assert ("luma-async submission", "mine") in {
        (task.get_name(), context.get(request)) for task, context in contexts
    }


async def test_a_submission_runs_in_the_context_of_its_caller() -> None:
    """Hooks of the caller's session see the variables of the request that submits."""
    seen: dict[str, str] = {}
    trace = aiohttp.TraceConfig()

    async def note(_: object, __: object, sent: aiohttp.TraceRequestStartParams) -> None:
        seen.setdefault(sent.method, request.get())

    trace.on_request_start.append(note)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        async with Simulator(durations=Fixed(0.05)) as sim, connect(sim, session=session) as luma:
            request.set("mine")
            await (await luma.generate("a cat"))

    assert seen == {"POST": "mine", "GET": "nobody's"}
