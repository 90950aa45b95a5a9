"""The Discord bot of the examples, at a Discord of the tests, over real sockets."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from luma_async import ClientClosedError, GenerationFailedError, TaskForgottenError
from luma_async.simulator import Fixed, Simulator, Variant
from tests.bots.bot_process import BotProcess, another_program
from tests.bots.fake_discord import Command, FakeDiscord, NoResponseError
from tests.clients import until
from tests.docs import ROOT

PROGRAM = ROOT / "tests/programs/discord_bot_at.py"

VIDEO = "Your video:"
CANCELLED = TaskForgottenError.for_users
FAILED = GenerationFailedError.for_users
MODERATED = "The server rejected the content (violence). Please change the request."
RESTARTING = ClientClosedError.for_users

KINDS = 10
"""Kinds of users: their behaviour depends on the last digit of their id."""

TWICE, BUSY, CANCELS, LATE, SMALL = range(5)
"""Commands that are delivered twice, a second command too early, a cancelled job, an interaction
that expires, and a place for small files only. The others only wait."""


class UpTo:
    """Durations of jobs that are evenly distributed up to a number of seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def draw(self, chance: random.Random) -> float:
        return chance.uniform(0.1, 1.0) * self._seconds


def simulated(**settings: Any) -> Simulator:
    films: dict[str, Any] = {"short_side": 64, "same_films": True}
    return Simulator(variant=Variant(estimates=True), **films, **settings)


@asynccontextmanager
async def bot_at(discord: FakeDiscord, sim: Simulator, folder: Path) -> AsyncIterator[BotProcess]:
    """Run the bot, which gets commands within the context."""
    before = discord.connections
    async with BotProcess([PROGRAM, discord.url], folder, sim, {"DISCORD_TOKEN": "t"}) as bot:
        await until(lambda: discord.connections > before or bot.has_ended)
        yield bot


class Day:
    """Users who ask for videos, one after the other.

    Attributes:
        accepted: the commands that the bot has accepted, by the prompt of each video.
        results: the text and the files of the answer, by the prompt.

    """

    def __init__(self, discord: FakeDiscord, *, users: int, videos: int) -> None:
        self.prompts = {
            user: [f"video {video} of {user}" for video in range(videos)]
            for user in range(1000, 1000 + users)
        }
        self.accepted: dict[str, Command] = {}
        self.results: dict[str, tuple[str, list[bytes]]] = {}
        self._discord = discord

    async def run(self) -> None:
        async with asyncio.TaskGroup() as users:
            for user, prompts in self.prompts.items():
                users.create_task(self._ask_for_all(user, prompts))

    async def _ask_for_all(self, user: int, prompts: list[str]) -> None:
        for prompt in prompts:
            while prompt not in self.results:
                try:
                    await self._ask(user, prompt)
                except NoResponseError:
                    await self._discord.until(lambda: self._discord.connections)

    async def _ask(self, user: int, prompt: str) -> None:
        kind, discord = user % KINDS, self._discord
        limit = 1000 if kind == SMALL else 10**6
        times = 2 if kind == TWICE else 1
        command = await discord.command(user, "video", times=times, max_bytes=limit, prompt=prompt)
        if command.is_ephemeral:  # the command before ends a moment after its answer
            await asyncio.sleep(0.02)
            return
        if kind == BUSY:
            with suppress(NoResponseError):  # the bot is stopping
                too_early = await discord.command(user, "video", prompt="another video")
                assert too_early.is_ephemeral
        if kind == CANCELS:
            await command.until(lambda: command.edits)
            with suppress(NoResponseError):
                await discord.command(user, "cancel")
        command.is_expired = kind == LATE
        text, files = await discord.answer(command)
        if not text.endswith(RESTARTING):  # in the channel, after the name of the user
            self.accepted[prompt] = command
            self.results[prompt] = (text, files)


