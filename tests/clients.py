"""A client at a simulator, at the pace of tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from luma_async import FixedSchedule, LumaClient
from luma_async.simulator import Simulator

KEY = "sk-a-key-that-must-never-be-seen"


def connect(simulator: Simulator, **settings: Any) -> LumaClient:
    """Return a client that looks every 20 ms."""
    settings.setdefault("schedule", FixedSchedule(0.02))
    return LumaClient(KEY, base_url=simulator.url, **settings)


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail if it does not within five seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  what is waited for cannot say so itself
            await asyncio.sleep(0.01)
