"""One journal for several APIs of one host: the jobs of each are only polled through their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from luma_async import KeyConflictError, LumaClient
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR, connect

DIALECTS = ("gateway", "agents", "dream-machine")


def client(sim: Simulator, dialect: str, folder: Path) -> LumaClient:
    return connect(sim, dialect=dialect, journal=folder / "jobs.db")


@pytest.mark.parametrize("own", DIALECTS)
async def test_a_job_is_never_polled_through_another_api(tmp_path: Path, own: str) -> None:
    """The other API does not know it, so that it would count as lost, and be paid for again."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with client(sim, own, tmp_path) as luma:
            job = await luma.generate("a cat dances", key="row-1")
        for other in set(DIALECTS) - {own}:
            async with client(sim, other, tmp_path) as luma:
                assert await luma.resume() == []
                with pytest.raises(
                    KeyConflictError, match=f"belongs to job {job.id} at "
                ) as caught:
                    await luma.generate("a cat dances", key="row-1", retry_failed=True)
                assert f"its dialect (by the form of the URL, {own!r})" in str(caught.value)
        async with client(sim, own, tmp_path) as luma:
            assert [task.id for task in await luma.resume()] == [job.id]
        assert len(sim.ledger.jobs) == 1


async def test_the_path_of_an_api_in_the_base_url_changes_nothing(tmp_path: Path) -> None:
    """Both forms of the base URL mean the same server, and so the same jobs."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with client(sim, "agents", tmp_path) as luma:
            job = await luma.generate("a cat dances", key="row-1")
        place = tmp_path / "jobs.db"
        url = f"{sim.url}/v1"
        async with LumaClient("sk-1", base_url=url, dialect="agents", journal=place) as luma:
            assert [task.id for task in await luma.resume()] == [job.id]
