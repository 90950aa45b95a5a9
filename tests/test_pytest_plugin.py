"""The pytest plugin: its settings, its client, and the walls around a test."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    APIConnectionError,
    ConfigurationError,
    LumaClient,
    State,
    client_parts,
    settings,
)
from luma_async.cli.environment import default_journal
from luma_async.simulator import Fixed, Simulator, Variant
from luma_async.testing import SimulatorSettings, running_simulator
from luma_async.testing.closing_client import closing
from luma_async.testing.isolation import isolated
from luma_async.testing.simulator_settings import SimulatorArguments, settings_of
from luma_async.transport.sessions import Sessions

ELSEWHERE = "http://192.0.2.1"
"""Server of an address that exists in documentation only."""


async def test_a_job_passes_all_states_within_half_a_second(luma_client: LumaClient) -> None:
    """The default of the fixtures is quick, and a test sees progress nevertheless."""
    for _ in range(3):  # a machine that is busy may sleep through one state
        began = asyncio.get_running_loop().time()
        task = await luma_client.generate("a cat dances")
        states = [generation.state async for generation in task.updates()]
        took = asyncio.get_running_loop().time() - began
        if took < 0.5:
            break

    assert list(dict.fromkeys(states)) == [State.PENDING, State.PROCESSING, State.COMPLETED]
    assert took < 0.5


@pytest.mark.luma(dialect="agents")
async def test_clients_without_settings_are_as_quick(luma_simulator: Simulator) -> None:
    """Also in a dialect without estimates, the code under test notices the end of a job at once."""
    began = asyncio.get_running_loop().time()

    async with LumaClient() as luma:
        video = await luma.run("a cat dances")

    assert (video.state, luma.dialect.name) == (State.COMPLETED, "agents")
    assert asyncio.get_running_loop().time() - began < 2.0


@pytest.mark.luma(max_jobs=1, dialect="agents", durations=3600)
class TestSettings:
    """Markers of a class apply to its tests, and those of a test come first."""

    @pytest.mark.luma(dialect="dream-machine")
    async def test_the_nearest_marker_decides(
        self, luma_client: LumaClient, luma_simulator: Simulator, request: pytest.FixtureRequest
    ) -> None:
        """Setting by setting: the others are those of the class, or of the project's fixture."""
        task = await luma_client.generate("a cat dances")
        luma_simulator.advance(3600)
        assert (await task).state is State.COMPLETED

        found = settings_of(request, {"short_side": 64, "max_jobs": 7})
        assert (luma_client.dialect.name, found.dialect) == ("dream-machine", "dream-machine")
        assert found.arguments == {"durations": 3600, "max_jobs": 1, "short_side": 64}


def test_an_unknown_setting_fails_the_test(request: pytest.FixtureRequest) -> None:
    """The text has the names that there are."""
    wrong: SimulatorSettings = {"duration": 1}  # type: ignore[typeddict-unknown-key]
    with pytest.raises(
        pytest.fail.Exception, match=r"no setting duration; it has access_log, api_key, .*dia"
    ):
        settings_of(request, wrong)


@pytest.mark.luma("agents")
def test_a_setting_without_a_name_fails_the_test(request: pytest.FixtureRequest) -> None:
    """The marker takes no positional arguments."""
    with pytest.raises(pytest.fail.Exception, match=r"takes settings by name, got 'agents'\."):
        settings_of(request, {})


def test_the_settings_are_the_arguments_of_a_simulator() -> None:
    """None is missing, so that type checkers know all of them."""
    names = set(inspect.signature(Simulator).parameters)

    assert SimulatorArguments.__optional_keys__ == names
    assert SimulatorSettings.__optional_keys__ == {*names, "dialect"}


def with_asyncio_run(client: LumaClient) -> Callable[[], None]:
    """Use a client in an event loop that ends before the fixture."""
    asyncio.run(submit(client))
    return lambda: None


def with_a_loop_that_goes_on(client: LumaClient) -> Callable[[], None]:
    """Use a client in an event loop that is not running when the fixture ends."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(submit(client))
    return loop.close


def in_a_running_thread(client: LumaClient) -> Callable[[], None]:
    """Use a client in an event loop that is running in another thread when the fixture ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(submit(client), loop).result()

    def end() -> None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    return end


def closed_by_the_test(client: LumaClient) -> Callable[[], None]:
    """Close a client, as users do who like to see it."""

    async def main() -> None:
        async with client:
            await submit(client)

    asyncio.run(main())
    return lambda: None


async def submit(client: LumaClient) -> None:
    await client.generate("a cat dances")


@pytest.mark.parametrize(
    "use", [with_asyncio_run, with_a_loop_that_goes_on, in_a_running_thread, closed_by_the_test]
)
def test_a_client_is_closed_in_its_own_event_loop(
    luma_simulator: Simulator, use: Callable[[LumaClient], Callable[[], None]]
) -> None:
    """In each way to run one. A connection left open would be a warning, which is an error."""
    luma = LumaClient()
    with closing(luma):
        end = use(luma)
    end()

    assert luma._is_closed
    gc.collect()


def test_a_client_that_is_not_used_needs_no_event_loop(luma_client: LumaClient) -> None:
    """A test may ask for the fixture and not use it."""


