"""The key is in no log line, exception, `repr` or traceback."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import traceback
from typing import Any

import aiohttp
import pytest

from luma_async import APIError, LumaClient, LumaError
from luma_async.simulator import Fault, Simulator
from tests.clients import KEY, connect, until

FAULTS = {
    "refused key, quoted": None,
    "cut": Fault.cut(on=["generate", "get"]),
    "page": Fault.page(502, on=["generate", "get"]),
    "explained": Fault.explained(500, on=["generate", "get"]),
    "rate limited": Fault.rate_limited(retry_after=0, on=["generate", "get"]),
    "empty": Fault.answer(b"{}", on=["generate", "get"]),
    "quoted in a page": Fault.answer(KEY.encode(), status=502, on=["generate", "get"]),
    "quoted in a 200": Fault.answer(KEY.encode(), on=["generate", "get"]),
    "broken header": Fault(
        on=["generate", "get"], status=200, body=b"x", headers=(("Content-Encoding", "gzip"),)
    ),
    "quoted in a code": Fault.answer(
        json.dumps({"error": {"message": "no", "code": KEY}}).encode(),
        status=400,
        on=["generate", "get"],
    ),
    "quoted at the end of a long page": Fault.answer(
        b"x" * 140 + KEY.encode(), status=400, on=["generate", "get"]
    ),
    "quoted in a header": Fault(
        on=["generate", "get"], status=400, headers=(("x-request-id", KEY),)
    ),
    "quoted as JSON in Go": Fault.answer(
        json.dumps({"error": {"message": f"no {KEY}", "code": "x"}})
        .replace("-", "\\u002D")
        .encode(),
        status=400,
        on=["generate", "get"],
    ),
    "quoted in HTML": Fault.answer(
        f"<p>no {KEY}</p>".replace("-", "&#x2d;").encode(), status=502, on=["generate", "get"]
    ),
    "quoted in a page in JSON in a 200": Fault.answer(
        json.dumps({"said": f"no {KEY}".replace("-", "&#45;")}).replace("&", "\\u0026").encode(),
        on=["generate", "get"],
    ),
    "quoted in a link in a header": Fault(
        on=["generate", "get"],
        status=400,
        headers=(("Location", f"/?key={KEY}".replace("-", "%2D")),),
    ),
    "timeout": Fault.slow(math.inf, on=["generate", "get"]),
    "redirect": Fault(on=["generate", "get"], status=302, headers=(("Location", "/" + KEY),)),
}


def everything_about(error: BaseException) -> str:
    """Return all that a crash reporter would send, chained exceptions and local variables too."""
    parts = []
    seen: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        each = queue.pop()
        if each is None or each in seen:
            continue
        seen.append(each)
        queue += [each.__cause__, each.__context__]
        report = traceback.TracebackException.from_exception(each, capture_locals=True)
        frames = [frame for frame in report.stack if frame.filename != __file__]
        locals_ = [repr(frame.locals) for frame in frames]
        parts += [str(each), repr(each), repr(vars(each)), *locals_]
    return "\n".join(parts)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_no_failure_shows_the_key(
    fault: Fault | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Every way to fail, with every log line on and every local variable printed."""
    caplog.set_level(logging.DEBUG)
    key = None if fault else "another"
    async with Simulator(api_key=key) as sim, connect(sim, max_tries=2, timeout=0.5) as luma:
        if fault:
            sim.faults.add(fault)

        for call in (luma.generate, luma.get):
            with pytest.raises(LumaError) as caught:
                await call("a cat")
            assert KEY not in everything_about(caught.value)

        assert KEY not in repr(luma)
        assert KEY not in repr(vars(luma))
    assert KEY not in caplog.text


@pytest.mark.parametrize("place", ["message", "code", "request_id", "page", "header"])
async def test_no_refusal_shows_a_short_key(place: str) -> None:
    """It stands there as a word; where it is a part of one, the word is left."""
    said = {"message": "ask k", "code": "ask-k", "request_id": "ask/k"}
    error = {"error": {"message": said["message"], "code": said["code"]}, **said}
    body = b"<title>ask: k</title>" if place == "page" else json.dumps(error).encode()
    refusal = Fault(on=["get"], status=400, body=body, headers=(("X-Request-Id", "ask=k"),))
    async with Simulator() as sim, LumaClient("k", base_url=sim.url, max_tries=1) as luma:
        sim.faults.add(refusal)

        with pytest.raises(APIError) as caught:
            await luma.get("a")

    refused = caught.value
    shown = " ".join(map(str, [refused, refused.message, refused.code, refused.request_id]))
    assert "ask" in shown
    assert not re.search(r"\bk\b", shown)


async def test_an_answer_that_is_no_http_does_not_show_the_key() -> None:
    """The parser quotes the line that it cannot read."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nBearer {KEY}\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, LumaClient(KEY, base_url=url, max_tries=1) as luma:
        with pytest.raises(LumaError, match=r"\*\*\*") as caught:
            await luma.get("a")

    assert KEY not in everything_about(caught.value)


async def test_a_dead_host_does_not_show_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """Nor does a connection that never was."""
    caplog.set_level(logging.DEBUG)
    async with LumaClient(KEY, base_url="http://127.0.0.1:1", max_tries=2) as luma:
        with pytest.raises(LumaError) as caught:
            await luma.generate("a cat")

    assert KEY not in everything_about(caught.value)
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "settings", [{"base_url": "no place"}, {"max_tries": 0}, {"api_key": KEY + " "}], ids=repr
)
def test_a_client_that_cannot_be_made_does_not_show_the_key(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the local variables of its constructor do."""
    monkeypatch.setenv("LUMA_API_KEY", KEY)
    settings = {"max_requests": -1, **settings}

    with pytest.raises(LumaError) as caught:
        LumaClient(**settings)

    assert KEY not in everything_about(caught.value)


async def test_a_cancelled_call_does_not_show_the_key() -> None:
    """The traceback of a cancellation leads through aiohttp with all its headers."""
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault.slow(30, on=["get"]))
        look = asyncio.create_task(luma.get("job-1"))
        await until(lambda: sim.ledger.requests["get"])
        look.cancel()

        with pytest.raises(asyncio.CancelledError) as caught:
            await look

        assert KEY not in everything_about(caught.value)


async def test_the_key_reaches_the_gateway_and_no_media_host(tmp_path: object) -> None:
    """Downloads travel on a session of their own."""
    async with Simulator(api_key=KEY, speed=1000, short_side=60) as sim, connect(sim) as luma:
        await luma.download(await luma.generate("a cat"), f"{tmp_path}/cat.mp4")

        assert sim.ledger.keys_seen_by_media == []


async def test_a_session_of_the_callers_is_left_as_it_is() -> None:
    """It is used, not changed, and not closed; the key is in none of its settings."""
    async with Simulator() as sim, aiohttp.ClientSession() as session:
        async with connect(sim, session=session) as luma:
            await luma.generate("a cat")

        assert not session.closed
        assert KEY not in repr(session.headers)
