"""A gateway that allows ten requests a second, and a client that wants a hundred."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.gateway import gateway
from benchmarks.row import Row
from luma_async import FixedSchedule, LumaClient, LumaError

ALLOWED = 10.0
SECONDS = 150.0
KEY = "benchmark-key"


async def ask(url: str) -> float:
    """Look without a pause, sixteen at a time, and return how many seconds it went on."""
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
    """Count at the server what was answered and what was refused."""
    with gateway(median=1e6, max_rate=ALLOWED) as server:
        command = [sys.executable, "-m", "benchmarks.rate", server.url]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds: float = json.loads(done.stdout)
        statuses = server.ledger()["statuses"]
    refused = statuses.get("429", 0)
    answered = statuses["200"]
    used = answered / (ALLOWED * seconds)
    yield Row(
        f"a gateway that allows {ALLOWED:g} requests a second: part of that which was used",
        f"{used:.1%} ({answered} answered in {seconds:.0f} s)",
        "at least 90 %",
        used >= 0.9,
    )
    share = refused / (refused + answered)
    yield Row(
        f"a gateway that allows {ALLOWED:g} requests a second: requests answered 429",
        f"{share:.1%} ({refused})",
        "under 2 %",
        share < 0.02,
    )


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(sys.argv[1]))))
