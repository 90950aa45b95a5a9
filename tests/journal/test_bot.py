"""A bot that is killed and starts again answers the right users."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from luma_async.simulator import Fixed
from luma_async.testing import running_simulator
from tests.clients import HOUR
from tests.journal.workers import ROOT

USERS = ["Ada", "Grace", "Alan"]


def bot(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "tests.journal.answerer", *arguments]


def test_a_bot_that_starts_again_answers_the_right_users(place: str) -> None:
    """From the metadata of its jobs; one that it gave up stays given up."""
    with running_simulator(durations=Fixed(HOUR)) as sim:
        with subprocess.Popen(
            bot(sim.url, place, *USERS), cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(signal.SIGKILL)
        sim.advance(HOUR)
        again = subprocess.run(
            bot(sim.url, place), cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
        jobs = len(sim.ledger.jobs)

    answers = sorted(json.loads(line) for line in again.stdout.splitlines())
    assert answers == [["Ada", "a cat for Ada"], ["Grace", "a cat for Grace"]]
    assert again.stderr == ""
    assert jobs == 3
