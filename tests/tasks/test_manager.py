"""The poller: looks at each watched job until it ends, despite all errors of the server."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    AdaptiveSchedule,
    ClientClosedError,
    FixedSchedule,
    GatewayDialect,
    GenerateRequest,
    Generation,
    LumaError,
    NotFoundError,
    PollSchedule,
    State,
    TaskForgottenError,
    TaskTimeoutError,
)
from luma_async.dialects import JSONObject
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.tasks import Looks, TaskManager
from luma_async.tasks.agenda import Agenda
from luma_async.tasks.look_runner import LAST_LOOK
from luma_async.tasks.timing import BROKEN_SCHEDULE_DELAY
from luma_async.transport import Transport
from tests.clients import HOUR, KEY, InTurn, connect, until
from tests.loops import skip

LOOKS = ["get", "tasks"]
REFUSALS = [400, 401, 402, 403, 405, 408, 409, 410, 422, 425, 429, 451, 499, 500, 503, 524, 529]


def times(status: int) -> int:
    """Return the number of rejections to test. After a 429, each repetition takes a second."""
    return 1 if status == 429 else 5


def poller() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "luma-async poller"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.page(502, on=LOOKS, share=0.5),
        Fault.cut(on=LOOKS, share=0.5),
        Fault.answer(b"{}", on=LOOKS, share=0.5),
        Fault.answer(b'{"detail": "no such task"}', status=404, on=["get"], times=3),
        *(
            Fault.answer(b'{"detail": "no"}', status=status, on=LOOKS, times=times(status))
            for status in REFUSALS
        ),
        *(
            Fault.answer(
                f'{{"code": {status}, "message": "no"}}'.encode(), on=LOOKS, times=times(status)
            )
            for status in REFUSALS
        ),
    ],
    ids=["502", "cut", "{}", "404", *map(str, REFUSALS), *(f"200: {each}" for each in REFUSALS)],
)
async def test_a_failed_look_loses_no_job(fault: Fault) -> None:
    """The look is repeated until the job has ended."""
    async with Simulator(durations=Fixed(0.2)) as sim, connect(sim, max_tries=1) as luma:
        tasks = [await luma.generate(f"cat {n}") for n in range(3)]
        sim.faults.add(fault)

        videos = await asyncio.gather(*tasks)

        assert [video.state for video in videos] == [State.COMPLETED] * 3


async def test_an_outage_is_reported_once_with_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log has one line for all failed looks."""
    async with Simulator(durations=Fixed(0.6)) as sim, connect(sim, max_tries=1) as luma:
        task = await luma.generate("a cat")
        sim.faults.add(Fault.page(502, on=LOOKS, times=15))

        await task

        warnings = [
            record.message
            for record in caplog.records
            if (record.name, record.levelname) == ("luma_async", "WARNING")
        ]
        assert len(warnings) == 2
        assert "Still watched: 1 job." in warnings[0]
        assert "answers again" in warnings[1]


async def test_a_job_that_is_not_finished_in_time_is_no_longer_watched() -> None:
    """After `task_timeout` the task ends, and the job can be watched again by its id."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, task_timeout=0.3) as luma:
        task = await luma.generate("a cat")

        with pytest.raises(TaskTimeoutError, match="no longer watched") as caught:
            await task
        again = await luma.watch(caught.value.task_id)

        assert again is not task
        with pytest.raises(TaskTimeoutError):
            await again


async def test_the_poller_lives_only_while_something_is_watched() -> None:
    """One asyncio task serves all jobs, and there is none without jobs."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        for _ in range(2):
            assert poller() == []
            tasks = [await luma.generate(f"cat {n}") for n in range(3)]
            assert len(poller()) == 1
            sim.advance(HOUR)
            await asyncio.gather(*tasks)
            await until(lambda: not poller())


