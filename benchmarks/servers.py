"""Servers in processes of their own, so that they do not share the event loop that is measured."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server. `signal` sends a signal to its process."""

    url: str
    signal: Callable[[int], None]


@contextmanager
def server_process(module: str, *arguments: str) -> Iterator[ServerProcess]:
    """Run a module that serves until it is terminated, and prints its URL when it is ready."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield ServerProcess(process.stdout.readline().strip(), process.send_signal)
        finally:
            process.terminate()


async def serve(app: web.Application, path: str = "") -> None:
    """Serve an application on a free port of loopback, print its URL with a path, and never end."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}{path}", flush=True)
    await asyncio.Event().wait()
