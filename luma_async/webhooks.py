"""WebhookReceiver: takes the callbacks of a server where a program already listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from aiohttp import web

from luma_async.callback_tokens import CallbackTokens
from luma_async.errors import ConfigurationError
from luma_async.text_values import SecretLike, URLLike, is_web_url, unwrapped_text
from luma_async.transport.credentials import Secret


class TakesCallbacks(Protocol):
    """Client that the callbacks of a receiver are for."""

    def __call__(self, request_id: str, body: bytes, /) -> bool:
        """Process a callback, and return `False` if its submission is not known."""


class WebhookReceiver:
    """Receiver of the callbacks that a server sends when a job changes its state.

    >>> receiver = WebhookReceiver("https://bot.example.com/luma")
    >>> luma = LumaClient(webhook=receiver)                               # doctest: +SKIP
    >>> app.add_routes(receiver.routes())                                 # doctest: +SKIP

    Args:
        public_url: the URL at which the server reaches the receiver. A token is appended.
        secret: the secret with which tokens are made. The default is derived from the API key, so
            that all processes with this API key accept each other's callbacks.

    Raises:
        ConfigurationError: the URL is not an http(s) URL, or has a query or a fragment.

    """

    def __init__(self, public_url: URLLike, *, secret: SecretLike | None = None) -> None:
        url = (unwrapped_text(public_url) or "").strip()
        parts = urlsplit(url) if is_web_url(url) else None
        if parts is None or parts.query or parts.fragment or "@" in parts.netloc:
            raise ConfigurationError(
                f"public_url must look like https://host/path, got {url!r}. It must not have a "
                "user, a query or a fragment."
            )
        self.public_url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._secret = None if secret is None else Secret.of(secret)
        self._tokens: CallbackTokens | None = None
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

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return the routes to add to an application of aiohttp, below the path of the URL."""
        return [web.post(f"{self._path}/{{token}}", self._handle)]

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        return web.Response(status=self.receive(request.match_info["token"], body))

    def receive(self, token: str, body: bytes) -> int:
        """Process a callback, and return the status of the answer: 204, or 404 if it is invalid."""
        request_id = None if self._tokens is None else self._tokens.request_id(token)
        if request_id is None or self._take is None:
            return 404
        return 204 if self._take(request_id, body) else 404
