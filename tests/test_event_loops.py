"""Another event loop than that of the client, or none: an error at once, and never a hang."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from luma_async import ConfigurationError, LumaClient, State, TaskForgottenError, VideoTask
from luma_async.concurrency import HomeLoop
from luma_async.simulator import Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import HOUR, KEY, connect

Call = Callable[[LumaClient], Coroutine[Any, Any, object]]


async def first_outcome(luma: LumaClient) -> object:
    return await anext(luma.run_many(["a cat"]))


async def first_download(luma: LumaClient) -> object:
    return await anext(luma.download_all(["job-1"], "videos"))


CALLS: dict[str, Call] = {
    "generate": lambda luma: luma.generate("a cat"),
    "extend": lambda luma: luma.extend("job-1", "a cat"),
    "get": lambda luma: luma.get("job-1"),
    "get_many": lambda luma: luma.get_many(["job-1"]),
    "watermark_free_url": lambda luma: luma.watermark_free_url("job-1"),
    "watch": lambda luma: luma.watch("job-1"),
    "resume": lambda luma: luma.resume(),
    "run_many": first_outcome,
    "download": lambda luma: luma.download("job-1", "cat.mp4"),
    "download_all": first_download,
    "aenter": lambda luma: luma.__aenter__(),
    "aclose": lambda luma: luma.aclose(),
}


def elsewhere(work: Callable[[], Coroutine[Any, Any, object]]) -> BaseException | None:
    """Run a coroutine in the event loop of another thread, and return the error that it raised."""
    errors: list[BaseException] = []

    def run() -> None:
        async def bounded() -> None:
            async with asyncio.timeout(10):
                await work()

        try:
            asyncio.run(bounded())
        except BaseException as error:  # noqa: BLE001  the test looks at it
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors[0] if errors else None


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_client_is_called_in_its_own_loop_only(call: Call, tmp_path: Path) -> None:
    """Any other call raises at once, and says what to do."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            await luma.generate("a cat")

            error = elsewhere(lambda: call(luma))

            assert isinstance(error, ConfigurationError)
            assert "This client belongs to another event loop" in str(error)
            assert "one LumaClient for each event loop" in str(error)
            assert len(sim.ledger.jobs) == 1


WAITS: dict[str, Callable[[VideoTask], Any]] = {
    "await": lambda task: task.wait(),
    "wait": lambda task: task.wait(timeout=5),
    "updates": lambda task: anext(task.updates()),
    "asyncio.wait": lambda task: asyncio.wait([task]),
    "callback": lambda task: asyncio.to_thread(task.add_done_callback, print),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
async def test_a_task_is_awaited_in_its_own_loop_only(wait: Callable[[VideoTask], Any]) -> None:
    """The error names the job."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")

        async def work() -> None:
            await wait(task)

        error = elsewhere(work)

        assert isinstance(error, ConfigurationError)
        text = str(error)
        assert f"The task of job {task.id} belongs to another event loop" in text or (
            "no event loop of asyncio is running here" in text
        )


async def test_a_task_is_forgotten_in_its_own_loop_only() -> None:
    """In another thread it would lose the callbacks, and the place of the job in `max_tasks`."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, max_tasks=1) as luma:
        task = await luma.generate("a cat")
        done: list[VideoTask] = []
        task.add_done_callback(done.append)

        with pytest.raises(ConfigurationError, match=r"call_soon_threadsafe\(\)"):
            await asyncio.to_thread(task.forget)
        assert not task.done()

        forget_there = partial(asyncio.get_running_loop().call_soon_threadsafe, task.forget)
        await asyncio.to_thread(forget_there)
        with pytest.raises(TaskForgottenError):
            await task
        async with asyncio.timeout(60):
            await luma.generate("a dog")
        assert done == [task]


async def test_updates_that_were_begun_here_are_not_awaited_elsewhere() -> None:
    """Their next status would never come there."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        updates = (await luma.generate("a cat")).updates()
        await anext(updates)

        error = elsewhere(updates.__anext__)

        assert isinstance(error, ConfigurationError)


async def test_a_task_that_is_done_may_be_awaited_anywhere() -> None:
    """Its result is there, and needs no event loop of its own."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        await task

        async def work() -> None:
            assert (await task).state is State.COMPLETED
            assert (await task.wait(timeout=1)).state is State.COMPLETED
            assert [each.state async for each in task.updates()] == [State.COMPLETED]

        assert elsewhere(work) is None


@pytest.mark.parametrize("call", [CALLS[each] for each in ("generate", "get", "aclose")])
def test_the_loop_of_a_client_may_have_ended(call: Call) -> None:
    """A client that was kept between two `asyncio.run()` says so."""
    with running_simulator() as sim:
        luma = LumaClient(KEY, base_url=sim.url)

        async def use() -> None:
            await luma.get_many(["job-1"])
            await luma._close_transport()  # so that no connection is left open

        asyncio.run(use())

        with pytest.raises(ConfigurationError, match=r"ended. Make one LumaClient for each"):
            asyncio.run(call(luma))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_under_trio_one_sentence_says_what_is_needed(call: Call) -> None:
    """The same holds for a coroutine that no event loop runs."""
    luma = LumaClient(KEY, base_url="http://127.0.0.1:9")

    with pytest.raises(ConfigurationError, match="luma_async runs on asyncio") as caught:
        trio.run(call, luma)
    with pytest.raises(ConfigurationError, match="luma_async runs on asyncio"):
        call(luma).send(None)

    assert str(caught.value).count(". ") == 0


def test_a_loop_is_remembered_from_the_first_use() -> None:
    """A further use in the same loop gives it again."""
    home = HomeLoop()

    async def enter() -> asyncio.AbstractEventLoop:
        return home.enter()

    with asyncio.Runner() as runner:
        loop = runner.run(enter())
        assert runner.run(enter()) is loop is home.loop
    with suppress(RuntimeError), pytest.raises(ConfigurationError, match="has ended"):
        asyncio.run(enter())


async def test_a_journal_is_not_opened_in_another_loop(tmp_path: Path) -> None:
    """`run()` looks for the job key of a file that exists already. The client stays usable."""
    file = tmp_path / "cat.mp4"
    file.touch()
    async with Simulator() as sim:
        luma = connect(sim, journal=tmp_path / "jobs.db")
        await luma.get_many([])

        error = await asyncio.to_thread(
            elsewhere, lambda: luma.run("a cat", key="cat", download=file)
        )
        task = await luma.generate("a cat", key="cat")

        await luma.aclose()
    assert isinstance(error, ConfigurationError)
    assert "belongs to another event loop" in str(error)
    assert task.key == "cat"
