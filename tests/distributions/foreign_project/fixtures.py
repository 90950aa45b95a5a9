"""The conftest.py of the project: fixtures of its own that build on those of the plugin."""

import gc
import logging
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from luma_async import LumaClient
from luma_async.testing import SimulatorSettings

pytest_plugins = os.environ["PLUGINS"].split()
async_fixture: Any = pytest.fixture if os.environ["MARK"] == "anyio" else pytest_asyncio.fixture

logging.getLogger("asyncio").addHandler(logging.FileHandler("asyncio.log", delay=True))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def luma_simulator_settings() -> SimulatorSettings:
    return {"durations": 0.2, "same_films": True}


@pytest.fixture(autouse=True)
def _collects_garbage() -> Iterator[None]:
    yield
    gc.collect()


@async_fixture  # type: ignore[untyped-decorator]  # it is either of two
async def finished(luma_client: LumaClient) -> AsyncIterator[list[str]]:
    """Ids of jobs; all of them are waited for after the test, with the client of the test."""
    ids: list[str] = []
    yield ids
    for id in ids:
        assert (await luma_client.get(id)).id == id
