"""A rejected API key: final if it lasts, and harmless before."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import aiohttp
import pytest

from luma_async import AuthenticationError, ConfigurationError, FixedSchedule, State
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.tasks.api_key_rejections import (
    FINAL_AFTER,
    MIN_REJECTIONS,
    PROBE_INTERVAL,
    APIKeyRejections,
)
from tests.clients import HOUR, connect, looks_after, until
from tests.loops import skip

POLLS = ["get", "tasks"]
REFUSED = b'{"error": {"message": "token is invalid"}}'


def quickly() -> APIKeyRejections:
    """Return a count with which a rejection is final after half a second."""
    return APIKeyRejections(final_after=0.5, probe_interval=0.1)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = (each for each in caplog.records if each.name == "luma_async")
    return [each.message for each in ours if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("batch", ["array", "404"])
async def test_one_rejection_among_many_looks_ends_no_task(
    batch: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One 401 of a proxy among looks at 100 jobs costs no video, and causes one warning."""
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
    assert all("Still watched: 100 jobs." in text for text in refused)


class OneSoon(FixedSchedule):
    """Poll schedule that looks at one model often, and at all others in an hour."""

    def for_jobs(self, kind: str, sharing: int) -> FixedSchedule:
        return FixedSchedule(0.2 if "soon" in kind else 3000.0)


@pytest.mark.parametrize("jobs", [1, 3, 25], ids=["single look", "batch", "batches"])
async def test_a_revoked_key_ends_all_tasks(jobs: int, caplog: pytest.LogCaptureFixture) -> None:
    """The same holds for jobs that are not due for an hour, because all jobs share the API key."""
    settings: dict[str, Any] = {"schedule": OneSoon(), "batch_size": 10}
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, **settings) as luma:
        tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(1, jobs)))
        tasks += [await luma.generate("a cat", model="soon")]
        sim.faults.add(Fault.answer(REFUSED, status=401, on=POLLS))
        await until(lambda: sim.ledger.statuses[401] >= MIN_REJECTIONS)
        assert not any(task.done() for task in tasks)
        skip(FINAL_AFTER)

        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)

        assert {type(result) for result in results} == {AuthenticationError}
        assert "for 10 s now" in str(results[0])
    said = warnings(caplog)
    assert f"Still watched: {jobs} job" in said[0]
    assert f"No longer watched: {jobs} job" in said[-1]
    assert all(task.id in said[-1] for task in tasks[:20])
    assert len(said) == 2


class OnceSoon:
    """Poll schedule with the first look soon, and the next one in an hour."""

    def next_delay(self, age: float, looks: int) -> float:
        return 3000.0 if looks else 0.2

    def observe(self, duration: float) -> None:
        """Do nothing."""


@pytest.mark.parametrize("jobs", [1, 15])
async def test_a_rejected_look_is_repeated_soon_despite_the_schedule(jobs: int) -> None:
    """A revoked API key is noticed before the next look is due; a passing 401 costs one look."""
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
async def test_a_revoked_key_is_reported_within_15_seconds(jobs: int) -> None:
    """With the default schedule and jobs that take minutes, counted from the first rejection."""
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
async def test_interrupted_rejections_are_not_final(
    between: Fault | None,
) -> None:
    """Interrupted sequences do not count."""
    refused = Fault.answer(REFUSED, status=401, on=POLLS, times=1)
    settings: dict[str, Any] = {"max_tries": 1, "schedule": FixedSchedule(3.0)}
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, **settings) as luma:
        task = await luma.generate("a cat")

        for fault in [refused, refused, between] * 4:
            sim.faults.add(*([fault] if fault is not None else []))
            await looks_after(4.0, luma, sim)
        sim.advance(HOUR)
        skip(4.0)

        assert (await task).state is State.COMPLETED
        assert sim.ledger.statuses[401] == 8


