"""Calls of a filesystem that may never return, in threads for which no program waits at its end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextvars import ContextVar

import pytest

from luma_async.batch.daemon_thread import in_daemon_thread

ENDS = """
import asyncio, threading
from luma_async.batch.daemon_thread import in_daemon_thread

async def main():
    async with asyncio.timeout(0.2):
        await in_daemon_thread(threading.Event().wait, name="one that never returns")

asyncio.run(main())
"""


async def test_the_function_runs_in_another_thread_with_the_same_context() -> None:
    """Its result comes back."""
    word = ContextVar[str]("word")
    word.set("said")

    found = await in_daemon_thread(
        lambda: (word.get(), threading.current_thread().name), name="another"
    )

    assert found == ("said", "another")


async def test_an_exception_comes_back() -> None:
    """It is that of the function."""
    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(lambda: 1 / 0, name="another")


async def test_a_wait_that_was_cancelled_hears_no_result() -> None:
    """The thread goes on, and its end is no error."""
    goes_on, has_ended = threading.Event(), threading.Event()

    def work() -> None:
        goes_on.wait()
        has_ended.set()

    waiting = asyncio.create_task(in_daemon_thread(work, name="another"))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    goes_on.set()
    await asyncio.to_thread(has_ended.wait, 60)
    await asyncio.sleep(0.01)

    assert waiting.cancelled()


def test_a_program_ends_although_a_call_never_returns() -> None:
    """As with a server that answers no more: the program would hang after its last line."""
    done = subprocess.run(
        [sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert done.stderr.endswith("TimeoutError\n")
