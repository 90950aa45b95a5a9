"""A job that is completed before its link exists: it stays watched for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from luma_async import (
    Asset,
    ConfigurationError,
    FixedSchedule,
    GatewayDialect,
    Generation,
    LumaClient,
    State,
    VideoTask,
)
from luma_async.journal.journal import EntryState
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.tasks import Looks, TaskManager
from luma_async.tasks.batch_answer import NewStatus
from luma_async.tasks.watched_job import WatchedJob
from luma_async.transport import Transport
from tests.clients import HOUR, KEY, connect, looks_after, until
from tests.loops import skip
from tests.watchers import Witness

LOOKS = ["get", "tasks"]


def completed(id: str, state: str = "completed") -> bytes:
    return f'{{"id": "{id}", "state": "{state}"}}'.encode()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = (each for each in caplog.records if each.name == "luma_async")
    return [each.message for each in ours if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("jobs", [1, 5], ids=["single look", "batch"])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"batch": "rows"},
        {"batch": "rows", "row_data": "null"},
        {"batch": "404", "one": "row"},
        {"batch": "rows", "one": "row", "video": "reason"},
        {"video": "reason"},
    ],
    ids=str,
)
async def test_a_link_that_comes_late_is_waited_for(
    jobs: int, shape: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """In each format, the task ends with the video and without a warning."""
    variant = Variant(link_delay=HOUR, **shape)
    async with Simulator(durations=Fixed(HOUR), variant=variant) as sim:
        async with connect(sim, link_timeout=20.0) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(jobs)]
            sim.advance(HOUR)
            await until(lambda: {task.state for task in tasks} == {State.PROCESSING})
            assert not any(task.done() for task in tasks)
            sim.advance(HOUR)

            videos = await asyncio.wait_for(asyncio.gather(*tasks), 60)

            assert all(video.video and video.video.url for video in videos)
            assert {video.failure_reason for video in videos} == {None}
    assert warnings(caplog) == []


async def test_a_job_without_its_link_is_not_completed(tmp_path: Path) -> None:
    """The task, its updates and the journal show it as running; `get()` shows the true answer."""
    variant = Variant(link_delay=HOUR)
    async with Simulator(durations=Fixed(HOUR), variant=variant) as sim:
        journal = tmp_path / "jobs.db"
        async with connect(sim, journal=journal, link_timeout=120.0) as luma:
            task = await luma.generate("a cat", key="cat")
            sim.advance(HOUR)
            await until(lambda: task.state is State.PROCESSING)
            entries = luma.journal
            assert entries is not None
            entry = await entries.find("cat")

            assert not task.done()
            assert entry is not None
            assert entry.state is EntryState.RUNNING
            now = await luma.get(task.id)
            assert (now.state, now.video) == (State.COMPLETED, None)
            updates = task.updates()
            states = [(await anext(updates)).state]
            sim.advance(HOUR)
            states += [each.state async for each in updates]
            assert states == [State.PROCESSING, State.COMPLETED]
            assert task.generation.video


async def test_a_link_that_never_comes_ends_the_wait_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After `link_timeout` the task ends without a video, with one warning."""
    variant = Variant(link_delay=HOUR)
    async with Simulator(durations=Fixed(0.05), variant=variant) as sim:
        async with connect(sim, link_timeout=0.5) as luma:
            task = await luma.generate("a cat")
            start = time.monotonic()

            video = await task

            assert 0.5 <= time.monotonic() - start < 60.0
            assert (video.state, video.video) == (State.COMPLETED, None)
            assert sim.ledger.requests["get"] <= 30
    [warning] = warnings(caplog)
    assert task.id in warning
    assert "for 0.5 s" in warning
    assert "LumaClient.watch(" in warning


