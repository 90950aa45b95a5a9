"""Request log: a line for each HTTP request to the server, at the level DEBUG.

Its logger is a child of that of the package, so that a program can show or hide the requests alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from luma_async.transport.call import Call
from luma_async.transport.failures import Answer, Failed

logger = logging.getLogger("luma_async.http")


def logs_requests() -> bool:
    """Return `True` if requests are logged. It costs a tenth of a microsecond."""
    return logger.isEnabledFor(logging.DEBUG)


async def answered_and_logged(
    answering: Awaitable[Answer], call: Call[Any], *, tries: int, scrub: Callable[[str], str]
) -> Answer:
    """Await the answer to a request, and log its status, its duration and the number of the try.

    `scrub` removes the API key, which a caller may have passed in place of an id.

    Raises:
        Exception: there was no answer.

    """
    began = time.perf_counter()
    outcome = "no answer"
    try:
        answer = await answering
        outcome = str(answer.status)
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    except Failed as failed:
        outcome = f"no answer ({type(failed.error).__name__})"
        raise
    finally:
        path = scrub(call.path.partition("?")[0])  # a query may be a signature
        seconds = time.perf_counter() - began
        log_request("%s %s: %s after %.3f s (try %d)", call.method, path, outcome, seconds, tries)
    return answer


def log_request(text: str, *arguments: Any) -> None:
    """Log a request. A filter of the caller's may fail, and must not spoil the answer."""
    with suppress(Exception):
        logger.debug(text, *arguments, stacklevel=2)
