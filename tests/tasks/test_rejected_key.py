"""A refusal of the API key: believed when it lasts, and no end of a watch before."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import aiohttp
import pytest

from luma_async import AuthenticationError, ConfigurationError, FixedSchedule, State
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.tasks.rejected_key import (
    FINAL_AFTER,
    MIN_REJECTIONS,
    PROBE_INTERVAL,
    KeyRejections,
)
from tests.clients import HOUR, connect, looks_after, until
from tests.loops import skip

POLLS = ["get", "tasks"]
REFUSED = b'{"error": {"message": "token is invalid"}}'


def quickly() -> KeyRejections:
    """Return a count by which a rejection is final after half a second in place of ten."""
    return KeyRejections(final_after=0.5, probe_interval=0.1)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = (each for each in caplog.records if each.name == "luma_async")
    return [each.message for each in ours if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("batch", ["array", "404"])
async def test_one_refusal_among_many_looks_ends_nothing(
    batch: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred jobs and a 401 of a proxy: a hundred videos, and one line that says so."""
    asyncio.get_running_loop().set_debug(False)
    variant = Variant(batch=batch)  # type: ignore[arg-type]
    async with Simulator(durations=Fixed(HOUR), variant=variant, same_films=True) as sim:
        async with connect(sim, schedule=FixedSchedule(10.0)) as luma:
            tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(100)))
            await looks_after(11.0, luma, sim)
            sim.faults.add(Fault.answer(b"<html>401</html>", status=401, on=POLLS, times=1))
            await looks_after(11.0, luma, sim)
            assert sim.ledger.statuses[401] == 1
            sim.advance(HOUR)
            skip(11.0)

            videos = await asyncio.gather(*tasks)

            assert len({video.id for video in videos}) == 100
            assert sim.ledger.statuses[401] == 1
    refused = [text for text in warnings(caplog) if "401" in text]
    assert len(refused) <= 1
    assert all("100 jobs stay watched" in text for text in refused)


class OneSoon(FixedSchedule):
    """A schedule by which jobs of one model are looked at often, and all others in an hour."""

    def for_jobs(self, kind: str, sharing: int) -> FixedSchedule:
        return FixedSchedule(0.2 if "soon" in kind else 3000.0)


