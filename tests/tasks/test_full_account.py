"""Full accounts: submissions wait for the end of a job, and other calls do not wait."""

from __future__ import annotations

import asyncio
import logging
import math

import pytest

from luma_async import (
    AdaptiveSchedule,
    ClientClosedError,
    LumaClient,
    RateLimitError,
    SubmissionStoppedError,
    VideoTask,
)
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, KEY, InTurn, connect, until
from tests.loops import skip

LATER = 100.0
"""Seconds of a `Retry-After` that are not waited for in a test."""


async def rejected_and_waiting(sim: Simulator, luma: LumaClient, rejections: int) -> None:
    """Return when the server has rejected so many submissions, and the last one waits again.

    A clock that is put forward before the client has read the rejection would be of no use.
    """
    account = luma._submission_transport.account
    await until(lambda: sim.ledger.statuses[429] == rejections and account.has_waiters)


def waiting(*prompts: str, luma: LumaClient) -> list[asyncio.Task[VideoTask]]:
    """Begin to submit jobs."""
    return [asyncio.create_task(luma.generate(prompt)) for prompt in prompts]


async def test_the_end_of_a_job_lets_the_next_submission_go() -> None:
    """A submission to a full account leaves when a job ends, not after `Retry-After`."""
    async with Simulator(durations=InTurn(HOUR, 2 * HOUR), max_jobs=2, full_for=LATER) as sim:
        async with connect(sim) as luma, asyncio.timeout(60):
            first = await luma.generate("a cat")
            second = await luma.generate("a dog")
            (third,) = waiting("a cow", luma=luma)
            await until(lambda: sim.ledger.statuses[429])

            sim.advance(HOUR)

            assert not (await third).done()
            assert (await first).video is not None
            assert not second.done()
            assert sim.ledger.statuses[429] == 1


async def test_a_submission_leaves_at_the_latest_after_retry_after() -> None:
    """Jobs of other clients may have ended."""
    async with Simulator(durations=Fixed(HOUR), max_jobs=1, full_for=LATER) as sim:
        async with connect(sim) as elsewhere, connect(sim, task_timeout=9 * HOUR) as luma:
            await elsewhere.generate("somebody else's")
            (asked,) = waiting("a cat", luma=luma)
            await rejected_and_waiting(sim, luma, 1)
            sim.advance(HOUR)

            skip(LATER - 50)
            await asyncio.sleep(0.1)
            assert not asked.done()
            skip(51.0)

            async with asyncio.timeout(60):
                await asked


async def test_the_wait_for_a_full_account_does_not_count_as_a_try() -> None:
    """The number of rejections does not matter while the account is full."""
    async with Simulator(durations=Fixed(HOUR), max_jobs=1, full_for=LATER) as sim:
        async with connect(sim) as elsewhere, connect(sim, max_tries=1) as luma:
            await elsewhere.generate("somebody else's")
            (asked,) = waiting("a cat", luma=luma)
            for rejections in range(1, 8):
                await rejected_and_waiting(sim, luma, rejections)
                skip(LATER + 1)

            sim.advance(HOUR)
            skip(LATER + 1)

            async with asyncio.timeout(60):
                await asked


async def test_without_retry_after_the_next_try_comes_by_itself() -> None:
    """The pauses grow, but stay short."""
    async with Simulator(durations=Fixed(HOUR), max_jobs=1) as sim:
        async with connect(sim) as elsewhere, connect(sim) as luma:
            await elsewhere.generate("somebody else's")
            (asked,) = waiting("a cat", luma=luma)
            for rejections in range(1, 7):
                await rejected_and_waiting(sim, luma, rejections)
                skip(30.0)

            sim.advance(HOUR)
            skip(30.0)

            async with asyncio.timeout(60):
                await asked


