"""Discord bot: `/video` makes a video and answers with the file, and `/cancel` gives it up.

    pip install "luma-async[journal]" discord.py
    DISCORD_TOKEN=... LUMA_API_KEY=... python examples/discord_bot.py

The journal has all jobs: a bot that was stopped or killed answers when it starts again.
"""

import asyncio
import logging
import os
import signal
import tempfile
from contextlib import suppress
from typing import Any, Literal

import discord

import luma_async as la

EDIT_EVERY = 5.0  # seconds, because Discord limits the edits of a message
Ratio = Literal["16:9", "9:16", "1:1"]
Result = la.Generation | la.LumaError
log = logging.getLogger("discord_bot")
luma = la.LumaClient(journal="discord-bot.db", allow_local_files=False)


class VideoBot(discord.Client):
    async def setup_hook(self) -> None:
        with suppress(NotImplementedError):  # some event loops take no signal handlers
            self.loop.add_signal_handler(signal.SIGTERM, lambda: asyncio.create_task(self.close()))
        for task in await luma.resume():
            if "member" in task.metadata:  # not a job of another program
                users[task.metadata["member"]] = asyncio.create_task(follow(None, task))
        await tree.sync()

    async def close(self) -> None:
        await luma.aclose()  # waits for the deliveries that have begun
        await asyncio.gather(*users.values(), return_exceptions=True)
        await super().close()


bot = VideoBot(intents=discord.Intents.none())
tree = discord.app_commands.CommandTree(bot)
users: dict[int, asyncio.Task[Any]] = {}  # the last job of each


async def follow(response: discord.Interaction | None, task: la.VideoTask) -> None:
    try:
        with suppress(la.ClientClosedError), task.delivery():  # the next start resumes the job
            with suppress(la.LumaError):  # it is in `task.error`
                await show_progress(response, task)
            if not isinstance(task.error, la.ClientClosedError):
                await answer(response, dict(task.metadata), task.error or task.generation)
    except Exception:
        log.exception("Job %s was not answered. The next start tries again.", task.id)


async def show_progress(response: discord.Interaction | None, task: la.VideoTask) -> None:
    next_edit = 0.0
    async for generation in task.updates(every=EDIT_EVERY):
        if response and bot.loop.time() >= next_edit and not generation.state.terminal:
            next_edit = bot.loop.time() + EDIT_EVERY
            text = f"Your video is {generation.state}: {generation.progress or 0:.0%}"
            with suppress(discord.HTTPException):
                await response.edit_original_response(content=text)


async def answer(response: discord.Interaction | None, to: dict[str, Any], result: Result) -> None:
    """Edit the response to the command, or write to its channel if that is no longer possible."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        if isinstance(result, la.LumaError):
            log.warning("No video for user %s: %s", to["member"], result)
            text = result.for_users
        else:
            with suppress(la.DownloadError, la.APIError):  # the file is too large: there is a link
                files.append(await luma.download(result, folder, max_bytes=to["limit"]))
            text = "Your video:" if files else f"Your video: {result.url}"
        if response and not response.is_expired():  # after 15 minutes, the channel is left
            with suppress(discord.HTTPException):
                attachments = [discord.File(path) for path in files]
                await response.edit_original_response(content=text, attachments=attachments)
                return
        channel = bot.get_partial_messageable(to["channel"])
        with suppress(discord.Forbidden, discord.NotFound):  # the bot was removed from there
            await channel.send(f"<@{to['member']}> {text}", files=[discord.File(p) for p in files])


@tree.command(description="Make a video with Luma")
async def video(interaction: discord.Interaction, prompt: str, ratio: Ratio = "16:9") -> None:
    user, response, command = interaction.user.id, interaction.response, asyncio.current_task()
    if luma.closed or command is None:
        return  # Discord says that the bot does not respond
    if user in users and not users[user].done():
        with suppress(discord.HTTPException):  # the same command may be delivered twice
            await response.send_message("Wait for your last video, or /cancel it.", ephemeral=True)
        return
    users[user] = command
    to = {"member": user, "channel": interaction.channel_id, "limit": interaction.filesize_limit}
    with suppress(discord.HTTPException):  # the answer comes all the same
        await response.defer(thinking=True)
    try:
        task = await luma.generate(prompt, aspect_ratio=ratio, key=str(interaction.id), metadata=to)
        await follow(interaction, task)
    except la.LumaError as error:
        await answer(interaction, to, error)


@tree.command(description="Give your video up, which is paid for all the same")
async def cancel(interaction: discord.Interaction) -> None:
    mine = [task for task in luma.tasks if task.metadata.get("member") == interaction.user.id]
    for task in mine:
        task.forget()  # follow() tells that the job is still paid for
    text = "Your video is cancelled." if mine else "There is nothing to cancel yet."
    await interaction.response.send_message(text, ephemeral=True)


bot.run(os.environ["DISCORD_TOKEN"], root_logger=True)
