"""Every asyncio task is cancelled, and the program goes on: no key is left hanging."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections import Counter
from typing import Any

import pytest

from luma_async import LumaClient, LumaError, SQLJournal
from luma_async.journal import EntryState
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import connect
from tests.forked_programs import PYTHON, ForkedProgram
from tests.journal.workers import ROOT

KEYS = 30

MOMENTS = [0.0, 0.02, *(0.1 + 0.008 * step for step in range(12))]
"""Seconds after the start: while claims are written, on the wire, while ids are written."""


def cancel_all_but(others: set[asyncio.Task[Any]]) -> None:
    """Cancel every asyncio task but these and the one that runs this."""
    for task in asyncio.all_tasks() - others - {asyncio.current_task()}:
        task.cancel()


async def ask(luma: LumaClient, number: int) -> str:
    try:
        await luma.generate(f"cat {number}", key=f"k{number}")
    except LumaError as error:
        return type(error).__name__
    return "running"


async def cancel_at(place: str, sim: Simulator, moment: float) -> Counter[str]:
    """Cancel everything so many seconds after the start, and ask again: nobody waits for 5 s."""
    async with connect(sim, journal=place, max_requests=KEYS + 2) as luma:
        asked = [asyncio.create_task(ask(luma, number)) for number in range(KEYS)]
        await asyncio.sleep(moment)
        cancel_all_but(set())
        await asyncio.wait(asked)

        async with asyncio.timeout(5):
            ends = await asyncio.gather(*(ask(luma, number) for number in range(KEYS)))

        assert luma.journal is not None
        states = Counter((await luma.journal.states()).values())
    assert states[EntryState.SUBMITTING] == 0
    assert states[EntryState.UNCERTAIN] == ends.count("SubmissionUncertainError")
    assert states[EntryState.RUNNING] == ends.count("running")
    return Counter(ends)


@pytest.mark.parametrize(
    ("place", "moment"),
    [
        *(("sqlite", moment) for moment in MOMENTS),
        *(("postgres", moment) for moment in MOMENTS[::4]),
    ],
    indirect=["place"],
)
def test_no_key_hangs(place: str, moment: float) -> None:
    """Thirty keys: each is running or uncertain afterwards, none is paid for twice, none waits."""
    with running_simulator(durations=Fixed(600)) as sim:
        sim.faults.add(Fault.slow(0.1))

        ends = asyncio.run(cancel_at(place, sim, moment))

        billed = Counter(job.prompt for job in sim.ledger.jobs)
    assert ends["running"] + ends["SubmissionUncertainError"] == KEYS
    assert set(billed.values()) <= {1}


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)  # asyncpg complains of it by itself
async def test_opening_is_begun_again(place: str) -> None:
    """Whoever asks after everything was cancelled gets an open journal."""
    for steps in range(0, 40, 4):
        before = asyncio.all_tasks()
        journal = SQLJournal(place)
        opening = asyncio.create_task(journal.open())
        for _ in range(steps):
            await asyncio.sleep(0)
        cancel_all_but(before)
        await asyncio.wait([opening])

        async with asyncio.timeout(60):
            await journal.open()
            assert await journal.states() == {}
            await journal.aclose()


async def test_closing_is_finished_for_all_that(place: str) -> None:
    """What was to be written is, and nothing stays open."""
    if place.startswith("postgresql"):
        place += "?sslmode=disable"  # cut off while it asks for TLS, asyncpg complains by itself
    async with Simulator(durations=Fixed(600)) as sim:
        for round in range(6):
            before = asyncio.all_tasks()
            luma = connect(sim, journal=place)
            await luma.generate("a cat", key=f"cat {round}")
            closing = asyncio.create_task(luma.aclose())
            for _ in range(round * 3):
                await asyncio.sleep(0)
            cancel_all_but(before)
            await asyncio.wait([closing])
            await luma.aclose()

        async with SQLJournal(place) as journal:
            assert set((await journal.states()).values()) == {EntryState.RUNNING}


EXPECTED = re.compile("The submission was cancelled|Unclosed client session|client_session:")
"""Lines of a program that ends without `aclose()`; two of them only if its session was open."""

PROGRAM = """
import asyncio, sys, warnings
from luma_async import FixedSchedule, LumaClient
from luma_async.concurrency import Worker
from tests.clients import KEY

# Python has this filter unless it is told otherwise.
warnings.simplefilter("ignore", ResourceWarning)

# No machine is so slow that a few writes take longer.
Worker.__init__.__kwdefaults__["grace"] = 60.0

async def main(url, place, moment):
    luma = LumaClient(KEY, base_url=url, journal=place, schedule=FixedSchedule(60))
    for number in range(5):
        asyncio.create_task(luma.generate(f"cat {number}", key=f"k{number}"))
    await asyncio.sleep(moment)  # and the program ends, with everything under way

asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
"""


@pytest.mark.parametrize(
    ("place", "moment"),
    [
        ("sqlite", 0.25),
        ("postgres", 0.3),
        *(pytest.param("sqlite", moment, marks=pytest.mark.long) for moment in (0.0, 0.5)),
        pytest.param("postgres", 0.6, marks=pytest.mark.long),
    ],
    indirect=["place"],
)
def test_a_program_that_just_ends(place: str, moment: float) -> None:
    """`asyncio.run()` cancels all: what left is uncertain, and there is no traceback."""
    with running_simulator(durations=Fixed(600)) as sim:
        sim.faults.add(Fault.slow(0.3, after=True))
        with ForkedProgram(
            [*PYTHON, "-c", PROGRAM, sim.url, place, str(moment)],
            loaded=True,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as done:
            _, complaints = done.communicate(timeout=120)
        said = [line for line in complaints.splitlines() if not EXPECTED.match(line)]
        billed = {job.prompt for job in sim.ledger.jobs}

    async def states() -> dict[str, EntryState]:
        async with SQLJournal(place) as journal:
            await journal.uncertain()
            return dict(await journal.states())

    left = asyncio.run(states())
    assert done.returncode == 0
    assert said == []
    assert EntryState.SUBMITTING not in left.values()
    assert {f"cat {key[1:]}" for key in left} >= billed
