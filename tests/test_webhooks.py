"""Callbacks arrive through aiohttp or ASGI, and nothing is learned by sending forged ones."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from aiohttp import web
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from luma_async import ConfigurationError, LumaClient, LumaError, WebhookReceiver
from luma_async.transport.credentials import Secret
from luma_async.webhook_bodies import BodyMemory, CallbackBody
from luma_async.webhook_tokens import TOKEN_LENGTH, CallbackTokens

ID = "6f1f9a0e-54f2-4c1e-9b7f-0d7d5c1f5a11"
OTHER_ID = "00000000-0000-4000-8000-000000000000"
API_KEY = Secret("sk-a-key-that-must-never-be-seen")
LIMIT = 5_000

Serving = Callable[[WebhookReceiver], AbstractAsyncContextManager[int]]


class Taken:
    """Client that knows one submission, and notes the callbacks about it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.asked: set[str] = set()

    def __call__(self, request_id: str, body: bytes) -> bool:
        self.asked.add(request_id)
        if request_id != ID:
            return False
        self.bodies.append(body)
        return True


def receiver_of(taken: Taken, **options: Any) -> tuple[WebhookReceiver, str]:
    """Return a receiver, and the token of the submission that its client knows."""
    receiver = WebhookReceiver("https://bot.example.com/luma", max_body=LIMIT, **options)
    url = receiver.connect(API_KEY, taken)(ID)
    assert url.startswith("https://bot.example.com/luma/")
    return receiver, url.rpartition("/")[2]


@asynccontextmanager
async def on_aiohttp(receiver: WebhookReceiver) -> AsyncIterator[int]:
    app = web.Application()
    app.add_routes(receiver.routes())
    async with serving_aiohttp(app) as port:
        yield port


