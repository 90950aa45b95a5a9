"""Program that sends forged callbacks on raw connections, at a given rate.

`python -m benchmarks.forger URL RATE SECONDS` prints the numbers of answers by status, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from itertools import cycle, islice
from urllib.parse import SplitResult, urlsplit

CONNECTIONS = 128
"""Number of connections. It is more than the requests of one round at 10,000 a second, so that each
request arrives by itself, and none shares a read of the server with others."""

MOST_OPEN = 64
"""Maximum number of requests of a connection that wait for an answer. A server that is too slow
gets fewer requests, and the reached rate tells so."""

TICK = 0.01
"""Seconds between two rounds of requests."""

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
BODY = b'{"id": "4665a07c-0000-4000-8000-000000000000", "state": "completed", "video": null}'


class Forger(asyncio.Protocol):
    """Connection that sends forged callbacks and counts their answers by status."""

    def __init__(self, url: SplitResult) -> None:
        self.answers: Counter[bytes] = Counter()
        self.sent = 0
        self._url = url
        self._rest = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"HTTP/1.1 ")
        self.answers.update(part[:3] for part in whole if part)
        if len(self._rest) >= 3 and self._rest.endswith(b"\r\n\r\n"):  # answers have no body
            self.answers[self._rest[:3]] += 1
            self._rest = b""

    def send(self) -> None:
        """Send a request, unless too many are not answered yet."""
        assert self._transport is not None
        if self.sent - self.answers.total() < MOST_OPEN:
            self.sent += 1
            self._transport.write(self._request())

    def _request(self) -> bytes:
        token = "".join(random.choices(ALPHABET, k=43))
        head = (
            f"POST {self._url.path}/{token} HTTP/1.1\r\nHost: {self._url.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        return head.encode() + BODY


async def forge(url: str, rate: float, seconds: float) -> dict[str, float]:
    """Send forged callbacks for a number of seconds; return the rate and the answers by status."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    loop = asyncio.get_running_loop()
    forgers = [
        (await loop.create_connection(lambda: Forger(parts), host, port))[1]
        for _ in range(CONNECTIONS)
    ]
    began = time.perf_counter()
    in_turn, due = cycle(forgers), 0
    while (now := time.perf_counter() - began) < seconds:
        due, before = int(rate * now), due
        for forger in islice(in_turn, due - before):
            forger.send()
        await asyncio.sleep(TICK)
    answers: Counter[bytes] = sum((forger.answers for forger in forgers), Counter())
    took = time.perf_counter() - began
    return {
        "rate": answers.total() / took,
        **{status.decode(): count for status, count in answers.items()},
    }


if __name__ == "__main__":
    url, rate, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(forge(url, float(rate), float(seconds)))))
