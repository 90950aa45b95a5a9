"""`LumaClient.stats()`: the figures of a client, counted where each event happens."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import aiohttp
import pytest
from pydantic import ValidationError

from luma_async import LumaClient, LumaError, Stats, SubmissionUncertainError
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.telemetry.recorder import RECENT, Recorder
from tests.clients import HOUR, KEY, connect, until

LOOKS = ("get", "tasks")


async def test_a_client_counts_its_jobs_from_submission_to_end(tmp_path: Path) -> None:
    """Running jobs by state, ended ones by outcome, submissions by theirs, and what they took."""
    async with Simulator(durations=Fixed(HOUR), short_side=64) as sim:
        luma = connect(sim)
        assert luma.stats() == Stats(**dict.fromkeys(Stats.model_fields, 0) | NO_LATENESS)

        async with luma:
            sim.fail_next()
            failed = await luma.generate("a failing cat")
            done, last, forgotten = [await luma.generate(f"{n} cats") for n in range(3)]
            begun = luma.stats()
            assert (begun.accepted, begun.rejected, begun.uncertain) == (4, 0, 0)
            assert begun.running == begun.pending + begun.processing == 4
            assert begun.lateness_mean is None
            assert begun.connections >= 1

            forgotten.forget()
            sim.advance(HOUR)
            with pytest.raises(LumaError):
                await failed
            await asyncio.gather(done, last)
            await luma.download(done, tmp_path / "cat.mp4")
            ended = luma.stats()

        assert (ended.completed, ended.failed, ended.abandoned, ended.running) == (2, 1, 1, 0)
        assert ended.polls >= 1
        assert ended.polled_jobs >= 3
        assert ended.requests >= 4 + ended.polls
        assert ended.requests_in_flight == ended.retries == 0
        assert ended.downloads == 1
        assert ended.downloaded_bytes == (tmp_path / "cat.mp4").stat().st_size
        assert ended.lateness_median is not None
        assert ended.lateness_mean is not None
        assert ended.lateness_max is not None
        assert 0 <= ended.lateness_median <= ended.lateness_max < HOUR
        closed = luma.stats()
        assert closed.connections == closed.idle_connections == 0
        assert closed.completed == 2


NO_LATENESS = dict.fromkeys(("lateness_mean", "lateness_median", "lateness_max"))


@pytest.mark.usefixtures("quick_retries")
async def test_submissions_are_counted_by_their_outcome() -> None:
    """A repeated rejection is one submission, and each further request a retry."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        sim.faults.add(Fault.explained(400, times=1, on="generate"))
        with pytest.raises(LumaError):
            await luma.generate("a rejected cat")
        sim.faults.add(Fault.cut(after=True, times=1, on="generate"))
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("an uncertain cat")
        sim.faults.add(Fault.rate_limited(retry_after=0, times=2, on="generate"))
        await luma.generate("a cat at last")
        found = luma.stats()

    assert (found.accepted, found.rejected, found.uncertain) == (1, 1, 1)
    assert found.retries == 2
    assert luma.stats().abandoned == 1


async def test_a_submission_whose_caller_is_cancelled_is_counted_by_its_answer() -> None:
    """The answer arrives without the caller, and its job is watched."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        sim.faults.add(Fault.slow(0.2, on="generate"))
        caller = asyncio.create_task(luma.generate("a cat"))
        await until(lambda: luma.stats().requests_in_flight == 1)
        caller.cancel()
        await asyncio.wait([caller])
        assert luma.stats().accepted == 0
        await until(lambda: luma.stats().accepted == 1)
        found = luma.stats()

    assert (found.running, found.rejected, found.uncertain) == (1, 0, 0)


async def test_jobs_that_are_given_up_are_counted_by_the_reason() -> None:
    """Those that the server does not know are lost; those whose time is up have timed out."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, task_timeout=0.1) as luma:
            slow = await luma.generate("a cat")
            with pytest.raises(LumaError):
                await slow
            assert luma.stats().timed_out == 1
        async with connect(sim) as luma:
            luma._manager._results._lost_after = 0.1
            lost = await luma.generate("a cow")
            sim.faults.add(Fault.answer(b"{}", status=404, on=LOOKS))
            with pytest.raises(LumaError):
                await lost
            assert (luma.stats().lost, luma.stats().running) == (1, 0)


async def test_a_session_of_the_caller_is_counted_as_well() -> None:
    """All connections of it, in use or not."""
    async with (
        Simulator(durations=Fixed(HOUR)) as sim,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        connect(sim, session=session) as luma,
    ):
        await luma.generate("a cat")
        found = luma.stats()

    assert found.connections >= max(found.idle_connections, 1)


async def test_any_thread_may_read_the_figures() -> None:
    """An exporter of metrics has a thread of its own."""
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim) as luma:
        found: list[Stats] = []
        ended = threading.Event()

        def read() -> None:
            while not ended.wait(0.001):
                found.append(luma.stats())

        reader = threading.Thread(target=read)
        reader.start()
        tasks = await asyncio.gather(*(luma.generate(f"{n} cats") for n in range(30)))
        await asyncio.gather(*tasks)
        await until(lambda: len(found) > 1)
        ended.set()
        reader.join()

    completed = [each.completed for each in found]
    assert completed == sorted(completed)
    assert luma.stats().completed == 30


def test_the_lateness_is_that_of_the_latest_jobs() -> None:
    """A client that runs for months keeps no figure of each job."""
    recorder = Recorder()
    recorder.lateness.extend([60.0, *[1.0] * (RECENT - 2), 3.0, 5.0])

    stats = recorder.stats(connections=0, idle_connections=0)

    assert stats.lateness_mean == pytest.approx(1.0 + 6.0 / RECENT)
    assert (stats.lateness_median, stats.lateness_max) == (1.0, 5.0)


def test_the_figures_are_frozen() -> None:
    """They are those of one moment."""
    found = connect_nowhere().stats()
    with pytest.raises(ValidationError):
        found.completed = 3  # type: ignore[misc]


def connect_nowhere() -> LumaClient:
    return LumaClient(KEY, base_url="http://127.0.0.1:9")
