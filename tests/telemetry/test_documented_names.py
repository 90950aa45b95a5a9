"""The tables of `docs/telemetry.md` have exactly the names that arrive."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from luma_async import SubmissionUncertainError
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, connect, until
from tests.docs import ROOT
from tests.telemetry.exported import Exported, attributes
from tests.test_extras import run

PAGE = (ROOT / "docs/telemetry.md").read_text("utf-8")


def documented(heading: str, column: int = 0) -> list[str]:
    """Return the names in one column of the table with this heading in its first row."""
    table = PAGE[PAGE.index(f"| {heading} |") :].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row[column])]


@pytest.mark.usefixtures("quick_retries")
async def test_the_documented_names_are_those_that_arrive(
    exported: Exported, tmp_path: Path
) -> None:
    """From jobs that are completed, failed, rejected, uncertain, retried, watched, abandoned."""
    exported.install()
    async with Simulator(durations=Fixed(HOUR), short_side=64) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db", max_tries=2) as luma:
            sim.faults.add(Fault.rate_limited(retry_after=0, times=1, on="generate"))
            video = await luma.generate("a cat", key="row-17")
            sim.fail_next()
            failed = await luma.generate("a dog")
            sim.lose_next()
            with pytest.raises(SubmissionUncertainError):
                await luma.generate("a cow")
            sim.faults.add(Fault.page(500, times=4, on=("get", "tasks")))
            await until(lambda: luma.stats().polled_jobs >= 6)
            sim.advance(HOUR)
            await asyncio.gather(video, failed, return_exceptions=True)
            await luma.download(video, tmp_path / "cat.mp4")
            extended = await luma.extend(video, "it sleeps")
        async with connect(sim) as luma:
            await luma.watch(extended.id)

    spans, points = exported.spans, exported.metrics()
    events = [event for span in spans for event in span.events]
    names = {span.name for span in spans}
    assert names <= set(documented("span"))
    assert names >= {"luma generate", "luma extend", "luma watch", "GET", "POST"}
    assert {event.name for event in events} == set(documented("event of a job"))
    assert set(points) == set(documented("metric"))
    seen = {name for span in spans for name in attributes(span)}
    seen |= {name for event in events for name in event.attributes or {}}
    seen |= {name for found in points.values() for point in found for name in point.attributes}
    assert seen == set(documented("attribute"))


async def test_the_documented_units_and_types_are_those_that_arrive(exported: Exported) -> None:
    """Histograms, counters, and one that may fall."""
    exported.install()
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim) as luma:
        await luma.run("a cat")

    table = PAGE[PAGE.index("| metric |") :].partition("\n\n")[0].splitlines()[2:]
    for row, metric in zip(table, sorted(exported.instruments(), key=order), strict=True):
        name, type, unit, _ = row.strip("| ").split(" | ")
        assert (name, unit) == (f"`{metric.name}`", metric.unit)
        is_monotonic = getattr(metric.data, "is_monotonic", None)
        assert type == {None: "histogram", True: "counter", False: "up-down counter"}[is_monotonic]
        assert metric.description


def order(metric: object) -> int:
    return documented("metric").index(getattr(metric, "name", ""))


CLIENT = """
import sys
from luma_async import LumaClient
luma = LumaClient("sk-x", base_url="http://127.0.0.1:9")
print(luma.stats().running, luma._recorder.observer, sorted(
    name for name in sys.modules if name.startswith(("opentelemetry.", "luma_async.telemetry.o"))
))
"""


def test_without_the_package_nothing_is_imported() -> None:
    """The client has figures, and no observer."""
    code, said, complaint = run(CLIENT, "opentelemetry")

    assert (code, complaint) == (0, "")
    assert said == "0 None ['luma_async.telemetry.observer']\n"


def test_with_the_package_it_is_imported_for_the_first_client_only() -> None:
    """A program that imports the library, or switches telemetry off, does not load it."""
    program = "import sys, luma_async.client; print('opentelemetry' in sys.modules)" + CLIENT
    off = program.replace(":9", ":9/").replace('9/")', '9/", telemetry=False)')
    for text, is_loaded in ((program, True), (off, False)):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, check=True
        )
        imported, _, found = done.stdout.partition("\n")
        assert imported == "False"
        assert ("opentelemetry.trace" in found) is is_loaded


def test_a_package_that_cannot_be_used_is_told_once_per_client() -> None:
    """Such as one that is too old. The client works without it."""
    program = """
import opentelemetry.metrics
del opentelemetry.metrics.get_meter
from luma_async import LumaClient
print(LumaClient("sk-x", base_url="http://127.0.0.1:9").stats().running)
"""
    code, said, complaint = run(program)

    assert (code, said) == (0, "0\n")
    assert complaint.startswith("No spans and metrics are exported: AttributeError")
    assert len(complaint.splitlines()) == 1
