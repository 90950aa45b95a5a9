"""`luma-async batch --redo`: edited rows, and redos that are killed at any moment."""

from __future__ import annotations

import random
import shlex
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from luma_async.simulator import Fault, Fixed
from tests.cli.commands import HELD_LOOKS, PATIENCE, wait_for
from tests.cli.test_batch import (
    cats,
    gateway,
    has_jobs_or_ended,
    results,
    settle,
    shell,
    summary_of,
    write_rows,
)


def test_an_edited_row_is_named_with_the_command_that_redoes_it(tmp_path: Path) -> None:
    """The exit code is 1 until then, because the folder is not what the file asks for."""
    rows = cats(3)
    write_rows(tmp_path / "rows.csv", rows)
    with gateway(same_films=True) as sim:
        shell(sim, tmp_path).run("batch", "rows.csv")
        rows[1]["prompt"] = "a dog"
        write_rows(tmp_path / "rows.csv", rows)
        edited = shell(sim, tmp_path).run("batch", "rows.csv")
        planned = shell(sim, tmp_path).run("batch", "rows.csv", "--dry-run")
        assert len(sim.ledger.jobs) == 3

        command = summary_of(edited)[1].partition("Redo: ")[2]
        preview = shell(sim, tmp_path).run(*shlex.split(command)[1:], "--dry-run")
        redone = shell(sim, tmp_path).run(*shlex.split(command)[1:])
        after = shell(sim, tmp_path).run("batch", "rows.csv")

        assert len(sim.ledger.jobs) == 4
    page = (tmp_path / "rows" / "gallery.html").read_text("utf-8")
    earlier = sim.ledger.jobs[1].id
    assert [done.returncode for done in (edited, redone, after)] == [1, 0, 0]
    assert command == "luma-async batch rows.csv --redo cat-1"
    assert summary_of(edited)[0] == "3 rows: 3 done."
    assert summary_of(edited)[1].startswith("1 row was edited after its job was submitted, and ")
    assert "Edited rows that keep their video: 1; --redo-edited redoes them." in planned.stderr
    assert preview.stdout == "cat-1: generate, anew: a dog\n"
    assert "would be submitted anew, and paid again: 1." in preview.stderr
    assert redone.stdout == "cat-1: videos/cat-1.mp4\n"
    assert f'href="videos/cat-1.{earlier}.mp4"' in page


def test_several_edited_rows_have_one_command(tmp_path: Path) -> None:
    """The gallery has one for each."""
    rows = cats(3)
    write_rows(tmp_path / "rows.csv", rows)
    with gateway(same_films=True) as sim:
        shell(sim, tmp_path).run("batch", "rows.csv")
        for row in rows[:2]:
            row["prompt"] += ", at night"
        write_rows(tmp_path / "rows.csv", rows)

        edited = shell(sim, tmp_path).run("batch", "rows.csv", "--redo-edited", "--limit-jobs", "0")
        page = (tmp_path / "rows" / "gallery.html").read_text("utf-8")
        redone = shell(sim, tmp_path).run("batch", "rows.csv", "--redo-edited")

        assert len(sim.ledger.jobs) == 5
    assert edited.returncode == 1
    assert "Redo: luma-async batch rows.csv --limit-jobs=0 --redo-edited" in edited.stderr
    assert "<span>--redo</span> <span>cat-1</span>" in page
    assert redone.returncode == 0
    assert [result.get("note") for result in results(tmp_path / "rows")] == [None] * 3


def test_a_key_that_no_row_has_is_bad_usage(tmp_path: Path) -> None:
    """Nothing is submitted, and the key is named."""
    write_rows(tmp_path / "rows.csv", cats(1))
    with gateway() as sim:
        done = shell(sim, tmp_path).run("batch", "rows.csv", "--redo", "cat-7")
        planned = shell(sim, tmp_path).run("batch", "rows.csv", "--redo", "cat-7", "--dry-run")

        assert sim.ledger.requests.total() == 0
    assert (done.returncode, planned.returncode) == (2, 2)
    assert "redo: no row has the key 'cat-7'" in done.stderr


def test_a_stopped_redo_says_how_to_go_on(tmp_path: Path) -> None:
    """The command has the same rows to redo: those that were redone are not paid again."""
    write_rows(tmp_path / "rows.csv", cats(4))
    redo = ["batch", "rows.csv", "--max-tasks", "1", *(f"--redo=cat-{n}" for n in range(4))]
    with gateway(same_films=True) as sim:
        shell(sim, tmp_path).run("batch", "rows.csv")
        with shell(sim, tmp_path).started(*redo) as process:
            wait_for(lambda: len(sim.ledger.jobs) == 6)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        command = said.splitlines()[-1].partition("To continue: ")[2]

        done = shell(sim, tmp_path).run(*shlex.split(command)[1:])

        assert set(Counter(job.prompt for job in sim.ledger.jobs).values()) == {2}
    assert done.returncode == 0