async def test_submissions_queue_while_the_account_is_known_to_be_full() -> None:
    """Waiting submissions leave in order, one for each job that ends."""
    names = [f"cat {number}" for number in range(12)]
    async with Simulator(durations=Fixed(HOUR), max_jobs=2, full_for=LATER) as sim:
        async with connect(sim, task_timeout=99 * HOUR) as luma, asyncio.timeout(60):
            for name in names[:2]:
                await luma.generate(name)
            first = waiting("cat 2", luma=luma)
            await rejected_and_waiting(sim, luma, 1)
            rest = waiting(*names[3:], luma=luma)
            await asyncio.sleep(0.1)
            assert sim.ledger.statuses[429] == 1

            for taken in range(4, 13, 2):
                sim.advance(HOUR)
                await until(lambda: len(sim.ledger.jobs) == taken)  # noqa: B023

            await asyncio.gather(*first, *rest)
            assert [job.prompt for job in sim.ledger.jobs] == names
            assert sim.ledger.statuses[429] <= 2
            assert sim.ledger.most_jobs == 2


async def test_waiting_submissions_are_not_rejected_one_by_one() -> None:
    """Of many concurrent submissions, those that have not left yet wait."""
    async with Simulator(durations=Fixed(HOUR), max_jobs=2, full_for=LATER) as sim:
        async with connect(sim, max_requests=4) as luma, asyncio.timeout(60):
            sim.faults.add(Fault.slow(math.inf, on=["generate"]))
            asked = waiting(*(f"cat {number}" for number in range(40)), luma=luma)
            await until(lambda: sim.ledger.requests["generate"] == 3)
            sim.faults.clear()
            await until(lambda: len(sim.ledger.jobs) == 2)
            await until(lambda: sum(each.done() for each in asked) == 2)
            sim.advance(HOUR)
            await until(lambda: len(sim.ledger.jobs) == 4)

            assert sim.ledger.statuses[429] < 10
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)


async def test_one_line_of_the_log_says_that_the_account_is_full(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line stands for all waiting submissions, with the server's message."""
    async with Simulator(durations=Fixed(HOUR), max_jobs=1, full_for=LATER) as sim:
        async with connect(sim) as luma, asyncio.timeout(60):
            await luma.generate("a cat")
            with caplog.at_level(logging.INFO, "luma_async"):
                asked = waiting(*(f"dog {number}" for number in range(3)), luma=luma)
                await until(lambda: sim.ledger.statuses[429])
                sim.advance(HOUR)
                await until(lambda: len(sim.ledger.jobs) == 2)
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    lines = [text for text in caplog.messages if "account is full" in text]
    assert len(lines) == 1
    assert "100 s at most" in lines[0]
    assert "too many jobs at once" in lines[0]
    assert not any("Trying again" in text for text in caplog.messages)


async def test_a_full_account_is_told_once_when_it_begins_and_once_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However often submissions begin to wait in between."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(HOUR), max_jobs=1, full_for=LATER) as sim:
        async with connect(sim) as another, connect(sim) as luma, asyncio.timeout(HOUR):
            await another.generate("a cat")
            for rejections in (1, 2, 3):
                skip(LATER)
                [asked] = waiting("a dog", luma=luma)
                await rejected_and_waiting(sim, luma, rejections)
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
            [asked] = waiting("a cow", luma=luma)
            await until(lambda: luma._submission_transport.account.has_waiters)
            sim.advance(HOUR)
            skip(LATER)
            await asked

    told = [record.getMessage() for record in caplog.records if "account" in record.getMessage()]
    assert [text.split(":")[0] for text in told] == [
        "The account is full",
        "The account has room again",
    ]


async def test_a_cancelled_submission_gives_its_turn_to_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A cancelled submission does not take the place of another one."""
    async with Simulator(durations=Fixed(HOUR), max_jobs=1, full_for=LATER) as sim:
        async with connect(sim) as luma, asyncio.timeout(60):
            await luma.generate("a cat")
            with caplog.at_level(logging.INFO, "luma_async"):
                [gives_up] = waiting("a dog", luma=luma)
                await until(lambda: "account is full" in caplog.text)
            [patient] = waiting("a cow", luma=luma)

            gives_up.cancel()
            await asyncio.gather(gives_up, return_exceptions=True)
            sim.advance(HOUR)

            assert (await patient).generation.prompt == "a cow"


async def test_stopping_ends_the_wait_for_a_full_account() -> None:
    """Waiting submissions end, and are not sent."""
    async with Simulator(durations=Fixed(HOUR), max_jobs=1, full_for=LATER) as sim:
        luma = connect(sim)
        await luma.generate("a cat")
        asked = waiting("a dog", "a cow", luma=luma)
        await until(lambda: sim.ledger.statuses[429])

        luma.stop_submitting()

        ended = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 60)
        assert {type(error).__name__ for error in ended} == {"SubmissionStoppedError"}
        assert len(sim.ledger.jobs) == 1
        await luma.aclose()


async def test_a_submission_after_the_stop_does_not_queue(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It ends at once, and the log does not say that it waits for a job to end."""
    async with Simulator(durations=Fixed(HOUR), max_jobs=1, full_for=LATER) as sim:
        luma = connect(sim)
        await luma.generate("a cat")
        asked = waiting("a dog", luma=luma)
        await until(lambda: sim.ledger.statuses[429])
        luma.stop_submitting()
        await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 60)

        with caplog.at_level(logging.INFO, "luma_async"):
            with pytest.raises(SubmissionStoppedError):
                await luma.generate("a cow")
            await luma.aclose()
            with pytest.raises(ClientClosedError):
                await luma.generate("a cow")

        assert "account is full" not in caplog.text


