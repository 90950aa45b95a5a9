"""Texts from servers cannot control a terminal or forge a line."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luma_async.simulator import Fault, Simulator
from luma_async.simulator.faults import CallName
from luma_async.testing import running_simulator
from tests.cli.commands import KEY, Shell

BREAKS = ("\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\v", "\f")
FORGED = "FORGED  completed"
HOSTILE = (
    "\x1b]0;a title\x07\x1b[2J\x9b2J\x1b]8;;http://evil.example\x1b\\a cat\x1bc\b\x7f\0\x0e\x90"
    "\u202e\u2066\u200f\udfff\ud83d[bold]" + "".join(f"{each}{FORGED}" for each in BREAKS)
)
TYPED = HOSTILE.encode("utf-8", "ignore").decode().replace("\0", "")
"""Part of the hostile text that an argument can hold."""

LINK = f"http://127.0.0.1:9/{HOSTILE}.mp4"

OUR_SEQUENCES = re.compile(r"\x1b\[(?:[0-9;]*m|\d*[AK]|\?25[lh])")
"""Colours, lines that are drawn again, the cursor: none of them is among the hostile ones."""


def job(id: str = HOSTILE.replace("\0", ""), **fields: Any) -> dict[str, Any]:
    return {"id": id, "prompt": HOSTILE, "queue_state": HOSTILE, **fields}


FAILED = job(state="failed", failure_reason=HOSTILE)
DONE = job(state="completed", video={"url": LINK, "download_url": LINK}, thumbnail={"url": LINK})
NO_FILE = job("x", state="completed", video={"url": f"ftp://evil.example/{HOSTILE}"})
STRANGE = job(state=HOSTILE)
REFUSED = {"error": {"message": HOSTILE, "code": HOSTILE}, "request_id": HOSTILE}
NO_JOB = {"state": HOSTILE, "message": HOSTILE}
PAGE = f"<html><title>{HOSTILE}</title>".encode("utf-8", "replace")
ROWS = {"code": "success", "data": [FAILED, job("b", status="SUCCESS", data=DONE)]}


def says(document: Any, *on: CallName, status: int = 200) -> Fault:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = (("X-Request-Id", "\u202e[bold]\u2028 \x85"), ("Location", "/\u202e\u2028\x85"))
    return Fault(on=on, status=status, body=body, headers=headers if status >= 300 else ())


SUBMITTED = says(job(state="pending"), "generate")
HAS_FAILED = says(FAILED, "generate")
IS_DONE = says(DONE, "generate", "get")

COMMANDS: dict[str, tuple[list[Fault], list[str]]] = {
    "a job that fails": ([HAS_FAILED], ["generate", "a dog"]),
    "a job that is done": ([IS_DONE], ["generate", "a dog", "--no-download"]),
    "a file that is not there": ([says(NO_FILE, "generate", "get")], ["generate", TYPED]),
    "a job that goes on": ([SUBMITTED], ["generate", "a dog", "--no-wait", "--key", "goes-on"]),
    "a refusal": ([says(REFUSED, "generate", status=400)], ["generate", "a dog"]),
    "a redirect": ([says(b"", "generate", status=307)], ["generate", "a dog"]),
    "an uncertain job": ([says(PAGE, "generate", status=502)], ["generate", "a", "--key", "u-1"]),
    "an answer without a job": (
        [says(NO_JOB, "generate")],
        ["generate", "a", "--key", f"u-2{FORGED}\u202e"],
    ),
    "an extension": ([says({**FAILED, "id": "x"}, "get")], ["extend", "x", "a dog"]),
    "a refused extension": (
        [says(job(id="x", state="completed", video={"url": LINK}), "get"), says(REFUSED, "extend")],
        ["extend", "x", "a dog"],
    ),
    "a look": ([says(job("x", state="failed", failure_reason=HOSTILE), "get")], ["get", "x"]),
    "a look at another job": ([says(STRANGE, "get")], ["get", "x"]),
    "a look at links": ([says({**DONE, "id": "x"}, "get")], ["get", "x"]),
    "many looks": ([says(ROWS, "tasks"), says(FAILED, "get")], ["get", "x", "b"]),
    "a page": ([says(PAGE, "get", status=404)], ["get", "x"]),
    "a watch": ([says({**DONE, "id": "x"}, "get")], ["watch", "x"]),
    "a download": ([says(NO_FILE, "get")], ["download", "x"]),
    "a refused download": ([says(REFUSED, "get", status=403)], ["download", "x"]),
    "a batch": ([HAS_FAILED], ["batch", "rows.jsonl"]),
    "a plan": ([], ["batch", "rows.jsonl", "--dry-run"]),
    "the journal": ([], ["jobs"]),
    "the uncertain": ([], ["jobs", "--state", "uncertain"]),
    "what goes on": ([says(FAILED, "get")], ["resume"]),
    "a plan to settle": ([], ["settle", "--all", "--resubmit", "--dry-run"]),
    "settling": ([], ["settle", "u-1", "--id", TYPED]),
    "settling what is settled": ([], ["settle", "u-1", "--resubmit"]),
}
"""Commands in this order: the later ones find the jobs of the first ones in the journal."""


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with running_simulator(short_side=60, api_key=KEY) as simulator:
        yield simulator


def in_a_pipe(shell: Shell, arguments: list[str]) -> list[str]:
    done = shell.run(*arguments)
    tabs = {"get": 5, "watch": 5, "resume": 5, "jobs": 8}.get(arguments[0], 0)
    assert all(line.count("\t") == tabs for line in done.stdout.split("\n")[:-1])
    return [done.stdout.replace("\t", ""), done.stderr]


def on_a_terminal(shell: Shell, arguments: list[str]) -> list[str]:
    _, shown = shell.run_on_a_terminal(*arguments)
    return [OUR_SEQUENCES.sub("", shown).replace("\r\n", "\n").replace("\r", "\n")]


def as_json(shell: Shell, arguments: list[str]) -> list[str]:
    done = shell.run(*arguments, "--json")
    for line in done.stdout.splitlines():
        assert line.isascii()
        assert isinstance(json.loads(line), dict)
    return [done.stdout, done.stderr]


@pytest.mark.parametrize("run", [in_a_pipe, on_a_terminal, as_json])
def test_a_servers_words_neither_command_a_terminal_nor_forge_a_line(
    sim: Simulator, tmp_path: Path, run: Callable[[Shell, list[str]], list[str]]
) -> None:
    """In ids, prompts, reasons, links, messages, codes, request ids and pages; of any command."""
    shell = Shell.at(sim, tmp_path)
    row = {"key": "a row\u2028FORGED", "prompt": "a\nFORGED"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    said = 0
    for name, (faults, arguments) in COMMANDS.items():
        sim.faults.clear()
        sim.faults.add(*faults)

        for shown in run(shell, arguments):
            assert not _commands(shown), name
            assert not re.search(r"^FORGED", shown, re.MULTILINE), name
            said += "FORGED" in shown

    assert said > len(COMMANDS) / 2  # the words are there, and harmless


def _commands(text: str) -> list[str]:
    """Return the characters that say something to a terminal rather than to a person."""
    bad = ("Cc", "Cs", "Zl", "Zp")
    is_bad = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]").match
    return [
        each
        for each in text
        if each != "\n" and (unicodedata.category(each) in bad or is_bad(each))
    ]
