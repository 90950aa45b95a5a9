"""Programs that run on trio, or on no event loop, can use the simulator as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio

from luma_async import ConfigurationError, LumaClient, State
from luma_async.simulator import Fixed, Simulator
from luma_async.testing import running_simulator


def without_a_loop(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    function().send(None)


@pytest.mark.parametrize("run", [trio.run, without_a_loop])
def test_the_simulator_tells_how_it_is_used_without_asyncio(run: Any) -> None:
    """In one sentence, and not as `no running event loop`."""

    async def main() -> None:
        async with Simulator():
            pass

    with pytest.raises(ConfigurationError, match=r"runs on asyncio.*running_simulator\(\)"):
        run(main)


def test_a_program_on_trio_uses_both_in_threads() -> None:
    """The simulator brings its own thread; the client gets one with an event loop."""

    async def make_video(url: str) -> State:
        async with LumaClient("sk-x", base_url=url) as luma:
            return (await (await luma.generate("a cat"))).state

    async def main() -> State:
        with running_simulator(durations=Fixed(0.05)) as sim:
            return await trio.to_thread.run_sync(lambda: asyncio.run(make_video(sim.url)))

    assert trio.run(main) is State.COMPLETED
