"""An S3 server in a process of its own, and a way to it that breaks when a test says so."""

from __future__ import annotations

import asyncio
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.forked_programs import PYTHON, ForkedProgram

PROGRAM = Path(__file__).parents[1] / "programs" / "s3_server.py"

Break = Literal["cut", "hold"]

OWNER = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=OWNER/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=none",
    "Content-Type": "text/plain",
}
"""Headers of an owner. The server checks signatures only if a test says so."""


class S3Server:
    """Buckets, as their owner sees them."""

    def __init__(self, port: int) -> None:
        self.port = port

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        url = f"http://127.0.0.1:{self.port}/{path}"
        request = urllib.request.Request(url, body, OWNER, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  loopback
            found: bytes = answer.read()
        return found

    def check_keys(self, *, strictly: bool) -> None:
        """Let API keys be checked from now on, or not."""
        self.call("POST", "moto-api/reset-auth", b"0" if strictly else b"1e9")

    def sizes(self, bucket: str) -> dict[str, int]:
        """Return the sizes of all objects by their names. A part of an upload is no object."""
        listing = self.call("GET", f"{bucket}?list-type=2").decode()
        found = re.findall(r"<Key>(.*?)</Key>.*?<Size>(\d+)</Size>", listing, re.DOTALL)
        return {name: int(size) for name, size in found}

    def videos(self, bucket: str) -> dict[str, int]:
        """Return the sizes of the objects whose names end like those of videos."""
        return {name: size for name, size in self.sizes(bucket).items() if name.endswith(".mp4")}


@contextmanager
def s3_server() -> Iterator[S3Server]:
    with ForkedProgram(
        [*PYTHON, str(PROGRAM)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            yield S3Server(int(process.stdout.readline()))
        finally:
            process.kill()


class Way:
    """A port that leads to a server. `breaks` are for the next uploads of videos, in order.

    `"cut"` ends the connection when half of a video is through, and `"hold"` lets no more through.
    """

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.breaks: list[Break] = []
        self.is_held = asyncio.Event()
        self.requests = 0

    @property
    def url(self) -> str:
        assert self._listening is not None
        host, port = self._listening.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._listening is not None
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        there, back = await asyncio.open_connection("127.0.0.1", self._server.port)
        answers = asyncio.create_task(self._answer(there, writer))
        try:
            # Ended at the end of a test, without a word: asyncio would log the cancellation.
            with suppress(ConnectionError, asyncio.CancelledError):
                await self._forward(reader, back)
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            back.close()
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broken: Break | None = None
        left = 0
        while data := await reader.read(2**16):
            if re.match(rb"(GET|PUT|HEAD|POST|DELETE) /", data):
                self.requests += 1
            if re.match(rb"PUT [^ ]*/videos/", data) and self.breaks:
                broken = self.breaks.pop(0)
                size = re.search(rb"(?i)content-length: (\d+)", data)
                left = data.find(b"\r\n\r\n") + 4 + int(size[1] if size else 0) // 2
            if broken is not None:
                data, left = data[:left], left - len(data)
            writer.write(data)
            await writer.drain()
            if broken is not None and left <= 0:
                if broken == "cut":
                    return
                self.is_held.set()
                await asyncio.Event().wait()

    @staticmethod
    async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        writer.close()


def credentials(url: str) -> dict[str, str]:
    """Return the environment in which s3fs finds a server."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "AKIA-OF-A-TEST",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


SECRET = "a-secret-that-must-never-be-seen"
