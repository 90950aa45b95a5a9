"""Programs: benchmark modules that run as processes of their own, so that nothing else is measured.

A benchmark module is both: `python -m benchmarks.NAME` runs its program and prints the result, and
the functions here start it from another module.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web


def command(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a benchmark module with arguments."""
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]


def output_of(module: str, *arguments: object) -> str:
    """Run a benchmark module in a process of its own, and return its output.

    Raises:
        subprocess.CalledProcessError: the program failed.

    """
    line = command(module, *arguments)
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


@contextmanager
def server(module: str, *arguments: object) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a benchmark module that is a server, and yield the URL that it prints, and its process.

    The server is terminated at the end of the context.
    """
    line = command(module, *arguments)
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.terminate()


async def serve(app: web.Application, path: str = "") -> None:
    """Serve an application on a free port of loopback, print its URL with a path, and never end."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}{path}", flush=True)
    await asyncio.Event().wait()
