"""Tests of the project, by the plugin that the environment names."""

import asyncio
import os
from pathlib import Path

import pytest

import luma_async
from luma_async import GenerationFailedError, InsufficientCreditsError, LumaClient, State
from luma_async.simulator import Fault, Simulator

run_async: pytest.MarkDecorator = getattr(pytest.mark, os.environ["MARK"])


def test_the_wheel_is_tested() -> None:
    assert Path(luma_async.__file__).is_relative_to(os.environ["VIRTUAL_ENV"])


@run_async
@pytest.mark.luma(durations=3600)
async def test_a_job_passes_all_states(luma_client: LumaClient, luma_simulator: Simulator) -> None:
    task = await luma_client.generate("a cat dances")
    states = []
    async for generation in task.updates():
        states.append(generation.state)
        luma_simulator.advance(1800)
    assert list(dict.fromkeys(states)) == [State.PENDING, State.PROCESSING, State.COMPLETED]


@run_async
async def test_faults_in_one_line(luma_client: LumaClient, luma_simulator: Simulator) -> None:
    luma_simulator.fail_next("moderated")
    with pytest.raises(GenerationFailedError, match="moderated"):
        await luma_client.run("a cat dances")
    luma_simulator.reject_next(402)
    with pytest.raises(InsufficientCreditsError):
        await luma_client.run("a cat dances")
    luma_simulator.faults.add(Fault.cut(on=["get", "tasks"], times=1))
    assert (await luma_client.run("a cat dances")).state is State.COMPLETED


@pytest.mark.luma(durations=3600)
class TestOfPatience:
    @run_async
    @pytest.mark.parametrize("prompt", ["a cat", "a dog"])
    async def test_time_in_one_line(
        self, luma_client: LumaClient, luma_simulator: Simulator, prompt: str
    ) -> None:
        task = await luma_client.generate(prompt)
        luma_simulator.advance(3600)
        assert (await task).prompt == prompt

    @run_async
    @pytest.mark.luma(dialect="agents")
    async def test_another_dialect(self, luma_client: LumaClient) -> None:
        await luma_client.generate("a cat dances")
        assert luma_client.dialect.name == "agents"


@run_async
async def test_a_fixture_uses_the_client(luma_client: LumaClient, finished: list[str]) -> None:
    finished.append((await luma_client.generate("a cat dances")).id)


@run_async
@pytest.mark.xfail(strict=True, raises=ZeroDivisionError)
async def test_that_fails_leaves_nothing_open(luma_client: LumaClient) -> None:
    await luma_client.generate("a cat dances")
    raise ZeroDivisionError


@run_async
async def test_that_is_cancelled_leaves_nothing_open(luma_client: LumaClient) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await luma_client.run("a cat dances")


def test_without_a_plugin(luma_client: LumaClient, luma_simulator: Simulator) -> None:
    async def main() -> str:
        return (await luma_client.generate("a cat dances")).id

    assert asyncio.run(main()) == luma_simulator.ledger.jobs[0].id


if os.environ["MARK"] == "asyncio":
    in_one_loop = pytest.mark.asyncio(loop_scope="module")

    @in_one_loop
    @pytest.mark.parametrize("number", [1, 2])
    async def test_a_loop_for_all_tests(luma_client: LumaClient, number: int) -> None:
        await luma_client.generate(f"{number} cats dance")
