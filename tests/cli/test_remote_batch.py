"""`luma-async batch --output URL`: what is printed, and what is asked for wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Shell
from tests.cli.test_batch import cats, gateway, shell, write_rows


def test_videos_go_to_a_url(tmp_path: Path) -> None:
    """The summary tells where they are; a dry run counts them, and changes nothing."""
    write_rows(tmp_path / "rows.csv", cats(2))
    there = tmp_path / "there"
    command = ["batch", "rows.csv", "--output", there.as_uri()]
    with gateway() as sim:
        done = shell(sim, tmp_path).run(*command)
        again = shell(sim, tmp_path).run(*command, "--dry-run")
        (tmp_path / "rows" / "results.jsonl").unlink()
        (there / "videos" / "cat-1.mp4").unlink()
        elsewhere = shell(sim, tmp_path).run(*command, "--folder", "other", "--dry-run")

        assert len(sim.ledger.jobs) == 2
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == [f"cat-{n}: videos/cat-{n}.mp4" for n in range(2)]
    assert done.stderr.splitlines()[-3:] == [
        "2 rows: 2 done.",
        f"Videos: {there.as_uri()}/videos",
        f"Gallery: {there.as_uri()}/gallery.html",
    ]
    assert again.stderr.splitlines()[-1] == "2 rows: 2 have ended, 0 would be run."
    assert elsewhere.stdout.startswith("cat-1: generate")
    assert not (tmp_path / "other").exists()
    assert {path.name for path in there.iterdir()} == {"gallery.html", "results.jsonl", "videos"}


def test_the_command_that_continues_has_no_password(tmp_path: Path, quick_retries: None) -> None:
    """An unreachable server is named, and so are the folder and the URL without its password."""
    write_rows(tmp_path / "rows.csv", cats(1))
    with gateway() as sim:
        done = shell(sim, tmp_path).run(
            *("batch", "rows.csv", "--folder", "work"),
            *("--output", "ftp://me:a-long-password@127.0.0.1:9/cats"),
        )

        assert sim.ledger.jobs == []
    assert done.returncode != 0
    assert "ftp://me:***@127.0.0.1:9/cats" in done.stderr
    assert "a-long-password" not in done.stdout + done.stderr
    assert "--folder=work" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["rows.csv", "--folder", "x"], "--folder is for an --output that is a URL."),
        (["rows.csv", "--output", "rows.csv"], "'rows.csv' is a file, not a folder."),
        (["-", "--output", "s3://b/c"], "need a folder: --folder FOLDER."),
    ],
)
def test_options_that_do_not_fit_are_errors(
    arguments: list[str], problem: str, tmp_path: Path
) -> None:
    """They are found before anything is read."""
    write_rows(tmp_path / "rows.csv", cats(1))

    done = Shell(tmp_path).run("batch", *arguments)

    assert done.returncode == 2
    assert problem in " ".join(done.stderr.replace("│", " ").split())
