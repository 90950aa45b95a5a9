"""`luma-async list`, `delete` and `credits`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from luma_async.simulator import Fixed, Simulator
from luma_async.testing import running_simulator
from tests.cli.commands import Shell
from tests.clients import HOUR

DREAM = "--dialect=dream-machine"


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with running_simulator(durations=Fixed(HOUR), credits=1000) as simulator:
        yield simulator


def test_jobs_are_listed_and_deleted(sim: Simulator, tmp_path: Path) -> None:
    """A person gets a line to read, a pipe cells, and a script an object for each job."""
    shell = Shell.at(sim, tmp_path)
    for number in range(3):
        shell.run("generate", f"cat {number}", "--no-wait", DREAM)
    ids = [job.id for job in reversed(sim.ledger.jobs)]

    code, shown = shell.run_on_a_terminal("list", DREAM)
    assert code == 0
    assert [line.split()[:2] for line in shown.splitlines()] == [[id, "pending"] for id in ids]
    assert shown.splitlines()[0].endswith("cat 2")
    piped = shell.run("list", "--limit", "2", DREAM).stdout.splitlines()
    assert [line.split("\t")[0] for line in piped] == ids[:2]
    assert piped[0].split("\t")[5] == "cat 2"
    assert [job["id"] for job in shell.lines("list", DREAM)] == ids

    deleted = shell.run("delete", ids[0], "nobody", ids[0], "--json", DREAM)
    assert deleted.returncode == 1
    gone, unknown = map(json.loads, deleted.stdout.splitlines())
    assert (gone["id"], gone["deleted"], gone["error"]) == (ids[0], True, None)
    assert (unknown["id"], unknown["error_type"]) == ("nobody", "NotFoundError")
    assert "HTTP 404" in deleted.stderr
    assert shell.run("delete", ids[1], DREAM).stdout == f"{ids[1]}  deleted\n"
    assert [job["id"] for job in shell.lines("list", DREAM)] == ids[2:]
    shell.run("delete", ids[2], DREAM)
    nothing = shell.run("list", DREAM)
    assert (nothing.stdout, nothing.stderr) == ("", "No jobs.\n")


def test_the_balance_is_shown_in_dollars(sim: Simulator, tmp_path: Path) -> None:
    """The wire has cents."""
    shell = Shell.at(sim, tmp_path)
    code, shown = shell.run_on_a_terminal("credits", DREAM)
    (balance,) = shell.lines("credits", DREAM)
    piped = shell.run("credits", DREAM).stdout

    assert code == 0
    assert shown.strip() == f"{balance['usd']:.2f} US dollars"
    assert piped == f"{balance['usd']:.2f}\n"
    assert 0 < balance["usd"] <= 400


@pytest.mark.parametrize("command", [["list"], ["delete", "some-id"], ["credits"]], ids=" ".join)
def test_other_servers_have_no_such_calls(
    command: list[str], sim: Simulator, tmp_path: Path
) -> None:
    """The error names the dialect and the alternative."""
    done = Shell.at(sim, tmp_path).run(*command, "--dialect=gateway")

    assert done.returncode == 2
    assert "the gateway dialect has no" in done.stderr
