"""Run the Telegram bot of the examples at another Bot API: `telegram_bot_at.py URL`."""

from __future__ import annotations

import runpy
import sys
from functools import partial
from pathlib import Path

from aiogram.client import bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

if __name__ == "__main__":
    [url] = sys.argv[1:]
    session = partial(AiohttpSession, api=TelegramAPIServer.from_base(url))
    vars(bot)["AiohttpSession"] = session
    runpy.run_path(str(Path(__file__).parents[2] / "examples/telegram_bot.py"), run_name="__main__")
