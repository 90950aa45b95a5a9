"""WebhookReceiver: takes the callbacks of a server where a program already listens."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from numbers import Real
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import anyio
from aiohttp.web_routedef import AbstractRouteDef, route
from yarl import URL

from luma_async.errors import ConfigurationError
from luma_async.text_values import SecretLike, URLLike, is_web_url, shown_link, unwrapped_text
from luma_async.transport.credentials import Secret
from luma_async.webhook_bodies import BodyMemory, CallbackBody
from luma_async.webhook_tokens import CallbackTokens

if TYPE_CHECKING:  # the import takes 15 ms, and a client without a webhook does not need it
    from aiohttp import web

LARGEST_BODY = 2**20
"""Maximum number of bytes of a callback. The status of a job has a few thousand."""

BODY_TIMEOUT = 5.0
"""Seconds in which the body of a callback must arrive. Luma's servers end a callback after five."""

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

Read: TypeAlias = Callable[[], Awaitable[bytes | None]]
"""Function that reads a body. It returns the next part, `b""` at the end, and `None` if the client
is gone."""

_MIN_SECRET = 16
"""Minimum number of characters of a secret. A shorter one could be guessed from one token."""


class TakesCallbacks(Protocol):
    """Client that the callbacks of a receiver are for."""

    def __call__(self, request_id: str, body: bytes, /) -> bool:
        """Process a callback, and return `False` if its submission is not known."""


