"""The example for Prometheus: a scrape over a real socket has the figures of the client."""

from __future__ import annotations

import asyncio
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from examples.prometheus import exposed, main
from luma_async.simulator import Fixed, Simulator, Variant
from tests.clients import HOUR, connect


async def test_a_scrape_has_the_figures_of_the_client() -> None:
    """The server of the figures ends with its block."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        with exposed(luma, port=0) as url:
            task = await luma.generate("a cat")
            running = await asyncio.to_thread(scraped, url)
            sim.advance(HOUR)
            await task
            ended = await asyncio.to_thread(scraped, url)

    assert running["luma_jobs_running pending"] + running["luma_jobs_running processing"] == 1
    assert running["luma_submissions_total accepted"] == 1
    assert running["luma_jobs_ended_total completed"] == 0
    assert running["luma_connections "] >= 1
    assert "luma_lateness_seconds " not in running
    assert ended["luma_jobs_ended_total completed"] == 1
    assert ended["luma_requests_total "] >= ended["luma_polls_total "] >= 1
    assert 0 <= ended["luma_lateness_seconds "] < HOUR
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(scraped, url)


async def test_the_program_makes_a_video_of_each_prompt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It tells the URL of the figures first."""
    fast = Simulator(durations=Fixed(0.1), variant=Variant(estimates=True), short_side=64)
    async with fast as sim:
        monkeypatch.setenv("LUMA_BASE_URL", sim.url)
        monkeypatch.setenv("LUMA_API_KEY", "sk-simulated")
        await main(["a cat", "a dog"], port=0)

    url, *videos = capsys.readouterr().out.splitlines()
    assert url.endswith("/metrics")
    assert len(videos) == 2


def scraped(url: str) -> dict[str, float]:
    """Return the samples by their name and the values of their labels."""
    with urllib.request.urlopen(url) as answer:  # noqa: S310  a server of this test
        text = answer.read().decode()
    return {
        f"{sample.name} {' '.join(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