async def test_a_rejection_of_one_job_among_others_ends_no_task() -> None:
    """The API key is valid if looks at other jobs are answered."""
    variant = Variant(batch="404")
    async with Simulator(durations=Fixed(HOUR), variant=variant) as sim:
        async with connect(sim, schedule=FixedSchedule(3.0)) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(2)]
            await looks_after(4.0, luma, sim)  # there is no batch call, so each is looked at alone
            for _ in range(6):
                sim.faults.add(Fault.answer(REFUSED, status=401, on=["get"], times=1))
                await looks_after(4.0, luma, sim)
            sim.advance(HOUR)
            skip(4.0)

            videos = await asyncio.gather(*tasks)

            assert {video.state for video in videos} == {State.COMPLETED}


async def test_a_key_that_may_not_look_leaves_its_jobs_watched() -> None:
    """A 403 may come from a firewall, and never counts as a rejection of the API key."""
    async with Simulator(durations=Fixed(0.1)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        sim.faults.add(Fault.answer(b'{"detail": "not you"}', status=403, on=POLLS))
        for _ in range(2):
            refused = sim.ledger.statuses[403]
            await until(lambda refused=refused: sim.ledger.statuses[403] > refused + MIN_REJECTIONS)  # type: ignore[misc]
            skip(60.0)
        assert not task.done()
        sim.faults.clear()

        assert (await task).state is State.COMPLETED


async def test_a_closed_session_is_treated_like_a_rejected_key() -> None:
    """A closed session never opens again, so waiting for it would be useless."""
    async with Simulator(durations=Fixed(60)) as sim, aiohttp.ClientSession() as session:
        async with connect(sim, session=session, rejections=quickly()) as luma:
            task = await luma.generate("a cat")
            start = time.monotonic()
            await session.close()

            with pytest.raises(ConfigurationError, match="session"):
                await asyncio.wait_for(task.wait(), 60)

            assert time.monotonic() - start >= 0.5


async def test_direct_calls_raise_at_once() -> None:
    """Only looks of the poller are repeated."""
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault.answer(REFUSED, status=401, on=POLLS))

        for call in (luma.get("a"), luma.get_many(["a", "b"]), luma.watch("a")):
            with pytest.raises(AuthenticationError):
                await call


async def test_jobs_are_watched_again_with_a_valid_key() -> None:
    """The count of rejections begins anew with the next job."""
    async with Simulator(durations=Fixed(0.2)) as sim, connect(sim, rejections=quickly()) as luma:
        task = await luma.generate("a cat")
        sim.faults.add(Fault.answer(REFUSED, status=401, on=POLLS))
        with pytest.raises(AuthenticationError):
            await task
        sim.faults.clear()
        sim.faults.add(Fault.answer(REFUSED, status=401, on=POLLS, times=MIN_REJECTIONS - 1))

        again = await luma.watch((await luma.generate("a dog")).id)

        assert (await again).state is State.COMPLETED


def test_a_rejection_is_final_by_number_and_by_time() -> None:
    """Neither three rejections in a second nor two in a minute are final."""
    many, late, both = APIKeyRejections(), APIKeyRejections(), APIKeyRejections()

    assert not any(many.add(now / 10) for now in range(20))
    assert [late.add(now) for now in (0.0, 60.0)] == [False] * (MIN_REJECTIONS - 1)
    assert [both.add(now) for now in (0.0, 5.0, FINAL_AFTER)] == [False, False, True]


def test_one_rejected_look_at_a_time_is_repeated() -> None:
    """The last probe comes at the time when the rejection can be final."""
    refused = APIKeyRejections()
    refused.add(100.0)

    assert [refused.probe_in(100.0), refused.probe_in(100.5)] == [PROBE_INTERVAL, None]
    refused.add(102.0)
    assert refused.probe_in(102.0) == PROBE_INTERVAL
    refused.add(109.5)
    assert refused.probe_in(109.5) == pytest.approx(0.5)
    assert refused.probe_in(110.1) == PROBE_INTERVAL


def test_enough_probes_are_made_before_a_rejection_is_final() -> None:
    """The constants allow enough probes, all within 15 seconds."""
    assert FINAL_AFTER / PROBE_INTERVAL >= MIN_REJECTIONS
    assert FINAL_AFTER + PROBE_INTERVAL < 15.0
