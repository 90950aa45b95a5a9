"""Completion: await work to its end, also when the caller is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import anyio


async def to_completion(work: Coroutine[Any, Any, None]) -> None:
    """Await something to its end; a cancellation meanwhile is raised afterwards.

    A shielded scope of anyio's holds off the scopes around it, but no `Task.cancel()`.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()
        raise cancelled
    task.result()
