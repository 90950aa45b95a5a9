"""Server of the Telegram Bot API on loopback, with its chats, its limits, and faults on demand."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

TOKEN = "42:a-token-of-tests"
LARGEST_UPLOAD = 50 * 2**20
PHOTO = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde"
    b"\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef"
    b"\x00\x00\x00\x00IEND\xaeB`\x82"
)
"""A picture with one pixel."""

GROUP_LIMIT, GROUP_SECONDS = 20, 60.0
"""Maximum number of messages and edits of a bot in a group, and the seconds in which it applies."""

BURST, BURST_SECONDS = 3, 1.0
"""The same for a private chat: one a second, but Telegram tolerates short bursts."""


class Refused(Exception):  # noqa: N818  it is an answer
    """Answer to a call that is not carried out."""

    def __init__(self, status: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.retry_after = retry_after


@dataclass
class BotMessage:
    """Message that the bot has sent.

    Attributes:
        to: the message that it answers.
        texts: its text, and the texts after each edit.
        video: the file, if it is one.
        is_deleted: `True` if the bot has deleted it.

    """

    chat: int
    to: int
    texts: list[str]
    video: bytes | None = None
    is_deleted: bool = False


@dataclass
class Sent:
    """Message of a user, with the messages of the bot that answer it."""

    user: int
    chat: int
    id: int
    text: str
    replies: list[BotMessage] = field(default_factory=list)

    @property
    def is_shown(self) -> bool:
        """`True` if a status of its job was shown."""
        return any(
            text.startswith("Your video is p") for each in self.replies for text in each.texts
        )

    @property
    def is_answered(self) -> bool:
        """`True` if one reply is left that is not a status."""
        left = [reply for reply in self.replies if not reply.is_deleted]
        return len(left) == 1 and not left[0].texts[-1].startswith("Your video is ")

    @property
    def answer(self) -> BotMessage:
        """The one reply that the bot has not deleted."""
        [answer] = [reply for reply in self.replies if not reply.is_deleted]
        return answer


class FakeTelegram:
    """Bot API with any number of chats. A group has a negative id, a private chat that of its user.

    Attributes:
        edits: number of edits that were accepted, by chat.
        refusals: the descriptions of all calls that were refused.

    """

    def __init__(self) -> None:
        self.edits: defaultdict[int, int] = defaultdict(int)
        self.refusals: list[str] = []
        self._sent: dict[tuple[int, int], Sent] = {}
        self._messages_of_users: dict[int, dict[str, Any]] = {}
        self._messages: dict[tuple[int, int], BotMessage] = {}
        self._updates: deque[dict[str, Any]] = deque()
        self._numbers = itertools.count(1)
        self._orders: defaultdict[str, deque[Refused]] = defaultdict(deque)
        self._times: defaultdict[int, deque[float]] = defaultdict(deque)
        self._changed = asyncio.Event()
        self._released: dict[str, asyncio.Event] = {}
        self._runner: web.AppRunner | None = None
        self.held: list[str] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2 * LARGEST_UPLOAD)
        app.router.add_post(f"/bot{TOKEN}/{{method}}", self._answer)
        app.router.add_get(f"/file/bot{TOKEN}/photo.png", self._photo)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def send(
        self, user: int, text: str, *, chat: int | None = None, photo: bool = False, times: int = 1
    ) -> Sent:
        """Send a message, which Telegram may deliver several times."""
        sent = Sent(user, user if chat is None else chat, next(self._numbers), text)
        self._sent[sent.chat, sent.id] = sent
        entities = [
            {"type": "bot_command", "offset": 0, "length": text.find(" ") % (len(text) + 1)}
        ]
        content: dict[str, Any] = {"text": text, "entities": entities}
        if photo:
            sizes = [{"file_id": "p", "file_unique_id": "p", "width": 1, "height": 1}]
            content = {"caption": text, "caption_entities": entities, "photo": sizes}
        message = {
            "message_id": sent.id,
            "date": 1_700_000_000,
            "chat": _chat(sent.chat),
            "from": {"id": user, "is_bot": False, "first_name": f"user {user}"},
            **content,
        }
        self._messages_of_users[sent.id] = message
        for _ in range(times):
            self.deliver(sent)
        return sent

    def deliver(self, sent: Sent) -> None:
        """Deliver a message, perhaps once more."""
        message = self._messages_of_users[sent.id]
        self._updates.append({"update_id": next(self._numbers), "message": message})
        self._notify()

    def refuse_next(
        self, method: str, status: int, description: str, *, retry_after: int | None = None
    ) -> None:
        """Refuse the next call of a method."""
        self._orders[method].append(Refused(status, description, retry_after))

    def hold(self, method: str) -> None:
        """Answer no call of a method until it is released; `held` lists those that came."""
        self._released[method] = asyncio.Event()

    def release(self, method: str) -> None:
        self._released.pop(method).set()

    async def until(self, condition: Callable[[], object], *, within: float = 60.0) -> None:
        """Return once a condition holds that calls of the bot bring about."""
        async with asyncio.timeout(within):
            while not condition():
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _photo(self, request: web.Request) -> web.Response:
        return web.Response(body=PHOTO)

    async def _answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        fields = await _fields(request)
        if method in self._released:
            self.held.append(method)
            self._notify()
            await self._released[method].wait()
        try:
            if self._orders[method]:
                raise self._orders[method].popleft()
            result = await getattr(self, f"_on_{method}")(fields)
        except Refused as refused:
            self.refusals.append(f"{method}: {refused}")
            body = {"ok": False, "error_code": refused.status, "description": str(refused)}
            if refused.retry_after is not None:
                body["parameters"] = {"retry_after": refused.retry_after}
            return web.json_response(body, status=refused.status)
        finally:
            self._notify()
        return web.json_response({"ok": True, "result": result})

    async def _on_getMe(self, fields: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"id": 42, "is_bot": True, "first_name": "videos", "username": "videos_bot"}

    async def _on_getUpdates(self, fields: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: N802
        confirmed = int(fields.get("offset", 0))
        while self._updates and self._updates[0]["update_id"] < confirmed:
            self._updates.popleft()
        with suppress(TimeoutError):
            await self.until(lambda: self._updates, within=float(fields.get("timeout", 0)))
        return list(itertools.islice(self._updates, 100))

    async def _on_getFile(self, fields: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"file_id": "p", "file_unique_id": "p", "file_path": "photo.png"}

    async def _on_sendMessage(self, fields: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._add(fields, text=fields["text"], video=None)

    async def _on_sendVideo(self, fields: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        video = fields[fields["video"].removeprefix("attach://")]
        if len(video) > LARGEST_UPLOAD:
            raise Refused(413, "Request Entity Too Large")
        return self._add(fields, text="", video=video)

    async def _on_editMessageText(self, fields: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        chat, id = int(fields["chat_id"]), int(fields["message_id"])
        message = self._messages[chat, id]
        if message.is_deleted:
            raise Refused(400, "Bad Request: message to edit not found")
        if message.texts[-1] == fields["text"]:
            raise Refused(400, "Bad Request: message is not modified")
        self._count(chat)
        message.texts.append(fields["text"])
        self.edits[chat] += 1
        return _message(chat, id, fields["text"])

    async def _on_deleteMessage(self, fields: dict[str, Any]) -> bool:  # noqa: N802
        message = self._messages[int(fields["chat_id"]), int(fields["message_id"])]
        if message.is_deleted:
            raise Refused(400, "Bad Request: message to delete not found")
        message.is_deleted = True
        return True

    def _add(self, fields: dict[str, Any], *, text: str, video: bytes | None) -> dict[str, Any]:
        chat = int(fields["chat_id"])
        self._count(chat)
        to = int(_json(fields["reply_parameters"])["message_id"])
        id, message = next(self._numbers), BotMessage(chat, to, [text], video)
        self._messages[chat, id] = message
        self._sent[chat, to].replies.append(message)
        return _message(chat, id, text)

    def _count(self, chat: int) -> None:
        """Count a message or an edit, and refuse it if there were too many."""
        limit, seconds = (GROUP_LIMIT, GROUP_SECONDS) if chat < 0 else (BURST, BURST_SECONDS)
        now, times = asyncio.get_running_loop().time(), self._times[chat]
        while times and times[0] <= now - seconds:
            times.popleft()
        if len(times) >= limit:
            wait = int(times[0] + seconds - now) + 1
            raise Refused(429, f"Too Many Requests: retry after {wait}", wait)
        times.append(now)


async def _fields(request: web.Request) -> dict[str, Any]:
    """Return the fields of a form; a file is its bytes."""
    fields: dict[str, Any] = dict(await request.post())
    for name, value in fields.items():
        if isinstance(value, web.FileField):
            with value.file as file:
                fields[name] = file.read()
    return fields


def _json(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    return value


def _chat(id: int) -> dict[str, Any]:
    if id < 0:
        return {"id": id, "type": "group", "title": "group"}
    return {"id": id, "type": "private", "first_name": f"user {id}"}


def _message(chat: int, id: int, text: str) -> dict[str, Any]:
    return {"message_id": id, "date": 1_700_000_000, "chat": _chat(chat), "text": text}
