"""A job counts as unfinished until its result is delivered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from luma_async import GenerationFailedError, LumaClient, TaskForgottenError, VideoTask
from luma_async.journal import EntryState
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR, connect, until
from tests.journal.test_entries import ended, entry_of, journal_of

SOON = Fixed(0.05)


class NotSentError(Exception):
    """Error of a chat that cannot be reached."""


@contextmanager
def failing_delivery(task: VideoTask) -> Iterator[None]:
    """Deliver a job, and fail at the end."""
    with pytest.raises(NotSentError), task.delivery():
        yield
        raise NotSentError


async def keys_of_resumed(sim: Simulator, place: str) -> list[str | None]:
    """Return the job keys that a program resumes, as if the other one had been killed."""
    async with connect(sim, journal=place) as later:
        return [task.key for task in await later.resume()]


async def flushed(luma: LumaClient) -> None:
    """Return when all ends that are not held back are in the journal."""
    assert luma._bookkeeper is not None
    ends = luma._bookkeeper._ends
    await until(lambda: not ends._ends and not ends._marks.queued)


async def held(luma: LumaClient, task: VideoTask) -> None:
    """Return when the end of a job is held back."""
    assert luma._bookkeeper is not None
    deliveries = luma._bookkeeper.deliveries
    await until(lambda: deliveries.held(task.id))


async def test_a_job_is_resumed_until_it_is_delivered(place: str) -> None:
    """Completed at the server or not, a program that is killed before would answer nobody."""
    async with Simulator(durations=SOON) as sim, connect(sim, journal=place) as luma:
        cat = await luma.generate("a cat", key="cat")
        with cat.delivery():
            await cat
            await flushed(luma)
            killed_before = await keys_of_resumed(sim, place)
        await ended(luma, "cat")
        killed_after = await keys_of_resumed(sim, place)

    assert killed_before == ["cat"]
    assert killed_after == []


async def test_a_delivery_that_fails_is_repeated(place: str) -> None:
    """By the next program, or in the same one; another job is not affected."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=place) as luma:
            cat, dog = [await luma.generate(f"a {key}", key=key) for key in ("cat", "dog")]
            with failing_delivery(cat):
                sim.advance(HOUR)
                await asyncio.gather(cat, dog)
                await held(luma, cat)
            await ended(luma, "dog")
        async with connect(sim, journal=place) as luma:
            [again] = await luma.resume()
            with failing_delivery(again):
                await again
            with again.delivery():
                video = again.result()
            entry = await ended(luma, "cat")

    assert again.key == "cat"
    assert entry.state is EntryState.COMPLETED
    assert entry.generation == video
    assert len(sim.ledger.jobs) == 2


async def test_a_delivery_that_is_cancelled_before_the_job_ends_is_repeated(place: str) -> None:
    """A framework cancels its tasks first, and the job ends before the client is closed."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, journal=place) as luma:
        cat = await luma.generate("a cat", key="cat")

        async def answer() -> None:
            with cat.delivery():
                await cat

        answering = asyncio.create_task(answer())
        await asyncio.sleep(0)
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        sim.advance(HOUR)
        await cat
        await flushed(luma)
        entry = await entry_of(luma, "cat")

    assert entry.state is EntryState.RUNNING


async def test_of_several_deliveries_the_last_records_the_end(place: str) -> None:
    """One that succeeds does not speak for another."""
    async with Simulator(durations=SOON) as sim, connect(sim, journal=place) as luma:
        cat = await luma.generate("a cat", key="cat")
        with cat.delivery():
            with cat.delivery():
                await cat
                await held(luma, cat)
            await flushed(luma)
            between = await entry_of(luma, "cat")
        after = await ended(luma, "cat")

    assert between.state is EntryState.RUNNING
    assert after.state is EntryState.COMPLETED


async def test_the_failure_of_a_job_is_a_result(place: str) -> None:
    """A block that raises it is not repeated forever, and the job can be submitted again in it."""
    async with Simulator(durations=SOON) as sim, connect(sim, journal=place) as luma:
        sim.fail_next("moderated", times=2)
        cat = await luma.generate("a cat", key="cat")
        with pytest.raises(GenerationFailedError), cat.delivery():
            await cat
        failed = await ended(luma, "cat")

        dog = await luma.generate("a dog", key="dog")
        with dog.delivery():
            with pytest.raises(GenerationFailedError):
                await dog
            again = await luma.generate("a dog", key="dog", retry_failed=True)
        await again
        entry = await ended(luma, "dog")

    assert failed.state is EntryState.FAILED
    assert (entry.state, entry.id) == (EntryState.COMPLETED, again.id)
    assert len(sim.ledger.jobs) == 3


async def test_a_job_that_is_forgotten_during_its_delivery_stays_forgotten(place: str) -> None:
    """It is not delivered again, and its end is recorded if it is watched later."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, journal=place) as luma:
        cat = await luma.generate("a cat", key="cat")
        with pytest.raises(TaskForgottenError), cat.delivery():
            cat.forget()
            await cat
        await flushed(luma)
        resumed = await keys_of_resumed(sim, place)
        [again] = await luma.resume(forgotten=True)
        sim.advance(HOUR)
        await again
        entry = await ended(luma, "cat")

    assert resumed == []
    assert entry.state is EntryState.COMPLETED


