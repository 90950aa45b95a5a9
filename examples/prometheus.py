"""Figures for Prometheus at http://127.0.0.1:9464/metrics, while videos of prompts are made.

Needs `pip install prometheus-client`. Run: python examples/prometheus.py "a cat" "a dog"
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from luma_async import LumaClient


@dataclass(frozen=True)
class LumaCollector(Collector):
    """Reads the figures of a client at each scrape, in the thread of the exporter."""

    luma: LumaClient

    def collect(self) -> Iterator[Metric]:
        stats = self.luma.stats()
        running = GaugeMetricFamily("luma_jobs_running", "Watched jobs.", labels=["state"])
        running.add_metric(["pending"], stats.pending)
        running.add_metric(["processing"], stats.processing)
        yield running

        ended = CounterMetricFamily("luma_jobs_ended", "Jobs that ended.", labels=["outcome"])
        for outcome in ("completed", "failed", "lost", "timed_out", "abandoned"):
            ended.add_metric([outcome], getattr(stats, outcome))
        yield ended

        submissions = CounterMetricFamily("luma_submissions", "Submissions.", labels=["outcome"])
        for outcome in ("accepted", "rejected", "uncertain"):
            submissions.add_metric([outcome], getattr(stats, outcome))
        yield submissions

        yield CounterMetricFamily("luma_requests", "HTTP requests.", value=stats.requests)
        yield CounterMetricFamily("luma_retries", "Repeated requests.", value=stats.retries)
        yield CounterMetricFamily("luma_polls", "Status requests.", value=stats.polls)
        yield GaugeMetricFamily(
            "luma_requests_in_flight", "Requests without an answer.", value=stats.requests_in_flight
        )
        yield GaugeMetricFamily("luma_connections", "Open connections.", value=stats.connections)
        yield CounterMetricFamily(
            "luma_downloaded_bytes", "Size of the files.", value=stats.downloaded_bytes
        )
        if stats.lateness_median is not None:
            yield GaugeMetricFamily(
                "luma_lateness_seconds", "Median delay of results.", value=stats.lateness_median
            )


@contextmanager
def exposed(luma: LumaClient, port: int) -> Iterator[str]:
    """Serve the figures of a client while the block runs, at the URL that it gets."""
    registry = CollectorRegistry()
    registry.register(LumaCollector(luma))
    server, thread = start_http_server(port, "127.0.0.1", registry)
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def main(prompts: list[str], port: int = 9464) -> None:
    async with LumaClient() as luma:
        with exposed(luma, port) as url:
            print(url)
            async for outcome in luma.run_many(prompts):
                print(outcome.generation.url if outcome.ok else outcome.error)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