@pytest.mark.parametrize("jobs", [1, 3, 25], ids=["single look", "batch", "batches"])
async def test_a_key_that_is_revoked_ends_every_wait(
    jobs: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Also of jobs that are not due for an hour: the key is one for all."""
    settings: dict[str, Any] = {"schedule": OneSoon(), "batch_size": 10}
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, **settings) as luma:
        tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(1, jobs)))
        tasks += [await luma.generate("a cat", model="soon")]
        sim.faults.add(Fault.answer(REFUSED, status=401, on=POLLS))
        await until(lambda: sim.ledger.statuses[401] >= MIN_REJECTIONS)
        assert not any(task.done for task in tasks)
        skip(FINAL_AFTER)

        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)

        assert {type(result) for result in results} == {AuthenticationError}
        assert "for 10 s now" in str(results[0])
    said = warnings(caplog)
    assert f"{jobs} jobs stay watched" in said[0]
    assert f"{jobs} jobs are no longer watched" in said[-1]
    assert len(said) == 2


class OnceSoon:
    """A schedule by which the first look is made soon, and the next one in an hour."""

    def next_delay(self, age: float, looks: int) -> float:
        return 3000.0 if looks else 0.2

    def observe(self, duration: float) -> None:
        """Nothing to learn."""


@pytest.mark.parametrize("jobs", [1, 15])
async def test_a_refused_look_is_made_again_soon_whatever_the_schedule_says(jobs: int) -> None:
    """Nobody waits for a revoked key until the next look is due; a passing 401 costs one look."""
    settings: dict[str, Any] = {"schedule": OnceSoon(), "batch_size": 10}
    settings["rejections"] = quickly()
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, **settings) as luma:
        sim.faults.add(Fault.answer(REFUSED, status=401, on=POLLS))
        task = await luma.generate("a cat")

        with pytest.raises(AuthenticationError):
            await asyncio.wait_for(task.wait(), 60)

        refused = sim.ledger.statuses[401]
        sim.faults.clear()
        sim.faults.add(Fault.answer(REFUSED, status=401, on=POLLS, times=1))
        await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(jobs)))
        await until(lambda: sim.ledger.statuses[401] > refused)
        looks = sim.ledger.requests["get"] + sim.ledger.requests["tasks"]
        await until(lambda: sim.ledger.requests["get"] + sim.ledger.requests["tasks"] > looks)


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 300])
async def test_a_key_that_is_revoked_for_good_is_told_within_15_seconds(jobs: int) -> None:
    """By the default schedule, with jobs that take minutes, from the first refused look on."""
    asyncio.get_running_loop().set_debug(False)
    async with Simulator(durations=Fixed(600)) as sim, connect(sim, schedule=None) as luma:
        tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(jobs)))
        sim.faults.add(Fault.answer(REFUSED, status=401, on=POLLS))
        async with asyncio.timeout(120):
            while not sim.ledger.statuses[401]:  # noqa: ASYNC110  the server cannot say so
                await asyncio.sleep(0.1)
        start = time.monotonic()

        results = await asyncio.gather(*tasks, return_exceptions=True)

        assert {type(result) for result in results} == {AuthenticationError}
        assert time.monotonic() - start < 15.0
        assert sim.ledger.statuses[401] < 100


@pytest.mark.parametrize(
    "between",
    [
        Fault.page(502, on=POLLS, times=1),
        Fault.answer(b'{"detail": "no such task"}', status=404, on=POLLS, times=1),
        None,
    ],
    ids=["502", "404", "good"],
)
async def test_refusals_with_anything_else_between_them_are_not_believed(
    between: Fault | None,
) -> None:
    """They must come in a row."""
    refused = Fault.answer(REFUSED, status=401, on=POLLS, times=1)
    settings: dict[str, Any] = {"max_tries": 1, "schedule": FixedSchedule(3.0)}
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, **settings) as luma:
        task = await luma.generate("a cat")

        for fault in [refused, refused, between] * 4:
            sim.faults.add(*([fault] if fault is not None else []))
            await looks_after(4.0, luma, sim)
        sim.advance(HOUR)

        assert (await task).state is State.COMPLETED
        assert sim.ledger.statuses[401] == 8


async def test_a_refusal_of_one_job_among_others_ends_no_watch() -> None:
    """Where other jobs are answered the key is good."""
    variant = Variant(batch="404")
    async with Simulator(durations=Fixed(HOUR), variant=variant) as sim:
        async with connect(sim, schedule=FixedSchedule(3.0)) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(2)]
            await looks_after(4.0, luma, sim)  # there is no batch call, so each is looked at alone
            for _ in range(6):
                sim.faults.add(Fault.answer(REFUSED, status=401, on=["get"], times=1))
                await looks_after(4.0, luma, sim)
            sim.advance(HOUR)

            videos = await asyncio.gather(*tasks)

            assert {video.state for video in videos} == {State.COMPLETED}


async def test_a_key_that_may_not_look_leaves_its_jobs_watched() -> None:
    """A 403 may be of a firewall, and no time makes it a refusal of the key."""
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        sim.faults.add(Fault.answer(b'{"detail": "not you"}', status=403, on=POLLS))
        for _ in range(2):
            refused = sim.ledger.statuses[403]
            await until(lambda refused=refused: sim.ledger.statuses[403] > refused + MIN_REJECTIONS)  # type: ignore[misc]
            skip(60.0)
        assert not task.done
        sim.faults.clear()

        assert (await task).state is State.COMPLETED


async def test_a_session_that_was_closed_is_told_like_a_refused_key() -> None:
    """It never opens again, and nobody waits for it an hour."""
    async with Simulator(durations=Fixed(60)) as sim, aiohttp.ClientSession() as session:
        async with connect(sim, session=session, rejections=quickly()) as luma:
            task = await luma.generate("a cat")
            start = time.monotonic()
            await session.close()

            with pytest.raises(ConfigurationError, match="session"):
                await asyncio.wait_for(task.wait(), 60)

            assert time.monotonic() - start >= 0.5


async def test_looks_by_hand_raise_at_once() -> None:
    """Only looks in the background wait and see."""
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault.answer(REFUSED, status=401, on=POLLS))

        for call in (luma.get("a"), luma.get_many(["a", "b"]), luma.watch("a")):
            with pytest.raises(AuthenticationError):
                await call


async def test_a_good_key_is_watched_again_after_a_refused_one() -> None:
    """The next job begins without a count."""
    async with Simulator(durations=Fixed(0.2)) as sim, connect(sim, rejections=quickly()) as luma:
        task = await luma.generate("a cat")
        sim.faults.add(Fault.answer(REFUSED, status=401, on=POLLS))
        with pytest.raises(AuthenticationError):
            await task
        sim.faults.clear()
        sim.faults.add(Fault.answer(REFUSED, status=401, on=POLLS, times=MIN_REJECTIONS - 1))

        again = await luma.watch((await luma.generate("a dog")).id)

        assert (await again).state is State.COMPLETED


def test_a_refusal_is_believed_by_number_and_by_time() -> None:
    """Both must be enough: neither three in a second nor two in a minute."""
    many, late, both = KeyRejections(), KeyRejections(), KeyRejections()

    assert not any(many.add(now / 10) for now in range(20))
    assert [late.add(now) for now in (0.0, 60.0)] == [False] * (MIN_REJECTIONS - 1)
    assert [both.add(now) for now in (0.0, 5.0, FINAL_AFTER)] == [False, False, True]


def test_one_refused_look_at_a_time_is_made_again() -> None:
    """The last one when the refusal can be believed."""
    refused = KeyRejections()
    refused.add(100.0)

    assert [refused.probe_in(100.0), refused.probe_in(100.5)] == [PROBE_INTERVAL, None]
    refused.add(102.0)
    assert refused.probe_in(102.0) == PROBE_INTERVAL
    refused.add(109.5)
    assert refused.probe_in(109.5) == pytest.approx(0.5)
    assert refused.probe_in(110.1) == PROBE_INTERVAL


def test_enough_looks_are_made_before_a_refusal_is_believed() -> None:
    """The pause is short enough for the number, and all of it for 15 seconds."""
    assert FINAL_AFTER / PROBE_INTERVAL >= MIN_REJECTIONS
    assert FINAL_AFTER + PROBE_INTERVAL < 15.0