async def test_cancelling_the_poller_from_outside_ends_all_tasks() -> None:
    """Programs that cancel all asyncio tasks at their end do not hang."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        wait = asyncio.create_task(task.wait())
        await until(lambda: sim.ledger.requests["get"])
        for each in poller():
            each.cancel()

        with pytest.raises(ClientClosedError, match=task.id):
            await wait
        again = await luma.watch(task.id)
        sim.advance(HOUR)
        assert (await again).state is State.COMPLETED


async def test_a_poller_that_fails_starts_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an internal error, all jobs are still looked at."""
    async with Simulator(durations=Fixed(0.3)) as sim, connect(sim) as luma:
        with monkeypatch.context() as patched:
            patched.setattr(Agenda, "take", None)
            tasks = [await luma.generate(f"cat {n}") for n in range(3)]
            await until(lambda: "poller failed" in caplog.text)

        videos = await asyncio.gather(*tasks)

        assert [video.state for video in videos] == [State.COMPLETED] * 3
        caplog.clear()


async def test_a_poller_that_fails_starts_again_despite_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A filter of the caller's that raises an error does not leave the jobs without a poller."""
    refused = []

    def refuse(record: logging.LogRecord) -> bool:
        if "poller failed" in record.getMessage():
            refused.append(record)
            raise OSError("No space left on device")
        return True

    logger = logging.getLogger("luma_async")
    monkeypatch.setattr(logger, "filters", [refuse])
    async with Simulator(durations=Fixed(0.3)) as sim, connect(sim) as luma:
        with monkeypatch.context() as patched:
            patched.setattr(Agenda, "take", None)
            tasks = [await luma.generate(f"cat {n}") for n in range(3)]
            await until(lambda: refused and not poller())

        videos = [await task.wait(60) for task in tasks]

        assert [video.state for video in videos] == [State.COMPLETED] * 3


class Vague(GatewayDialect):
    """A dialect of a user's own, in which some estimates are texts, so that no look can be planned.

    They are those of the statuses for which `is_vague` is true.
    """

    def __init__(self, is_vague: Callable[[Generation], bool]) -> None:
        super().__init__()
        self._is_vague = is_vague

    def generation(self, row: JSONObject) -> Generation:
        seen = super().generation(row)
        if not self._is_vague(seen):
            return seen
        return seen.model_copy(update={"estimate_wait_seconds": "soon"})


SOON = AdaptiveSchedule(shortest=0.02, longest=0.05, expected=0.1)
"""Unlike a fixed schedule, it uses the estimates."""


@pytest.mark.parametrize("has_journal", [False, True], ids=["no journal", "journal"])
async def test_a_paid_job_that_cannot_be_watched_is_told(
    has_journal: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller gets its handle, whose error has the id, and so does the log.

    The job can be asked for again with its job key, at once.
    """
    journal, key = (tmp_path / "jobs.db", "cat") if has_journal else (None, None)
    vague = Vague(lambda seen: seen.state is not State.COMPLETED)
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, dialect=vague, schedule=SOON, journal=journal) as luma:
            task = await luma.generate("a cat", key=key)

            with pytest.raises(LumaError, match=rf"Job {task.id} .*\.watch\('{task.id}'\)"):
                await task
            assert luma.tasks == ()
            assert f"Job {task.id}" in caplog.text
            sim.advance(HOUR)
            again = await (luma.generate("a cat", key=key) if key else luma.watch(task.id))
            assert (await again.wait(60)).id == task.id
        caplog.clear()

        assert len(sim.ledger.jobs) == 1


@pytest.mark.parametrize("has_journal", [False, True], ids=["no journal", "journal"])
async def test_the_id_of_a_paid_job_whose_handle_cannot_be_made_is_told(
    has_journal: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the error and in the log; a dialect of a user's own may return any status.

    The job can be asked for again by its id or job key.
    """

    class Slip(GatewayDialect):
        def generation(self, row: JSONObject) -> Generation:
            seen = super().generation(row)
            if seen.state is State.COMPLETED:
                return seen
            return seen.model_copy(update={"state": State.COMPLETED, "outputs": 1})

    journal, key = (tmp_path / "jobs.db", "cat") if has_journal else (None, None)
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, dialect=Slip(), journal=journal) as luma:
            with pytest.raises(LumaError, match="was accepted and is paid for") as caught:
                await luma.generate("a cat", key=key)

            [id] = [job.id for job in sim.ledger.jobs]
            assert id in str(caught.value)
            assert f"Job {id} was accepted" in caplog.text
            sim.advance(HOUR)
            again = await (luma.generate("a cat", key=key) if key else luma.watch(id))
            assert (await again.wait(60)).id == id
        caplog.clear()


