"""Output to terminals and to pipes."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.cli.commands import COMMAND, HELD_LOOKS, KEY, Shell, submitted
from tests.forked_programs import ForkedProgram

HELD_FILES = Fault.slow(math.inf, on=("media",))
HOSTILE = "\x1b]0;pwned\x07[bold red]a cat[/] \x1b[2Jdances\r\n"
HARMLESS = "[bold red]a cat[/] dances"


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with running_simulator(durations=Fixed(0.3), short_side=90, api_key=KEY) as simulator:
        yield simulator


def test_progress_moves_on_a_terminal(sim: Simulator, tmp_path: Path) -> None:
    """One line is redrawn in place; the file's path follows in one piece."""
    held = [Fault.slow(math.inf), HELD_LOOKS, HELD_FILES]
    sim.faults.add(*held)
    awaited = ["submitting", "pending|processing", "(a cat dances.*){6}downloading"]

    def go_on(shown: str) -> None:
        """Let the next thing happen when this one was seen."""
        if awaited and re.search(awaited[0], shown, re.DOTALL):
            del awaited[0], held[0]
            sim.faults.clear()
            sim.faults.add(*held)

    code, shown, _ = Shell.at(sim, tmp_path).on_a_terminal(
        "generate", "a cat dances", columns=80, watch=go_on
    )

    assert code == 0
    assert not awaited
    for word in ("submitting", "position 1", "downloading", "saved", " MB"):
        assert word in shown
    assert shown.rstrip().splitlines()[-1].endswith(f"videos/{sim.ledger.jobs[0].id}.mp4")
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back


def test_a_running_job_shows_its_progress(sim: Simulator, tmp_path: Path) -> None:
    """As the server reports it, beside the time that the job has taken."""
    (id,) = submitted(sim, "a cat")
    half = {"id": id, "state": "processing", "progress": "44%", "estimate_wait_seconds": 0.1}
    sim.faults.add(Fault.answer(json.dumps(half).encode(), on=["get"], times=1), HELD_LOOKS)

    def go_on(shown: str) -> None:
        if re.search(r"processing.* 44%", shown):
            sim.faults.clear()

    code, shown, _ = Shell.at(sim, tmp_path).on_a_terminal("watch", id, watch=go_on)

    assert code == 0
    assert "44%" in shown
    assert f"{id}  completed  http" in shown


def test_results_go_to_a_pipe_while_the_terminal_shows_progress(
    sim: Simulator, tmp_path: Path
) -> None:
    """`file=$(luma-async generate ...)` gets the path and nothing else."""
    sim.faults.add(HELD_FILES)

    def go_on(shown: str) -> None:
        if "downloading" in shown:
            sim.faults.clear()

    code, shown, piped = Shell.at(sim, tmp_path).on_a_terminal(
        "generate", "a cat dances", stdout_too=False, watch=go_on
    )

    assert code == 0
    assert piped == f"videos/{sim.ledger.jobs[0].id}.mp4\n"
    assert "downloading" in shown


def test_no_colour_where_none_is_wanted(sim: Simulator, tmp_path: Path) -> None:
    """The line moves all the same."""
    sim.faults.add(HELD_LOOKS)

    def go_on(shown: str) -> None:
        if shown.count("a cat dances") > 5:
            sim.faults.clear()

    _, shown, _ = Shell.at(sim, tmp_path, NO_COLOR="1").on_a_terminal(
        "generate", "a cat dances", watch=go_on
    )

    assert shown.count("a cat dances") > 5
    assert "\x1b[3" not in shown


def test_a_terminal_without_a_cursor_gets_lines(sim: Simulator, tmp_path: Path) -> None:
    """As a pipe does, even if colours are forced."""
    shell = Shell.at(sim, tmp_path, FORCE_COLOR="1")
    piped = shell.run("generate", "a cat dances", "--no-wait")

    assert "\x1b" not in piped.stdout + piped.stderr


def test_hostile_text_reaches_no_terminal(sim: Simulator, tmp_path: Path) -> None:
    """Neither a prompt's markup and escape sequences, nor those in a server's words."""
    shell = Shell.at(sim, tmp_path)
    _, made, _ = shell.on_a_terminal("generate", HOSTILE, columns=140)
    _, listed, _ = shell.on_a_terminal("jobs", columns=140)
    task = {"id": "x", "state": "failed", "failure_reason": HOSTILE, "request": {"prompt": HOSTILE}}
    sim.faults.add(Fault.answer(json.dumps(task).encode(), on=("get",)))
    _, looked, _ = shell.on_a_terminal("get", "x", columns=140)

    for shown in (made, listed, looked):
        assert HARMLESS in shown
        assert "pwned" not in shown
        assert "\x1b[2J" not in shown


def test_hostile_text_is_data_to_a_script(sim: Simulator, tmp_path: Path) -> None:
    """JSON carries it as it is, escaped."""
    task = {"id": "x", "state": "failed", "failure_reason": HOSTILE}
    sim.faults.add(Fault.answer(json.dumps(task).encode(), on=("get",)))
    done = Shell.at(sim, tmp_path).run("get", "x", "--json")

    assert json.loads(done.stdout)["failure_reason"] == HOSTILE
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["jobs", "--json"]])
def test_a_pipe_that_is_closed_is_no_error(
    sim: Simulator, tmp_path: Path, arguments: list[str]
) -> None:
    """`luma-async ... | head -1` says nothing on stderr."""
    shell = Shell.at(sim, tmp_path)
    if arguments[0] == "jobs":
        assert shell.run("generate", "a cat", "--no-wait").returncode == 0
    with ForkedProgram(
        [*COMMAND, *arguments],
        env=shell.environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaints = process.stderr.read()

    assert complaints == ""
    assert process.returncode in (0, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk is always full here")
@pytest.mark.parametrize("arguments", [["--version"], ["simulate", "--port=0"]])
def test_a_full_disk_is_said_in_a_line(tmp_path: Path, arguments: list[str]) -> None:
    """Exit code 1, no traceback."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=Shell(tmp_path).environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_output_survives_a_poor_encoding(encoding: str, sim: Simulator, tmp_path: Path) -> None:
    """Characters that the encoding lacks are printed as escapes. Windows has such encodings."""
    shell = Shell.at(sim, tmp_path, PYTHONIOENCODING=encoding)
    done = shell.run("generate", "a cat ✓ dances", "--no-wait")

    assert done.returncode == 0
    assert r"a cat \u2713 dances" in done.stderr
