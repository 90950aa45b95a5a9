"""Tasks in the functions of asyncio that take futures: waits end, and jobs go on."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from luma_async import (
    ClientClosedError,
    Generation,
    GenerationFailedError,
    State,
    VideoTask,
)
from tests.watchers import Witness


def look(state: State, id: str = "job-1") -> Generation:
    return Generation(id=id, state=state, failure_reason="too cute")


def pending(id: str = "job-1") -> VideoTask:
    return VideoTask(look(State.PENDING, id), Witness())


def soon(task: VideoTask, state: State) -> None:
    asyncio.get_running_loop().call_later(0.01, task.observe, look(state, task.id))


# A type checker knows futures only, and wants asyncio.ensure_future(task) here.
wait = cast("Any", asyncio.wait)


async def test_asyncio_wait_returns_the_tasks_that_are_done() -> None:
    """The sets hold the handles themselves, so the job of each is known."""
    first, second = pending("job-1"), pending("job-2")
    soon(second, State.FAILED)

    done, left = await wait({first, second}, return_when=asyncio.FIRST_COMPLETED)

    assert (done, left) == ({second}, {first})
    first.observe(look(State.COMPLETED))
    assert await wait([first, second]) == ({first, second}, set())
    done, left = await wait({pending("job-3")}, timeout=0.01)
    assert (len(done), len(left)) == (0, 1)


async def test_asyncio_wait_ends_at_the_first_failure() -> None:
    """`FIRST_EXCEPTION` asks each task for its exception."""
    first, second = pending("job-1"), pending("job-2")
    soon(second, State.FAILED)

    done, left = await wait({first, second}, return_when=asyncio.FIRST_EXCEPTION)

    assert (done, left) == ({second}, {first})
    assert first._callbacks == ()  # the wait leaves nothing behind


async def test_gather_and_as_completed_take_tasks() -> None:
    """The results are generations, in the order of the tasks, and in that of their ends."""
    tasks = [pending(f"job-{n}") for n in range(3)]
    for delay, task in zip((0.03, 0.01, 0.02), tasks, strict=True):
        loop = asyncio.get_running_loop()
        loop.call_later(delay, task.observe, look(State.COMPLETED, task.id))

    ended = [(await each).id for each in asyncio.as_completed(tasks)]

    assert ended == ["job-1", "job-2", "job-0"]
    assert [each.id for each in await asyncio.gather(*tasks)] == ["job-0", "job-1", "job-2"]


async def test_cancelling_a_wait_never_cancels_the_job() -> None:
    """`wait_for`, `shield`, `gather` and `ensure_future` cancel a wrapper of the task only."""
    task = pending()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 0.01)
    for waits in (
        asyncio.gather(task, task),
        asyncio.ensure_future(task),
        asyncio.create_task(task.wait()),
        asyncio.ensure_future(asyncio.shield(task)),
    ):
        await asyncio.sleep(0)
        assert waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits

    assert not task.done()
    assert len(task._waiters) == 1  # the one behind the shield
    soon(task, State.COMPLETED)
    assert (await task).state is State.COMPLETED


async def test_a_task_group_takes_the_coroutine_of_a_task() -> None:
    """`create_task` takes coroutines only: pass `task.wait()`."""
    task = pending()
    soon(task, State.COMPLETED)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(task.wait())

    assert waiting.result().state is State.COMPLETED


async def test_the_result_of_a_task_is_there_when_it_is_done() -> None:
    """Before that, asking for it is an error that names the job."""
    task = pending()
    assert task.get_loop() is asyncio.get_running_loop()
    for ask in (task.result, task.exception):
        with pytest.raises(asyncio.InvalidStateError, match="job-1 is still pending"):
            ask()
    task.observe(look(State.COMPLETED))
    failed, given_up = pending(), pending()
    failed.observe(look(State.FAILED))
    given_up.abandon(ClientClosedError("closed"))

    assert task.result() is task.generation
    assert task.exception() is None
    with pytest.raises(GenerationFailedError, match="too cute"):
        failed.result()
    assert isinstance(failed.exception(), GenerationFailedError)
    assert isinstance(given_up.exception(), ClientClosedError)
    assert not any(each.cancelled() for each in (task, failed, given_up))
