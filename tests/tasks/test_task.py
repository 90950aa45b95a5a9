"""VideoTask: one handle that any number of asyncio tasks can await."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from luma_async import (
    ClientClosedError,
    Generation,
    GenerationFailedError,
    State,
    TaskForgottenError,
    TaskTimeoutError,
    VideoTask,
)
from tests.watchers import Witness

RANK = {State.PENDING: 0, State.PROCESSING: 1, State.COMPLETED: 2, State.FAILED: 2}


def look(state: State, progress: float | None = None) -> Generation:
    return Generation(id="job-1", state=state, progress=progress)


def pending() -> VideoTask:
    return VideoTask(look(State.PENDING), Witness())


# Most looks find a job that is running, or there would be few changes to read.
STATES = st.sampled_from([*State, *[State.PROCESSING] * 6])


class Reader:
    """Reader of updates, with the statuses that it must see and those that it has seen."""

    def __init__(self, task: VideoTask) -> None:
        self.updates = task.updates()
        self.due = [task.generation]
        self.seen: list[Generation] = []

    async def read(self) -> None:
        self.seen.append(await anext(self.updates))


class AnyLooksInAnyOrder(RuleBasedStateMachine):
    """Looks come late, twice and out of order, and the task only moves forward.

    Readers of updates see all of it, even if their waits time out or are cancelled at any moment.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.task = pending()
        self.history = [self.task.generation]
        self.readers: list[Reader] = []

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    def observe(self, state: State, progress: float | None) -> None:
        before = self.task.generation
        self.task.observe(look(state, progress))
        now = self.task.generation
        self.history.append(now)
        if (now.state, now.progress) != (before.state, before.progress):
            for reader in self.readers:
                reader.due.append(now)

    @rule(state=STATES, progress=st.none() | st.floats(0, 1))
    def a_look_arrives(self, state: State, progress: float | None) -> None:
        async def look_once() -> None:
            self.observe(state, progress)

        self.run(look_once())

    @rule()
    def the_client_is_closed(self) -> None:
        was_done = self.task.done()
        error = self.task.error
        self.task.abandon(ClientClosedError("closed"))
        assert self.task.done()
        if was_done:
            assert type(self.task.error) is type(error)

    @initialize()
    def a_reader_is_first(self) -> None:
        self.a_reader_begins()

    @precondition(lambda self: len(self.readers) < 3)
    @rule()
    def a_reader_begins(self) -> None:
        async def begin() -> None:
            self.readers.append(Reader(self.task))

        self.run(begin())

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 2), turns=st.tuples(st.integers(0, 2), st.integers(0, 2)))
    def a_wait_is_cancelled_as_a_look_arrives(self, which: int, turns: tuple[int, int]) -> None:
        reader = self.readers[which % len(self.readers)]
        progress = (self.task.generation.progress or 0.0) + 0.001

        async def interrupt() -> None:
            wait = asyncio.create_task(reader.read())
            for _ in range(turns[0]):
                await asyncio.sleep(0)
            self.observe(State.PROCESSING, progress)
            for _ in range(turns[1]):
                await asyncio.sleep(0)
            wait.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, ClientClosedError):
                await wait

        self.run(interrupt())

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 2), timeout=st.sampled_from([0.0, 1e-6, 1e-3]))
    def a_wait_times_out(self, which: int, timeout: float) -> None:
        reader = self.readers[which % len(self.readers)]

        async def wait() -> None:
            with suppress(TimeoutError, StopAsyncIteration, ClientClosedError):
                await asyncio.wait_for(reader.read(), timeout)

        self.run(wait())

    @invariant()
    def it_never_moves_back(self) -> None:
        ranks = [RANK[generation.state] for generation in self.history]
        assert ranks == sorted(ranks)

    @invariant()
    def what_is_done_stays_as_it_is(self) -> None:
        terminal = [each for each in self.history if each.state.terminal]
        assert all(each is terminal[0] for each in terminal)

    @invariant()
    def progress_does_not_fall_within_a_state(self) -> None:
        for state in State:
            fractions = [each.progress for each in self.history if each.state is state]
            known = [fraction for fraction in fractions if fraction is not None]
            assert known == sorted(known)

    @invariant()
    def done_means_terminal_or_given_up(self) -> None:
        assert self.task.done() == (self.task.state.terminal or self.task.error is not None)

    @invariant()
    def each_reader_sees_all_changes_in_order(self) -> None:
        for reader in self.readers:
            assert reader.seen == reader.due[: len(reader.seen)]

    def teardown(self) -> None:
        """End the job, and let all readers read the rest."""

        async def read_the_rest() -> None:
            self.observe(State.COMPLETED, None)
            for reader in self.readers:
                with suppress(ClientClosedError):
                    async for generation in reader.updates:
                        reader.seen.append(generation)

        self.run(read_the_rest())
        self.loop.close()
        assert all(reader.seen == reader.due for reader in self.readers)


TestAnyLooksInAnyOrder = AnyLooksInAnyOrder.TestCase
TestAnyLooksInAnyOrder.settings = settings(max_examples=100, stateful_step_count=30)


async def test_awaiting_gives_the_finished_generation_any_number_of_times() -> None:
    """Awaiting works before and after the end, from any number of asyncio tasks."""
    task = pending()
    waits = [asyncio.create_task(task.wait()) for _ in range(3)]
    await asyncio.sleep(0)

    task.observe(look(State.COMPLETED))

    results = [*await asyncio.gather(*waits), await task, await task]
    assert results == [look(State.COMPLETED)] * 5
    assert task.error is None


