"""CPU time of a look with and without OpenTelemetry.

`python -m benchmarks.telemetry MODE URL LOOKS` polls the running jobs of a gateway without
OpenTelemetry (`absent`), with its API only (`api`), or with its SDK (`sdk`), and prints the CPU
seconds of one look.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.gateway import GatewayProcess, gateway
from benchmarks.lookers import luma_async_polling, submit
from benchmarks.programs import output_of
from benchmarks.row import Row

MODES = {
    "absent": "without OpenTelemetry",
    "api": "with the API of OpenTelemetry",
    "sdk": "with the SDK of OpenTelemetry, spans and metrics in memory",
}
JOBS = {"in batches of 100": 6_400, "one by one": 640}
LOOKS = 8_000
REPETITIONS = 7
TARGETS = {"in batches of 100": 1.02, "one by one": 1.05}
"""Highest ratios of the API alone. One call for a single job is much less work to add to."""


def rows() -> Iterator[Row]:
    """Compare the medians of programs that run in turn."""
    runs: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as servers:
        urls = {
            "in batches of 100": servers.enter_context(gateway(median=1e6)).url,
            "one by one": servers.enter_context(gateway(median=1e6, batch="404")).url,
        }
        for way, url in urls.items():
            asyncio.run(submit(url, JOBS[way]))
        for _ in range(REPETITIONS):
            for way, url in urls.items():
                for mode in MODES:
                    seconds = float(output_of("telemetry", mode, url, LOOKS))
                    runs.setdefault((way, mode), []).append(seconds)
    for way in JOBS:
        absent = statistics.median(runs[way, "absent"])
        for mode, name in MODES.items():
            cost = statistics.median(runs[way, mode])
            figure = f"{cost * 1e6:.1f} µs"
            if mode == "absent":
                yield Row(f"CPU for one look {way}: {name}", figure)
                continue
            target = TARGETS[way] if mode == "api" else None
            yield Row(
                f"CPU for one look {way}: {name}",
                f"{figure}, {cost / absent:.3f} times that without",
                "" if target is None else f"at most {target:.2f} times",
                None if target is None else cost <= target * absent,
            )


def prepare(mode: str) -> None:
    """Make OpenTelemetry unavailable, or set up its SDK, before the first client is created."""
    if mode == "absent":
        sys.modules["opentelemetry"] = None  # type: ignore[assignment]
    elif mode == "sdk":
        # Only this program loads the SDK.
        from opentelemetry import metrics, trace  # noqa: PLC0415
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

        trace.set_tracer_provider(TracerProvider())
        metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))


async def _main(url: str, looks: int) -> None:
    jobs = GatewayProcess(url).ledger()["jobs"]
    print(await luma_async_polling(url, [job["id"] for job in jobs], looks))


if __name__ == "__main__":
    prepare(sys.argv[1])
    asyncio.run(_main(sys.argv[2], int(sys.argv[3])))
