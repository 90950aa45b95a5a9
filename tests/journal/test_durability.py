"""What a caller has seen, a power cut does not undo."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from luma_async import SQLJournal
from luma_async.simulator import Fixed
from luma_async.testing import running_simulator
from tests.platforms import IS_LINUX, missing, skip_without_servers

HERE = Path(__file__).parent
JOBS = 200


def power_cut_library(folder: Path) -> Path:
    """Compile what keeps copies of files as they were when they were last synced."""
    skip_without_servers()
    compiler = shutil.which("cc")
    if compiler is None or not IS_LINUX:
        missing("a C compiler on Linux is needed, as .ci/run installs")
    library = folder / "power_cut.so"
    options = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror"]
    source = HERE / "power_cut.c"
    subprocess.run([compiler, *options, "-o", str(library), str(source), "-ldl"], check=True)
    return library


def test_a_power_cut_takes_no_id_that_was_seen(tmp_path: Path) -> None:
    """Of what was not synced nothing is left; each id that `generate()` returned is there.

    So is the request id of each submission that reached the server: with it, the support of a
    server without a list of jobs can find a job whose answer was lost.
    """
    working, left = tmp_path / "working", tmp_path / "left"
    working.mkdir()
    left.mkdir()
    with running_simulator(durations=Fixed(1000)) as sim:
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.journal.submitter"),
                *(sim.url, str(working / "jobs.db")),
            ],
            cwd=HERE.parents[1],
            env={
                **os.environ,
                "LD_PRELOAD": str(power_cut_library(tmp_path)),
                "POWER_CUT_FROM": str(working),
                "POWER_CUT_TO": str(left),
            },
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            seen = dict(process.stdout.readline().split() for _ in range(JOBS))
            process.kill()  # the power is cut now, or a moment ago

        taken = {job.id for job in sim.ledger.jobs}
        sent = {id for ids in sim.ledger.idempotency_keys for id in ids}
        known, uncertain, written = asyncio.run(_what_is_left(left / "jobs.db", sim.url))

    assert seen.items() <= known.items()
    # Of those that nobody saw, each that was accepted is known, or known to be uncertain.
    assert len(taken) <= len(known) + uncertain
    assert sent <= written


async def _what_is_left(place: Path, server: str) -> tuple[dict[str, str], int, set[str | None]]:
    """Return the ids by job key, the number of uncertain jobs, and all request ids."""
    async with SQLJournal(place) as journal:
        running = await journal.unfinished(server)
        uncertain = await journal.uncertain()
    ids = {entry.key: entry.id or "" for entry in running}
    return ids, len(uncertain), {entry.request_id for entry in (*running, *uncertain)}
