"""Discord for one bot: its REST API, and its gateway over a WebSocket.

The test plays the users. The rules that matter to a bot are kept: a command is acknowledged once,
an interaction expires, a message is edited a few times in a few seconds, and a file has a maximum
size.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web

BOT = {"id": "1", "username": "bot", "discriminator": "0", "avatar": None, "bot": True}
APPLICATION = {
    "id": "1",
    "name": "bot",
    "description": "",
    "icon": None,
    "bot_public": True,
    "bot_require_code_grant": False,
    "owner": BOT,
    "verify_key": "",
    "flags": 0,
}
GUILD = "2"
EPOCH = 1420070400000
"""Milliseconds from the epoch of Unix to that of Discord's ids."""

EDITS = 5
"""Edits of one message within two seconds, from which on they are answered 429."""

IS_PROGRESS = "Your video is "
"""Beginning of the texts after which the bot edits its message again."""


class NoResponseError(Exception):
    """Discord told the user that the application did not respond."""


@dataclass(eq=False)
class Command:
    """A command of a user, with the response of the bot to it.

    Attributes:
        max_bytes: maximum size of an attachment.
        is_expired: `True` if the response can no longer be edited.
        content, files: the text and the attachments of the response, as the user sees them now.
        is_ephemeral: `True` if nobody else sees the response.
        acknowledgements: number of times that the bot acknowledged the command.
        edits: time and text of each edit.
        messages: messages in the channel that mention the user since then.

    """

    id: int
    user: int
    name: str
    channel: int
    max_bytes: int
    is_expired: bool = False
    acknowledgements: int = 0
    is_ephemeral: bool = False
    content: str | None = None
    files: list[bytes] = field(default_factory=list)
    edits: list[tuple[float, str]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.changed = asyncio.Event()

    async def until(self, condition: Callable[[], object]) -> None:
        """Return once a condition holds that depends on this command."""
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    @property
    def token(self) -> str:
        return f"token-{self.id}"

    @property
    def answers(self) -> list[tuple[str, list[bytes]]]:
        """Final answers of the bot, in the response or in the channel."""
        own = self.content is not None and not self.content.startswith(IS_PROGRESS)
        return [(self.content or "", self.files)] * own + [
            (message.content, message.files) for message in self.messages
        ]


@dataclass(eq=False)
class Message:
    """A message of the bot in a channel."""

    channel: int
    content: str
    files: list[bytes]


class FakeDiscord:
    """Discord on loopback.

    Attributes:
        accepts_files: set unless edits with files are to wait.
        uploads: number of edits with files that have come.
        too_many_edits: number of edits that were answered 429.
        is_down: `True` to refuse messages in channels with a status that a bot does not try again.
        lost_acknowledgements: number of acknowledgements to come whose answer gets lost.
        synced: names of the commands that the bot has registered.

    """

    def __init__(self) -> None:
        self.accepts_files = asyncio.Event()
        self.accepts_files.set()
        self.uploads = 0
        self.too_many_edits = 0
        self.is_down = False
        self.lost_acknowledgements = 0
        self.synced: list[str] = []
        self._commands: dict[int, Command] = {}
        self._latest: dict[int, Command] = {}
        self._recent: dict[int, deque[float]] = {}
        self._ids = itertools.count()
        self._gateways: list[web.WebSocketResponse] = []
        self._changed = asyncio.Condition()
        app = web.Application(client_max_size=64 * 2**20)
        app.add_routes(
            [
                web.get("/users/@me", _bot),
                web.get("/oauth2/applications/@me", _application),
                web.put("/applications/1/commands", self._sync),
                web.get("/gateway", self._serve_gateway),
                web.post("/interactions/{id}/{token}/callback", self._acknowledge),
                web.patch("/webhooks/1/{token}/messages/@original", self._edit),
                web.post("/channels/{channel}/messages", self._send),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    @property
    def connections(self) -> int:
        """Number of processes of the bot that are at the gateway; each gets all commands."""
        self._gateways = [gateway for gateway in self._gateways if not gateway.closed]
        return len(self._gateways)

    async def until(self, condition: Callable[[], object], within: float = 60) -> None:
        """Return once a condition holds that depends on this object."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(condition)

    async def command(
        self, user: int, name: str, *, times: int = 1, max_bytes: int = 10 * 2**20, **options: Any
    ) -> Command:
        """Let a user enter a command, and return it when the bot has acknowledged it.

        The bot gets it a number of `times`, and may attach files of at most `max_bytes`.

        Raises:
            NoResponseError: the bot did not acknowledge it.

        """
        id = ((int(time.time() * 1000) - EPOCH) << 22) | (next(self._ids) & 0x3FFFFF)
        command = Command(id, user, name, channel=100 + user % 7, max_bytes=max_bytes)
        if not self.connections:
            raise NoResponseError
        self._commands[id] = command
        for gateway in self._gateways * times:
            await _dispatch(gateway, "INTERACTION_CREATE", self._interaction(command, options))
        await command.until(lambda: command.acknowledgements or not self.connections)
        if not command.acknowledgements:
            raise NoResponseError
        return command

    async def answer(self, command: Command) -> tuple[str, list[bytes]]:
        """Return the text and the files of the final answer to a command, when it is there."""
        await command.until(lambda: command.answers)
        return command.answers[0]

    def _interaction(self, command: Command, options: dict[str, Any]) -> dict[str, Any]:
        user = {**BOT, "id": str(command.user), "username": f"user{command.user}", "bot": False}
        return {
            "id": str(command.id),
            "application_id": "1",
            "type": 2,
            "token": command.token,
            "version": 1,
            "guild_id": GUILD,
            "guild": {"id": GUILD, "locale": "en-US", "features": []},
            "channel": {
                "id": str(command.channel),
                "type": 0,
                "name": "general",
                "position": 0,
                "guild_id": GUILD,
            },
            "member": {
                "user": user,
                "roles": [],
                "joined_at": "2020-01-01T00:00:00+00:00",
                "flags": 0,
                "permissions": "0",
                "deaf": False,
                "mute": False,
            },
            "attachment_size_limit": command.max_bytes,
            "data": {
                "id": "9",
                "name": command.name,
                "type": 1,
                "options": [
                    {"name": name, "type": 3, "value": value} for name, value in options.items()
                ],
            },
        }

    async def _notify(self, *commands: Command) -> None:
        for command in commands:
            command.changed.set()
        async with self._changed:
            self._changed.notify_all()

    async def _serve_gateway(self, request: web.Request) -> web.WebSocketResponse:
        gateway = web.WebSocketResponse()
        await gateway.prepare(request)
        await gateway.send_json({"op": 10, "d": {"heartbeat_interval": 40000}})
        async for message in gateway:
            if message.type is not WSMsgType.TEXT:
                continue
            order = json.loads(message.data)
            if order["op"] == 1:
                await gateway.send_json({"op": 11})
            elif order["op"] == 2:
                ready = {
                    "v": 10,
                    "user": BOT,
                    "guilds": [],
                    "session_id": "s",
                    "resume_gateway_url": f"{self.url.replace('http', 'ws')}/gateway",
                    "application": {"id": "1", "flags": 0},
                }
                await _dispatch(gateway, "READY", ready)
                self._gateways.append(gateway)
                await self._notify()
        await self._notify(*self._commands.values())
        return gateway

    async def _sync(self, request: web.Request) -> web.Response:
        commands = await request.json()
        self.synced = [command["name"] for command in commands]
        known = {"application_id": "1", "version": "1"}
        return _json([{**each, **known, "id": "9"} for each in commands])

    async def _acknowledge(self, request: web.Request) -> web.Response:
        body = await request.json()
        command = self._commands[int(request.match_info["id"])]
        if command.acknowledgements:
            return _error(400, 40060, "Interaction has already been acknowledged.")
        command.acknowledgements += 1
        data = body.get("data") or {}
        command.is_ephemeral = bool(data.get("flags", 0) & 64)
        command.content = data.get("content")
        if not command.is_ephemeral:
            self._latest[command.user] = command
        await self._notify(command)
        if self.lost_acknowledgements:
            self.lost_acknowledgements -= 1
            return web.Response(status=502, text="Bad Gateway")
        return _json({"interaction": {"id": str(command.id), "type": 2}})

    async def _edit(self, request: web.Request) -> web.Response:
        payload, files = await _read(request)
        command = self._commands[int(request.match_info["token"].removeprefix("token-"))]
        if command.is_expired:
            return _error(401, 50027, "Invalid Webhook Token")
        if not command.acknowledgements:
            return _error(404, 10015, "Unknown Webhook")
        now = time.monotonic()
        recent = self._recent.setdefault(command.id, deque(maxlen=EDITS))
        if len(recent) == EDITS and now - recent[0] < 2:
            self.too_many_edits += 1
            body = {"message": "You are being rate limited.", "retry_after": 0.5, "global": False}
            return _json(body, status=429, headers={"Via": "1.1 google"})
        recent.append(now)
        if files:
            self.uploads += 1
            await self._notify()
            await self.accepts_files.wait()
        if any(len(file) > command.max_bytes for file in files):
            return _error(413, 40005, "Request entity too large")
        command.content, command.files = payload["content"], files
        command.edits.append((now, payload["content"]))
        await self._notify(command)
        return _json(_message(command.channel, payload["content"]))

    async def _send(self, request: web.Request) -> web.Response:
        payload, files = await _read(request)
        if self.is_down:
            return _error(503, 0, "Service Unavailable")
        message = Message(int(request.match_info["channel"]), payload["content"], files)
        for user, command in self._latest.items():
            if f"<@{user}>" in message.content:
                assert command.channel == message.channel
                command.messages.append(message)
                await self._notify(command)
        return _json(_message(message.channel, message.content))


async def _bot(_: web.Request) -> web.Response:
    return _json(BOT)


async def _application(_: web.Request) -> web.Response:
    return _json(APPLICATION)


def _json(
    content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer in JSON; discord.py reads it only if there is no character set."""
    fields = {**(headers or {}), "Content-Type": "application/json"}
    return web.Response(body=json.dumps(content).encode(), status=status, headers=fields)


def _error(status: int, code: int, message: str) -> web.Response:
    return _json({"code": code, "message": message}, status=status)


async def _dispatch(gateway: web.WebSocketResponse, event: str, data: dict[str, Any]) -> None:
    await gateway.send_json({"op": 0, "s": 1, "t": event, "d": data})


async def _read(request: web.Request) -> tuple[dict[str, Any], list[bytes]]:
    """Return the JSON and the files of a message."""
    if request.content_type == "application/json":
        return await request.json(), []
    payload: dict[str, Any] = {}
    files = []
    async for part in await request.multipart():
        content = await part.read(decode=True)  # type: ignore[union-attr]
        if part.name == "payload_json":  # type: ignore[union-attr]
            payload = json.loads(content)
        else:
            files.append(bytes(content))
    return payload, files


def _message(channel: int, content: str) -> dict[str, Any]:
    return {
        "id": "5",
        "type": 0,
        "channel_id": str(channel),
        "content": content,
        "author": BOT,
        "attachments": [],
        "embeds": [],
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
        "pinned": False,
        "tts": False,
        "timestamp": "2020-01-01T00:00:00+00:00",
        "edited_timestamp": None,
        "flags": 0,
        "components": [],
    }
