"""A client at a simulator, at the pace of tests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from luma_async import FixedSchedule, LumaClient
from luma_async.simulator import Simulator
from tests.loops import skip

KEY = "sk-a-key-that-must-never-be-seen"

HOUR = 3600.0
"""Simulated seconds of a job that ends only when a test says so, by `sim.advance(HOUR)`: no
machine is so slow that the job ends before."""


class InTurn:
    """The first job takes the first of these times, and so on; those after the last, the last."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = list(seconds)

    def draw(self, chance: random.Random) -> float:
        return self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]


def connect(simulator: Simulator, **settings: Any) -> LumaClient:
    """Return a client that looks every 20 ms.

    `rejections` (a `APIKeyRejections`), `foreign_ids` (a `ForeignIds`) and `adapted_size` (a
    `BatchSize`) replace these parts of the client, where a test needs shorter times than users do.
    """
    rejections = settings.pop("rejections", None)
    foreign_ids = settings.pop("foreign_ids", None)
    adapted_size = settings.pop("adapted_size", None)
    settings.setdefault("schedule", FixedSchedule(0.02))
    settings.setdefault("dialect", "gateway")
    luma = LumaClient(KEY, base_url=simulator.url, **settings)
    luma._manager._results._rejections = rejections or luma._manager._results._rejections
    luma._looks._foreign_ids = foreign_ids or luma._looks._foreign_ids
    luma._looks.batch_size = adapted_size or luma._looks.batch_size
    return luma


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail if it does not, even on a machine that is very slow."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  what is waited for cannot say so itself
            await asyncio.sleep(0.01)


async def looks_after(seconds: float, luma: LumaClient, simulator: Simulator) -> None:
    """Put the clock forward, and return when the looks that are due then have been made."""
    made = simulator.ledger.requests.total()
    skip(seconds)
    await until(
        lambda: simulator.ledger.requests.total() > made and not luma._manager._poller.looking
    )
