"""`luma-async batch -`: rows from standard input."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import COMMAND, HELD_LOOKS, PATIENCE, line_with, wait_for
from tests.cli.test_batch import gateway, results, shell
from tests.forked_programs import ForkedProgram
from tests.media.image_files import an_image

ROWS = {
    "csv": "key,prompt\na,a cat\n",
    "jsonl": '{"key": "a", "prompt": "a cat"}\n',
    "yaml": "- key: a\n  prompt: a cat\n",
}


@pytest.mark.parametrize("format", ROWS)
def test_rows_are_read_from_standard_input(format: str, tmp_path: Path) -> None:
    """CSV and JSON lines are told apart by themselves."""
    named = ["--format", format] if format == "yaml" else []
    with gateway() as sim:
        done = shell(sim, tmp_path).run("batch", "-", "--output", "out", *named, stdin=ROWS[format])

    assert done.returncode == 0
    assert done.stdout == "a: videos/a.mp4\n"
    assert "<title>out</title>" in (tmp_path / "out" / "gallery.html").read_text("utf-8")
    assert (tmp_path / "out" / f"rows.{format}").read_text() == ROWS[format]


def test_images_are_relative_to_the_current_folder(tmp_path: Path) -> None:
    """The rows have no folder of their own."""
    (tmp_path / "cat.png").write_bytes(an_image())
    rows = "prompt,image\na cat,cat.png\n"

    done = shell(None, tmp_path).run("batch", "-", "--output", "out", "--dry-run", stdin=rows)

    assert done.returncode == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-"], "need a folder: --output FOLDER"),
        (["rows.csv", "--format", "csv"], "--format is for rows from standard input"),
    ],
)
def test_bad_usage_is_named(arguments: list[str], problem: str, tmp_path: Path) -> None:
    """Nothing is read."""
    done = shell(None, tmp_path).run("batch", *arguments)

    assert done.returncode == 2
    assert problem in " ".join(done.stderr.replace("│", "").split())


def test_problems_are_named_with_their_lines(tmp_path: Path) -> None:
    """As those of a file."""
    done = shell(None, tmp_path).run(
        "batch", "-", "--output", "out", stdin="prompt,loop\na,maybe\n"
    )

    assert done.returncode == 2
    assert done.stderr.startswith("<stdin>:2:2: loop: 'maybe' is neither true nor false")


def test_a_stopped_batch_says_how_to_go_on(tmp_path: Path) -> None:
    """The rows are kept in the output folder, and the printed command reads them from there."""
    rows = "key,prompt\na,a cat\nb,a dog\n"
    arguments = ["batch", "-", "--output", "my cats", "--max-tasks", "1"]
    with gateway() as sim:
        sim.faults.add(HELD_LOOKS)
        with ForkedProgram(
            [*COMMAND, *arguments],
            loaded=True,
            env=shell(sim, tmp_path).environment,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            process.stdin.write(rows)
            process.stdin.close()
            process.stdin = None
            wait_for(lambda: len(sim.ledger.jobs) == 1)
            process.send_signal(signal.SIGINT)
            line_with(process.stderr, "No more rows are submitted; ")
            sim.faults.clear()
            _, said = process.communicate(timeout=PATIENCE)
        command = said.splitlines()[-1].partition("To continue: ")[2]
        typed = command.replace("luma-async", '"$@"', 1)
        go_on = subprocess.run(
            ["/bin/sh", "-c", typed, "sh", *COMMAND],
            env=shell(sim, tmp_path).environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

        assert len(sim.ledger.jobs) == 2
    assert process.returncode == 130
    assert command == "luma-async batch - '--output=my cats' --max-tasks=1 < 'my cats/rows.csv'"
    assert go_on.returncode == 0, go_on.stderr
    assert [result["state"] for result in results(tmp_path / "my cats")] == ["done", "done"]


def test_a_run_in_a_folder_that_is_in_use_leaves_the_kept_rows(tmp_path: Path) -> None:
    """The command that continues the running batch reads them, and pays for them."""
    arguments = ["batch", "-", "--output", "out"]
    with gateway() as sim:
        sim.faults.add(HELD_LOOKS)
        with ForkedProgram(
            [*COMMAND, *arguments],
            loaded=True,
            env=shell(sim, tmp_path).environment,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None
            process.stdin.write(ROWS["csv"])
            process.stdin.close()
            wait_for(lambda: len(sim.ledger.jobs) == 1)

            other = shell(sim, tmp_path).run(*arguments, stdin="key,prompt\nb,a dog\n")

            sim.faults.clear()
            assert process.wait(PATIENCE) == 0
        assert len(sim.ledger.jobs) == 1
    assert "Another batch is running in the folder 'out'" in other.stderr
    assert (tmp_path / "out" / "rows.csv").read_text() == ROWS["csv"]


def test_ctrl_c_ends_the_wait_for_rows(tmp_path: Path) -> None:
    """Nobody has to close standard input first."""
    with ForkedProgram(
        [*COMMAND, "batch", "-", "--output", "out"],
        loaded=True,
        env=shell(None, tmp_path).environment,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write("prompt\n")
        process.stdin.flush()
        status = Path(f"/proc/{process.pid}/wchan")
        wait_for(lambda: "poll" in status.read_text() or "select" in status.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
