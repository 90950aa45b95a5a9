"""Programs: benchmark modules that run as processes of their own, so that nothing else is measured.

A benchmark module is both: `python -m benchmarks.NAME` runs its program and prints the result, and
the functions here start it from another module.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

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
    return subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout


def outputs_of(module: str, arguments: Sequence[Sequence[object]]) -> list[str]:
    """Run a benchmark module in several processes that begin together, and return their outputs.

    A process prints a line when it is ready, and begins when it reads a line.
    """
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    command(module, *each), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for each in arguments
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return [process.communicate()[0] for process in processes]


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


async def serve(
    app: web.Application, path: str = "", *, context: ssl.SSLContext | None = None
) -> None:
    """Serve an application on a free port of loopback, print its URL with a path, and never end.

    With a `context`, the server uses TLS.
    """
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    scheme = "http" if context is None else "https"
    print(f"{scheme}://127.0.0.1:{runner.addresses[0][1]}{path}", flush=True)
    await asyncio.Event().wait()
