"""The Telegram bot of the examples, at a Bot API of the tests, over real sockets."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from luma_async import LumaError, TaskForgottenError
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.bots.bot_process import another_program
from tests.bots.fake_telegram import TOKEN, FakeTelegram, Sent
from tests.clients import HOUR
from tests.docs import ROOT
from tests.forked_programs import PYTHON, ForkedProgram

PROGRAM = ROOT / "tests/programs/telegram_bot_at.py"

COMPLAINTS = re.compile("never retrieved|never awaited|Unclosed|Traceback|destroyed|Warning:|ERROR")
BUSY = "One video at a time: /cancel gives up the one that is running."
CANCELLED = TaskForgottenError.for_users
GROUP = -1001
USAGE = "Describe the video: /video a cat dances"
RESTARTED = "This program is being restarted. Please try again."
MODERATED = "The server rejected the content (violence). Please change the request."
FAILED = "The server could not do this. Please try again."


class Bot:
    """The bot as a process, in a folder that it starts in again."""

    def __init__(self, telegram: FakeTelegram, simulator: Simulator, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "LUMA_BASE_URL": simulator.url,
            "LUMA_API_KEY": "sk-simulated",
            "TELEGRAM_TOKEN": TOKEN,
        }
        self._program = [str(PROGRAM), telegram.url]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ForkedProgram]:
        """Run the bot within the context, and stop it at the end unless it has ended."""
        with (self._folder / "stderr").open("ab") as stderr:
            process = ForkedProgram(
                [*PYTHON, *self._program],
                libraries=["aiogram", "uvloop"],
                loaded=True,
                cwd=self._folder,
                env=self._environment,
                stdout=stderr,
                stderr=stderr,
            )
        try:
            yield process
            if process.poll() is None:
                await self.stop(process)
        finally:
            process.kill()
            process.wait()
        assert COMPLAINTS.findall(self.output) == [], self.output

    async def stop(self, process: ForkedProgram, number: int = signal.SIGTERM) -> None:
        process.send_signal(number)
        await asyncio.to_thread(process.wait, 60)
        assert process.returncode == (0 if number != signal.SIGKILL else -number), self.output

    @property
    def output(self) -> str:
        return (self._folder / "stderr").read_text("utf-8")


def simulated(**settings: Any) -> Any:
    return running_simulator(short_side=64, same_films=True, **settings)


def results(sent: Iterable[Sent]) -> Counter[str]:
    """Return the numbers of equal answers. All videos of the simulator are equal."""
    return Counter("a video" if each.answer.video else each.answer.texts[-1] for each in sent)


def test_a_day_of_the_telegram_bot(tmp_path: Path) -> None:
    """Each message is paid for once and answered once, also if the bot is stopped in between."""
    users = range(1, 201)

    async def day(sim: Simulator) -> tuple[list[Sent], list[Sent]]:
        async with FakeTelegram() as telegram:
            bot = Bot(telegram, sim, tmp_path)
            telegram.refuse_next("sendMessage", 429, "Too Many Requests", retry_after=1)
            telegram.refuse_next("editMessageText", 429, "Too Many Requests", retry_after=1)
            telegram.refuse_next("sendVideo", 429, "Too Many Requests", retry_after=1)
            telegram.refuse_next("sendVideo", 403, "Forbidden: bot was blocked by the user")
            async with bot.running() as process:
                asked = [
                    telegram.send(
                        user,
                        f"/video cat {user}",
                        chat=GROUP if user <= 2 else user,
                        photo=user % 10 == 0,
                        times=2 if user % 10 == 1 else 1,
                    )
                    for user in users
                ]
                await telegram.until(lambda: all(sent.is_shown for sent in asked))
                sim.reject_next(402)
                others = [telegram.send(301, "/video no credits"), telegram.send(7, "/video more")]
                others += [telegram.send(302, text) for text in ("/cancel", "/start", "/video")]
                await telegram.until(lambda: all(sent.is_answered for sent in others))
                failing = {job.prompt for job in sim.ledger.jobs if job.failure}
                cancelled = [sent for sent in asked if f"cat {sent.user}" not in failing][90::9]
                for sent in cancelled:
                    telegram.send(sent.user, "/cancel")
                await telegram.until(lambda: all(sent.is_answered for sent in cancelled))
                sim.reject_next(429, retry_after=60)
                others.append(telegram.send(303, "/video waits"))
                await telegram.until(lambda: sim.ledger.statuses[429])
                await bot.stop(process)
            sim.advance(HOUR)
            async with bot.running():
                await telegram.until(lambda: sum(not sent.is_answered for sent in asked) == 1)
        return asked, others

    with simulated(durations=Fixed(HOUR)) as sim:
        sim.fail_next("prompt was flagged: violence", times=10)
        sim.fail_next("out of memory", times=10)
        asked, others = asyncio.run(day(sim))
        jobs = list(sim.ledger.jobs)

    prompts = [f"cat {user}" for user in users]
    assert sorted(job.prompt for job in jobs) == sorted(prompts)
    assert sum("image_url" in job.request for job in jobs) == 20
    [blocked] = [sent for sent in asked if not sent.is_answered]
    assert results(sent for sent in asked if sent is not blocked) == {
        "a video": 169,
        MODERATED: 10,
        FAILED: 10,
        CANCELLED: 10,
    }
    assert [sent.answer.texts[-1] for sent in others] == [
        LumaError.for_users,
        BUSY,
        "No video of yours is running, or it is just being submitted.",
        USAGE,
        USAGE,
        RESTARTED,
    ]
    assert {answer.to for sent in asked for answer in sent.replies} == {sent.id for sent in asked}


def test_a_bot_that_is_killed_while_it_sends_a_video(tmp_path: Path) -> None:
    """The next one sends it, and a message that comes again is not paid for or answered again.

    Jobs of other programs in the journal are left alone. Of a video above 50 MB, the link is sent.
    """

    async def killed(sim: Simulator) -> tuple[Sent, Sent, str]:
        async with FakeTelegram() as telegram:
            bot = Bot(telegram, sim, tmp_path)
            telegram.hold("sendVideo")
            async with bot.running() as process:
                cat = telegram.send(7, "/video a cat")
                await telegram.until(lambda: telegram.held)
                await bot.stop(process, signal.SIGKILL)
            telegram.release("sendVideo")
            telegram.deliver(cat)
            sim.delay_next(3600)
            async with another_program(sim, tmp_path / "telegram.db") as other:
                await other.generate("a horse", metadata={"user": 7})
            async with bot.running():
                await telegram.until(lambda: cat.is_answered)
                replies = len(cat.replies)
                telegram.deliver(cat)
                await telegram.until(lambda: len(cat.replies) > replies and cat.is_answered)
                sim.faults.add(Fault.answer(bytes(50_000_001), on=["media"]))
                dog = telegram.send(7, "/video a dog")
                await telegram.until(lambda: dog.is_answered)
        return cat, dog, bot.output

    with simulated(durations=Fixed(0.1)) as sim:
        cat, dog, output = asyncio.run(killed(sim))
        prompts = [job.prompt for job in sim.ledger.jobs]

    assert "Start polling" in output
    assert cat.answer.video is not None
    assert dog.answer.texts[0].startswith("http")
    assert prompts == ["a cat", "a horse", "a dog"]
