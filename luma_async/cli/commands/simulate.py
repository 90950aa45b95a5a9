"""`luma-async simulate`: the simulated gateway in a process of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.terminal import Terminal
from luma_async.simulator import LogNormal, Simulator, Variant


async def run_simulator(
    terminal: Terminal,
    *,
    host: str,
    port: int,
    speed: float,
    median: float,
    failure_rate: float,
    api_key: str | None,
) -> ExitCode:
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
    try:
        await simulator.start()
    except OSError as error:
        terminal.complain(f"Cannot listen on {host}:{port}: {error.strerror or error}")
        return ExitCode.FAILED
    try:
        ledger = f"{simulator.url}/simulator/ledger"
        terminal.result(
            [
                f"A simulated gateway listens at {simulator.url}",
                f"  export LUMA_BASE_URL={simulator.url} LUMA_API_KEY={key}",
                f"  what it took: {ledger}   stop: Ctrl-C",
            ],
            {"url": simulator.url, "ledger": ledger},
        )
        with suppress(asyncio.CancelledError):  # Ctrl-C is how it ends
            await asyncio.Event().wait()
    finally:
        await simulator.stop()
    return ExitCode.INTERRUPTED
