"""Whole programs, each in a process of its own, as users write them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from luma_async.simulator import Fixed
from luma_async.testing import running_simulator
from tests.clients import InTurn
from tests.docs import ROOT


def run(program: str, *arguments: str) -> list[str]:
    """Run a program, and return the lines that it prints."""
    ended = subprocess.run(
        [sys.executable, "-m", f"tests.programs.{program}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_heartbeats_between_updates_lose_none_of_them() -> None:
    """A FastAPI app that times out each wait sends all that a reader without timeouts sees."""
    with running_simulator(durations=Fixed(0.6), short_side=90) as sim:
        lines = run("heartbeats", sim.url)

    sent = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert lines.count(": heartbeat") > 10
    assert f"seen: {', '.join(sent)}" == lines[-1]
    assert sent[0].startswith("pending")
    assert sent[-1].startswith("completed")


def test_two_requests_keep_their_own_context(tmp_path: Path) -> None:
    """Functions run in the context of their request, and no worker that lives on has one."""
    with running_simulator(durations=InTurn(0.3, 0.3, 0.8), short_side=90) as sim:
        lines = run("two_requests", sim.url, str(tmp_path / "jobs.db"))

    assert sorted(lines) == [
        "done ann ann",
        "done bob bob",
        "poller runs: True",
        "updated ann ann",
        "updated bob bob",
        "with a session:",
    ]


def test_a_client_that_is_kept_between_two_loops_says_so() -> None:
    """No call hangs, in a later `asyncio.run()` or in the loop of another thread."""
    with running_simulator(durations=InTurn(0.1, 3600.0), short_side=90) as sim:
        thread, done, running, generate = run("another_loop", sim.url)

    assert thread.startswith("thread: The task of job ")
    assert "belongs to another event loop" in thread
    assert done == "done: fine"
    assert running.startswith("running: The client was closed while job ")
    assert "This client belongs to an event loop that has ended" in generate