async def test_a_job_whose_looks_cannot_be_planned_ends_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It ends with an error that has its id, and the poller looks at the other jobs."""
    vague = Vague(lambda seen: seen.prompt == "a cat" and seen.state is State.PROCESSING)
    async with (
        Simulator(durations=Fixed(HOUR)) as sim,
        connect(sim, dialect=vague, schedule=SOON) as luma,
    ):
        cat, dog = await luma.generate("a cat"), await luma.generate("a dog")
        sim.advance(HOUR / 2)

        with pytest.raises(LumaError, match=cat.id):
            await cat.wait(60)
        sim.advance(HOUR)
        assert (await dog.wait(60)).state is State.COMPLETED
        assert "poller failed" in caplog.text
        caplog.clear()


async def test_a_forgotten_job_is_not_looked_at() -> None:
    """`forget()` stops the looks, and `watch()` gives a new handle."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        await until(lambda: sim.ledger.requests["get"])
        task.forget()
        await until(lambda: not poller())  # a look that was under way has ended
        looks = sim.ledger.requests["get"]
        await asyncio.sleep(0.1)

        assert sim.ledger.requests["get"] == looks
        with pytest.raises(TaskForgottenError):
            await task
        again = await luma.watch(task.id)
        sim.advance(HOUR)
        assert (await again).state is State.COMPLETED


async def test_watching_twice_gives_the_same_handle() -> None:
    """The same holds for concurrent calls, and jobs that were submitted here."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim) as luma, connect(sim) as elsewhere:
            id = (await elsewhere.generate("a cat")).id
            mine = await luma.generate("a dog")

            first, second = await asyncio.gather(luma.watch(id), luma.watch(id))

            assert first is second
            assert await luma.watch(mine.id) is mine
            sim.advance(HOUR)
            assert (await first).id == id


async def test_watching_a_finished_job_gives_a_finished_handle() -> None:
    """A finished job is not watched."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        id = (await (await luma.generate("a cat"))).id

        task = await luma.watch(id)

        assert task.done()
        assert poller() == []


async def test_watching_an_unknown_job_says_so_at_once() -> None:
    """A wrong id is an error at once."""
    async with Simulator() as sim, connect(sim) as luma:
        with pytest.raises(NotFoundError):
            await luma.watch("no-such-job")


class _Broken:
    """Poll schedule of a user with a bug."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def next_delay(self, age: float, looks: int) -> float:
        return self.answer[looks]  # type: ignore[no-any-return]

    def observe(self, duration: float) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("answer", [[], [None], ["soon"], [0.05, None]], ids=repr)
async def test_a_broken_schedule_loses_no_job(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The bug is logged, and the jobs are still looked at."""
    schedule = _Broken(answer)
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, schedule=schedule) as luma:
        task = await luma.generate("a cat")
        await until(lambda: "The poll schedule failed" in caplog.text)
        sim.advance(HOUR)
        skip(BROKEN_SCHEDULE_DELAY + 1.0)
        assert (await task).state is State.COMPLETED

    assert "failed to learn" in caplog.text


class _Learner:
    """Poll schedule that records its calls."""

    def __init__(self) -> None:
        self.durations: list[float] = []
        self.asked: list[tuple[float, int]] = []

    def next_delay(self, age: float, looks: int) -> float:
        self.asked.append((age, looks))
        return 0.05

    def observe(self, duration: float) -> None:
        self.durations.append(duration)


