"""`-v` shows the log of the library on stderr, and `-vv` all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from luma_async.cli.app import app
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.cli.commands import HELD_LOOKS, KEY, Shell, submitted

TIME = r"\d\d:\d\d:\d\d "


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with running_simulator(durations=Fixed(0.1), short_side=90, api_key=KEY) as simulator:
        yield simulator


def log_of(stderr: str) -> list[str]:
    """Return the lines that begin with the time of day, without it."""
    return [line[9:] for line in stderr.splitlines() if re.match(TIME, line)]


@pytest.mark.parametrize("arguments", [["-v", "watch"], ["watch", "-v"]], ids=" ".join)
def test_v_shows_the_jobs(sim: Simulator, tmp_path: Path, arguments: list[str]) -> None:
    """Before the command and after it; stdout is that of the command without it."""
    [id] = submitted(sim, "a cat")
    done = Shell.at(sim, tmp_path).run(*arguments, id, "--json")

    assert done.returncode == 0
    dialect, line = log_of(done.stderr)
    assert dialect.startswith(f"Using the gateway dialect for {sim.url}, because ")
    assert re.fullmatch(rf"Job {id} is completed( after [\d.]+ s)?\.", line)
    assert [json.loads(each)["id"] for each in done.stdout.splitlines()].count(id) > 0


@pytest.mark.parametrize(
    "arguments", [["-v", "generate", "-v"], ["generate", "-vv"], ["-vv", "generate"]], ids=" ".join
)
def test_vv_shows_the_requests(sim: Simulator, tmp_path: Path, arguments: list[str]) -> None:
    """With the same option at both places, the counts are added."""
    done = Shell.at(sim, tmp_path).run(*arguments, "a cat dances", "--no-download")

    lines = log_of(done.stderr)
    assert done.returncode == 0
    assert any(re.match(r"POST /luma/generations: 20\d after", line) for line in lines)
    assert any(line.startswith("Looked at 1 job") for line in lines)
    assert any("was submitted (generate)" in line for line in lines)
    assert log_of(done.stdout) == []


def test_without_v_only_warnings_are_shown(sim: Simulator, tmp_path: Path) -> None:
    """The count of one command is not that of the next one."""
    shell = Shell.at(sim, tmp_path)
    assert log_of(shell.run("generate", "a cat", "-v", "--no-wait").stderr)
    assert log_of(shell.run("generate", "a cat", "--no-wait").stderr) == []


def test_an_interrupted_wait_tells_the_ids(sim: Simulator, tmp_path: Path) -> None:
    """A command that leaves its job behind says how to find it again."""
    done = Shell.at(sim, tmp_path).run("generate", "a cat", "-v", "--no-wait")

    [id] = [job.id for job in sim.ledger.jobs]
    assert f"The client was closed with 1 job running at the server: {id}." in done.stderr


def test_lines_of_the_log_leave_a_display_whole(sim: Simulator, tmp_path: Path) -> None:
    """Each is one line above the display, which goes on moving below it."""
    sim.faults.add(HELD_LOOKS)

    def go_on(shown: str) -> None:
        if "was submitted" in shown and shown.count("a cat dances") > 5:
            sim.faults.clear()

    code, shown, _ = Shell.at(sim, tmp_path, NO_COLOR="1").on_a_terminal(
        "generate", "a cat dances", "-vv", columns=100, watch=go_on
    )

    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    lines = [line for line in re.split(r"[\r\n]+", plain) if "was submitted" in line]
    assert [re.fullmatch(TIME + r"Job \S+ was submitted \(generate\)\.\s*", line) for line in lines]
    assert len(lines) == 1
    assert plain.index("was submitted") < plain.rindex("a cat dances")


def test_a_failed_look_is_shown_with_its_next_try(sim: Simulator, tmp_path: Path) -> None:
    """Once, as a line of the log."""
    [id] = submitted(sim, "a cat")
    sim.faults.add(Fault.page(502, on=("get",), times=1))
    done = Shell.at(sim, tmp_path).run("get", id, "-vv")

    assert sum("Trying again in" in line for line in log_of(done.stderr)) == 1
    assert "(try 2)" in done.stderr


@pytest.mark.parametrize("name", typer.main.get_command(app).commands)  # type: ignore[attr-defined]
def test_every_command_has_the_option(name: str) -> None:
    """And help tells what it does."""
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]

    assert [param.help for param in command.params if "-v" in param.opts] == [
        "Show the log: jobs with -v, and each request with -vv."
    ]
