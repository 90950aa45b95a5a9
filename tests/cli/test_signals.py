"""Signals end every command, wherever it was started, and nothing that was paid for is lost."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no signals that a process sends to another", allow_module_level=True)

from luma_async.cli.interruption import interruptible_input
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.cli.commands import COMMAND, HELD_LOOKS, PATIENCE, Shell, line_with, submitted, wait_for
from tests.clients import HOUR

Process = tuple[subprocess.Popen[str], Simulator]

AS_BACKGROUND_JOB = [signal.SIGINT]
"""Signals that background jobs of a shell without job control ignore."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("key,prompt\na,a cat\nb,a dog\n")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "number"),
    [
        pytest.param(["generate", "a cat"], signal.SIGTERM, id="generate"),
        pytest.param(["watch", "ID"], signal.SIGHUP, id="watch"),
        pytest.param(["batch", "rows.csv"], signal.SIGTERM, id="batch, SIGTERM"),
        pytest.param(["batch", "rows.csv"], signal.SIGHUP, id="batch, SIGHUP"),
    ],
)
def test_a_command_behind_an_ampersand_can_be_ended(
    command: list[str], number: int, folder: Path
) -> None:
    """A background job ignores Ctrl-C, but not SIGTERM; the command to continue is printed once."""
    with running_simulator(durations=Fixed(HOUR)) as sim:
        if command[0] == "watch":
            command = ["watch", *submitted(sim, "a cat")]
        with Shell.at(sim, folder).started(*command, ignored=AS_BACKGROUND_JOB) as process:
            match command[0]:
                case "generate":
                    line_with(process.stderr, "Job id: ")
                case "watch":
                    line_with(process.stdout, "pending")
                case _:
                    wait_for(lambda: len(sim.ledger.jobs) == 2)
            process.send_signal(signal.SIGINT)
            process.send_signal(number)
            _, said = process.communicate(timeout=PATIENCE)

    go_on = {"batch": "batch rows.csv", "watch": "watch ", "generate": "download "}[command[0]]
    assert process.returncode == 130
    assert said.count(f"luma-async {go_on}") == 1
    assert "Traceback" not in said


def test_a_script_ends_what_it_started(folder: Path) -> None:
    """A typical script: `luma-async simulate & ...; kill $!`."""
    script = '"$@" & read line; kill $!; wait $!; echo "exit code $?"'
    with subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", *COMMAND, "simulate", "--port", "0", "--json"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/simulator/ledger") as answer:  # noqa: S310  our own
            assert answer.status == 200
        said, _ = process.communicate("go\n", timeout=PATIENCE)

    assert said == "exit code 130\n"


def test_nohup_is_respected(folder: Path) -> None:
    """A terminal that is closed ends nothing that was told to stay."""
    with running_simulator(durations=Fixed(0.3), short_side=90) as sim:
        sim.faults.add(HELD_LOOKS)
        with Shell.at(sim, folder).started("batch", "rows.csv", ignored=[signal.SIGHUP]) as process:
            wait_for(lambda: len(sim.ledger.jobs) == 2)
            process.send_signal(signal.SIGHUP)
            sim.faults.clear()
            told, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    assert len(told.splitlines()) == 2


@pytest.mark.parametrize("command", [["generate", "a cat"], ["batch", "rows.csv"]])
def test_what_was_just_sent_by_a_background_job_is_known(command: list[str], folder: Path) -> None:
    """SIGTERM waits for answers to submissions as Ctrl-C does; a second one changes nothing."""
    place = ["--journal", "rows/jobs.db"] if command[0] == "batch" else []
    with running_simulator(durations=Fixed(HOUR)) as sim:
        sim.faults.add(Fault.slow(math.inf, on=("generate",), after=True))
        shell = Shell.at(sim, folder)
        with shell.started(*command, ignored=AS_BACKGROUND_JOB) as process:
            wait_for(lambda: len(sim.ledger.jobs) == (2 if command[0] == "batch" else 1))
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGHUP)
            sim.faults.clear()
            _, said = process.communicate(timeout=PATIENCE)
        states = shell.lines("jobs", *place)

    assert process.returncode == 130
    assert {job["state"] for job in states} == {"running"}
    assert "Traceback" not in said


@contextmanager
def batch_that_exits(folder: Path, second: signal.Signals) -> Iterator[Process]:
    """Start a batch, and interrupt it twice while its submissions are in flight."""
    with running_simulator(durations=Fixed(HOUR)) as sim:
        sim.faults.add(Fault.slow(math.inf, on=("generate",), after=True))
        with Shell.at(sim, folder).started("batch", "rows.csv") as process:
            wait_for(lambda: len(sim.ledger.jobs) == 2)
            process.send_signal(signal.SIGINT)
            line_with(process.stderr, "No more rows are submitted; ")
            process.send_signal(second)
            line_with(process.stderr, "Exiting as soon as the submissions in flight are answered.")
            yield process, sim


def test_three_times_ctrl_c_ends_at_once(folder: Path) -> None:
    """Submissions in flight are not waited for; the last message has the command to continue."""
    with batch_that_exits(folder, signal.SIGINT) as (process, _):
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert said == (
        "\nExited at once. Submissions in flight may be uncertain now. "
        "To continue: luma-async batch rows.csv\n"
    )


def test_a_batch_that_is_left_while_it_closes_says_how_to_go_on(folder: Path) -> None:
    """Signals after the second one change nothing: submissions in flight are waited for."""
    with batch_that_exits(folder, signal.SIGTERM) as (process, sim):
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGHUP)
        sim.faults.clear()
        _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert said.count("To continue: luma-async batch rows.csv\n") == 1


def test_a_batch_that_was_stopped_says_how_to_go_on(folder: Path) -> None:
    """Rows are left after the running jobs have ended."""
    with running_simulator(durations=Fixed(0.3), short_side=90) as sim:
        sim.faults.add(HELD_LOOKS)
        batch = ["batch", "rows.csv", "--max-tasks", "1"]
        with Shell.at(sim, folder).started(*batch) as process:
            wait_for(lambda: len(sim.ledger.jobs) == 1)
            process.send_signal(signal.SIGINT)
            line_with(process.stderr, "No more rows are submitted; ")
            sim.faults.clear()
            _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert said.splitlines()[-1] == "To continue: luma-async batch rows.csv --max-tasks=1"
    assert len(sim.ledger.jobs) == 1


def test_a_signal_ends_the_wait_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a signal that interrupts no system call of the main thread, like one before a read."""
    reading, writing = os.pipe()
    is_blocked, has_ended = threading.Event(), threading.Event()
    released: list[int] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background

    def interrupt() -> None:
        is_blocked.wait()
        os.kill(os.getpid(), signal.SIGINT)  # handled in this thread, for the other one blocks it
        if not has_ended.wait(PATIENCE):
            released.append(os.write(writing, b"\n"))

    sender = threading.Thread(target=interrupt)
    sender.start()
    with open(reading) as silent, open(writing, "w"):  # noqa: PTH123  numbers
        monkeypatch.setattr(sys, "stdin", silent)
        with pytest.raises(KeyboardInterrupt), interruptible_input() as wait_for_input:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            try:
                is_blocked.set()
                wait_for_input()
            finally:
                has_ended.set()
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        sender.join()
    signal.signal(signal.SIGINT, before)
    assert not released