@pytest.fixture
def developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LumaClient:
    """Return a client of a developer's program, which was created before the simulator."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(
        f"LUMA_JOURNAL={tmp_path / 'precious.db'}\nLUMA_DIALECT=agents\nLUMAAI_API_KEY=luma-real"
    )
    monkeypatch.setenv("LUMA_API_KEY", "sk-real")
    monkeypatch.setenv("LUMA_BASE_URL", ELSEWHERE)
    monkeypatch.setenv("LUMA_MAX_DOWNLOAD_BYTES", "1")
    monkeypatch.setenv("HTTP_PROXY", f"{ELSEWHERE}:3128")
    return LumaClient()


@pytest.mark.parametrize("create", [LumaClient, LumaClient.from_env])
async def test_no_setting_of_the_developer_reaches_a_test(
    developer: LumaClient,
    luma_simulator: Simulator,
    create: Callable[[], LumaClient],
    tmp_path: Path,
) -> None:
    """Neither from the environment nor from `.env`."""
    async with create() as luma:
        assert (luma.base_url, luma.dialect.name) == (luma_simulator.url, "gateway")
        assert luma.journal is None
        await luma.run("a cat dances", download=tmp_path / "cat.mp4")
    assert not (tmp_path / "precious.db").exists()


def test_the_command_line_has_a_journal_of_the_test(request: pytest.FixtureRequest) -> None:
    """A command neither finds a job key in the journal of the developer nor leaves one there."""
    of_developer = default_journal()

    with isolated("http://127.0.0.1:1", settings_of(request, {})):
        of_test = default_journal()

    assert of_test != of_developer
    assert not Path(of_test).exists()


async def test_no_request_reaches_a_real_server(
    developer: LumaClient, luma_simulator: Simulator
) -> None:
    """Also from clients that a module created before the test, or with settings of their own."""
    for luma in (developer, LumaClient("luma-real", dialect="agents", base_url=ELSEWHERE)):
        async with luma:
            with pytest.raises(ConfigurationError, match=rf"called {ELSEWHERE}/?, but this test"):
                await luma.generate("a cat dances")
            with pytest.raises(ConfigurationError, match="replace it by the fixture luma_client"):
                await luma.get("1")


@pytest.mark.parametrize("set_to", ["http://localhost:4000/v1", "http://127.0.0.1:4000"])
async def test_no_request_reaches_a_gateway_of_the_developer_on_this_machine(
    set_to: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """It passes jobs on to the real service. Other servers on this machine may be a test's own."""
    monkeypatch.setenv("LUMA_BASE_URL", set_to)
    own, other = (
        LumaClient("sk-real", base_url=f"http://127.0.0.1:{port}", max_tries=1)
        for port in (4000, 1)
    )
    with isolated("http://127.0.0.1:2", settings_of(request, {})):
        with pytest.raises(ConfigurationError, match="replace it by the fixture luma_client"):
            await own.generate("a cat dances")
        with pytest.raises(APIConnectionError):
            await other.get("1")
    # Unless the simulator itself is there.
    with isolated("http://127.0.0.1:4000", settings_of(request, {})):
        with pytest.raises(APIConnectionError):
            await own.get("1")
    await own.aclose()
    await other.aclose()


def test_a_test_leaves_no_trace(developer: LumaClient, request: pytest.FixtureRequest) -> None:
    """The next one has the environment, the poll schedule and the servers of before."""
    before = traces()

    with isolated("http://127.0.0.1:1", settings_of(request, {})):
        during = traces()

    assert all(one != other for one, other in zip(before, during, strict=True))
    assert traces() == before


def traces() -> list[Any]:
    """Return everything that the isolation of a test changes in its process."""
    modules: list[tuple[Any, str]] = [
        (client_parts, "AdaptiveSchedule"),
        (Sessions, "open"),
        (settings, "ENV_FILE"),
    ]
    return [{**os.environ}, *(getattr(module, name) for module, name in modules)]


@pytest.mark.parametrize("anyio_backend", ["trio", ("trio", {})], ids=["trio", "trio options"])
def test_a_test_on_trio_is_told_to_run_on_asyncio(
    anyio_backend: object, request: pytest.FixtureRequest
) -> None:
    """The plugin of anyio runs tests on trio as well, if it is installed."""
    with pytest.raises(pytest.fail.Exception, match='fixture anyio_backend that returns "asyncio"'):
        request.getfixturevalue("luma_client")


def test_the_plugin_costs_a_project_nothing_that_does_not_use_it() -> None:
    """Every run of pytest imports it: it imports no other module that is not there already."""
    program = """
import sys
import pytest
before = set(sys.modules)
import luma_async.testing
print(*sorted(set(sys.modules) - before))
"""
    told = subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60)

    assert told.split() == [
        "luma_async",
        "luma_async.extras",
        "luma_async.testing",
        "luma_async.testing.simulator_settings",
        "luma_async.version",
    ]


def test_a_simulator_in_a_thread_keeps_the_settings_given() -> None:
    """A number is the duration of each job; a distribution stays as it is."""
    with (
        running_simulator(durations=5, variant=Variant()) as one,
        running_simulator(durations=Fixed(7)) as other,
    ):
        assert (one._maker._durations, other._maker._durations) == (Fixed(5), Fixed(7))
