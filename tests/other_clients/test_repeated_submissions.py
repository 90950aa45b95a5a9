"""Other clients repeat submissions, as docs/coming-from-*.md say; this one does not.

Each test names the number of jobs that are paid for after one call.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import luma_agents
import lumaai
import pytest
from fal_client.client import MAX_ATTEMPTS
from replicate.client import RetryTransport

from luma_async import LumaClient, SubmissionUncertainError
from luma_async.simulator import Fault, Simulator
from luma_async.testing import running_simulator
from tests.forked_programs import PYTHON, ForkedProgram
from tests.other_clients.fal_queue import FalQueue
from tests.other_clients.replicate_api import ReplicateAPI
from tests.other_clients.stand_in import StandIn, running, trusted

OFFICIAL: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "dream-machine": (lumaai.LumaAI, "/dream-machine/v1", {"model": "ray-2"}),
    "agents": (luma_agents.Luma, "/v1", {"type": "video"}),
}
AT_ONCE = ("retry-after-ms", "1")
"""Header with which Luma's clients repeat a call without a pause."""

LOST = (lumaai.APIConnectionError, luma_agents.APIConnectionError)
REJECTED = (lumaai.APIStatusError, luma_agents.APIStatusError)

both = pytest.mark.parametrize("dialect", OFFICIAL)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with running_simulator() as simulator:
        yield simulator


def submit(dialect: str, sim: Simulator, **options: Any) -> None:
    """Submit a job with Luma's own client."""
    client, path, fields = OFFICIAL[dialect]
    with client(auth_token="a-key", base_url=f"{sim.url}{path}", **options) as luma:
        luma.generations.create(prompt="a cat", **fields)


@both
def test_lumas_clients_pay_three_times_for_lost_answers(dialect: str, sim: Simulator) -> None:
    """By default they repeat a submission twice, without a key by which a server could know it."""
    sim.faults.add(Fault.cut(after=True))

    with pytest.raises(LOST):
        submit(dialect, sim)

    assert len(sim.ledger.jobs) == 3
    assert sim.ledger.idempotency_keys == [(None, None)] * 3


@both
def test_lumas_clients_submit_again_after_a_timeout(dialect: str, sim: Simulator) -> None:
    """One late answer is enough for two jobs."""
    sim.faults.add(Fault(after=True, delay=5, times=1))

    submit(dialect, sim, timeout=0.5)

    assert len(sim.ledger.jobs) == 2


@both
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_lumas_clients_submit_again_after_a_status(
    dialect: str, status: int, sim: Simulator
) -> None:
    """Also after statuses that a proxy sends when the job is already there."""
    sim.faults.add(Fault(after=True, status=status, body=b"{}", headers=(AT_ONCE,), times=2))

    submit(dialect, sim)

    assert len(sim.ledger.jobs) == 3


@both
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_lumas_clients_do_not_repeat_other_statuses(
    dialect: str, status: int, sim: Simulator
) -> None:
    """These come before a job."""
    sim.faults.add(Fault(status=status, body=b"{}", headers=(AT_ONCE,)))

    with pytest.raises(REJECTED):
        submit(dialect, sim)

    assert sim.ledger.requests[f"{dialect}.generate"] == 1


@both
def test_lumas_clients_do_not_submit_again_without_retries(dialect: str, sim: Simulator) -> None:
    """`max_retries=0` is the protection, and then a single 429 ends the call."""
    sim.faults.add(Fault.cut(after=True, times=1))

    with pytest.raises(LOST):
        submit(dialect, sim, max_retries=0)

    assert len(sim.ledger.jobs) == 1


@both
async def test_this_client_pays_once(dialect: Any, sim: Simulator) -> None:
    """The job is uncertain, and the error says so."""
    sim.faults.add(Fault.cut(after=True))

    async with LumaClient("a-key", base_url=sim.url, dialect=dialect) as luma:
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat")

    assert len(sim.ledger.jobs) == 1


FAL = """
import asyncio, fal_client
arguments = "fal-ai/luma-dream-machine/ray-2", {"prompt": "a cat"}
try:
    SUBMISSION
except Exception as error:
    print(type(error).__name__)
"""
REPLICATE = """
import replicate
try:
    replicate.run("luma/ray-2-720p", {"prompt": "a cat"})
except Exception as error:
    print(type(error).__name__)
"""


@pytest.fixture
def fal() -> Iterator[FalQueue]:
    with running(FalQueue()) as server:
        yield server


