"""Response body: read an answer up to a maximum size, or the part before a lost connection."""

from __future__ import annotations

import aiohttp

from luma_async.errors import ResponseError

ANSWER_LIMIT = 16 * 2**20
"""Maximum size of a JSON answer after decompression, in bytes."""


def whole_body(content: aiohttp.StreamReader) -> bytes | None:
    """Return a body that arrived together with the headers, or `None` if more is to come."""
    if content.is_eof() and content.total_bytes <= ANSWER_LIMIT and content.exception() is None:
        return content.read_nowait()
    return None


async def read_body(content: aiohttp.StreamReader) -> tuple[bytes, Exception | None]:
    """Read a body, and return it with the exception that ended it early, if any.

    A truncated body is still of use: the status of an error is valid without its explanation, and
    complete JSON names its job even if the connection did not end properly.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await next_chunk(content):
            chunks.append(chunk)
            size += len(chunk)
            if size > ANSWER_LIMIT:
                return b"", ResponseError(f"the answer is larger than {ANSWER_LIMIT // 2**20} MiB")
    except Exception as error:  # noqa: BLE001  after any error the rest will not arrive
        return b"".join(chunks), error
    return b"".join(chunks), None


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