async def test_a_schedule_learns_from_jobs_submitted_here_that_completed() -> None:
    """Failed jobs and jobs of unknown age are not learned."""
    learner = _Learner()
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, schedule=learner) as luma:
        task = await luma.generate("a cat")
        async with connect(sim) as elsewhere:
            watched = await luma.watch((await elsewhere.generate("a dog")).id)
        await until(lambda: max(looks for age, looks in learner.asked) >= 2)
        skip(500.0)
        sim.advance(HOUR)
        await asyncio.gather(task, watched)

    assert len(learner.durations) == 1
    assert 500.0 <= learner.durations[0] < HOUR  # on the clock of this process, not the server's
    assert [looks for age, looks in learner.asked].count(0) >= 2  # one for each job at least
    assert max(looks for age, looks in learner.asked) >= 2


class _Kinds:
    """Schedule by kind that records its calls."""

    def __init__(self) -> None:
        self.asked: set[tuple[str, int]] = set()
        self.learned: list[str] = []
        self.oldest = 0.0

    def next_delay(self, age: float, looks: int) -> float:
        self.oldest = max(self.oldest, age)
        return 0.05

    def observe(self, duration: float) -> None:
        raise AssertionError("each kind is taught apart")

    def for_jobs(self, kind: str, sharing: int) -> PollSchedule:
        self.asked.add((kind, sharing))
        return _OfKind(self, kind)


class _OfKind:
    def __init__(self, kinds: _Kinds, kind: str) -> None:
        self.kinds = kinds
        self.kind = kind

    def next_delay(self, age: float, looks: int) -> float:
        return self.kinds.next_delay(age, looks)

    def observe(self, duration: float) -> None:
        self.kinds.learned.append(self.kind)


async def test_a_schedule_can_tell_kinds_of_request_apart() -> None:
    """Kinds differ by call, model, resolution and duration; jobs that share a look are counted."""
    kinds = _Kinds()
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, schedule=kinds, batch_size=2) as luma:
            first = await luma.generate("a cat")
            others = [
                await luma.generate("a dog", model="ray-v2", resolution="720p", duration="5s"),
                await luma.generate("a cow", resolution="720p"),
            ]
            sim.advance(HOUR)
            await asyncio.gather(first, *others)
            extension = await luma.extend(first, "it bows")
            sim.advance(HOUR)
            await extension

    generated = {"generate", "generate ray-v2 720p 5s", "generate 720p"}
    assert {kind for kind, _ in kinds.asked} == {*generated, "extend"}
    assert {sharing for _, sharing in kinds.asked} == {1, 2}
    assert sorted(kinds.learned) == sorted([*generated, "extend"])


async def test_a_job_submitted_elsewhere_is_as_old_as_the_server_says() -> None:
    """Its age decides the times of looks."""
    kinds = _Kinds()
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim) as elsewhere, connect(sim, schedule=kinds) as luma:
            id = (await elsewhere.generate("a cat")).id
            await asyncio.sleep(0.3)

            task = await luma.watch(id)

            assert kinds.oldest >= 0.3
            sim.advance(HOUR)
            await task
            assert kinds.learned == []  # its age is not known to the moment


async def test_a_servers_estimate_moves_the_first_look() -> None:
    """An estimate of the server replaces the first delay of a schedule that adapts."""
    variant = Variant(estimates=True)
    schedule = AdaptiveSchedule(shortest=HOUR, longest=HOUR)
    async with Simulator(durations=Fixed(0.5), variant=variant) as sim:
        async with connect(sim, schedule=schedule) as luma:
            await asyncio.wait_for(await luma.generate("a cat"), 60)

            assert sim.ledger.requests["get"] <= 3


async def test_a_server_that_hangs_does_not_stretch_the_time_of_a_job() -> None:
    """The last look is cancelled when the time of the job is up."""
    settings = {"task_timeout": 0.5, "timeout": HOUR}
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, **settings) as luma:
        task = await luma.generate("a cat")
        sim.faults.add(Fault.slow(math.inf, on=LOOKS))
        await until(lambda: sim.ledger.requests["get"])
        start = time.monotonic()
        skip(LAST_LOOK)

        with pytest.raises(TaskTimeoutError):
            await task

        assert time.monotonic() - start < 60.0


