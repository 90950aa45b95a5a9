"""`luma-async simulate`: serve a simulated gateway."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.options import AsJSON

if TYPE_CHECKING:
    from luma_async.cli.terminal import Terminal

API_KEY = "LUMA_SIMULATOR_KEY"
"""Environment variable with the only API key that the simulated gateway accepts."""


def simulate(
    *,
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="PORT", min=0, max=65535, help="Port to listen on; 0 for a free one."),
    ] = 8765,
    speed: Annotated[
        float,
        typer.Option(
            metavar="N", min=0.01, help="Speed of the simulation: N simulated seconds pass in one."
        ),
    ] = 1.0,
    seconds: Annotated[
        float,
        typer.Option(metavar="N", min=0.0, help="Median duration of a job, in simulated seconds."),
    ] = 60.0,
    failure_rate: Annotated[
        float, typer.Option(metavar="N", min=0.0, max=1.0, help="Fraction of jobs that fail.")
    ] = 0.0,
    max_jobs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Maximum number of jobs at once; more are rejected.",
            show_default="no limit",
        ),
    ] = None,
    max_per_minute: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Maximum number of submissions to the Agents API in a simulated minute.",
            show_default="no limit",
        ),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Serve a simulated gateway that bills nothing and makes real files, until Ctrl-C.

    It serves Luma's own APIs, too. It accepts any API key, or only the one in LUMA_SIMULATOR_KEY if
    that is set. With -v, each request is shown.
    """
    from luma_async.cli.program import run
    from luma_async.cli.verbosity import log_level

    # The server would listen on all addresses, and print URLs without a host.
    if not host:
        raise typer.BadParameter("--host must not be empty; 0.0.0.0 listens on all IPv4 addresses.")
    run(
        lambda terminal: serve(
            terminal,
            host=host,
            port=port,
            speed=speed,
            median=seconds,
            failure_rate=failure_rate,
            max_jobs=max_jobs,
            max_per_minute=max_per_minute,
            api_key=os.environ.get(API_KEY) or None,
            shows_requests=log_level() <= logging.INFO,
        ),
        as_json=as_json,
    )


async def serve(
    terminal: Terminal,
    *,
    host: str,
    port: int,
    speed: float,
    median: float,
    failure_rate: float,
    max_jobs: int | None,
    max_per_minute: int | None,
    api_key: str | None,
    shows_requests: bool,
) -> ExitCode:
    """Print the gateway's URL, and serve until cancelled."""
    import asyncio

    from luma_async.simulator import LogNormal, Simulator, Variant

    simulator = Simulator(
        host=host,
        port=port,
        speed=speed,
        durations=LogNormal(median=median),
        failure_rate=failure_rate,
        max_jobs=max_jobs,
        max_per_minute=max_per_minute,
        api_key=api_key,
        variant=Variant(estimates=True),
        access_log=logging.getLogger("luma_async.simulator") if shows_requests else None,
    )
    shown_key = "any-key" if api_key is None else f"${API_KEY}"
    try:
        await simulator.start()
    except OSError as error:
        terminal.print_failure(f"Cannot listen on {host}:{port}: {error.strerror or error}")
        return ExitCode.FAILED
    try:
        ledger = f"{simulator.url}/simulator/ledger"
        agents, dream = f"{simulator.url}/v1", f"{simulator.url}/dream-machine/v1"
        terminal.result(
            [
                f"Simulated gateway listening at {simulator.url}",
                f"  export LUMA_BASE_URL={simulator.url} LUMA_API_KEY={shown_key}",
                f"  Agents API: LUMA_DIALECT=agents, or {agents} for luma_agents",
                f"  Dream Machine API: LUMA_DIALECT=dream-machine, or {dream} for lumaai",
                f"  accepted jobs: {ledger}   stop: Ctrl-C",
            ],
            {
                "url": simulator.url,
                "agents_url": agents,
                "dream_machine_url": dream,
                "ledger": ledger,
            },
        )
        with suppress(asyncio.CancelledError):  # Ctrl-C is the normal end
            await asyncio.Event().wait()
    finally:
        await simulator.stop()
    return ExitCode.INTERRUPTED