@pytest.mark.parametrize(
    ("videos", "seconds"),
    [pytest.param(1, 2, id="short"), pytest.param(10, 12, id="long", marks=pytest.mark.long)],
)
def test_a_day_with_200_users(videos: int, seconds: int, tmp_path: Path) -> None:
    """Each video is paid for once and answered once, although the bot is stopped in between."""
    sim = simulated(durations=UpTo(seconds), failure_rate=0.05)
    sim.fail_next("content moderated: violence", times=10)

    async def whole_day() -> tuple[FakeDiscord, Day]:
        async with sim, FakeDiscord() as discord:
            discord.lost_acknowledgements = 5
            day = Day(discord, users=200, videos=videos)
            async with bot_at(discord, sim, tmp_path):
                asking = asyncio.create_task(day.run())
                await discord.until(lambda: len(day.results) > 100 * videos, within=600)
            async with bot_at(discord, sim, tmp_path):
                await asking
        return discord, day

    discord, day = asyncio.run(whole_day())

    prompts = {prompt for prompts in day.prompts.values() for prompt in prompts}
    assert Counter(job.prompt for job in sim.ledger.jobs) == Counter(prompts)
    assert [each for each in day.accepted.values() if len(each.answers) != 1] == []
    in_channel = [prompt for prompt, (text, _) in day.results.items() if text.startswith("<@")]
    assert len([each for each in in_channel if day.accepted[each].user % KINDS != LATE]) > 20
    texts = Counter(text.partition("> ")[2] or text for text, _ in day.results.values())
    assert 0 < texts[MODERATED] <= 10
    assert texts[VIDEO] > 100 * videos
    assert texts[FAILED] > 0
    assert 0 < texts[CANCELLED] <= 20 * videos
    for prompt, (text, files) in day.results.items():
        assert all(file[4:8] == b"ftyp" for file in files)
        assert bool(files) == text.endswith(VIDEO), (prompt, text)
        assert not (files and day.accepted[prompt].user % KINDS == SMALL)
    assert discord.too_many_edits == 0
    for command in day.accepted.values():
        times = [time for time, text in command.edits if text.startswith("Your video is")]
        assert all(after - before > 4.9 for before, after in pairwise(times))


def test_a_video_is_answered_although_the_bot_is_killed_while_it_sends_it(tmp_path: Path) -> None:
    """The job stays unfinished in the journal; and Ctrl-C ends the bot as SIGTERM does."""
    sim = simulated(durations=Fixed(0.3))

    async def killed() -> Command:
        async with sim, FakeDiscord() as discord:
            discord.accepts_files.clear()
            async with bot_at(discord, sim, tmp_path) as bot:
                command = await discord.command(1, "video", prompt="a cat", ratio="9:16")
                await discord.until(lambda: discord.uploads)
                await bot.stop(signal.SIGKILL)
            async with bot_at(discord, sim, tmp_path) as bot:
                await discord.answer(command)
                await bot.stop(signal.SIGINT)
        return command

    command = asyncio.run(killed())

    assert [(text, len(files)) for text, files in command.answers] == [(f"<@1> {VIDEO}", 1)]
    assert [job.request["aspect_ratio"] for job in sim.ledger.jobs] == ["9:16"]


def test_answers_that_fail_after_a_restart(tmp_path: Path) -> None:
    """The log has each one, and the next start answers. Jobs of other programs are left alone."""
    sim = simulated(durations=Fixed(0.3))

    async def restarted() -> tuple[Command, str]:
        async with sim, FakeDiscord() as discord:
            discord.accepts_files.clear()
            async with bot_at(discord, sim, tmp_path) as bot:
                command = await discord.command(1, "video", prompt="a cat")
                await discord.until(lambda: discord.uploads)
                await bot.stop(signal.SIGKILL)
            async with another_program(sim, tmp_path / "discord-bot.db") as other:
                await other.generate("a dog", metadata={"user": 1, "channel": 100})
            discord.is_down = True
            async with bot_at(discord, sim, tmp_path) as bot:
                await until(lambda: bot.complaints)
                log = bot.stderr
                await bot.stop()
                bot.forget_complaints()
            discord.is_down = False
            async with bot_at(discord, sim, tmp_path):
                await discord.answer(command)
        return command, log

    command, log = asyncio.run(restarted())

    assert "was not answered. The next start tries again." in log
    assert [(text, len(files)) for text, files in command.answers] == [(f"<@1> {VIDEO}", 1)]


def test_a_command_that_two_processes_get_is_paid_for_once(tmp_path: Path) -> None:
    """While a new process of the bot is started, the old one still runs, with the same journal."""
    sim = simulated(durations=Fixed(0.3))

    async def deployed() -> Command:
        async with sim, FakeDiscord() as discord:
            async with bot_at(discord, sim, tmp_path), bot_at(discord, sim, tmp_path):
                command = await discord.command(1, "video", prompt="a cat")
                await discord.answer(command)
                await until(lambda: discord.uploads == 2)
        return command

    command = asyncio.run(deployed())

    assert [(text, len(files)) for text, files in command.answers] == [(VIDEO, 1)]
    assert len(sim.ledger.jobs) == 1