@asynccontextmanager
async def serving_aiohttp(app: web.Application) -> AsyncIterator[int]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def on_uvicorn(app: Any, root_path: str = "") -> AsyncIterator[int]:
    config = uvicorn.Config(
        app, root_path=root_path, log_config=None, access_log=False, lifespan="on"
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            while not server.started and not serving.done():  # noqa: ASYNC110  it has no event
                await asyncio.sleep(0.005)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            await serving


SERVERS: list[Serving] = [on_aiohttp, on_uvicorn]


async def answer(port: int, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send a request part by part; return the status, headers and body of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01 if len(parts) > 1 else 0)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        size = int(headers.get("content-length", 0))
        is_short = parts[0].startswith(b"HEAD") or head[0].split()[1] == "204"
        return int(head[0].split()[1]), headers, b"" if is_short else await reader.readexactly(size)
    finally:
        writer.close()


def request(token: str, *, method: str = "POST", headers: str = "", body: bytes = b"") -> bytes:
    length = headers or f"Content-Length: {len(body)}\r\n"
    start = f"{method} /luma/{token} HTTP/1.1\r\nHost: bot\r\n{length}\r\n"
    return start.encode() + body


CHUNKED = "Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize("serving", SERVERS)
async def test_a_forged_callback_is_judged_as_any_other_is_and_answered_with_404(
    serving: Serving,
) -> None:
    """Method, size and speed are judged in the same way for each token, valid or not."""
    taken = Taken()
    receiver, token = receiver_of(taken, body_timeout=0.1)
    forged = "A" * TOKEN_LENGTH
    unknown = CallbackTokens(API_KEY).token(OTHER_ID)
    chunk = b"%x\r\n%s\r\n" % (LIMIT, b"x" * LIMIT)

    async with serving(receiver) as port:
        for each, right in ((token, 204), (unknown, 404), (forged, 404), ("short", 404)):
            found = [
                await answer(port, request(each, body=b"{}")),
                await answer(port, request(each, headers=CHUNKED), b"2\r\n{}\r\n", b"0\r\n\r\n"),
                await answer(port, request(each, headers="Content-Length: 0\r\n")),
                await answer(port, request(each, body=b"x" * LIMIT)),
                *[
                    await answer(port, request(each, method=method))
                    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
                ],
                # Too large: by its own account, before anything is read; and while it is read.
                await answer(port, request(each, headers=f"Content-Length: {LIMIT + 1}\r\n")),
                await answer(port, request(each, headers=f"Content-Length: {'9' * 15}\r\n")),
                await answer(port, request(each, headers=CHUNKED), chunk, chunk),
                # Too slow.
                await answer(port, request(each, headers="Content-Length: 9\r\n"), b"{"),
            ]

            statuses = [status for status, _, _ in found]
            assert statuses == [right] * 4 + [405] * 5 + [413] * 3 + [408]
            assert {headers["allow"] for status, headers, _ in found if status == 405} == {"post"}
            assert {body for _, _, body in found} == {b""}
            if serving is on_aiohttp:  # it reads no rest of a body, which has no limit
                ends = [headers.get("connection") for status, headers, _ in found if status > 405]
                assert ends == ["close"] * 4
    assert taken.bodies == [b"{}", b"{}", b"", b"x" * LIMIT]
    assert taken.asked == {ID, OTHER_ID}  # a journal would pass a forged one on


@pytest.mark.parametrize("serving", SERVERS)
async def test_a_client_that_is_gone_has_sent_no_callback(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does it leave a line in the log."""
    taken = Taken()
    receiver, token = receiver_of(taken)
    async with serving(receiver) as port:
        caplog.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(token, headers="Content-Length: 9\r\n") + b"{")
        await asyncio.sleep(0.02)
        writer.transport.abort()
        await asyncio.sleep(0.02)

        assert (await answer(port, request(token)))[0] == 204

    assert taken.bodies == [b""]
    assert [record.name for record in caplog.records if record.levelname != "INFO"] == []


async def test_a_body_that_cannot_be_read_is_not_answered() -> None:
    """A traceback for each would fill the log of the program."""
    taken = Taken()
    receiver, token = receiver_of(taken)
    headers = "Content-Encoding: gzip\r\nContent-Length: 9\r\n"
    async with on_aiohttp(receiver) as port:
        for each in (token, "A" * TOKEN_LENGTH):
            with pytest.raises(asyncio.IncompleteReadError):
                await answer(port, request(each, headers=headers) + b"not gzip.")

    assert taken.bodies == []


async def test_an_asgi_application_has_it_below_any_path() -> None:
    """Mounted, mounted within a mounted one, or behind a proxy that removes a prefix."""
    taken = Taken()
    receiver, token = receiver_of(taken)
    inner = Starlette(routes=[Mount("/luma", receiver)])
    outer = FastAPI()
    outer.mount("/luma", receiver)
    outer.mount("/inner", inner)

    async with on_uvicorn(outer, root_path="/public") as port:
        for path in ("luma", "inner/luma"):
            assert (await answer(port, request(token).replace(b"luma", path.encode())))[0] == 204

    assert len(taken.bodies) == 2


async def test_an_application_of_aiohttp_has_it_below_any_path() -> None:
    """At the path of its public URL, at another one, and in a sub-application."""
    taken = Taken()
    receiver, token = receiver_of(taken)
    app, part = web.Application(), web.Application()
    app.add_routes(receiver.routes())
    app.add_routes(receiver.routes("/stripped/"))
    part.add_routes(receiver.routes(""))
    app.add_subapp("/part", part)

    async with serving_aiohttp(app) as port:
        for path in ("luma", "stripped", "part"):
            assert (await answer(port, request(token).replace(b"luma", path.encode())))[0] == 204
        assert (await answer(port, request(f"{token}/more")))[0] == 404

    assert len(taken.bodies) == 3
    with pytest.raises(ConfigurationError, match="must begin with '/'"):
        receiver.routes("luma")


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("{bot}/luma", "%7Bbot%7D/luma"),
        ("a%7Bbot/luma", "a%7Bbot/luma"),
        ("café/luma", "caf%C3%A9/luma"),
        ("a%20bot/luma", "a%20bot/luma"),
        ("bot.v1/luma", "bot.v1/luma"),
    ],
)
async def test_a_public_path_may_have_any_characters(path: str, sent: str) -> None:
    """Quoted in the URL or not. None of them is a pattern that takes the place of another path."""
    taken = Taken()
    receiver = WebhookReceiver(f"https://bot.example.com/{path}")
    token = receiver.connect(API_KEY, taken)(ID).rpartition("/")[2]
    app = web.Application()
    app.add_routes(receiver.routes())

    async with serving_aiohttp(app) as port:
        for each, status in ((sent, 204), ("botxv1/luma", 404), ("luma", 404)):
            callback = request(token).replace(b"luma", each.encode())
            assert (await answer(port, callback))[0] == status


async def test_bodies_on_their_way_share_a_memory_and_give_it_back() -> None:
    """Forged ones take none of it, so that they keep no body of a valid one from being read."""
    taken = Taken()
    receiver, token = receiver_of(taken)
    receiver._memory = BodyMemory(4)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message.get("status"))

    async def call(token: str, *parts: bytes, end: Callable[[], Awaitable[Any]]) -> None:
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        arriving = iter(messages)

        async def receive() -> Any:
            return next(arriving, None) or await end()

        path = f"/luma/{token}"
        scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        await receiver(scope, receive, send)

    async def complete() -> Any:
        return {"type": "http.request"}

    async def leave() -> Any:
        return {"type": "http.disconnect"}

    async def answer_forged() -> Any:
        await call(token, b"abc", b"", b"d", end=complete)
        return await complete()

    await call("A" * TOKEN_LENGTH, b"1234", end=answer_forged)  # another comes in the middle of it
    await call(token, b"1234", end=leave)
    await call(token, b"efgh", end=complete)

    assert taken.bodies == [b"abcd", b"efgh"]
    assert sent == [204, None, 404, None, 204, None]


async def test_a_websocket_is_refused() -> None:
    """There is nothing to talk about."""
    receiver, _ = receiver_of(Taken())
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await receiver({"type": "websocket", "path": "/luma/x"}, receive, send)

    assert sent == [{"type": "websocket.close"}]


def test_another_framework_passes_a_callback_by_itself() -> None:
    """`receive` takes the token and the body. It is 404 without a client as well."""
    taken = Taken()
    receiver, token = receiver_of(taken)

    assert receiver.receive(token, b"{}") == 204
    assert receiver.receive("wrong", b"{}") == 404
    receiver.disconnect(Taken())  # another client that is closed, and never had the receiver
    assert receiver.receive(token, b"{}") == 204
    receiver.disconnect(taken)
    assert receiver.receive(token, b"{}") == 404
    assert WebhookReceiver("https://bot.example.com").receive(token, b"{}") == 404
    assert taken.bodies == [b"{}"] * 2


def test_a_secret_takes_the_place_of_the_api_key() -> None:
    """Who knows the API key makes no valid token then, and other API keys share the callbacks."""
    taken = Taken()
    receiver, token = receiver_of(taken, secret="a secret of the program")
    other = WebhookReceiver("https://bot.example.com", secret="a secret of the program")
    url = other.connect(Secret("sk-another"), Taken())(ID)

    assert receiver.receive(CallbackTokens(API_KEY).token(ID), b"{}") == 404
    assert receiver.receive(token, b"{}") == 204
    assert url.endswith(f"/{token}")


def test_one_text_only_is_the_token_of_a_submission() -> None:
    """No other alphabet, padding, case, length or form of the same bytes is valid."""
    tokens = CallbackTokens(API_KEY)
    token = tokens.token(ID)
    others = {
        *(f"{token}=", f" {token}", f"{token}\n", token[:-1], f"{token}A", token.swapcase(), ""),
        *(token[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"),
        *(token[:place] + "é" + token[place + 1 :] for place in (0, 21, 42)),
        *(token[:place] + "!" + token[place + 1 :] for place in (0, 21, 42)),
        token.replace("-", "+").replace("_", "/"),
        CallbackTokens("another secret").token(ID),
        token[:21] + CallbackTokens(API_KEY).token(OTHER_ID)[21:],
    } - {token}

    assert len(token) == TOKEN_LENGTH
    assert tokens.request_id(token) == ID
    # Those of other versions of this library are valid: their jobs are still running.
    expected = "bx-aDlTyTB6bfw19XB9aEUx6tW9QFRxYpieNS5dxaYw"
    assert CallbackTokens("a secret").token(ID) == expected
    assert [text for text in others if tokens.request_id(text) is not None] == []


def test_bodies_of_forged_callbacks_take_no_memory() -> None:
    """And those of valid ones share a limit, beyond which they are counted and dropped."""
    memory = BodyMemory(10)
    forged = CallbackBody(memory, limit=8, is_kept=False)
    first = CallbackBody(memory, limit=8, is_kept=True)
    second = CallbackBody(memory, limit=8, is_kept=True)

    assert forged.add(b"x" * 8)
    assert not forged.add(b"x")
    assert forged.content() == b""
    assert first.add(b"12345678")
    assert second.add(b"12")
    assert second.add(b"345")
    assert second.add(b"6")
    assert second.content() == b""  # a part of a body is of no use
    assert not second.add(b"6789")
    for body in (forged, first, second, first, second):
        body.release()
        assert body.content() == b""
    third = CallbackBody(memory, limit=11, is_kept=True)
    fourth = CallbackBody(memory, limit=10, is_kept=True)
    assert third.add(b"12345678901")
    assert third.content() == b""
    assert fourth.add(b"1234567890")
    assert fourth.content() == b"1234567890"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"public_url": "bot.example.com"}, "public_url must look like"),
        ({"public_url": "ftp://bot.example.com"}, "public_url must look like"),
        ({"public_url": "https://bot.example.com/luma?a=b"}, "public_url must look like"),
        ({"public_url": "https://bot.example.com/luma#a"}, "public_url must look like"),
        ({"public_url": "https://me:password@bot.example.com/luma"}, "public_url must look like"),
        ({"public_url": None}, "public_url must look like"),
        ({"secret": ""}, "at least 16 characters"),
        ({"secret": "fifteen letters"}, "at least 16 characters"),
        ({"secret": 7}, "at least 16 characters"),
        ({"max_body": None}, "max_body must be a number above 0, got None"),
        ({"body_timeout": "5"}, "body_timeout must be a number above 0, got '5'"),
        ({"max_body": 0}, "must be a number above 0"),
        ({"body_timeout": float("inf")}, "must be a number above 0"),
    ],
)
def test_a_setting_that_is_not_valid_is_an_error(options: dict[str, Any], problem: str) -> None:
    """The error shows no secret and no password."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        WebhookReceiver(**{"public_url": "https://bot.example.com", **options})

    assert "password" not in str(caught.value)
    assert "fifteen" not in str(caught.value)


async def test_a_receiver_belongs_to_one_client_at_a_time() -> None:
    """A second one needs a receiver of its own; a later one may have it."""
    receiver = WebhookReceiver("https://bot.example.com/luma/")

    async with LumaClient("sk-a", base_url="http://127.0.0.1:9", webhook=receiver):
        with pytest.raises(ConfigurationError, match="used by another client"):
            LumaClient("sk-b", base_url="http://127.0.0.1:9", webhook=receiver)
    async with LumaClient("sk-b", base_url="http://127.0.0.1:9", webhook=receiver):
        pass
    assert repr(receiver) == "<WebhookReceiver https://bot.example.com/luma>"


@pytest.mark.parametrize("status", [400, 502])
async def test_no_error_and_no_log_line_shows_a_token_that_a_server_repeats(
    status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the words of a rejection, nor in those of an answer that is kept as uncertain."""
    tokens: list[str] = []

    async def reject(request: web.Request) -> web.Response:
        hook = (await request.json())["notify_hook"]
        tokens.append(hook.rpartition("/")[2])
        escaped = hook.replace("/", "\\/")
        return web.json_response({"message": f"{hook} or {escaped} is unreachable"}, status=status)

    app = web.Application()
    app.router.add_post("/luma/generations", reject)
    receiver = WebhookReceiver("https://bot.example.com/luma")
    caplog.set_level(logging.DEBUG, "luma_async")
    async with (
        serving_aiohttp(app) as port,
        LumaClient(
            API_KEY,
            base_url=f"http://127.0.0.1:{port}",
            webhook=receiver,
            journal=tmp_path / "jobs.db",
        ) as luma,
    ):
        with pytest.raises(LumaError, match=r"//bot\.example\.com/luma/\*") as caught:
            await luma.generate("a cat dances", key="cat")
        assert luma.journal is not None
        kept = [line async for line in luma.journal.export()]

    (token,) = tokens
    assert len(token) == TOKEN_LENGTH
    assert bool(kept) == (status == 502)
    assert token not in f"{caught.value} {caught.value!r} {vars(caught.value)} {kept} {caplog.text}"
