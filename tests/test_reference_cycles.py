"""Nothing of a job that has ended is left for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from luma_async import GenerationFailedError, SubmissionUncertainError
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import connect, until

ROUNDS = 5


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switch the garbage collector off for a test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def ours() -> Counter[str]:
    """Count the exceptions and the objects of the client's classes, by class."""
    kinds = (type(thing) for thing in gc.get_objects())
    return Counter(
        kind.__qualname__
        for kind in kinds
        if issubclass(kind, BaseException)
        or (
            kind.__module__.startswith("luma_async")
            and not kind.__module__.startswith("luma_async.simulator")
        )
    )


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("has_journal", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_jobs_that_have_ended_leave_nothing_to_collect(
    fails: bool, has_journal: bool, tmp_path: Path
) -> None:
    """Counting references frees them, so memory is flat where the collector is off."""
    counts: list[Counter[str]] = []
    journal = tmp_path / "jobs.db" if has_journal else None
    async with Simulator(durations=Fixed(0.0), failure_rate=float(fails)) as sim:
        async with connect(sim, journal=journal) as luma:
            for _ in range(ROUNDS):
                with suppress(GenerationFailedError):
                    await (await luma.generate("a cat"))
                sim.faults.add(Fault.page(502, after=True, times=1))
                with suppress(SubmissionUncertainError):
                    await luma.generate("a cat")
                await until(lambda: not luma._manager._poller.is_running)
                await asyncio.sleep(0)
                counts.append(ours())

            await until(lambda: not ours() - counts[1])  # ends are written behind
