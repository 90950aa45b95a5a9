"""The simulator's media host keeps to HTTP where files are asked for in parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import connect


class Host:
    """Video file of a simulator, and a method to request it."""

    def __init__(self, sim: Simulator, link: str) -> None:
        self.sim = sim
        self._link = link

    async def ask(self, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            aiohttp.ClientSession() as session,
            session.get(self._link, headers=names) as answer,
        ):
            return answer.status, answer.headers, await answer.read()


@asynccontextmanager
async def a_host() -> AsyncIterator[Host]:
    async with Simulator(durations=Fixed(0.1), short_side=90) as sim, connect(sim) as luma:
        task = await luma.generate("a cat dances", aspect_ratio="1:1")
        await task
        yield Host(sim, await luma.watermark_free_url(task.id))


async def test_a_whole_file_comes_with_its_validators() -> None:
    """The answer has an `ETag`, a date and a length."""
    async with a_host() as host:
        status, headers, body = await host.ask()

    assert status == 200
    assert headers["Content-Length"] == str(len(body))
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["ETag"].startswith('"')
    assert "GMT" in headers["Last-Modified"]


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified", None])
async def test_a_range_is_sent_if_the_version_is_the_same(validator: str | None) -> None:
    """The answer has a `Content-Range` (RFC 9110, 13.1.5 and 14.4)."""
    async with a_host() as host:
        _, whole_headers, whole = await host.ask()
        condition = {"If_Range": whole_headers[validator]} if validator else {}

        status, headers, rest = await host.ask(Range="bytes=1000-", **condition)
        _, some_headers, some = await host.ask(Range="bytes=0-99", **condition)

    assert status == 206
    assert rest == whole[1000:]
    assert headers["Content-Range"] == f"bytes 1000-{len(whole) - 1}/{len(whole)}"
    assert some == whole[:100]
    assert some_headers["Content-Range"] == f"bytes 0-99/{len(whole)}"
    # A connection may be told to have sent all only after the next one has begun.
    sent = host.sim.ledger.sent.popitem()[1]
    assert sorted(sent) == [(0, 100), (0, len(whole)), (1000, len(whole))]


async def test_the_whole_file_is_sent_if_the_version_has_changed() -> None:
    """A request for the rest of an old version is answered with the whole new file."""
    async with a_host() as host:
        status, _, body = await host.ask(Range="bytes=1000-", If_Range='"another"')

    assert status == 200
    assert len(body) > 1000


async def test_a_range_after_the_end_is_not_satisfiable() -> None:
    """The answer is 416 with the length of the file."""
    async with a_host() as host:
        size = len((await host.ask())[2])

        status, headers, _ = await host.ask(Range=f"bytes={size}-")

    assert status == 416
    assert headers["Content-Range"] == f"bytes */{size}"


async def test_faults_of_a_media_host_are_what_they_say() -> None:
    """Ranges, validators, length and end of an answer can be wrong on demand."""
    async with a_host() as host:
        whole = (await host.ask())[2]
        faults = host.sim.faults

        faults.add(Fault(on=["media"], after=True, times=1, ranges=False))
        assert (await host.ask(Range="bytes=1000-"))[::2] == (200, whole)
        faults.add(Fault(on=["media"], after=True, times=1, validators=False))
        assert not {"ETag", "Last-Modified"} & set((await host.ask())[1])
        for fault in (Fault(miscounts=10), Fault(cut_after=1000)):
            faults.add(replace(fault, on=["media"], after=True, times=1))
            with pytest.raises(aiohttp.ClientPayloadError):
                await host.ask()
        faults.add(Fault(on=["media"], after=True, times=1, miscounts=-10))
        assert (await host.ask())[2] == whole[:-10]

    assert host.sim.ledger.sent.popitem()[1][-2] == (0, 1000)
