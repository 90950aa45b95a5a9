"""Chunks: the body of an answer as it arrives."""

from __future__ import annotations

import aiohttp


async def next_chunk(content: aiohttp.StreamReader) -> bytes:
    """Return the bytes that have arrived, even if the connection broke after them.

    aiohttp raises as soon as the connection is lost, and keeps the bytes before that to itself:
    all of a short answer, if its reader had something else to do first. At the end it is empty.
    """
    try:
        return await content.readany()
    except aiohttp.ClientError:
        if chunk := content._read_nowait(-1):  # noqa: SLF001  read_nowait() raises as well
            return chunk
        raise