class WebhookReceiver:
    """Receiver of the callbacks that a server sends when a job changes its state.

    >>> receiver = WebhookReceiver("https://bot.example.com/luma")
    >>> luma = LumaClient(webhook=receiver)                               # doctest: +SKIP
    >>> app.add_routes(receiver.routes())    # an application of aiohttp  # doctest: +SKIP
    >>> app.mount("/luma", receiver)         # or of FastAPI, Starlette   # doctest: +SKIP

    A receiver belongs to one client at a time, and needs no event loop before it is called.

    A callback is answered with 204 if its token is valid and its job belongs to the client, to
    another process that shares the client's journal, or to one of its latest 10,000 jobs that have
    ended. Other answers have no body either: 404 for any other token, 405 for a method other than
    POST, 413 for a body that is too large, and 408 for one that does not arrive in time. The method
    and the body are judged in the same way for each token.

    Args:
        public_url: the URL at which the server reaches the receiver. A token is appended.
        secret: the secret with which tokens are made, of at least 16 characters. The default is
            derived from the API key, so that all processes with this API key accept each other's
            callbacks.
        max_body: maximum number of bytes of a callback.
        body_timeout: seconds in which the body of a callback must arrive.

    Raises:
        ConfigurationError: an argument is not valid.

    """

    def __init__(
        self,
        public_url: URLLike,
        *,
        secret: SecretLike | None = None,
        max_body: int = LARGEST_BODY,
        body_timeout: float = BODY_TIMEOUT,
    ) -> None:
        self.public_url: str = _checked_url(public_url)
        for name, value in {"max_body": max_body, "body_timeout": body_timeout}.items():
            if not isinstance(value, Real) or not 0 < float(value) < math.inf:
                raise ConfigurationError(f"{name} must be a number above 0, got {value!r}.")
        self._secret = None if secret is None else _checked_secret(secret)
        self._max_body = max_body
        self._body_timeout = body_timeout
        self._memory = BodyMemory()
        # Without a client no token is valid, and looking at one takes as long as with a client.
        self._tokens = CallbackTokens(secrets.token_hex())
        self._take: TakesCallbacks | None = None

    def __repr__(self) -> str:
        return f"<WebhookReceiver {self.public_url}>"

    def connect(self, api_key: Secret, take: TakesCallbacks) -> Callable[[str], str]:
        """Take callbacks for a client, and return the function that makes a URL for a request id.

        Raises:
            ConfigurationError: the receiver already takes callbacks for another client.

        """
        if self._take is not None:
            raise ConfigurationError(
                f"{self!r} is used by another client that is not closed. Make a WebhookReceiver "
                "with a path of its own for each client."
            )
        self._take = take
        tokens = self._tokens = CallbackTokens(self._secret or api_key)
        return lambda request_id: f"{self.public_url}/{tokens.token(request_id)}"

    def disconnect(self, take: TakesCallbacks) -> None:
        """Take no more callbacks for a client that is closed."""
        if self._take == take:
            self._take = None

    def routes(self, path: str | None = None) -> list[AbstractRouteDef]:
        """Return the routes to add to an application of aiohttp.

        Args:
            path: the path below which the application gets the callbacks. The default is that of
                the public URL. It differs behind a proxy that removes a prefix, and in a
                sub-application, where it is `""`.

        Raises:
            ConfigurationError: the path does not begin with a slash.

        """
        base = urlsplit(self.public_url).path if path is None else path.rstrip("/")
        if base and not base.startswith("/"):
            raise ConfigurationError(f"path must begin with '/' or be empty, got {path!r}.")
        return [route("*", f"{_route_pattern(base)}/{{token}}", self._answer_aiohttp)]

    def receive(self, token: str, body: bytes) -> int:
        """Process a callback that a web framework has read, and return the status of its answer.

        Call it with the last part of the path if your framework has neither routes of aiohttp nor
        ASGI. The limits of the body are those of your framework.
        """
        return self._finish(self._tokens.request_id(token), body)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve as an ASGI application: mounted in another one, or by itself."""
        if scope["type"] == "lifespan":
            await _run_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            lengths = [value for name, value in scope["headers"] if name == b"content-length"]
            length = lengths[0].decode("latin-1") if lengths else None
            token = scope["path"].rpartition("/")[2]
            status = await self._answer(scope["method"], length, token, _asgi_reader(receive))
            if status is not None:
                await _send_answer(send, status)

    async def _answer_aiohttp(self, request: web.Request) -> web.Response:
        from aiohttp import web  # noqa: PLC0415  it is loaded already, by the application

        length = request.headers.get("Content-Length")
        token = request.match_info["token"]
        try:
            content = request.content
            status = await self._answer(
                request.method, length, token, content.readany, has_all=content.is_eof()
            )
        except (ConnectionError, web.RequestPayloadError):
            # The client is gone, or has sent a body that is not valid. An answer would make the
            # server read on, and log a traceback of that.
            request.protocol.force_close()
            status = 400
        response = web.Response(status=status or 400)
        if status == 405:
            response.headers["Allow"] = "POST"
        elif status in (408, 413):
            response.force_close()  # the rest of the body is not read
        return response

    async def _answer(
        self, method: str, length: str | None, token: str, read: Read, *, has_all: bool = False
    ) -> int | None:
        """Return the status of the answer to a request, or `None` if its client is gone.

        `has_all` is `True` if the whole body has arrived, as that of nearly every request has. It
        needs no deadline, which would take a quarter of the time.
        """
        if method != "POST":
            return 405
        if length is not None and length.isdecimal() and int(length[:20]) > self._max_body:
            return 413
        request_id = self._tokens.request_id(token)
        body = CallbackBody(self._memory, limit=self._max_body, is_kept=request_id is not None)
        try:
            status: int | None = 408
            if has_all:
                status = await _fill(body, read)
            else:
                with anyio.move_on_after(self._body_timeout):
                    status = await _fill(body, read)
            return self._finish(request_id, body.content()) if status == 200 else status
        finally:
            body.release()

    def _finish(self, request_id: str | None, body: bytes) -> int:
        take = self._take
        if request_id is None or take is None:
            return 404
        return 204 if take(request_id, body) else 404


def _asgi_reader(receive: Receive) -> Read:
    has_more = True

    async def read() -> bytes | None:
        nonlocal has_more
        chunk = b""
        while has_more and not chunk:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            has_more = message.get("more_body", False)
        return chunk

    return read


async def _fill(body: CallbackBody, read: Read) -> int | None:
    """Read a whole body. Return 200, or 413 if it is too large, or `None` if its client is gone."""
    while chunk := await read():
        if not body.add(chunk):
            return 413
    return None if chunk is None else 200


async def _send_answer(send: Send, status: int) -> None:
    headers = [] if status == 204 else [(b"content-length", b"0")]
    if status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _run_lifespan(receive: Receive, send: Send) -> None:
    """Tell a server that runs a receiver by itself that there is nothing to start or to stop."""
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


def _route_pattern(base: str) -> str:
    """Return the pattern of a path for aiohttp.

    aiohttp quotes the text of a pattern, but unquotes the path of a request before it compares the
    two. So a path in which anything is quoted is a regular expression.
    """
    if re.fullmatch(r"[\w./~-]*", base, re.ASCII):
        return base
    literal = re.escape(URL(base).path_safe[1:])
    braces = literal.replace(r"\{", r"\x7b").replace(r"\}", r"\x7d")
    return f"/{{base:{braces}}}"


def _checked_url(public_url: URLLike) -> str:
    url = (unwrapped_text(public_url) or "").strip()
    parts = urlsplit(url) if is_web_url(url) else None
    if parts is None or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(
            f"public_url must look like https://host/path, got {shown_link(url)!r}. It must not "
            "have a user, a query or a fragment."
        )
    return url.rstrip("/")


def _checked_secret(secret: SecretLike) -> Secret:
    text = unwrapped_text(secret)
    if text is None or len(text) < _MIN_SECRET:
        raise ConfigurationError(
            f"secret must be a text, bytes or SecretStr of at least {_MIN_SECRET} characters. "
            "Make one with secrets.token_hex()."
        )
    return Secret(text)
