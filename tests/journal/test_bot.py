"""A bot that is killed and starts again answers the right users."""

from __future__ import annotations

import json
import signal
import subprocess

from luma_async.simulator import Fixed
from luma_async.testing import running_simulator
from tests.clients import HOUR
from tests.forked_programs import PYTHON, ForkedProgram
from tests.journal.workers import ROOT

USERS = ["Ada", "Grace", "Alan"]


def bot(*arguments: str) -> ForkedProgram:
    return ForkedProgram(
        [*PYTHON, "-m", "tests.journal.answerer", *arguments],
        loaded=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_bot_that_starts_again_answers_the_right_users(place: str) -> None:
    """From the metadata of its jobs; one that it gave up stays given up."""
    with running_simulator(durations=Fixed(HOUR)) as sim:
        with bot(sim.url, place, *USERS) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(signal.SIGKILL)
        sim.advance(HOUR)
        with bot(sim.url, place) as again:
            output, complaints = again.communicate(timeout=60)
        jobs = len(sim.ledger.jobs)

    answers = sorted(json.loads(line) for line in output.splitlines())
    assert answers == [["Ada", "a cat for Ada"], ["Grace", "a cat for Grace"]]
    assert complaints == ""
    assert again.returncode == 0
    assert jobs == 3
