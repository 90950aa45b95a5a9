"""Telegram bot that makes videos: /video a cat dances, also as the caption of a first frame.

    pip install "luma-async[journal]" aiogram
    TELEGRAM_TOKEN=... LUMA_API_KEY=... LUMA_BASE_URL=... python examples/telegram_bot.py

The journal telegram.db has all jobs: a bot that was stopped or killed answers when it starts again.
"""

import asyncio
import logging
import os
import time
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any

from aiogram import Bot, Dispatcher, F
from aiogram import exceptions as tg
from aiogram.filters import Command, CommandObject
from aiogram.methods import DeleteMessage, EditMessageText, SendMessage, SendVideo, TelegramMethod
from aiogram.types import FSInputFile, Message, ReplyParameters, User

from luma_async import ClientClosedError, DownloadError, LumaClient, LumaError, VideoTask

EDIT_EVERY = 4.0  # seconds: Telegram takes one message a second in a chat, 20 a minute in a group
log = logging.getLogger("telegram_bot")
luma = LumaClient(journal="telegram.db", max_download_bytes=50_000_000)  # a bot may send no more
bot = Bot(os.environ["TELEGRAM_TOKEN"])
dispatcher = Dispatcher()
answering: dict[int, str] = {}  # job keys by user


@dispatcher.message(Command("video", "start"), F.from_user.as_("user"))
async def on_video(message: Message, command: CommandObject, user: User) -> None:
    key = f"{message.chat.id}:{message.message_id}"
    running = {task.metadata.get("sender"): task.key for task in luma.tasks} | answering
    if not command.args or command.command == "start":
        await call(message.reply("Describe the video: /video a cat dances"))
    elif user.id not in running:
        answering[user.id] = key
        try:
            await submit(message, command.args, user.id, key)
        finally:
            del answering[user.id]
    elif running[user.id] != key:  # Telegram may send a message twice
        await call(message.reply("One video at a time: /cancel gives up the one that is running."))


@dispatcher.message(Command("cancel"), F.from_user.as_("user"))
async def on_cancel(message: Message, user: User) -> None:
    tasks = [task for task in luma.tasks if task.metadata.get("sender") == user.id]
    for task in tasks:
        task.forget()  # answer() tells the user
    if not tasks:
        await call(message.reply("No video of yours is running, or it is just being submitted."))


async def submit(message: Message, prompt: str, user: int, key: str) -> None:
    status = await call(message.reply("Your video is being submitted."))
    ids = {"chat": message.chat.id, "message": message.message_id, "status": status.message_id}
    try:
        photo = await bot.download(message.photo[-1]) if message.photo else None
        task = await luma.generate(prompt, image=photo, key=key, metadata={"sender": user, **ids})
    except Exception as error:  # noqa: BLE001  the user gets an answer in any case
        log.warning("Message %s: %s", key, str(error).replace(bot.token, "..."))
        await call(status.edit_text(getattr(error, "for_users", LumaError.for_users)))
    else:
        # The message may have come before, to a bot that was killed, and is answered already.
        await (answer(task) if task.metadata["status"] == status.message_id else status.delete())


async def answer(task: VideoTask) -> None:
    """Show the progress of a job, and send its video. If the bot is killed, that is done again."""
    job, shown, next_edit = task.metadata, "", 0.0
    reply = ReplyParameters(message_id=job["message"], allow_sending_without_reply=True)
    to = {"chat_id": job["chat"], "reply_parameters": reply}
    status = {"chat_id": job["chat"], "message_id": job["status"]}
    gone = suppress(tg.TelegramForbiddenError, tg.TelegramBadRequest)  # the user has left
    with suppress(ClientClosedError), task.delivery(), gone, TemporaryDirectory() as folder:
        try:
            async for generation in task.updates(every=EDIT_EVERY):
                text = f"Your video is {generation.state}: {generation.progress or 0:.0%}"
                if text != shown and time.monotonic() >= next_edit:
                    shown, next_edit = text, time.monotonic() + EDIT_EVERY
                    with suppress(tg.TelegramBadRequest):  # "message is not modified"
                        await call(EditMessageText(text=text, **status))
            await call(SendVideo(video=FSInputFile(await luma.download(task, folder)), **to))
        except ClientClosedError:
            raise  # the bot that is started next answers
        except LumaError as error:
            large = isinstance(error, DownloadError)
            await call(SendMessage(text=task.result().url if large else error.for_users, **to))
        await call(DeleteMessage(**status))


async def call(method: TelegramMethod[Any]) -> Any:
    """Call Telegram, as long as it takes: at its limits, and in an outage."""
    while True:
        try:
            return await bot(method, request_timeout=300)
        except (tg.TelegramRetryAfter, tg.TelegramNetworkError, tg.TelegramServerError) as error:
            await asyncio.sleep(getattr(error, "retry_after", 5.0))


@dispatcher.startup()
async def startup() -> None:
    ours = [task for task in await luma.resume() if "sender" in task.metadata]
    dispatcher["jobs"] = asyncio.gather(*map(answer, ours), return_exceptions=True)


@dispatcher.shutdown()
async def shutdown() -> None:
    luma.stop_submitting()
    await asyncio.sleep(1)  # those who wait for a place are told to try again
    await luma.aclose()


logging.basicConfig(level=logging.INFO)
dispatcher.run_polling(bot)
