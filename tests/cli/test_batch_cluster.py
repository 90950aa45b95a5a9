"""`luma-async batch --cluster`: worker processes, which a terminal and a crash reach as well."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from luma_async.simulator import Fixed
from luma_async.testing import running_simulator
from tests.cli.commands import HELD_LOOKS, PATIENCE, Shell, line_with, wait_for

LIBRARIES = ["distributed"]
"""Modules that the server of forked programs loads once for these tests."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"cat-{n}-{part},take {n} part {part}," for n in range(4) for part in range(2)]
    extended = [f"{row}cat-{row[4]}-0" if "-1," in row else row for row in rows]
    (tmp_path / "rows.csv").write_text("\n".join(["key,prompt,extends", *extended]))
    return tmp_path


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the ids of the worker processes of a command."""
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    found = [int(id) for each in children for id in each.read_text().split()]
    return [id for id in found if b"spawn_main" in Path(f"/proc/{id}/cmdline").read_bytes()]


def accepted(journal: Path) -> int:
    """Return the number of jobs that are known to be accepted."""
    with closing(sqlite3.connect(journal, timeout=30)) as file:
        (found,) = file.execute("SELECT count(task_id) FROM luma_jobs").fetchone()
    return int(found)


def test_a_worker_that_is_killed_costs_nothing(folder: Path) -> None:
    """Each row is paid once and has its video, and nothing is printed but a warning."""
    with running_simulator(durations=Fixed(0.1), short_side=90, same_films=True) as sim:
        sim.faults.add(HELD_LOOKS)
        command = ["batch", "rows.csv", "--cluster", "local:2"]
        with Shell.at(sim, folder).started(*command, libraries=LIBRARIES) as process:
            wait_for(lambda: len(sim.ledger.jobs) == 4 or process.poll() is not None)
            assert process.poll() is None, process.communicate()
            wait_for(lambda: accepted(folder / "rows" / "jobs.db") == 4)
            os.kill(workers_of(process)[0], signal.SIGKILL)
            line_with(process.stderr, "A worker died. Another one runs its 4 rows of the batch.")
            sim.faults.clear()
            printed, said = process.communicate(timeout=PATIENCE)
        prompts = Counter(job.prompt for job in sim.ledger.jobs)

    assert process.returncode == 0
    assert said == "8 rows: 8 done.\nGallery: rows/gallery.html\n"
    assert len(printed.splitlines()) == 8
    assert set(prompts.values()) == {1}
    assert len(list((folder / "rows" / "videos").glob("*.mp4"))) == len(prompts) == 8


def test_ctrl_c_reaches_the_coordinator_only(folder: Path) -> None:
    """A terminal sends it to the workers, too; they end when their jobs have."""
    with running_simulator(durations=Fixed(0.1), short_side=90, same_films=True) as sim:
        sim.faults.add(HELD_LOOKS)
        command = ["batch", "rows.csv", "--cluster", "local:1", "--max-tasks", "2"]
        with Shell.at(sim, folder).started(*command, libraries=LIBRARIES) as process:
            wait_for(lambda: len(sim.ledger.jobs) == 2 or process.poll() is not None)
            assert process.poll() is None, process.communicate()
            for id in (*workers_of(process), process.pid):
                os.kill(id, signal.SIGINT)
            line_with(process.stderr, "No more rows are submitted; ")
            sim.faults.clear()
            printed, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert len(printed.splitlines()) == len(sim.ledger.jobs) < 8
    assert "still to do" in said
    assert said.endswith("To continue: luma-async batch rows.csv --cluster=local:1 --max-tasks=2\n")
    assert "Traceback" not in said


def test_commands_that_redo_rows_are_without_the_cluster(tmp_path: Path) -> None:
    """A cluster redoes no rows, so the summary and the gallery have commands that work."""
    table, cluster = tmp_path / "rows.csv", ["batch", "rows.csv", "--cluster", "local:1"]
    table.write_text("key,prompt\na,one\nb,two")
    with running_simulator(durations=Fixed(0.0), short_side=90, same_films=True) as sim:
        shell = Shell.at(sim, tmp_path)
        shell.run("batch", "rows.csv")
        table.write_text("key,prompt\na,one at night\nb,two")
        one = shell.run(*cluster)
        page = (tmp_path / "rows" / "gallery.html").read_text("utf-8")
        table.write_text("key,prompt\na,one at night\nb,two at night")
        both = shell.run(*cluster)

    assert "Redo: luma-async batch rows.csv --redo a\n" in one.stderr
    assert "luma-async batch rows.csv --redo a" in re.sub("<[^>]*>", "", page)
    assert "Redo: luma-async batch rows.csv --redo-edited\n" in both.stderr


def test_an_interrupted_redo_is_continued_without_the_cluster(tmp_path: Path) -> None:
    """The command that follows the error finishes the redo, and pays for nothing."""
    (tmp_path / "rows.csv").write_text("key,prompt\na,one")
    with running_simulator(durations=Fixed(0.0), short_side=90, same_films=True) as sim:
        shell = Shell.at(sim, tmp_path)
        shell.run("batch", "rows.csv")
        before = (tmp_path / "rows" / "results.jsonl").read_bytes()
        shell.run("batch", "rows.csv", "--redo", "a")
        # As a redo leaves them that was killed before its job had ended.
        (tmp_path / "rows" / "results.jsonl").write_bytes(before)
        replaced = {"a": json.loads(before)["id"]}
        (tmp_path / "rows" / ".redo.json").write_text(json.dumps(replaced))

        refused = shell.run("batch", "rows.csv", "--cluster", "local:1")
        command = refused.stderr.splitlines()[-1].partition("To continue: luma-async ")[2]
        done = shell.run(*shlex.split(command))
        again = shell.run("batch", "rows.csv", "--cluster", "local:1")

        assert len(sim.ledger.jobs) == 2
    assert refused.returncode == 1
    assert "Finish that without a cluster first" in refused.stderr
    assert command == "batch rows.csv"
    assert (done.returncode, again.returncode) == (0, 0)


def test_what_does_not_go_together_is_told(folder: Path) -> None:
    """Nothing is started for a journal that cannot be shared, or to redo rows."""
    shell = Shell(folder, "http://127.0.0.1:9")
    unknown = shell.run("batch", "rows.csv", "--cluster", "4", "--dry-run")
    shared = shell.run("batch", "rows.csv", "--cluster", "tcp://scheduler:8786")
    redo = shell.run("batch", "rows.csv", "--cluster", "local:2", "--redo", "cat-0-0")

    assert unknown.returncode == 2
    assert "must be local:N" in unknown.stderr
    assert shared.returncode == 2
    assert "--journal postgresql://user@host/name" in shared.stderr
    assert redo.returncode == 2
    assert "--redo and --redo-edited do not work with --cluster" in redo.stderr
