"""The loop on docs/coming-from-your-own-loop.md fails, and the program after it does not."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.docs import ROOT, blocks
from tests.forked_programs import PYTHON, ForkedProgram
from tests.other_clients.moving_pages import HERE, tables_of

PAGE = ROOT / "docs/coming-from-your-own-loop.md"
LOOP, INSTEAD, *_ = blocks(PAGE, "python")

LOOP = LOOP.replace("asyncio.sleep(5)", "asyncio.sleep(0.1)")


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with running_simulator(durations=Fixed(0.2), short_side=64) as simulator:
        yield simulator


def run(program: str, sim: Simulator, folder: Path) -> bool:
    """Run a program at a simulator. Return `True` if it ends without an error."""
    with ForkedProgram(
        [*PYTHON, "-c", program],
        cwd=folder,
        env={**os.environ, "LUMA_BASE_URL": sim.url, "LUMA_API_KEY": "sk-simulated"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        return process.wait(60) == 0


def test_the_loop_sends_the_api_key_to_the_media_host(sim: Simulator, tmp_path: Path) -> None:
    """Because the session has it, and the session also fetches the video."""
    assert run(LOOP, sim, tmp_path)

    assert sim.ledger.keys_seen_by_media == ["Bearer sk-simulated"]


def test_the_program_instead_keeps_the_api_key(sim: Simulator, tmp_path: Path) -> None:
    """It saves a file of that video as well."""
    assert run(INSTEAD, sim, tmp_path)

    assert (tmp_path / "cat-2.mp4").stat().st_size > 1000
    assert sim.ledger.keys_seen_by_media == []


def test_one_failed_poll_ends_the_loop(sim: Simulator, tmp_path: Path) -> None:
    """The job is paid for, and its video is not fetched."""
    sim.faults.add(Fault.page(502, on=["get", "tasks"], times=1))

    assert not run(LOOP, sim, tmp_path)

    assert len(sim.ledger.jobs) == 1
    assert not (tmp_path / "cat.mp4").exists()


def test_a_failed_poll_does_not_end_the_program_instead(sim: Simulator, tmp_path: Path) -> None:
    """It polls again."""
    sim.faults.add(Fault.page(502, on=["get", "tasks"], times=1))

    assert run(INSTEAD, sim, tmp_path)

    assert len(sim.ledger.jobs) == 1
    assert (tmp_path / "cat-2.mp4").exists()


@pytest.mark.parametrize(("program", "jobs"), [(LOOP, 2), (INSTEAD, 1)], ids=["loop", "instead"])
def test_a_program_that_is_run_again(
    program: str, jobs: int, sim: Simulator, tmp_path: Path
) -> None:
    """The loop submits the job again. The program instead has a job key."""
    assert run(program, sim, tmp_path)
    assert run(program, sim, tmp_path)

    assert len(sim.ledger.jobs) == jobs


def test_names_of_this_library_exist() -> None:
    """The second columns of the tables name calls and arguments that exist."""
    roots = {**HERE.roots, "id": str, "asyncio": asyncio}
    problems = [
        problem
        for table in tables_of(PAGE)
        for span in table.spans(1)
        for problem in type(HERE)(roots, HERE.settings, HERE.text).problems(span)
    ]

    assert problems == []
