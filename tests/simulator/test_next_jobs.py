"""A test orders in one line what happens to the next job."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from luma_async import (
    GenerationFailedError,
    InsufficientCreditsError,
    LumaClient,
    State,
    SubmissionUncertainError,
)
from luma_async.simulator import Fixed, LogNormal, Simulator, Variant
from tests.clients import HOUR, connect


async def test_the_next_job_fails_with_a_reason() -> None:
    """The job is accepted and paid for, and fails at its end; the one after it does not."""
    async with Simulator(durations=Fixed(0.05), short_side=60) as sim, connect(sim) as luma:
        sim.fail_next("moderated")
        first, second = await luma.generate("a cat"), await luma.generate("a dog")

        with pytest.raises(GenerationFailedError, match="moderated") as failed:
            await first
        assert failed.value.generation.failure_reason == "moderated"
        assert (await second).state is State.COMPLETED
        assert len(sim.ledger.jobs) == 2


async def test_the_next_job_takes_longer() -> None:
    """By simulated seconds, in addition to its duration."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        sim.delay_next(HOUR)
        late, usual = await luma.generate("a cat"), await luma.generate("a dog")
        sim.advance(HOUR)
        await usual
        assert not late.done()
        sim.advance(HOUR)
        await late


async def test_the_answer_about_the_next_job_is_lost() -> None:
    """The job is accepted, and uncertain to the client; a rejected submission is not meant."""
    async with Simulator() as sim, connect(sim) as luma:
        sim.lose_next()
        sim.reject_next(422)
        with pytest.raises(Exception, match="prompt is not allowed"):
            await luma.generate("a cat")
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat")
        found = await luma.generate("a dog")

        assert [job.prompt for job in sim.ledger.jobs] == ["a cat", "a dog"]
        assert sim.ledger.jobs[1].id == found.id


async def test_the_next_submission_is_rejected() -> None:
    """No job is made, and nothing else that was ordered is used up."""
    async with Simulator(durations=Fixed(0.05), short_side=60) as sim, connect(sim) as luma:
        sim.fail_next("moderated")
        sim.reject_next(402)
        with pytest.raises(InsufficientCreditsError, match="balance is not enough"):
            await luma.generate("a cat")
        assert sim.ledger.jobs == []
        with pytest.raises(GenerationFailedError, match="moderated"):
            await (await luma.generate("a cat"))


async def test_a_full_account_is_tried_again_later() -> None:
    """After 429 the client waits for as long as `Retry-After` says."""
    async with Simulator() as sim, connect(sim) as luma:
        sim.reject_next(429, times=2, retry_after=0.05)
        await luma.generate("a cat")

        assert sim.ledger.statuses[429] == 2
        assert len(sim.ledger.jobs) == 1


@pytest.mark.parametrize(
    "order",
    [
        lambda sim: sim.fail_next("moderated", 0),
        lambda sim: sim.delay_next(1, -1),
        lambda sim: sim.lose_next(0),
        lambda sim: sim.reject_next(200),
    ],
)
def test_an_order_that_makes_no_sense_is_an_error(order: Any) -> None:
    """It is noticed where it is made, not by a job that behaves as usual."""
    with pytest.raises(ValueError, match="must be"):
        order(Simulator())


async def test_orders_change_no_other_job() -> None:
    """Ids, durations and failures are those that the seed gives without orders."""

    async def jobs(*, ordered: bool) -> list[tuple[str, float, str | None]]:
        async with Simulator(durations=LogNormal(), failure_rate=0.3, seed=7) as sim:
            if ordered:
                sim.fail_next("moderated", times=2)
                sim.delay_next(5)
                sim.lose_next()
            async with connect(sim) as luma:
                for number in range(6):
                    try:
                        await luma.generate(f"cat {number}")
                    except SubmissionUncertainError:
                        continue
            return [(job.id, job.ends_at - job.taken_at, job.failure) for job in sim.ledger.jobs]

    usual, ordered = await jobs(ordered=False), await jobs(ordered=True)

    assert [id for id, _, _ in ordered] == [id for id, _, _ in usual]
    assert [failure for _, _, failure in ordered[:2]] == ["moderated", "moderated"]
    assert ordered[0][1] == pytest.approx(usual[0][1] + 5)
    assert [seconds for _, seconds, _ in ordered[1:]] == pytest.approx([s for _, s, _ in usual[1:]])
    assert [failure for _, _, failure in ordered[2:]] == [failure for _, _, failure in usual[2:]]


def test_the_fixture_takes_orders_from_the_thread_of_a_test(luma_simulator: Simulator) -> None:
    """The simulator runs in another thread."""
    luma_simulator.fail_next("moderated")

    async def program() -> str | None:
        async with LumaClient() as luma:
            try:
                await (await luma.generate("a cat"))
            except GenerationFailedError as error:
                return error.generation.failure_reason
        return None

    assert asyncio.run(program()) == "moderated"


async def look(sim: Simulator, id: str) -> dict[str, Any]:
    headers = {"Authorization": "Bearer any-key"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(f"{sim.url}/luma/generations/{id}") as answer:
            found: dict[str, Any] = await answer.json()
            return found


async def test_jobs_tell_their_progress_and_their_place_in_the_queue() -> None:
    """By default, as servers that have them do, from the answer to the submission on."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        first, second = await luma.generate("a cat"), await luma.generate("a dog")
        assert (second.generation.progress, second.generation.queue_state) == (0.0, "position 2")
        assert (await luma.get(second.id)).queue_state == "position 2"

        sim.advance(HOUR / 2)
        half = await luma.get(first.id)
        sim.advance(HOUR / 2)
        done = await luma.get(first.id)

        assert half.progress == pytest.approx(4 / 9, abs=0.01)
        assert half.queue_state is None
        assert done.progress == 1.0


async def test_a_server_may_tell_neither() -> None:
    """The fields are missing, as in the documented example."""
    async with Simulator(variant=Variant(progress=False)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        row = await look(sim, task.id)

        assert not {"progress", "queue_state"} & set(row)
        assert task.generation.queue_state is None
