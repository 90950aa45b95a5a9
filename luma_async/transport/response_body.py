"""Response body: the bytes of an answer as they arrive."""

from __future__ import annotations

import aiohttp


async def next_chunk(content: aiohttp.StreamReader) -> bytes:
    """Return the next bytes of a body, or `b""` at its end.

    Bytes that arrived before the connection was lost are returned first. aiohttp alone would raise
    its error at once, and so lose all of a short answer if the event loop is busy.
    """
    try:
        return await content.readany()
    except aiohttp.ClientError:
        if chunk := content._read_nowait(-1):  # noqa: SLF001  read_nowait() raises as well
            return chunk
        raise
