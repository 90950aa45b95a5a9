"""`luma-async mcp` as a program: killed, ended by its client, and by signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client

from luma_async.mcp_server.standard_streams import _taken_output
from luma_async.simulator import Fixed
from luma_async.testing import running_simulator
from tests.cli.commands import COMMAND, PATIENCE, Shell
from tests.clients import HOUR, KEY
from tests.forked_programs import ForkedProgram
from tests.mcp_server.sessions import links_of, text_of
from tests.platforms import needs_posix

CAT = {"key": "cat", "prompt": "a cat"}


@dataclass(frozen=True)
class Program:
    """A server in a process, as its client sees it."""

    session: ClientSession
    pid: int
    log: Path

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.session.call_tool(tool, arguments)
        assert not result.is_error, result.content
        content: dict[str, Any] = result.structured_content
        return content

    async def refusal(self, tool: str, **arguments: Any) -> str:
        result = await self.session.call_tool(tool, arguments)
        assert result.is_error
        return text_of(result)


@asynccontextmanager
async def program(shell: Shell, name: str, *options: str) -> AsyncIterator[Program]:
    """Start a server as an MCP client does. It tells its process id in a file."""
    log = shell.folder / f"{name}.log"
    note = shell.folder / f"{name}.pid"
    text = (
        f"import os, pathlib; pathlib.Path({str(note)!r}).write_text(str(os.getpid())); "
        "import luma_async.cli; luma_async.cli.main()"
    )
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-W", "error", "-c", text, "mcp", "-v", *options],
        env=shell.environment,
        cwd=shell.folder,
    )
    with log.open("w", encoding="utf-8") as errors:
        async with (
            stdio_client(parameters, errlog=errors) as streams,
            ClientSession(*streams) as session,
        ):
            await session.initialize()
            yield Program(session, int(note.read_text()), log)


@needs_posix
async def test_the_second_server_watches_the_job_of_the_first(tmp_path: Path) -> None:
    """Killed after generate; called again with the key: one job, which is awaited and saved.

    The second one ends by itself when its client closes the input, and says nothing but the log. It
    has the limits that a person has set, and takes no API key as a job key.
    """
    with running_simulator(durations=Fixed(HOUR), short_side=64) as sim:
        shell = Shell.at(sim, tmp_path)
        async with program(shell, "first") as first:
            asked = await first.ask("generate_video", **CAT)
            os.kill(first.pid, signal.SIGKILL)
        sim.advance(HOUR)
        async with program(shell, "second", "--max-jobs=2", "--max-tasks=1") as second:
            again = await second.ask("generate_video", **CAT)
            ended = await second.session.call_tool("wait_for_job", {"job": "cat"})
            saved = await second.ask("download_files", job="cat")
            secret = await second.refusal("generate_video", key=KEY, prompt="a cat")
            dog = await second.ask("generate_video", key="dog", prompt="a dog")
            third = await second.refusal("generate_video", key="cow", prompt="a cow")

        job, _ = sim.ledger.jobs
    assert "looks like an API key" in secret
    assert dog["jobs_left"] == 1
    assert "1 jobs of this session are running" in third
    (link,) = links_of(ended)
    log = second.log.read_text("utf-8")
    assert (asked["id"], asked["submitted"]) == (job.id, True)
    assert (again["id"], again["submitted"]) == (job.id, False)
    assert link.mime_type == "video/mp4"
    assert Path(saved["files"][0]["path"]) == tmp_path / "luma-videos" / f"{job.id}.mp4"
    assert f"Job {job.id} ('cat') is completed" in log
    assert "Traceback" not in log
    assert KEY not in log


@pytest.mark.parametrize("end", ["EOF", "SIGTERM", "closed output", "unread output"])
def test_it_ends_at_once_and_cleanly(end: str, tmp_path: Path) -> None:
    """In the middle of a wait: whatever the client does, the job stays in the journal."""
    with running_simulator(durations=Fixed(HOUR)) as sim:
        shell = Shell.at(sim, tmp_path)
        with ForkedProgram(
            [*COMMAND, "mcp"],
            libraries=["luma_async.mcp_server"],
            loaded=True,
            env=shell.environment,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            answers = []
            for message in _conversation():
                print(json.dumps(message), file=process.stdin, flush=True)
                if "id" in message:
                    answers.append(json.loads(process.stdout.readline()))
            start = time.monotonic()
            match end:
                case "EOF":
                    process.stdin.close()
                case "closed output":
                    process.stdout.close()
                    print(json.dumps(_call(9, "list_jobs")), file=process.stdin, flush=True)
                    process.stdin.close()
                case "unread output":
                    for id in range(10, 60):  # more than a pipe holds
                        message = {"jsonrpc": "2.0", "id": id, "method": "tools/list"}
                        print(json.dumps(message), file=process.stdin, flush=True)
                    process.stdin.close()
                    process.wait(PATIENCE)
                case _:
                    process.send_signal(getattr(signal, end))
            rest = "" if process.stdout.closed else process.stdout.read()
            said = process.stderr.read()
            code = process.wait(PATIENCE)
            took = time.monotonic() - start
        (entry,) = shell.lines("jobs")

    assert [answer.get("id") for answer in answers] == [1, 2, None]
    assert answers[2]["method"] == "notifications/progress"
    *lines, _ = rest.split("\n")  # the last one may be cut off
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in lines)
    assert code == (130 if end.startswith("SIG") else 0)
    assert took < 10
    assert "Traceback" not in said
    assert (entry["key"], entry["state"]) == ("cat", "running")


def test_nothing_else_comes_between_the_messages(capfd: pytest.CaptureFixture[str]) -> None:
    """A library that prints reaches the log, and standard output is back afterwards."""
    with _taken_output() as descriptor:
        os.write(1, b"stray")
        os.write(descriptor, b"message ")
    os.write(1, b"after")

    assert capfd.readouterr() == ("message after", "stray")


def test_a_server_that_cannot_start_says_so_on_stderr(tmp_path: Path) -> None:
    """Its client shows that; standard output stays empty."""
    done = Shell(tmp_path, key=None).run("mcp")

    assert (done.returncode, done.stdout) == (2, "")
    assert "LUMA_API_KEY" in done.stderr


def _conversation() -> list[dict[str, Any]]:
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    wait = _call(3, "wait_for_job", job="cat", timeout=600)
    wait["params"]["_meta"] = {"progressToken": "p"}
    return [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        _call(2, "generate_video", **CAT),
        wait,
    ]


def _call(id: int, tool: str, **arguments: Any) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}
