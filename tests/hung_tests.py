"""A test that hangs: its process tells what runs in it, and ends.

pytest-xdist reports the process, and replaces it. An exception would not be enough: the fixtures of
an event loop go on waiting for the test, in which the exception is not raised.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import threading
from typing import Any

import pytest
import pytest_timeout

STDERR = 2


def pytest_timeout_set_timer(item: Any, settings: Any) -> bool:
    """Start the timer of a test: a thread, because the main one may be what hangs."""
    timer = threading.Timer(settings.timeout, _end, (item,))
    timer.daemon = True

    def cancel() -> None:
        timer.cancel()
        timer.join()

    item.cancel_timeout = cancel
    timer.start()
    return True


def _end(item: pytest.Item) -> None:
    if pytest_timeout.is_debugging():
        return
    capture = item.config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
    try:
        tasks = [each for each in gc.get_objects() if isinstance(each, asyncio.Task)]
        lines = [f"{item.nodeid} hangs.", *(_place(task) for task in tasks if not task.done())]
        os.write(STDERR, "\n".join(["", *lines, ""]).encode())
        faulthandler.dump_traceback(file=STDERR)
    finally:
        os._exit(1)


def _place(task: asyncio.Task[Any]) -> str:
    """Return the name of a task and its calls, each of which awaits the next."""
    calls = []
    waiting: Any = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        code = frame.f_code
        calls.append(f"  {code.co_filename}:{frame.f_lineno} in {code.co_qualname}")
        waiting = waiting.cr_await
    return "\n".join([f"Task {task.get_name()!r}:", *calls])
