"""CPU time of one look at one job, compared with other clients that look at the same jobs."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from benchmarks import dialects, telemetry
from benchmarks.gateway import gateway
from benchmarks.lookers import PROGRAMS, cost_of_a_look, submit
from benchmarks.row import Row

REPETITIONS = 7
JOBS = 6_400
LOOKS = {"lumaai": 1_500, "luma-agents": 1_500}
MANY_LOOKS = 8_000
ONE_BY_ONE = "luma-async, polling one by one"
IN_BATCHES = "luma-async, polling in batches"
REPETITIONS_OVER_TLS = 5
_OVER_TLS = {"lumaai", "aiohttp", ONE_BY_ONE, IN_BATCHES}


def costs(*, tls: bool) -> dict[str, list[float]]:
    """Return the CPU seconds of one look for each program, measured several times in turn."""
    runs: dict[str, list[float]] = {}
    with ExitStack() as servers:
        with_batches = servers.enter_context(gateway(median=1e6, tls=tls))
        without = servers.enter_context(gateway(median=1e6, batch="404", tls=tls))
        for server, jobs in ((with_batches, JOBS), (without, JOBS // 10)):
            asyncio.run(submit(server.url, jobs))
        plan: Sequence[tuple[str, str, str]] = [
            *((name, name, without.url) for name in PROGRAMS if "polling" not in name),
            (ONE_BY_ONE, "luma-async, polling", without.url),
            (IN_BATCHES, "luma-async, polling", with_batches.url),
        ]
        if tls:
            plan = [step for step in plan if step[0] in _OVER_TLS]
        for _ in range(REPETITIONS_OVER_TLS if tls else REPETITIONS):
            for name, program, url in plan:
                looks = LOOKS.get(name, MANY_LOOKS)
                runs.setdefault(name, []).append(cost_of_a_look(program, url, looks))
    return runs


def rows() -> Iterator[Row]:
    """Compare the medians, over plain HTTP and over TLS."""
    for tls in (False, True):
        yield from _rows(tls=tls)
    yield from dialects.rows()
    yield from telemetry.rows()


def _rows(*, tls: bool) -> Iterator[Row]:
    cost = {name: statistics.median(found) for name, found in costs(tls=tls).items()}
    look = "look over TLS" if tls else "look"
    for name, seconds in cost.items():
        # The plot draws these by name, for plain HTTP only.
        data = {} if tls else {name: seconds}
        yield Row(f"CPU for one {look}: {name}", f"{seconds * 1e6:.1f} µs", data=data)
    for peer, target in (("lumaai", 250), ("luma-agents", None), ("aiohttp", 8)):
        if peer not in cost:
            continue
        ratio = cost[peer] / cost[IN_BATCHES]
        yield Row(
            f"CPU for one {look} in batches of 100: {peer} takes more by a factor of",
            f"{ratio:.0f}" if ratio > 20 else f"{ratio:.1f}",
            f"at least {target}" if target else "",
            None if target is None else ratio >= target,
        )
    yield Row(
        f"CPU for one {look} without batches: ratio to aiohttp GET and json.loads",
        f"{cost[ONE_BY_ONE] / cost['aiohttp']:.2f}",
        "at most 1.25",
        cost[ONE_BY_ONE] <= 1.25 * cost["aiohttp"],
    )
