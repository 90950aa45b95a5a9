"""The command line, in this process or, as a shell starts it, in one of its own."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import math
import os
import re
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer.main

from luma_async import LumaClient
from luma_async.cli import main
from luma_async.cli.interruption import TERMINATION_SIGNALS
from luma_async.dialects import DialectName
from luma_async.simulator import Fault, Simulator
from tests.forked_programs import PYTHON, ForkedProgram

if sys.platform != "win32":
    import fcntl
    import pty
    import termios

KEY = "sk-a-key-that-must-never-be-seen"
COMMAND = [*PYTHON, "-m", "luma_async.cli"]

SILENCE = 120.0
"""Seconds after which a terminal that is sent nothing is closed."""

PATIENCE = 120.0
"""Seconds to wait for an event that is certain, on a machine that is very slow."""

HELD_LOOKS = Fault.slow(math.inf, on=("get", "tasks"))
"""Until the faults are cleared, nobody learns that a job has ended."""

Done = subprocess.CompletedProcess[str]

_build = functools.cache(lambda app, _environment, build=typer.main.get_command: build(app))


def _built_commands(typer_instance: typer.Typer) -> Any:
    """Return the commands as Typer builds them, which depends on one variable only."""
    return _build(typer_instance, os.environ.get("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"))


# A program builds its commands once. Here many run in one process, and to build them anew takes
# longer than most of them do.
typer.main.get_command = _built_commands


@dataclass(frozen=True)
class Shell:
    """A folder, and an environment in which commands find a gateway."""

    folder: Path
    url: str | None = None
    key: str | None = KEY
    more: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, simulator: Simulator, folder: Path, **more: str) -> Shell:
        return cls(folder, simulator.url, more=more)

    @property
    def journal(self) -> Path:
        return self.folder / "state" / "jobs.db"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LUMA_")}
        kept.pop("PYTHONUNBUFFERED", None)  # it hides what goes wrong when output ends
        kept |= {"LUMA_JOURNAL": str(self.journal), "COLUMNS": "200"}
        if self.url is not None:
            kept["LUMA_BASE_URL"] = self.url
        if self.key is not None:
            kept["LUMA_API_KEY"] = self.key
        return {**kept, **self.more}

    def run(self, *arguments: str, stdin: str = "") -> Done:
        """Run a command to its end in this process, where it has a second less to load."""
        handlers = {number: signal.getsignal(number) for number in TERMINATION_SIGNALS}
        encoding = self.more.get("PYTHONIOENCODING", "utf-8")
        with (
            patch.dict(os.environ, self.environment, clear=True),
            patch.object(sys, "argv", ["luma-async", *arguments]),
            patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
            chdir(self.folder),
            redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding)) as out,
            redirect_stderr(io.TextIOWrapper(io.BytesIO(), encoding)) as complaints,
            pytest.raises(SystemExit) as ended,
        ):
            main()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        done = Done(arguments, int(ended.value.code or 0), _text_of(out), _text_of(complaints))
        assert KEY not in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def run_on_a_terminal(self, *arguments: str, columns: int = 200) -> tuple[int, str]:
        """Run a command in this process on a terminal; return its exit code and its output."""
        screen, side = _terminal(50, columns)
        handlers = {number: signal.getsignal(number) for number in TERMINATION_SIGNALS}
        shown: list[bytes] = []
        reader = threading.Thread(target=_read_to_end, args=(screen, shown))
        reader.start()
        environment = {**self.environment, "TERM": "xterm-256color"}
        try:
            with (
                open(side, "w", encoding="utf-8", buffering=1) as terminal,  # noqa: PTH123  a number
                patch.dict(os.environ, environment, clear=True),
                patch.object(sys, "argv", ["luma-async", *arguments]),
                patch.object(sys, "stdin", io.StringIO()),
                chdir(self.folder),
                redirect_stdout(terminal),
                redirect_stderr(terminal),
                pytest.raises(SystemExit) as ended,
            ):
                main()
        finally:
            reader.join()
            os.close(screen)
            for number, handler in handlers.items():
                signal.signal(number, handler)
        text = b"".join(shown).decode()
        assert KEY not in text
        assert "Traceback" not in text
        return int(ended.value.code or 0), text

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the JSON objects of a command that is told to print them."""
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]

    @contextmanager
    def started(
        self,
        *arguments: str,
        ignored: Sequence[int] = (),
        command: Sequence[str] = COMMAND,
        libraries: Sequence[str] = (),
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a command that signals reach but the `ignored` ones, and leave none behind."""
        with ForkedProgram(
            [*command, *arguments],
            ignored=ignored,
            loaded=True,
            libraries=libraries,
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def on_a_terminal(
        self,
        *arguments: str,
        columns: int = 100,
        stdout_too: bool = True,
        answer: str | signal.Signals = "",
        watch: Callable[[str], None] = lambda _: None,
        command: Sequence[str] = COMMAND,
    ) -> tuple[int, str, str]:
        """Run a command on a terminal; return its exit code, output, and stdout if it is a pipe.

        To a question the `answer` is typed, or the signal sent. Whenever something is sent, `watch`
        is called with all that was so far.
        """
        until = time.monotonic() + 4 * SILENCE
        screen, side = _terminal(24, columns)
        environment = {**self.environment, "TERM": "xterm-256color", **self.more}
        del environment["COLUMNS"]
        process = ForkedProgram(
            [*command, *arguments],
            loaded=True,
            env=environment,
            cwd=self.folder,
            stdin=side,
            stdout=side if stdout_too else subprocess.PIPE,
            stderr=side,
        )
        os.close(side)
        shown = b""
        try:
            while select.select([screen], [], [], SILENCE)[0] and (chunk := os.read(screen, 65536)):
                assert time.monotonic() < until, shown[-2000:]
                shown += chunk
                watch(shown.decode(errors="ignore"))
                if b"[y/N]" not in shown or not answer:
                    continue
                if isinstance(answer, str):
                    os.write(screen, answer.encode())
                else:
                    process.send_signal(answer)
                answer = ""
        except OSError:
            pass  # the other end is closed
        finally:
            os.close(screen)
        try:
            piped, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        assert KEY not in shown.decode()
        return process.returncode, shown.decode(), piped or ""


def _terminal(lines: int, columns: int) -> tuple[int, int]:
    """Open a terminal of this size, and return the descriptors of its screen and of its program."""
    if sys.platform == "win32":
        pytest.skip("Windows has no terminals of this kind")
    screen, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    return screen, side


def _read_to_end(screen: int, chunks: list[bytes]) -> None:
    with suppress(OSError):  # the other end is closed
        while chunk := os.read(screen, 65536):
            chunks.append(chunk)


def _text_of(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def wait_for(condition: Callable[[], object]) -> None:
    """Return once the condition holds."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def send(process: subprocess.Popen[str], number: int) -> None:
    """Send a signal, and return when the process has taken notice of it."""
    process.send_signal(number)
    status = Path(f"/proc/{process.pid}/status")

    def is_pending() -> bool:
        found = re.search(r"ShdPnd:\s*(\w+)", status.read_text()) if status.exists() else None
        return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)

    wait_for(lambda: not is_pending())


def line_with(stream: Any, word: str) -> str:
    """Return the next line that has a word in it."""
    for line in stream:
        if word in line:
            return str(line)
    raise AssertionError(f"no line with {word!r}")


def submitted(
    simulator: Simulator,
    *prompts: str,
    journal: Path | None = None,
    dialect: DialectName = "gateway",
) -> list[str]:
    """Return the ids of new jobs."""

    async def submit() -> list[str]:
        async with LumaClient(
            KEY, base_url=simulator.url, journal=journal, dialect=dialect
        ) as luma:
            return [(await luma.generate(prompt)).id for prompt in prompts]

    return asyncio.run(submit())