async def test_closing_waits_for_deliveries(place: str) -> None:
    """A bot that is stopped while it sends a file has sent it, and does not send it again."""
    async with Simulator(durations=SOON) as sim:
        luma = connect(sim, journal=place)
        cat = await luma.generate("a cat", key="cat")
        dog = await luma.generate("a dog", key="dog")
        sends, sent = asyncio.Event(), asyncio.Event()

        async def answer() -> None:
            with cat.delivery():
                await cat
                sends.set()
                await sent.wait()

        answering = asyncio.create_task(answer())
        await sends.wait()
        with dog.delivery():  # one that would wait for itself
            await dog
            closing = asyncio.create_task(luma.aclose())
            await until(lambda: luma._bookkeeper and luma._bookkeeper._closing.begun.is_set())
            assert not closing.done()
            sent.set()
            await answering
        await closing
        resumed = await keys_of_resumed(sim, place)

    assert resumed == []


async def test_closing_does_not_wait_for_a_delivery_forever(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor for one that closes the client itself; the log names the jobs that it left."""
    caplog.set_level(logging.WARNING, "luma_async")
    async with Simulator(durations=SOON) as sim:
        luma = connect(sim, journal=place)
        cat = await luma.generate("a cat", key="cat")
        luma._timeout = 0.05

        async def answer() -> None:
            with cat.delivery():
                await cat
                await asyncio.Event().wait()

        answering = asyncio.create_task(answer())
        await cat
        with cat.delivery():
            await luma.aclose()
        answering.cancel()
        resumed = await keys_of_resumed(sim, place)

    assert resumed == ["cat"]
    [warning] = [text for text in caplog.messages if "longer waited for" in text]
    assert cat.id in warning


async def test_a_delivery_that_closes_the_client_does_not_wait_for_itself(place: str) -> None:
    """As in a bot that ends after one answer. The job counts as not delivered."""
    async with Simulator(durations=SOON) as sim:
        luma = connect(sim, journal=place)
        cat = await luma.generate("a cat", key="cat")
        async with asyncio.timeout(10):
            with cat.delivery():
                await cat
                await luma.aclose()
        resumed = await keys_of_resumed(sim, place)

    assert resumed == ["cat"]


async def test_without_a_journal_a_delivery_has_no_effect() -> None:
    """The same code runs with and without one, also for a job that has ended before."""
    async with Simulator(durations=SOON) as sim, connect(sim) as luma:
        cat = await luma.generate("a cat")
        with cat.delivery():
            video = await cat
        with VideoTask.finished(video).delivery():
            pass
        with failing_delivery(cat):
            pass


async def test_a_job_that_ended_before_its_delivery_began_is_held_back_in_time(place: str) -> None:
    """Its end was not written yet, so the journal still has the job as running."""
    async with Simulator(durations=SOON) as sim, connect(sim, journal=place) as luma:
        cat = await luma.generate("a cat", key="cat")
        await cat
        with cat.delivery():
            await flushed(luma)
            entry = await entry_of(luma, "cat")
        await ended(luma, "cat")
        states = await journal_of(luma).states()

    assert entry.state is EntryState.RUNNING
    assert states == {"cat": EntryState.COMPLETED}


async def test_asking_for_failed_jobs_again_delivers_nothing(place: str) -> None:
    """`retry_failed` looks for the ends of failed jobs; that of a completed one stays held back."""
    async with Simulator(durations=SOON) as sim, connect(sim, journal=place) as luma:
        cat = await luma.generate("a cat", key="cat")
        with failing_delivery(cat):
            await cat
        again = await luma.generate("a cat", key="cat", retry_failed=True)
        video = await again
        await flushed(luma)
        resumed = await keys_of_resumed(sim, place)

    assert (video.id, len(sim.ledger.jobs)) == (cat.id, 1)
    assert resumed == ["cat"]


async def test_a_delivery_that_began_before_another_failed_does_not_speak_for_it(
    place: str,
) -> None:
    """Two chats wait for one job. The first one cannot be reached, and the second one is later."""
    async with Simulator(durations=SOON) as sim, connect(sim, journal=place) as luma:
        cat = await luma.generate("a cat", key="cat")
        with cat.delivery():
            with failing_delivery(cat):
                await cat
        await flushed(luma)
        resumed = await keys_of_resumed(sim, place)
        with cat.delivery():
            pass
        await ended(luma, "cat")

    assert resumed == ["cat"]


async def test_a_delivery_that_began_after_another_and_before_its_failure_is_no_repetition(
    place: str,
) -> None:
    """The first chat cannot be reached any more, and the second one has its answer."""
    async with Simulator(durations=SOON) as sim, connect(sim, journal=place) as luma:
        cat = await luma.generate("a cat", key="cat")
        with ExitStack() as second:
            with failing_delivery(cat):
                second.enter_context(cat.delivery())
                await cat
        await flushed(luma)
        resumed = await keys_of_resumed(sim, place)

    assert resumed == ["cat"]