@pytest.fixture
def at_replicate() -> Iterator[ReplicateAPI]:
    with running(ReplicateAPI()) as server:
        yield server


def run(program: str, server: StandIn, folder: Path) -> str:
    """Run a program at a server; return what it prints."""
    with ForkedProgram(
        [*PYTHON, "-c", program],
        libraries=["httpx"],
        env={**os.environ, **server.environment(), **trusted(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # these clients leave their connections open
    ) as process:
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return printed.strip()


def submit_to_fal(
    fal: FalQueue,
    folder: Path,
    submission: str = "fal_client.SyncClient().submit(*arguments)",
) -> str:
    return run(FAL.replace("SUBMISSION", submission), fal, folder)


@pytest.mark.parametrize("client", ["SyncClient().submit", "AsyncClient().submit"])
def test_fal_client_submits_again_after_a_lost_answer(
    client: str, fal: FalQueue, tmp_path: Path
) -> None:
    """Up to ten times in all, without an idempotency key."""
    fal.lost = 2
    call = f"fal_client.{client}(*arguments)"

    error = submit_to_fal(fal, tmp_path, f"asyncio.run({call})" if "Async" in client else call)

    assert error == ""
    assert len(fal.accepted) == 3
    assert MAX_ATTEMPTS == 10
    assert not any("idempotency" in name.lower() for name in fal.headers[0])


def test_fal_client_submits_again_after_a_timeout(fal: FalQueue, tmp_path: Path) -> None:
    """One late answer is enough for two jobs."""
    fal.late = 1

    submit_to_fal(fal, tmp_path, "fal_client.SyncClient(default_timeout=1).submit(*arguments)")

    assert len(fal.accepted) == 2


def test_fal_client_does_not_submit_again_after_a_timeout_with_a_limit(
    fal: FalQueue, tmp_path: Path
) -> None:
    """`start_timeout`, which `client_timeout` sets as well, prevents that; the error is httpx's."""
    fal.late = 1
    client = "fal_client.SyncClient(default_timeout=1)"

    error = submit_to_fal(fal, tmp_path, f"{client}.submit(*arguments, start_timeout=60)")

    assert error == "ReadTimeout"
    assert len(fal.accepted) == 1


def test_fal_client_submits_again_after_a_lost_answer_with_a_limit(
    fal: FalQueue, tmp_path: Path
) -> None:
    """`start_timeout` prevents nothing if the connection is lost."""
    fal.lost = 1

    submit_to_fal(fal, tmp_path, "fal_client.SyncClient().submit(*arguments, start_timeout=60)")

    assert len(fal.accepted) == 2


@pytest.mark.parametrize("status", [408, 409, 429])
def test_fal_client_submits_again_after_a_status(
    status: int, fal: FalQueue, tmp_path: Path
) -> None:
    """These statuses are repeated, and a 502, 503 or 504 if nginx before the queue sent it."""
    fal.statuses = [(status, "{}"), (502, "<center>nginx</center>")]

    submit_to_fal(fal, tmp_path)

    assert len(fal.accepted) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500, 502, 503, 504])
def test_fal_client_does_not_repeat_other_statuses(
    status: int, fal: FalQueue, tmp_path: Path
) -> None:
    """The 5xx of the queue itself are among them."""
    fal.statuses = [(status, "{}")]

    error = submit_to_fal(fal, tmp_path)

    assert error == "FalClientHTTPError"
    assert len(fal.accepted) == 1


def test_replicate_submits_once(at_replicate: ReplicateAPI, tmp_path: Path) -> None:
    """It raises an error of httpx, which does not tell if there is a prediction."""
    at_replicate.lost = 1

    error = run(REPLICATE, at_replicate, tmp_path)

    assert error == "RemoteProtocolError"
    assert len(at_replicate.accepted) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_replicate_does_not_repeat_a_status(
    status: int, at_replicate: ReplicateAPI, tmp_path: Path
) -> None:
    """A full account is an error at once, too."""
    at_replicate.statuses = [(status, "{}")]

    error = run(REPLICATE, at_replicate, tmp_path)

    assert error == "ReplicateError"
    assert len(at_replicate.accepted) == 1


def test_replicate_repeats_polls_of_some_statuses_only() -> None:
    """Neither a submission is repeated, nor a poll whose connection is lost."""
    assert "POST" not in RetryTransport.RETRYABLE_METHODS
    assert sorted(RetryTransport.RETRYABLE_STATUS_CODES) == [429, 503, 504]
