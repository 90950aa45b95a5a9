"""Workers as processes of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.forked_programs import PYTHON, ForkedProgram

ROOT = Path(__file__).parents[2]


class Worker:
    """A running worker."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def wait_until_ready(self) -> None:
        """Return when its journal is open."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def begin(self) -> None:
        """Let it ask for its jobs."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it at once, with a signal that nobody can catch."""
        self._process.kill()

    def results(self) -> dict[str, tuple[str | None, str | None]]:
        """Wait for its end, and return the id and the error of each key that it told of."""
        told, complaints = self._process.communicate(timeout=300)
        if self._process.returncode == 0:
            assert not complaints, complaints
        lines = [json.loads(line) for line in told.splitlines() if line.endswith("]")]
        return {key: (id, error) for key, id, error in lines}


@contextmanager
def worker(
    url: str, place: str, first: int, last: int, max_requests: int = 8, *, max_tasks: int = 0
) -> Iterator[Worker]:
    """Run a worker, and wait until its journal is open."""
    arguments = [url, place, *map(str, (first, last, max_requests, max_tasks))]
    with ForkedProgram(
        [*PYTHON, "-m", "tests.journal.worker", *arguments],
        loaded=True,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        running = Worker(process)
        try:
            running.wait_until_ready()
            yield running
        finally:
            process.kill()
