"""Test helpers for applications: a pytest plugin with a simulated gateway and a client of it.

pytest loads the plugin by itself, and its fixtures work with any way to run event loops in tests:
pytest-asyncio, the plugin of anyio, or `asyncio.run()`.

>>> async def test_bot(luma_client, luma_simulator):                       # doctest: +SKIP
...     luma_simulator.fail_next("moderated")
...     assert await answer(luma_client, "a cat dances") == "Sorry, moderated."

The marker `luma` has the settings of a test, a class or a module; the fixture
`luma_simulator_settings` has those of a project:

>>> @pytest.mark.luma(durations=60, dialect="agents")                      # doctest: +SKIP
... async def test_patience(luma_client, luma_simulator):
...     task = await luma_client.generate("a cat dances")
...     luma_simulator.advance(60)
...     assert (await task).state == "completed"

Every run of pytest imports this module, so it loads nothing else until a test needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Unpack

from luma_async.extras import needing

with needing("pytest", user="luma_async.testing", extra=None):
    import pytest

from luma_async.testing.simulator_settings import (
    MARKER,
    SimulatorArguments,
    SimulatorSettings,
    settings_of,
)

if TYPE_CHECKING:
    from luma_async.client import LumaClient
    from luma_async.simulator import Simulator

__all__ = [
    "SimulatorArguments",
    "SimulatorSettings",
    "luma_client",
    "luma_simulator",
    "luma_simulator_settings",
    "running_simulator",
]


def running_simulator(
    **settings: Unpack[SimulatorArguments],
) -> AbstractContextManager[Simulator]:
    """Run a `Simulator` in a thread of its own, for code that runs its own event loop, or trio.

    >>> with running_simulator(durations=0.2) as simulator:                # doctest: +SKIP
    ...     asyncio.run(main(simulator.url))

    The jobs report their remaining time, so that a client does not have to learn their durations.

    Args:
        settings: arguments of `Simulator`. A number as `durations` is the duration of each job.

    Raises:
        MissingExtraError: the extra `simulator` is not installed.

    """
    from luma_async.testing.simulator_thread import simulator_in_thread

    return simulator_in_thread(**settings)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker `luma`."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def luma_simulator_settings() -> SimulatorSettings:
    """Return the settings of the simulator. Define a fixture of this name to change them."""
    return {}


@pytest.fixture
def luma_simulator(
    request: pytest.FixtureRequest, luma_simulator_settings: SimulatorSettings
) -> Iterator[Simulator]:
    """Run a simulated gateway, the only server that clients reach during the test.

    `LumaClient()` and `LumaClient.from_env()` find it. The API keys and other settings of the
    environment and of `.env` are hidden, and requests to servers on other machines are errors, so
    that no test can spend money. Jobs take 0.3 seconds, and clients without a schedule of their own
    poll every 0.05 seconds.
    """
    settings = settings_of(request, luma_simulator_settings)
    with running_simulator(**settings.arguments) as simulator:
        from luma_async.testing.isolation import isolated

        with isolated(simulator.url, settings):
            yield simulator


@pytest.fixture
def luma_client(
    request: pytest.FixtureRequest,
    luma_simulator: Simulator,
    luma_simulator_settings: SimulatorSettings,
) -> Iterator[LumaClient]:
    """Return a client of the simulator, closed after the test in the event loop of the test.

    Neither `async with` nor `aclose()` is needed, and both may be used.
    """
    from luma_async.testing.closing_client import client_of_test

    settings = settings_of(request, luma_simulator_settings)
    with client_of_test(request, luma_simulator.url, settings) as client:
        yield client