def manager(sim: Simulator, schedule: PollSchedule, **settings: Any) -> TaskManager:
    transport = Transport(api_key=KEY, base_url=sim.url, max_tries=1)
    looks = Looks(transport, GatewayDialect(), batch_size=100, concurrency=4)
    return TaskManager(looks, schedule, max_looks=4, task_timeout=HOUR, **settings)


async def test_404s_with_other_troubles_between_them_are_no_minute_of_404() -> None:
    """The minute begins anew after a look with another result."""
    async with Simulator() as sim:
        tasks = manager(sim, FixedSchedule(10.0), lost_after=60.0)
        task = tasks.add(Generation(id="gone", state=State.PENDING), submitted_here=True)

        for status, seconds in [(404, 11.0), (404, 40.0), (503, 11.0)] * 3:
            if status == 503:
                sim.faults.add(Fault.page(503, on=["get"], times=1))
            looks = sim.ledger.statuses[status]
            skip(seconds)
            await until(lambda: sim.ledger.statuses[status] > looks and not tasks._poller.looking)  # noqa: B023

        assert sim.ledger.statuses[404] >= 6
        assert not task.done()
        await tasks.aclose()
        await tasks._looks._transport.aclose()


@pytest.mark.parametrize("status", [404, 405])
async def test_a_batch_call_that_is_not_there_makes_no_job_a_lost_one(status: int) -> None:
    """The same holds for single looks that fail for longer than `lost_after`."""
    variant = Variant(batch=f"{status}")  # type: ignore[arg-type]
    async with Simulator(durations=Fixed(0.0), variant=variant) as sim:
        tasks = manager(sim, FixedSchedule(0.1), lost_after=60.0)
        transport = tasks._looks._transport
        ids = [
            (
                await transport.call(GatewayDialect().submission(GenerateRequest(f"cat {n}"), None))
            ).id
            for n in range(3)
        ]
        sim.faults.add(Fault.page(502, on=["get"]))
        handles = [
            tasks.add(Generation(id=id, state=State.PENDING), submitted_here=True) for id in ids
        ]
        for _ in range(3):
            looks = sim.ledger.requests["get"]
            await until(lambda looks=looks: sim.ledger.requests["get"] > looks)  # type: ignore[misc]
            skip(40.0)
        sim.faults.clear()

        videos = await asyncio.wait_for(asyncio.gather(*handles), 60)

        assert [video.state for video in videos] == [State.COMPLETED] * 3
        await tasks.aclose()
        await transport.aclose()


@pytest.mark.parametrize("jobs", [1, 2], ids=["single look", "batch"])
async def test_a_job_is_lost_only_after_a_minute_of_404(jobs: int) -> None:
    """Shorter times of "not found" are ignored (the minute is a second here)."""
    async with Simulator() as sim:
        tasks = manager(sim, FixedSchedule(0.05), lost_after=1.0)
        start = time.monotonic()
        handles = [
            tasks.add(Generation(id=f"gone-{n}", state=State.PENDING), submitted_here=True)
            for n in range(jobs)
        ]

        for handle in handles:
            with pytest.raises(NotFoundError, match="for 1 s now"):
                await handle

        assert 1.0 <= time.monotonic() - start < 60.0
        await tasks._looks._transport.aclose()


async def test_many_durations_end_in_their_own_time() -> None:
    """Each job is noticed by the next looks after its end, and no job before."""
    hours = [HOUR * (number + 0.5) for number in range(20)]
    async with Simulator(durations=InTurn(*hours)) as sim, connect(sim, task_timeout=1e6) as luma:
        tasks = [await luma.generate(f"cat {n}") for n in range(20)]

        for number, task in enumerate(tasks):
            looked_at = sim.ledger.jobs_looked_at
            sim.advance(HOUR)
            await task

            assert [each.done() for each in tasks] == [n <= number for n in range(20)]
            assert sim.ledger.jobs_looked_at <= looked_at + 3 * 20  # a look may be under way
