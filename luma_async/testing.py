"""Test helpers for applications: the simulator as a pytest fixture.

In a `conftest.py`:

>>> pytest_plugins = ["luma_async.testing"]

The fixture works with any way to run event loops in tests:

>>> async def test_bot(luma_simulator):                       # doctest: +SKIP
...     await my_bot.answer("/video a cat dances")
...     assert len(luma_simulator.ledger.jobs) == 1
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from luma_async.extras import needing
from luma_async.simulator import Fixed, Simulator, Variant

with needing("pytest", user="luma_async.testing", extra=None):
    import pytest


@contextmanager
def running_simulator(**settings: Any) -> Iterator[Simulator]:
    """Run a `Simulator` in a thread of its own, for code that runs its own event loop, or trio.

    The jobs report their remaining time, so that a client does not have to learn their durations.
    """
    settings.setdefault("variant", Variant(estimates=True))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="luma simulator", daemon=True)
    thread.start()

    async def start() -> Simulator:
        simulator = Simulator(**settings)
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


@pytest.fixture
def luma_simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Run a gateway that a `LumaClient()` without arguments uses. Its jobs take one second."""
    with running_simulator(durations=Fixed(1.0), short_side=180) as simulator:
        monkeypatch.setenv("LUMA_BASE_URL", simulator.url)
        monkeypatch.setenv("LUMA_API_KEY", "sk-simulated")
        yield simulator
