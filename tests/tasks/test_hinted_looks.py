"""A callback makes the poller look at its job at once, however it comes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from aiohttp import web
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from luma_async import (
    AdaptiveSchedule,
    FixedSchedule,
    Generation,
    LumaClient,
    NotFoundError,
    SQLJournal,
    State,
    SubmissionUncertainError,
    WebhookReceiver,
)
from luma_async.errors import ResponseError
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.tasks.agenda import Agenda
from luma_async.tasks.batch_answer import NewStatus
from luma_async.tasks.hinted_looks import (
    CALL_SPACING,
    FREE_CALLS,
    SHARED_SPACING,
    HintedLooks,
)
from luma_async.tasks.hints import NET_FACTOR, Hook
from luma_async.tasks.task import VideoTask
from luma_async.tasks.timing import LONGEST_NET, Timing
from luma_async.tasks.watched_job import WatchedJob
from tests.clients import HOUR, KEY, until
from tests.watchers import Witness

SOON = 5.0
"""Seconds within which a job must resolve. By its schedule it would take much longer."""


class Arrivals:
    """Receiver at a free port, with the times of the callbacks that it took."""

    def __init__(self) -> None:
        self.receiver = WebhookReceiver("http://127.0.0.1:1/hook")
        self.times: list[float] = []

    async def take(self, request: web.Request) -> web.Response:
        self.times.append(time.monotonic())
        status = self.receiver.receive(request.match_info["token"], await request.read())
        return web.Response(status=status)


@asynccontextmanager
async def listening() -> AsyncIterator[Arrivals]:
    arrivals = Arrivals()
    app = web.Application()
    app.add_routes([web.post("/hook/{token}", arrivals.take)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        arrivals.receiver.public_url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield arrivals
    finally:
        await runner.cleanup()


def hooks_of(sim: Simulator) -> list[str]:
    return [str(job.request["notify_hook"]) for job in sim.ledger.jobs]


def simulator(**settings: Any) -> Simulator:
    settings.setdefault("durations", Fixed(HOUR))
    return Simulator(short_side=64, same_films=True, **settings)


@pytest.mark.alone
@pytest.mark.parametrize("batch", ["array", "404"])
async def test_a_job_resolves_at_once_when_its_callback_comes(batch: Any) -> None:
    """Within 0.2 s, and with two looks at most: one for each callback of the server."""
    jobs = 20
    async with (
        listening() as arrivals,
        simulator(variant=Variant(batch=batch)) as sim,
        LumaClient(KEY, base_url=sim.url, webhook=arrivals.receiver) as luma,
    ):
        tasks = [await luma.generate("a cat dances") for _ in range(jobs)]
        sim.advance(HOUR / 2)
        await until(lambda: all(task.state is State.PROCESSING for task in tasks))
        # A look that jobs share may be faster than the callbacks of some of them.
        await until(lambda: len(arrivals.times) == jobs)
        resolved: list[float] = []
        for task in tasks:
            task.add_done_callback(lambda _: resolved.append(time.monotonic()))
        sim.advance(HOUR / 2)
        async with asyncio.timeout(SOON):
            await asyncio.gather(*tasks)
            await until(lambda: len(arrivals.times) == 2 * jobs)
        looks = sim.ledger.requests["get"] + sim.ledger.requests["tasks"]

    assert len(arrivals.times) == 2 * jobs
    late = [end - call for call, end in zip(arrivals.times[jobs:], resolved, strict=True)]
    assert sorted(late)[jobs // 2] < 0.2  # the median, because the machine may be busy
    assert looks <= 2 * jobs + (batch == "404")  # the first look finds out
    if batch == "array":
        assert looks <= 12  # many jobs share one


Note: TypeAlias = Callable[[VideoTask], None]


async def by_generate(luma: LumaClient, jobs: int, note: Note) -> None:
    await asyncio.gather(*(luma.run("a cat dances", on_update=note) for _ in range(jobs)))


async def by_run_many(luma: LumaClient, jobs: int, note: Note) -> None:
    outcomes = luma.run_many(["a cat dances"] * jobs, on_update=note)
    assert all([outcome.ok async for outcome in outcomes])


async def by_readers(luma: LumaClient, jobs: int, note: Note) -> None:
    async def read(task: VideoTask) -> list[State]:
        return [seen.state async for seen in task.updates(every=HOUR)]

    tasks = [await luma.generate("a cat dances", on_update=note) for _ in range(jobs)]
    for states in await asyncio.gather(*map(read, tasks)):
        assert states[-2:] == [State.PROCESSING, State.COMPLETED]


@dataclass(frozen=True)
class Use:
    """Use of a client with a webhook, and the most looks that it may need."""

    run: Callable[[LumaClient, int, Note], Coroutine[Any, Any, None]]
    looks: int
    jobs: int = 20
    at_once: int = 20
    settings: Mapping[str, Any] = field(default_factory=dict)


USES = {
    "generate": Use(by_generate, looks=12),
    "run_many": Use(by_run_many, looks=12),
    "updates": Use(by_readers, looks=12),
    "fixed schedule": Use(by_generate, looks=12, settings={"schedule": FixedSchedule(HOUR)}),
    "full account": Use(by_generate, looks=12, jobs=9, at_once=3, settings={"max_tasks": 3}),
    "run_many, full": Use(by_run_many, looks=12, jobs=9, at_once=3, settings={"max_tasks": 3}),
    "one by one": Use(by_generate, looks=40, settings={"batch_size": 1}),
    "a hundred": Use(by_generate, looks=16, jobs=100, at_once=100),
}


@pytest.mark.alone
async def test_a_callback_resolves_its_job_in_every_use_of_a_client() -> None:
    """With estimates of the server, which are of hours: nobody is late, and looks are few.

    The looks of a full account free its places, so that the next submissions leave at once.
    """
    looks: dict[str, int] = {}
    late: dict[str, float] = {}
    async with (
        listening() as arrivals,
        simulator(variant=Variant(estimates=True)) as sim,
    ):
        for name, use in USES.items():
            states: dict[str, list[State]] = {}
            resolved: list[float] = []
            arrivals.times.clear()
            jobs, calls = len(sim.ledger.jobs), sim.ledger.requests.copy()

            def note(task: VideoTask) -> None:
                states.setdefault(task.id, []).append(task.state)  # noqa: B023  ends in this round
                if task.done():
                    resolved.append(time.monotonic())  # noqa: B023

            async with LumaClient(
                KEY, base_url=sim.url, webhook=arrivals.receiver, **use.settings
            ) as luma:
                running = asyncio.create_task(use.run(luma, use.jobs, note))
                ended: list[float] = []
                for wave in range(use.at_once, use.jobs + 1, use.at_once):
                    begun = len(arrivals.times)
                    async with asyncio.timeout(SOON):
                        await until(lambda: len(states) == wave)  # noqa: B023
                        sim.advance(HOUR / 2)
                        await until(lambda: all(len(seen) >= 2 for seen in states.values()))  # noqa: B023
                        # A look that jobs share may be faster than the callbacks of some of them.
                        first = begun + use.at_once
                        await until(lambda: len(arrivals.times) == first)  # noqa: B023
                        sim.advance(HOUR / 2)
                        await until(lambda: len(resolved) == wave)  # noqa: B023
                        await until(lambda: len(arrivals.times) == first + use.at_once)  # noqa: B023
                    ended += arrivals.times[first:]
                await running

            assert len(sim.ledger.jobs) - jobs == use.jobs
            for seen in states.values():
                assert seen == [State.PENDING, State.PROCESSING, State.COMPLETED]
            made = sim.ledger.requests - calls
            looks[name] = made["get"] + made["tasks"]
            delays = [end - call for call, end in zip(ended, resolved, strict=True)]
            late[name] = sorted(delays)[len(delays) // 2]  # the machine may be busy

    assert {name: number for name, number in looks.items() if number > USES[name].looks} == {}
    assert {name: seconds for name, seconds in late.items() if seconds >= 0.2} == {}


FAULTS: dict[str, tuple[dict[str, Any], Sequence[Fault]]] = {
    "twice": ({}, [Fault.repeated(4)]),
    "late": ({}, [Fault.slow(0.1, on=["callback"])]),
    "out of order": ({}, [Fault.slow(0.2, on=["callback"], times=1)]),
    "the first is lost": ({}, [Fault.cut(on=["callback"], times=1)]),
    "row": ({"callback": "row"}, []),
    "envelope": ({"one": "row"}, []),
    "array": ({"one": "array"}, []),
    "wrapped": ({"one": "wrapped"}, []),
    "no body": ({"callback": "none"}, []),
    "no JSON": ({}, [Fault.answer(b"<html>", on=["callback"])]),
    "no object": ({}, [Fault.answer(b"[[]]", on=["callback"])]),
    "another job": ({}, [Fault.answer(b'{"id": "b", "state": "x"}', on=["callback"])]),
    "too many words": ({}, [Fault.answer(b'{"state": [1]}', on=["callback"])]),
}


@pytest.mark.parametrize("case", FAULTS)
async def test_a_callback_is_a_hint_however_it_comes(case: str) -> None:
    """Twice, late, out of order, or with any body: the answer to the look is what counts."""
    variant, faults = FAULTS[case]
    async with (
        listening() as arrivals,
        simulator(durations=Fixed(0.1), variant=Variant(**variant)) as sim,
        LumaClient(KEY, base_url=sim.url, webhook=arrivals.receiver) as luma,
    ):
        sim.faults.add(*faults)
        async with asyncio.timeout(SOON):
            generation = await (await luma.generate("a cat dances"))

        assert generation.state is State.COMPLETED
        assert generation.id == sim.ledger.jobs[0].id


async def test_a_callback_before_the_answer_to_its_submission_is_kept() -> None:
    """The look follows the answer at once."""
    async with (
        listening() as arrivals,
        simulator(durations=Fixed(0.01)) as sim,
        LumaClient(KEY, base_url=sim.url, webhook=arrivals.receiver) as luma,
    ):
        sim.faults.add(Fault.slow(0.3, on=["generate"], after=True))
        task = await luma.generate("a cat dances")
        assert len(arrivals.times) == 2  # both came before
        async with asyncio.timeout(SOON):
            generation = await task

    assert generation.state is State.COMPLETED


async def test_jobs_resolve_without_any_callback() -> None:
    """As by the schedule alone: callbacks are not relied on before one has come."""
    async with (
        listening() as arrivals,
        simulator(durations=Fixed(0.2)) as sim,
        LumaClient(
            KEY,
            base_url=sim.url,
            webhook=arrivals.receiver,
            schedule=AdaptiveSchedule(shortest=0.1, expected=0.2),
        ) as luma,
    ):
        sim.faults.add(Fault.cut(on=["callback"]))
        async with asyncio.timeout(SOON):
            outcomes = [outcome async for outcome in luma.run_many(["a cat"] * 20)]

    assert all(outcome.ok for outcome in outcomes)
    assert arrivals.times == []


@pytest.mark.parametrize("hint", ["ended", "unknown"])
async def test_a_callback_is_kept_until_a_look_has_succeeded(hint: str) -> None:
    """If the server is late to show the end of the job, or a look fails, the next one is soon."""
    async with (
        listening() as arrivals,
        simulator(durations=Fixed(0.1), variant=Variant(callback="none")) as sim,
        LumaClient(
            KEY, base_url=sim.url, webhook=arrivals.receiver, max_tries=1, link_timeout=2.0
        ) as luma,
    ):
        sim.faults.add(Fault.cut(on=["callback"], times=1))  # that of the start
        task = await luma.generate("a cat dances")
        row = b'{"id": "%s", "state": "processing"}' % task.id.encode()
        if hint == "ended":
            ended = b'{"id": "%s", "state": "completed"}' % task.id.encode()
            sim.faults.add(Fault.answer(ended, on=["callback"]))
            sim.faults.add(Fault.answer(row, on=["get"], times=3))
        else:
            sim.faults.add(Fault.cut(on=["get"], times=3))
        async with asyncio.timeout(SOON):
            generation = await task

        assert generation.state is State.COMPLETED
        assert sim.ledger.requests["get"] == 4


async def test_a_callback_during_a_look_is_followed_by_another_look() -> None:
    """The answer that is on its way may be older than the callback."""
    async with (
        listening() as arrivals,
        simulator() as sim,
        LumaClient(KEY, base_url=sim.url, webhook=arrivals.receiver) as luma,
    ):
        task = await luma.generate("a cat dances")
        sim.faults.add(Fault.slow(0.2, on=["get"], after=True, times=1))
        sim.advance(HOUR / 2)
        await until(lambda: sim.ledger.requests["get"] == 1)
        sim.advance(HOUR / 2)
        async with asyncio.timeout(SOON):
            await task

        assert sim.ledger.requests["get"] == 2


async def test_a_forgotten_job_that_is_watched_again_is_looked_at() -> None:
    """By the callbacks about its submission."""
    async with (
        listening() as arrivals,
        simulator() as sim,
        LumaClient(KEY, base_url=sim.url, webhook=arrivals.receiver) as luma,
    ):
        (await luma.generate("a cat dances")).forget()
        task = await luma.watch(sim.ledger.jobs[0].id)
        sim.advance(HOUR)
        async with asyncio.timeout(SOON):
            await task


async def test_a_receiver_may_run_in_another_thread() -> None:
    """A valid token of an unknown submission is 404 there as well, and so is each after the end."""
    async with listening() as arrivals, simulator() as sim:
        async with LumaClient(KEY, base_url=sim.url, webhook=arrivals.receiver) as luma:
            task = await luma.generate("a cat dances")
            token = hooks_of(sim)[0].rpartition("/")[2]
            sim.faults.add(Fault.cut(on=["callback"]))
            sim.advance(HOUR)
            receive = arrivals.receiver.receive
            other = arrivals.receiver._tokens.token("00000000-0000-4000-8000-000000000000")

            assert await asyncio.to_thread(receive, other, b"") == 404
            assert await asyncio.to_thread(receive, token, b"") == 204
            async with asyncio.timeout(SOON):
                await task
            assert await asyncio.to_thread(receive, token, b"") == 204  # it has ended
        assert await asyncio.to_thread(receive, token, b"") == 404


async def test_one_application_has_two_accounts() -> None:
    """Each has a receiver of its own, and no token of one is valid at the other."""
    app = FastAPI()
    receivers = {name: WebhookReceiver(f"http://app/{name}") for name in ("first", "second")}
    for name, receiver in receivers.items():
        app.mount(f"/{name}", receiver)
    async with (
        simulator() as sim,
        LumaClient("sk-first", base_url=sim.url, webhook=receivers["first"]) as first,
        LumaClient("sk-second", base_url=sim.url, webhook=receivers["second"]) as second,
        AsyncClient(transport=ASGITransport(app), base_url="http://app") as http,
    ):
        sim.faults.add(Fault.cut(on=["callback"]))
        tasks = [await first.generate("a cat dances"), await second.generate("a dog dances")]
        hooks = hooks_of(sim)
        tokens = [hook.rpartition("/")[2] for hook in hooks]
        sim.advance(HOUR)

        assert (await http.post(f"/second/{tokens[0]}")).status_code == 404
        assert (await http.post(f"/first/{tokens[1]}")).status_code == 404
        assert [(await http.post(hook)).status_code for hook in hooks] == [204, 204]
        async with asyncio.timeout(SOON):
            await asyncio.gather(*tasks)


async def test_a_callback_about_an_uncertain_submission_tells_how_to_settle_it(
    caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    """The log has the id and the job key. It is settled by a person, and never by a callback."""
    async with (
        listening() as arrivals,
        simulator() as sim,
        SQLJournal(tmp_path / "jobs.db") as journal,
        LumaClient(KEY, base_url=sim.url, webhook=arrivals.receiver, journal=journal) as luma,
    ):
        sim.lose_next()
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat dances", key="row 17")
        sim.advance(HOUR / 2)
        await until(lambda: "luma-async settle" in caplog.text)

        id = sim.ledger.jobs[0].id
        assert f"luma-async settle 'row 17' --id {id}" in caplog.text
        assert [entry.id for entry in await journal.uncertain()] == [None]


async def test_a_callback_about_an_uncertain_submission_of_an_ended_process(
    caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    """The journal has its job key, and the log tells once how to settle it."""
    place = tmp_path / "jobs.db"
    async with listening() as arrivals, simulator() as sim:
        receiver = arrivals.receiver
        async with LumaClient(KEY, base_url=sim.url, webhook=receiver, journal=place) as luma:
            sim.lose_next()
            with pytest.raises(SubmissionUncertainError):
                await luma.generate("a cat dances", key="row 17")
        caplog.clear()
        sim.faults.add(Fault.repeated(2))
        async with LumaClient(KEY, base_url=sim.url, webhook=receiver, journal=place) as luma:
            sim.advance(HOUR)
            await until(lambda: "luma-async settle" in caplog.text)
            assert luma.journal is not None
            assert [entry.id for entry in await luma.journal.uncertain()] == [None]

    id = sim.ledger.jobs[0].id
    assert caplog.text.count(f"luma-async settle 'row 17' --id {id}") == 1


async def test_no_log_line_and_no_error_has_a_token(
    caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    """Not even at level DEBUG, in the journal, in a handle, or if the server repeats the hook."""
    caplog.set_level(logging.DEBUG)
    async with (
        listening() as arrivals,
        simulator() as sim,
        LumaClient(
            KEY, base_url=sim.url, webhook=arrivals.receiver, journal=tmp_path / "jobs.db"
        ) as luma,
    ):
        task = await luma.generate("a cat dances", key="a cat")
        token = hooks_of(sim)[0].rpartition("/")[2]
        sim.advance(HOUR)
        await task
        arrivals.receiver.public_url = "http://127.0.0.1:9/nobody-is-there"
        await luma.generate("a dog dances")
        sim.advance(HOUR / 2)
        await until(lambda: "did not answer" in caplog.text)
        other = hooks_of(sim)[1].rpartition("/")[2]
        assert luma.journal is not None
        entry = repr(await luma.journal.find("a cat"))

    for text in (caplog.text, repr(luma), repr(task), repr(task.generation), entry):
        assert token not in text
        assert other not in text


def watched(hook: Hook | None = None) -> WatchedJob:
    job = WatchedJob(
        VideoTask(Generation(id="job-1", state=State.PROCESSING), Witness()),
        0.0,
        born=0.0,
        kind="",
        submitted_here=True,
    )
    job.hook = hook
    return job


def hooked() -> tuple[WatchedJob, Hook]:
    hook = Hook("request-1", is_expected=True)
    return watched(hook), hook


@pytest.mark.parametrize("says_ended", [False, True])
def test_a_callback_that_is_repeated_without_end_causes_few_looks(says_ended: bool) -> None:
    """The first ones are followed by a look each, later ones by one a second; none is lost."""
    looks, (job, hook) = HintedLooks(), hooked()
    times: list[float] = []
    for number in range(10_000):  # a thousand a second, and each look ends at once
        now = number / 1_000
        looks.ask(job, now, says_ended=says_ended, is_shared=False)
        if hook.look_at is not None and hook.look_at <= now:
            times.append(now)
            looks.end(looks.begin([job], now), {})
    assert hook.look_at is not None  # the latest callback waits for its look
    assert looks

    assert len(times) == pytest.approx(FREE_CALLS + 10 / CALL_SPACING, abs=1)
    looks.ask(job, 10.0, says_ended=True, is_shared=False)
    looks.ask(job, 10.1, says_ended=False, is_shared=False)
    assert (hook.look_at == 10.0) is not says_ended  # the end of a job is news, once
    looks.end(looks.begin([job], 10.0), {})
    assert not looks


def test_callbacks_that_come_together_share_a_look() -> None:
    """A single one waits for nobody; the others wait for a tenth of a second at most."""
    looks = HintedLooks()
    times = []
    for number in range(100):
        job, hook = hooked()
        looks.ask(job, number / 100, says_ended=True, is_shared=True)
        assert hook.look_at is not None
        assert 0 <= hook.look_at - number / 100 <= SHARED_SPACING
        times.append(hook.look_at)

    assert times[0] == 0.0
    assert len(set(times)) <= 1.0 / SHARED_SPACING + 1


def test_a_callback_is_remembered_until_a_look_that_began_after_it_has_succeeded() -> None:
    """A look fails as a whole, or for this job alone."""
    looks, (job, hook) = HintedLooks(), hooked()
    looks.ask(job, 1.0, says_ended=False, is_shared=False)
    looks.end(looks.begin([job], 1.0), None)
    assert hook.unanswered_since == 1.0
    looks.end(looks.begin([job], 2.0), {job.id: ResponseError("another job")})
    assert hook.unanswered_since == 1.0
    asked = looks.begin([watched(), job], 3.0)
    looks.ask(job, 3.1, says_ended=False, is_shared=False)  # during the look
    looks.end(asked, {job.id: NewStatus(job.task.generation, None)})
    assert hook.look_at == 3.1
    assert hook.unanswered_since is None
    assert looks
    looks.discard(job)  # it has ended
    looks.end([job], {job.id: NotFoundError("gone", status=404, call="GET /")})
    assert not looks


@pytest.mark.parametrize(
    ("schedule", "factor", "early", "expected"),
    [
        (AdaptiveSchedule(expected=60.0), 1.0, None, 1.0),
        (AdaptiveSchedule(expected=60.0), NET_FACTOR, None, NET_FACTOR),
        (FixedSchedule(10.0), NET_FACTOR, None, 1.0),
        (AdaptiveSchedule(expected=60.0), NET_FACTOR, 0.5, 2.0 / 15),
    ],
)
def test_looks_are_fewer_while_callbacks_can_be_relied_on(
    schedule: Any, factor: float, early: float | None, expected: float
) -> None:
    """Unless a user has chosen the times. More are made while a submission waits for a place."""
    timing = Timing(schedule, task_timeout=3600.0, link_timeout=120.0)
    agenda: Agenda[WatchedJob] = Agenda(lambda _: False)
    plain, (job, _) = watched(), hooked()
    timing.put([plain], agenda, now=0.0, sharing=1)
    timing.put([job], agenda, now=0.0, sharing=1, net_factor=factor, early_delay=early)

    if early is None:
        assert job.due == pytest.approx(plain.due * expected, rel=0.12)
    else:
        assert job.due == early * NET_FACTOR
    assert job.due <= plain.due + LONGEST_NET * 1.1
