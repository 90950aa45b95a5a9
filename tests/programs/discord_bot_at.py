"""Run the Discord bot of the examples at another Discord: `discord_bot_at.py URL`."""

from __future__ import annotations

import runpy
import sys
import warnings
from pathlib import Path

import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

if __name__ == "__main__":
    [url] = sys.argv[1:]
    # Outside a container, discord.py leaves this file open.
    warnings.filterwarnings("ignore", "unclosed file .*/proc/self/cgroup", ResourceWarning)
    Route.BASE = url
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(url.replace("http", "ws", 1)) / "gateway"
    runpy.run_path(str(Path(__file__).parents[2] / "examples/discord_bot.py"), run_name="__main__")
