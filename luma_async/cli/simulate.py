"""`luma-async simulate`: the simulated gateway in a process of its own."""

from __future__ import annotations

import asyncio

from luma_async.simulator import LogNormal, Simulator, Variant


async def run_simulator(
    *, host: str, port: int, speed: float, median: float, failure_rate: float, api_key: str | None
) -> None:
    """Serve until cancelled, having said where."""
    simulator = Simulator(
        host=host,
        port=port,
        speed=speed,
        durations=LogNormal(median=median),
        failure_rate=failure_rate,
        api_key=api_key,
        variant=Variant(estimates=True),
    )
    key = "any-key" if api_key is None else "the-one-you-gave"
    async with simulator:
        print(f"A simulated gateway listens at {simulator.url}", flush=True)
        print(f"  export LUMA_BASE_URL={simulator.url} LUMA_API_KEY={key}", flush=True)
        print(f"  what it took: {simulator.url}/simulator/ledger   stop: Ctrl-C", flush=True)
        await asyncio.Event().wait()
