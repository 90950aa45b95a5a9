"""Daemon threads: calls that may never return, for which no program waits at its end."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


async def in_daemon_thread(function: Callable[[], T], *, name: str) -> T:
    """Return the result of a function that runs in a thread of its own.

    If this is cancelled, the thread goes on. Python waits at its end for the threads of executors
    and of anyio, but not for this one.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(function)
        except BaseException as error:  # noqa: BLE001  the caller gets it
            tell(done.set_exception, error)
        else:
            tell(done.set_result, result)

    def tell(settle: Callable[[Any], None], value: object) -> None:
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(_unless_done, done, settle, value)

    Thread(target=run, name=name, daemon=True).start()
    return await done


def _unless_done(future: asyncio.Future[Any], settle: Callable[[Any], None], value: object) -> None:
    if not future.done():  # whoever waited for it may have been cancelled
        settle(value)