def test_the_preview_of_a_redo_counts_a_video_that_was_not_downloaded(tmp_path: Path) -> None:
    """It is paid for again as any other."""
    write_rows(tmp_path / "rows.csv", cats(1))
    redo = ["batch", "rows.csv", "--redo", "cat-0"]
    with gateway(same_films=True) as sim:
        sim.faults.add(Fault.page(404, on=["media"]))
        shell(sim, tmp_path).run("batch", "rows.csv")

        preview = shell(sim, tmp_path).run(*redo, "--dry-run")
        shell(sim, tmp_path).run(*redo)

        assert len(sim.ledger.jobs) == 2
    assert preview.stdout == "cat-0: generate, anew: a cat, take 0\n"
    assert "would be submitted anew, and paid again: 1." in preview.stderr


def test_a_redo_without_its_journal_is_not_paid_for_again(tmp_path: Path) -> None:
    """Only the journal has the new job of an interrupted redo."""
    write_rows(tmp_path / "rows.csv", cats(1))
    redo = ["batch", "rows.csv", "--redo", "cat-0"]
    with gateway(same_films=True) as sim:
        shell(sim, tmp_path).run("batch", "rows.csv")
        sim.faults.add(HELD_LOOKS)
        with shell(sim, tmp_path).started(*redo) as process:
            wait_for(lambda: len(sim.ledger.jobs) == 2)
            process.kill()
            process.communicate(timeout=PATIENCE)
        sim.faults.clear()
        (tmp_path / "rows" / "jobs.db").rename(tmp_path / "moved.db")

        refused = shell(sim, tmp_path).run(*redo)

        assert len(sim.ledger.jobs) == 2
    assert refused.returncode == 1
    assert "Row 'cat-0' is being redone and may be paid for" in refused.stderr
    assert "its journal was not found" in refused.stderr


@pytest.mark.parametrize(
    ("count", "kills"), [(10, 4), pytest.param(60, 30, marks=pytest.mark.long)]
)
def test_a_redo_that_is_killed_at_any_moment_pays_once(
    count: int, kills: int, tmp_path: Path
) -> None:
    """SIGKILL, run again with or without the redo: no row is paid twice, and no video is lost.

    What was on the wire when the process was killed is settled, as its user would.
    """
    chance = random.Random(11)
    rows = cats(count)
    write_rows(tmp_path / "rows.csv", rows)
    plain = ["batch", "rows.csv", "--output", "out", "--max-tasks", "3"]
    redo = [*plain, *(f"--redo={row['key']}" for row in rows)]
    with gateway(durations=Fixed(0.2), same_films=False) as sim:
        assert shell(sim, tmp_path).run(*plain).returncode == 0
        before = {job.request["user_prompt"]: job.id for job in sim.ledger.jobs}
        for row in rows:
            row["prompt"] += ", at night"
        write_rows(tmp_path / "rows.csv", rows)
        for number in range(kills):
            # The first run begins the redo; later ones may only go on with what was begun.
            command = plain if number % 3 == 1 else redo
            wanted = min(len(sim.ledger.jobs) + chance.randrange(0, 4), 2 * count)
            with shell(sim, tmp_path).started(*command) as process:
                wait_for((tmp_path / "out" / ".redo.json").exists)
                wait_for(partial(has_jobs_or_ended, sim, wanted, process))
                process.kill()
                process.communicate(timeout=PATIENCE)
            settle(sim, tmp_path)
        last = shell(sim, tmp_path).run(*redo)

        billed = Counter(job.request["user_prompt"] for job in sim.ledger.jobs)
        ids = {job.request["user_prompt"]: job.id for job in sim.ledger.jobs}
    assert last.returncode == 0, last.stderr
    assert set(billed.values()) == {1}, "a row was paid for twice"
    assert len(billed) == 2 * count
    videos = tmp_path / "out" / "videos"
    for result in results(tmp_path / "out"):
        prompt = result["prompt"]
        old = before[prompt.removesuffix(", at night")]
        assert (result["state"], result["id"]) == ("done", ids[prompt])
        assert [video["id"] for video in result["earlier"]] == [old]
        earlier = videos / f"{result['key']}.{old}.mp4"
        assert earlier.read_bytes() != (videos / f"{result['key']}.mp4").read_bytes()
    assert len(list(videos.iterdir())) == 2 * count
    assert not (tmp_path / "out" / ".redo.json").exists()
