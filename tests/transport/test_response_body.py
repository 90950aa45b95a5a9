"""Response body: bytes that arrived before the connection was lost are never lost."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from luma_async import LumaClient
from luma_async.transport.response_body import next_chunk
from tests.clients import KEY


async def test_what_arrived_before_a_cut_comes_before_the_error() -> None:
    """All of it at once, and then the error."""
    loop = asyncio.get_running_loop()
    content = aiohttp.StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    content.feed_data(b"some ")
    content.feed_data(b"bytes")
    content.set_exception(aiohttp.ClientPayloadError("cut"))

    assert await next_chunk(content) == b"some bytes"
    with pytest.raises(aiohttp.ClientPayloadError):
        await next_chunk(content)


async def test_an_answer_that_is_read_late_names_its_job_all_the_same() -> None:
    """A hook of the caller's session takes its time, and the connection is lost meanwhile."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        writer.write(b'{"id": "job-1", "state": "pending"}')
        writer.close()

    async def hold(*_: Any) -> None:
        await asyncio.sleep(0.2)

    hook = aiohttp.TraceConfig()
    hook.on_request_end.append(hold)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with (
        server,
        aiohttp.ClientSession(trace_configs=[hook]) as session,
        LumaClient(KEY, base_url=url, session=session) as luma,
    ):
        task = await luma.generate("a cat")

        assert task.id == "job-1"
        task.forget()
