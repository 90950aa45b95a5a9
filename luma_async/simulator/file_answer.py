"""File answers: byte ranges, validators and the faults of a media host."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from luma_async.simulator.faults import Fault

_PIECE = 2**16
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_TYPES = {
    ".mp4": "video/mp4",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".exr": "image/x-exr",
}


class FileAnswer(web.StreamResponse):
    """Response with a file or the requested range of it (RFC 9110, 13.1.5 and 14).

    `fault` can be set until `prepare()` is called. `note` is called with the start and the end of
    the bytes that were sent; the end is excluded.
    """

    def __init__(self, path: Path, note: Callable[[int, int], None]) -> None:
        super().__init__()
        self._path = path
        self._note = note
        self.fault = Fault()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers and the content."""
        about = await asyncio.to_thread(self._path.stat)
        size, fault = about.st_size, self.fault
        etag = f'"{about.st_mtime_ns:x}-{size:x}"'
        modified = formatdate(about.st_mtime, usegmt=True)
        self.content_type = _TYPES.get(self._path.suffix, "application/octet-stream")
        if fault.validators:
            self.headers["ETag"] = etag
            self.headers["Last-Modified"] = modified
        start, end = 0, size
        wanted = _RANGE.fullmatch(request.headers.get("Range", ""))
        if wanted and fault.ranges and request.headers.get("If-Range", etag) in (etag, modified):
            start = int(wanted[1])
            end = min(int(wanted[2]) + 1, size) if wanted[2] else size
            if start >= end:
                self.set_status(416)
                self.headers["Content-Range"] = f"bytes */{size}"
                start = end = 0
            else:
                self.set_status(206)
                self.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        if fault.ranges:
            self.headers["Accept-Ranges"] = "bytes"
        self.content_length = end - start + fault.miscounts
        writer = await super().prepare(request)
        last = end if fault.cut_after is None else min(start + fault.cut_after, end)
        if request.method != "HEAD":
            await self._send(start, last)
            if last - start < self.content_length and request.transport is not None:
                request.transport.close()  # unlike abort(), sends the buffered bytes first
        return writer

    async def _send(self, start: int, end: int) -> None:
        slowness, sent = self.fault.bytes_per_second, start
        piece = _PIECE if slowness is None else 4096
        file = await asyncio.to_thread(self._path.open, "rb")
        try:
            await asyncio.to_thread(file.seek, start)
            while sent < end:
                data = await asyncio.to_thread(file.read, min(piece, end - sent))
                await self.write(data)
                sent += len(data)
                if slowness is not None:
                    await asyncio.sleep(piece / slowness)
        finally:
            await asyncio.to_thread(file.close)
            if sent > start:
                self._note(start, sent)