async def test_a_failure_is_raised_wherever_it_is_awaited() -> None:
    """Each await raises it, with the server's reason."""
    task = pending()
    waits = [asyncio.create_task(task.wait()) for _ in range(2)]
    await asyncio.sleep(0)

    task.observe(Generation(id="job-1", state=State.FAILED, failure_reason="too cute"))

    for error in [*await asyncio.gather(*waits, return_exceptions=True), task.error]:
        assert isinstance(error, GenerationFailedError)
        assert str(error) == "Job job-1 failed: too cute"
        assert error.generation.failure_reason == "too cute"


async def test_a_failure_that_nobody_awaits_is_silent() -> None:
    """There is no log line "exception was never retrieved" (the test suite checks that)."""
    task = pending()
    wait = asyncio.create_task(task.wait())
    await asyncio.sleep(0)
    wait.cancel()
    with suppress(asyncio.CancelledError):
        await wait

    task.observe(look(State.FAILED))

    assert task.done()


async def test_a_cancelled_wait_disturbs_no_other() -> None:
    """The other waits get the result."""
    task = pending()
    waits = [asyncio.create_task(task.wait()) for _ in range(3)]
    await asyncio.sleep(0)

    waits[1].cancel()
    await asyncio.sleep(0)
    task.observe(look(State.COMPLETED))

    first, second, third = await asyncio.gather(*waits, return_exceptions=True)
    assert first == third == look(State.COMPLETED)
    assert isinstance(second, asyncio.CancelledError)


async def test_a_wait_that_times_out_leaves_the_job_running() -> None:
    """`TaskTimeoutError` has the id, and the next wait continues."""
    task = pending()

    for timeout in (0.0, 0.01):
        with pytest.raises(TaskTimeoutError, match="still watched") as caught:
            await task.wait(timeout)
    task.observe(look(State.COMPLETED))

    assert caught.value.task_id == task.id
    assert (await task.wait(0.0)).state is State.COMPLETED


async def test_updates_are_every_change_of_state_or_progress() -> None:
    """Updates begin with the current status, and have no repetitions."""
    task = pending()
    seen: list[Generation] = []

    async def follow() -> None:
        seen.extend([generation async for generation in task.updates()])

    follower = asyncio.create_task(follow())
    await asyncio.sleep(0)
    for each in [
        look(State.PENDING),
        look(State.PROCESSING),
        look(State.PROCESSING, 0.5),
        look(State.PROCESSING, 0.5),
        look(State.PENDING),
        look(State.PROCESSING, 0.4),
        look(State.COMPLETED, 1.0),
    ]:
        task.observe(each)
    await follower

    assert seen == [
        look(State.PENDING),
        look(State.PROCESSING),
        look(State.PROCESSING, 0.5),
        look(State.COMPLETED, 1.0),
    ]


async def test_each_reader_of_updates_sees_all_of_them() -> None:
    """Readers are independent, and a late reader begins with the current status."""
    task = pending()
    readers = [task.updates() for _ in range(2)]
    firsts = [await anext(reader) for reader in readers]
    task.observe(look(State.FAILED))

    assert [[each async for each in reader] for reader in readers] == [[look(State.FAILED)]] * 2
    assert firsts == [look(State.PENDING)] * 2
    assert [each async for each in task.updates()] == [look(State.FAILED)]


async def test_updates_end_with_the_error_that_ended_the_watch() -> None:
    """An end without a result is an error for readers of updates, too."""
    task = pending()
    updates = task.updates()
    await anext(updates)

    task.abandon(ClientClosedError("closed"))

    with pytest.raises(ClientClosedError):
        await anext(updates)


async def test_forgetting_ends_the_wait() -> None:
    """Awaiting raises `TaskForgottenError`, and the manager is notified."""
    witness = Witness()
    task = VideoTask(look(State.PENDING), witness)
    wait = asyncio.create_task(task.wait())
    await asyncio.sleep(0)

    task.forget()
    task.forget()

    with pytest.raises(TaskForgottenError, match=r"watch\(id\)"):
        await wait
    assert witness.done == [task]


async def test_forgetting_what_is_done_changes_nothing() -> None:
    """The result is kept."""
    task = pending()
    task.observe(look(State.COMPLETED))

    task.forget()

    assert (await task).state is State.COMPLETED


async def test_callbacks_are_called_once_with_the_task() -> None:
    """The callback comes soon after the end, or soon if the job has already ended."""
    task = pending()
    called: list[VideoTask] = []
    task.add_done_callback(called.append)
    assert called == []

    task.observe(look(State.COMPLETED))
    task.add_done_callback(called.append)
    assert called == []
    await asyncio.sleep(0)

    assert called == [task, task]


async def test_a_task_shows_where_it_stands() -> None:
    """`repr()` shows the id, the state and the error that ended the task."""
    task = pending()
    assert repr(task) == "<VideoTask job-1 pending>"

    task.abandon(ClientClosedError("closed"))

    assert repr(task) == "<VideoTask job-1 pending (ClientClosedError)>"


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
async def test_a_task_is_neither_copied_nor_pickled(make: Callable[[VideoTask], object]) -> None:
    """A copy would never end. Who sends a task to another process learns what to send."""
    with pytest.raises(TypeError, match=r"job job-1 cannot be copied or pickled.*watch\(id\)"):
        make(pending())
