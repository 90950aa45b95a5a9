"""CPU of the client for one look at one job, against every peer that looks at the same jobs."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from benchmarks.gateway import gateway
from benchmarks.lookers import KEY, PROGRAMS, cost_of_a_look
from benchmarks.row import Row
from luma_async import FixedSchedule, LumaClient

REPETITIONS = 7
JOBS = 6_400
LOOKS = {"lumaai": 1_500, "luma-agents": 1_500}
MANY_LOOKS = 8_000
ONE_BY_ONE = "luma-async, polling one by one"
IN_BATCHES = "luma-async, polling in batches"


def costs() -> dict[str, list[float]]:
    """Return CPU seconds for a look, by program, all of them in turn several times."""
    runs: dict[str, list[float]] = {}
    with ExitStack() as servers:
        with_batches = servers.enter_context(gateway(median=1e6))
        without = servers.enter_context(gateway(median=1e6, batch="404"))
        for server, jobs in ((with_batches, JOBS), (without, JOBS // 10)):
            asyncio.run(_submit(server.url, jobs))
        plan: Sequence[tuple[str, str, str]] = [
            *((name, name, with_batches.url) for name in PROGRAMS if "polling" not in name),
            (ONE_BY_ONE, "luma-async, polling", without.url),
            (IN_BATCHES, "luma-async, polling", with_batches.url),
        ]
        for _ in range(REPETITIONS):
            for name, program, url in plan:
                looks = LOOKS.get(name, MANY_LOOKS)
                runs.setdefault(name, []).append(cost_of_a_look(program, url, looks))
    return runs


def rows() -> Iterator[Row]:
    """Compare the medians."""
    cost = {name: statistics.median(found) for name, found in costs().items()}
    for name, seconds in cost.items():
        yield Row(f"CPU for one look: {name}", f"{seconds * 1e6:.1f} µs", data={name: seconds})
    for peer, target in (("lumaai", 150), ("luma-agents", None), ("aiohttp", 8)):
        ratio = cost[peer] / cost[IN_BATCHES]
        yield Row(
            f"CPU for one look, batches of 100: times less than {peer}",
            f"{ratio:.0f}" if ratio > 20 else f"{ratio:.1f}",
            f"at least {target}" if target else "",
            None if target is None else ratio >= target,
        )
    yield Row(
        "CPU for one look without the batch call, against aiohttp GET + json.loads",
        f"{cost[ONE_BY_ONE] / cost['aiohttp']:.2f}",
        "at most 1.3",
        cost[ONE_BY_ONE] <= 1.3 * cost["aiohttp"],
    )


async def _submit(url: str, jobs: int) -> None:
    schedule = FixedSchedule(1e5)  # nobody looks at them yet
    async with LumaClient(KEY, base_url=url, max_requests=32, schedule=schedule) as luma:
        await asyncio.gather(*(luma.generate(f"cat {number}") for number in range(jobs)))
