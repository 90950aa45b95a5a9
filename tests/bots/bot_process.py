"""A bot of the examples as a process of its own, at a simulator."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from luma_async import LumaClient
from luma_async.simulator import Simulator
from tests.forked_programs import PYTHON, ForkedProgram

COMPLAINTS = re.compile(
    "never retrieved|Unclosed|Traceback|Warning:|was destroyed|never awaited"
    "|^.*(?:ERROR|CRITICAL) .*$",
    re.MULTILINE,
)
"""Words on stderr that no bot of ours says."""


def another_program(simulator: Simulator, journal: Path) -> LumaClient:
    """Return the client of another program that uses the journal of a bot."""
    return LumaClient("sk-simulated", base_url=simulator.url, journal=journal)


class BotProcess:
    """A bot that runs within the context, in a folder, with stderr in the file `stderr` there.

    At the end of the context it is stopped by SIGTERM, unless the test has done so, and must end
    without a complaint.
    """

    def __init__(
        self,
        program: Sequence[str | Path],
        folder: Path,
        simulator: Simulator,
        environment: Mapping[str, str],
    ) -> None:
        self._command = [*PYTHON, *map(str, program)]
        self._folder = folder
        self._environment = {
            **os.environ,
            "LUMA_BASE_URL": simulator.url,
            "LUMA_API_KEY": "sk-simulated",
            **environment,
        }

    @property
    def stderr(self) -> str:
        """Text on stderr of all processes that ran in the folder."""
        return (self._folder / "stderr").read_text("utf-8")

    @property
    def complaints(self) -> list[str]:
        """Complaints on stderr."""
        return COMPLAINTS.findall(self.stderr)

    def forget_complaints(self) -> None:
        """Empty the file of stderr, because a test has seen the complaints that it expected."""
        (self._folder / "stderr").write_bytes(b"")

    async def __aenter__(self) -> Self:
        with (self._folder / "stderr").open("ab") as stderr:
            self._process = ForkedProgram(
                self._command,
                libraries=["discord", "discord.app_commands"],
                loaded=True,
                cwd=self._folder,
                env=self._environment,
                stderr=stderr,
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()
            self._process.wait()
            print(self.stderr)  # noqa: T201  for the reader of the failure
            return
        assert await self.stop() in (0, -signal.SIGKILL), self.stderr
        assert self.complaints == [], self.stderr

    @property
    def has_ended(self) -> bool:
        """`True` if the process has ended."""
        return self._process.poll() is not None

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to the bot unless it has ended, and return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return await asyncio.to_thread(self._process.wait, 60)
