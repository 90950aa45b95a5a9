"""Simulator thread: a simulator with an event loop of its own, next to that of a test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Unpack

from luma_async.extras import needing
from luma_async.testing.simulator_settings import SimulatorArguments

with needing("av", "PIL", user="luma_async.testing", extra="simulator"):
    from luma_async.simulator import Simulator, Variant


@contextmanager
def simulator_in_thread(**settings: Unpack[SimulatorArguments]) -> Iterator[Simulator]:
    """Run a simulator in a thread within the context."""
    arguments: dict[str, Any] = {"variant": Variant(estimates=True), **settings}
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="luma simulator", daemon=True)
    thread.start()

    async def start() -> Simulator:
        simulator = Simulator(**arguments)
        await simulator.start()
        return simulator

    try:
        simulator = asyncio.run_coroutine_threadsafe(start(), loop).result()
        try:
            yield simulator
        finally:
            asyncio.run_coroutine_threadsafe(simulator.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
