"""Rate limit: a gateway that allows ten requests per second, and a client with many more."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

from benchmarks.gateway import gateway
from benchmarks.programs import output_of
from benchmarks.row import Row
from luma_async import FixedSchedule, LumaClient, LumaError

ALLOWED = 10.0
SECONDS = 150.0
KEY = "benchmark-key"


async def ask(url: str) -> float:
    """Look without a pause, sixteen at a time, and return the duration in seconds."""
    async with LumaClient(KEY, base_url=url, schedule=FixedSchedule(1e5)) as luma:
        id = (await luma.generate("a cat")).id
        start = time.monotonic()

        async def look() -> None:
            while time.monotonic() - start < SECONDS:
                try:
                    await luma.get(id)
                except LumaError:
                    await asyncio.sleep(0.1)

        await asyncio.gather(*(look() for _ in range(16)))
        return time.monotonic() - start


def rows() -> Iterator[Row]:
    """Count the answers of the server with status 200 and 429."""
    with gateway(median=1e6, max_rate=ALLOWED) as server:
        seconds = float(output_of("rate", server.url))
        statuses = server.ledger()["statuses"]
    rejected = statuses.get("429", 0)
    answered = statuses["200"]
    used = answered / (ALLOWED * seconds)
    yield Row(
        f"Used part of a rate limit of {ALLOWED:g} requests per second",
        f"{used:.1%} ({answered} answered in {seconds:.0f} s)",
        "at least 90 %",
        used >= 0.9,
    )
    share = rejected / (rejected + answered)
    yield Row(
        f"Requests answered 429 at a rate limit of {ALLOWED:g} requests per second",
        f"{share:.1%} ({rejected})",
        "under 2 %",
        share < 0.02,
    )


if __name__ == "__main__":
    print(asyncio.run(ask(sys.argv[1])))
