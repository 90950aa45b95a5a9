"""Closing client: a client that is closed in the event loop of its test, however that one runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress

import pytest

from luma_async.client import LumaClient
from luma_async.schedules import FixedSchedule
from luma_async.testing.simulator_settings import POLL_INTERVAL, FixtureSettings

CLOSE_TIMEOUT = 60.0
"""Seconds for a client to close in the event loop of another thread."""


@contextmanager
def client_of_test(
    request: pytest.FixtureRequest, url: str, settings: FixtureSettings
) -> Iterator[LumaClient]:
    """Create a client of the simulator at `url`, and close it at the end of the context."""
    _reject_trio(request)
    client = LumaClient(
        settings.api_key,
        base_url=url,
        dialect=settings.dialect,
        schedule=FixedSchedule(POLL_INTERVAL),
    )
    with closing(client):
        yield client


@contextmanager
def closing(client: LumaClient) -> Iterator[None]:
    """Close a client in its event loop: at the end of the context, or of the loop if that is first.

    The loop of an `asyncio.run()`, or of one test, has ended when the fixture is torn down. But a
    loop closes its asynchronous generators before it ends, so the client is closed by one of them.
    The loop of a module has not ended, and is not running either.
    """
    closer = _closer(client)
    home = client._home  # noqa: SLF001  the moment of its first use is nobody else's business

    def begin() -> None:
        with suppress(StopIteration):  # the result of a step that waits for nothing
            closer.__anext__().send(None)

    home.on_first_use = begin
    try:
        yield
    finally:
        home.on_first_use = None
        if home.loop is not None and not home.loop.is_closed():
            _complete(closer, home.loop)


async def _closer(client: LumaClient) -> AsyncGenerator[None, None]:
    """Close a client when the generator is closed."""
    try:
        yield
    finally:
        await client.aclose()


def _complete(closer: AsyncGenerator[None, None], loop: asyncio.AbstractEventLoop) -> None:
    """Close a generator in an event loop that has not ended."""

    async def close() -> None:
        await closer.aclose()

    if loop.is_running():
        asyncio.run_coroutine_threadsafe(close(), loop).result(CLOSE_TIMEOUT)
    else:
        loop.run_until_complete(close())


def _reject_trio(request: pytest.FixtureRequest) -> None:
    """Fail a test that the plugin of anyio runs on trio."""
    if "anyio_backend" not in request.fixturenames:
        return
    backend = request.getfixturevalue("anyio_backend")
    if (backend if isinstance(backend, str) else backend[0]) != "asyncio":
        pytest.fail(
            "luma_client runs on asyncio, and this test runs on trio. Define a fixture "
            'anyio_backend that returns "asyncio", or let the test use luma_simulator only.',
            pytrace=False,
        )
