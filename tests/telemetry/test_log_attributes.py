"""Log records about one job have its id and its job key, for logs that are searched by them."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from luma_async import LumaError
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, connect, until

KEY = "row-17"


def about(caplog: pytest.LogCaptureFixture, text: str) -> tuple[str | None, str | None]:
    """Return the id and the job key of the one record with a text."""
    [record] = [each for each in caplog.records if text in each.getMessage()]
    return vars(record)["luma_job_id"], vars(record)["luma_job_key"]


@pytest.mark.usefixtures("quick_retries")
async def test_each_line_of_a_job_has_them_from_submission_to_download(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no id before the job is accepted."""
    caplog.set_level(logging.INFO, "luma_async.http")
    caplog.set_level(logging.DEBUG, "luma_async")
    async with Simulator(durations=Fixed(0.1), short_side=64) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            sim.faults.add(
                Fault.rate_limited(retry_after=0, times=1, on="generate"),
                Fault.page(503, on=("media",), times=1),
            )
            video = await luma.run("a cat", key=KEY, download=tmp_path / "cat.mp4")

    assert about(caplog, "Submitting a job") == (None, KEY)
    assert about(caplog, "HTTP 429 from") == (None, KEY)
    assert about(caplog, "503") == (video.id, KEY)
    assert about(caplog, "was submitted") == (video.id, KEY)
    assert about(caplog, "is completed") == (video.id, KEY)
    assert about(caplog, "was downloaded") == (video.id, KEY)


async def test_a_rejected_or_cancelled_submission_has_its_job_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its job key is all that a program knows it by."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            sim.reject_next(402)
            with pytest.raises(LumaError):
                await luma.generate("a cat", key=KEY)
            assert about(caplog, "Rejected for certain") == (None, KEY)

            sim.lose_next()
            sim.faults.add(Fault.slow(0.2, on="generate"))
            caller = asyncio.create_task(luma.generate("a dog", key="row-18"))
            await until(lambda: luma.stats().requests_in_flight == 1)
            caller.cancel()
            await asyncio.wait([caller])
            await until(lambda: luma.stats().uncertain == 1)
            assert about(caplog, "cancelled after it had left") == (None, "row-18")