async def test_a_full_account_makes_a_learning_schedule_look_sooner() -> None:
    """The account may be waiting for a job with a look that is due much later."""
    schedule = AdaptiveSchedule(longest=HOUR, expected=1e5)
    async with Simulator(durations=Fixed(HOUR), max_jobs=1, full_for=LATER) as sim:
        async with LumaClient(KEY, base_url=sim.url, schedule=schedule) as luma:
            await luma.generate("a cat")
            skip(3.0)
            await asyncio.sleep(0.1)
            assert not sim.ledger.requests["get"]
            (asked,) = waiting("a dog", luma=luma)
            await until(lambda: sim.ledger.requests["get"] > 1)

            sim.advance(HOUR)

            async with asyncio.timeout(60):
                await asked


@pytest.mark.parametrize("max_requests", [1, 2, 16])
async def test_a_rejected_submission_never_delays_a_look(max_requests: int) -> None:
    """The end of a job is noticed while submissions wait for `Retry-After`."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, max_requests=max_requests) as luma:
            task = await luma.generate("a cat")
            sim.faults.add(Fault.rate_limited(retry_after=LATER))
            asked = waiting(*(f"dog {number}" for number in range(20)), luma=luma)
            await until(lambda: sim.ledger.statuses[429])

            sim.advance(HOUR)

            async with asyncio.timeout(60):
                assert (await task).video is not None
                await luma.watermark_free_url(task.id)
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)


async def test_a_rejected_look_never_delays_a_submission() -> None:
    """The same holds for requests for links."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, max_tries=1) as luma:
        task = await luma.generate("a cat")
        sim.faults.add(Fault.rate_limited(retry_after=LATER, on=["get", "tasks"]))
        with pytest.raises(RateLimitError):
            await luma.get(task.id)

        async with asyncio.timeout(60):
            await luma.generate("a dog")


async def test_too_many_requests_do_not_mean_a_full_account() -> None:
    """The end of a job does not end the wait for a rate limit."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, max_tries=1) as luma:
        await luma.generate("a cat")
        sim.faults.add(Fault.rate_limited(retry_after=0, times=1))

        with pytest.raises(RateLimitError):
            await luma.generate("a dog")