async def test_the_time_begins_anew_when_the_server_says_processing_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A row that was ahead of its task for a while does not use up `link_timeout`."""
    every = FixedSchedule(5.0)
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, schedule=every, link_timeout=60.0) as luma:
            task = await luma.generate("a cat")
            steps = [("completed", 6.0), ("completed", 40.0), ("processing", 7.0)]
            for state, seconds in [*steps * 3, *steps[:2]]:
                sim.faults.clear()
                sim.faults.add(Fault.answer(completed(task.id, state), on=["get"]))
                await looks_after(seconds, luma, sim)
                assert not task.done()
            skip(60.0)

            assert (await task).video is None
    assert len(warnings(caplog)) == 1


async def test_a_link_is_looked_for_soon_whatever_the_schedule_says() -> None:
    """The same holds for a job that was finished before it was watched."""
    variant = Variant(link_delay=HOUR)
    async with Simulator(durations=Fixed(HOUR), variant=variant) as sim:
        async with connect(sim) as elsewhere:
            id = (await elsewhere.generate("a cat")).id
        sim.advance(HOUR)
        async with connect(sim, schedule=FixedSchedule(HOUR), link_timeout=20.0) as luma:
            task = await luma.watch(id)

            assert not task.done()
            sim.advance(HOUR)
            assert (await asyncio.wait_for(task.wait(), 60)).video


async def test_the_wait_for_a_link_is_no_part_of_what_the_schedule_learns() -> None:
    """The schedule learns the duration until the server called the job completed."""
    learned: list[float] = []

    class Learner:
        def next_delay(self, age: float, looks: int) -> float:
            return 0.02

        def observe(self, duration: float) -> None:
            learned.append(duration)

    variant = Variant(link_delay=HOUR)
    async with Simulator(durations=Fixed(HOUR), variant=variant) as sim:
        async with connect(sim, schedule=Learner(), link_timeout=1000.0) as luma:
            task = await luma.generate("a cat")
            sim.advance(HOUR)
            await until(lambda: task.state is State.PROCESSING)
            skip(100.0)
            sim.advance(HOUR)
            assert (await task).video

    [duration] = learned
    assert duration < 60.0


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_the_time_for_a_link_is_a_number_of_seconds(value: float) -> None:
    """The setting is checked like all others."""
    with pytest.raises(ConfigurationError, match="link_timeout must be"):
        LumaClient(KEY, base_url="http://host", link_timeout=value)


class AnyLooksAtAnyTime(RuleBasedStateMachine):
    """In any order of looks, a job without its link ends neither too soon nor too late."""

    def __init__(self) -> None:
        super().__init__()
        transport = Transport(api_key=KEY, base_url="http://host")
        looks = Looks(transport, GatewayDialect(), batch_size=1, concurrency=1)
        self.manager = TaskManager(
            looks, FixedSchedule(), max_looks=1, task_timeout=1e6, link_timeout=120.0
        )
        self.task = VideoTask(Generation(id="job-1", state=State.PENDING), Witness())
        self.job = WatchedJob(self.task, 0.0, born=0.0, kind="", submitted_here=True)
        self.now = 0.0
        self.without_link_since: float | None = None
        self.ranks = [0]

    @rule(
        state=st.sampled_from(State),
        video=st.sampled_from([None, Asset(url="https://host/v.mp4")]),
        passed=st.sampled_from([0.0, 1.0, 50.0, 130.0]),
    )
    def a_look_ends(self, state: State, video: Asset | None, passed: float) -> None:
        self.now += passed
        was_done = self.task.done()
        if not state.terminal:
            self.without_link_since = None
        elif state is State.COMPLETED and video is None and self.without_link_since is None:
            self.without_link_since = self.now

        seen = Generation(id="job-1", state=state, video=video)
        self.manager._results.observe(self.job, NewStatus(seen, None), self.now)

        self.ranks.append(list(State).index(self.task.state))
        if not was_done and state is State.COMPLETED and video is None:
            assert self.without_link_since is not None
            assert self.task.done() is (self.now - self.without_link_since >= 120.0)
        elif not was_done:
            assert self.task.done() is state.terminal

    @invariant()
    def it_only_moves_forward(self) -> None:
        assert self.ranks == sorted(self.ranks)


TestAnyLooksAtAnyTime = AnyLooksAtAnyTime.TestCase
TestAnyLooksAtAnyTime.settings = settings(max_examples=100, stateful_step_count=20)
