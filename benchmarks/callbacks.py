"""Callbacks: the time of jobs while forged callbacks arrive, and their lateness after true ones.

The client and its receiver share one event loop. The gateway and the forger are processes of their
own, so that three processes share the cores of the machine.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

from benchmarks.gateway import gateway
from benchmarks.programs import command, output_of
from benchmarks.row import Row

MEBIBYTE = 2**20
RATE = 10_000
SECONDS = 10.0
JOBS = 20
TOGETHER = 100
DURATION = 5.0


def rows() -> Iterator[Row]:
    """Run the same jobs without forged callbacks and with them, under aiohttp and uvicorn."""
    for server in ("aiohttp", "uvicorn"):
        quiet, _ = run(server, rate=0)
        busy, forged = run(server, rate=RATE)
        slowest = max(busy["seconds"]) / max(quiet["seconds"])
        growth = (busy["most"] - busy["before"]) / MEBIBYTE
        accepted = forged.get("204", 0)
        of = f"Forged callbacks, {RATE:,} a second for {SECONDS:g} s, {server}"
        yield Row(
            f"{of}: answered",
            f"{forged['rate']:,.0f} a second",
            f"{RATE:,} a second",
            forged["rate"] >= 0.98 * RATE,
        )
        others = set(forged) - {"rate", "404"}
        yield Row(f"{of}: accepted", f"{accepted:g}", "none", not others)
        yield Row(
            f"{of}: time of the slowest of {JOBS} jobs of {DURATION:g} s, ratio to none",
            f"{slowest:.2f} ({max(quiet['seconds']):.2f} → {max(busy['seconds']):.2f} s)",
            "at most 1.5",
            slowest <= 1.5,
        )
        yield Row(
            f"{of}: growth of resident memory at its peak",
            f"{growth:.1f} MiB",
            "at most 8 MiB",
            growth <= 8,
        )
        yield Row(
            f"Lateness after a callback, {JOBS} jobs, {server}: slowest job",
            f"{max(quiet['seconds']) - DURATION:.3f} s, submission included",
            "at most 0.2 s",
            max(quiet["seconds"]) - DURATION <= 0.2,
        )
        yield Row(
            f"Status requests for {JOBS + 1} jobs with callbacks, {server}",
            f"{quiet['looks']}",
            "at most 2 a job",
            quiet["looks"] <= 2 * (JOBS + 1),
        )

    yield from together()


def together() -> Iterator[Row]:
    """Run many jobs that end together, over TLS, with the texts of real ones."""
    measured, _ = run("aiohttp", rate=0, jobs=TOGETHER, within=0.0, tls=True, says_more=True)
    of = f"{TOGETHER} jobs that end together, with callbacks, over TLS"
    late = max(measured["late"])
    yield Row(
        f"{of}: the longest time from a callback to the end of its await",
        f"{late:.3f} s, {measured['called']} callbacks",
        "at most 0.2 s",
        late <= 0.2 and measured["called"] == TOGETHER,
    )
    yield Row(
        f"{of}: status requests",
        f"{measured['looks']}, each about many jobs",
        "at most 2 a job",
        measured["looks"] <= 2 * (TOGETHER + 1),
    )


def run(
    server: str,
    *,
    rate: int,
    jobs: int = JOBS,
    within: float = SECONDS - DURATION,
    **settings: Any,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Run the jobs, and return their measurements and the answers to forged callbacks.

    The forged callbacks begin with the first job, and end when the last one has ended.
    """
    forged: dict[str, float] = {}
    with gateway(median=DURATION, sigma=0.0, same_films=True, **settings) as simulated:
        line = command("hooked", server, simulated.url, jobs, within, SECONDS)
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if rate:
                forged = json.loads(output_of("forger", url, rate, SECONDS))
            measured: dict[str, Any] = json.loads(process.stdout.read())
        requests = simulated.ledger()["requests"]
    return {**measured, "looks": requests.get("get", 0) + requests.get("tasks", 0)}, forged
