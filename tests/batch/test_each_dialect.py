"""One manifest with each dialect: the same page, also after a kill, and each row paid for once."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from luma_async import FixedSchedule, LumaClient
from luma_async.cli import connection
from luma_async.cli.options import DIALECTS
from luma_async.simulator import Simulator
from luma_async.testing import running_simulator
from tests.cli.commands import Shell, wait_for
from tests.clients import HOUR
from tests.forked_programs import PYTHON

MANIFEST = """\
key,prompt,aspect_ratio,image,extends
cat,a cat dances,1:1,,
tall,a tower in the fog,9:16,,
from-image,the sea moves,1:1,https://images.example/sea.png,
bow,the cat bows,,,cat
encore,the cat bows again,,,bow
"""
ROWS = len(MANIFEST.splitlines()) - 1
CHAINED = 2
"""Number of rows that wait for another one."""

_QUICK = """
import functools
from luma_async import FixedSchedule, LumaClient
from luma_async.cli import connection, main
connection.LumaClient = functools.partial(connection.LumaClient, schedule=FixedSchedule(0.05))
main()
"""
QUICK = [*PYTHON, "-c", _QUICK]
"""The command line, with a look at a job every 50 ms."""


class Adjustable:
    """Durations that a test changes while the simulator runs."""

    seconds = HOUR

    def draw(self, chance: random.Random) -> float:
        return self.seconds


def has_begun(journal: Path) -> bool:
    """Return `True` once the job ids of all rows that wait for no other one are durable."""
    if not journal.exists():
        return False
    with closing(sqlite3.connect(journal)) as database:
        try:
            query = "SELECT count(*) FROM luma_jobs WHERE task_id IS NOT NULL"
            number = int(database.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # its tables are being made
            return False
    return number == ROWS - CHAINED


REPORTED = r"""\s*<span>\s*[\d.]+ s\s*</span>|\s*<span class="size">.*?</span>|grid \w+"""
"""Facts about a video that gateways report and Luma's own APIs do not: duration, size and shape."""


def page_of(folder: Path, ids: Mapping[str, str]) -> str:
    """Return the gallery without ids of jobs and facts that only some servers report."""
    text = (folder / "gallery.html").read_text("utf-8")
    for id, prompt in ids.items():
        text = text.replace(id, f"the job of {prompt!r}")
    return re.sub(r"--dialect[= ][a-z-]+", "", re.sub(REPORTED, "", text, flags=re.DOTALL))


def results_of(folder: Path, ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the results in the order of the rows, normalised likewise."""
    lines = (folder / "results.jsonl").read_text("utf-8").splitlines()
    found = sorted((json.loads(line) for line in lines), key=lambda result: int(result["line"]))
    for result in found:
        for name in ("took", "duration", "width", "height"):
            result.pop(name, None)
        result["id"] = ids[result["id"]]
        if "source" in result:
            result["source"] = ids[result["source"]]
    return found


def test_a_killed_batch_is_continued_alike_with_each_dialect(tmp_path: Path) -> None:
    """Only the ids of jobs differ, and the ledger has each row once for each dialect."""
    durations = Adjustable()
    with running_simulator(
        durations=durations, short_side=64, same_films=True, link_lifetime=1e9
    ) as sim:
        check_each_dialect(sim, tmp_path, durations)


def check_each_dialect(sim: Simulator, tmp_path: Path, durations: Adjustable) -> None:
    shells = {name: Shell.at(sim, tmp_path / name, LUMA_JOURNAL="") for name in DIALECTS}
    with ExitStack() as stack:
        killed = []
        for name, shell in shells.items():
            shell.folder.mkdir()
            (shell.folder / "rows.csv").write_text(MANIFEST)
            killed.append(
                stack.enter_context(
                    shell.started("batch", "rows.csv", "--dialect", name, command=QUICK)
                )
            )
        for name in DIALECTS:
            journal = tmp_path / name / "rows" / "jobs.db"
            wait_for(partial(has_begun, journal))
        for process in killed:
            process.kill()
    sim.advance(HOUR)
    durations.seconds = 0.05

    quick = partial(LumaClient, schedule=FixedSchedule(0.05))
    with patch.object(connection, "LumaClient", quick):
        codes = {
            name: shell.run("batch", "rows.csv", "--dialect", name).returncode
            for name, shell in shells.items()
        }

    assert codes == dict.fromkeys(DIALECTS, 0)
    paid = sorted((job.api, job.prompt) for job in sim.ledger.jobs)
    prompts = [line.split(",")[1] for line in MANIFEST.splitlines()[1:]]
    assert paid == sorted((name, prompt) for name in DIALECTS for prompt in prompts)
    ids = {job.id: job.prompt for job in sim.ledger.jobs}
    folders = [tmp_path / name / "rows" for name in DIALECTS]
    first, *others = [results_of(folder, ids) for folder in folders]
    assert [result["state"] for result in first] == ["done"] * ROWS
    assert [result.get("source") for result in first[-2:]] == ["a cat dances", "the cat bows"]
    assert all(other == first for other in others)
    assert len({page_of(folder, ids) for folder in folders}) == 1
    files = {f"{line.split(',')[0]}.mp4" for line in MANIFEST.splitlines()[1:]}
    assert all({path.name for path in (each / "videos").iterdir()} == files for each in folders)
