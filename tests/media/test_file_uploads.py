"""Large images and videos are uploaded once for each content, and small images go inline."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    AgentsDialect,
    LumaClient,
)
from luma_async.image_sources import ImageLike
from luma_async.simulator import Fixed, Simulator
from tests.clients import KEY, connect
from tests.media.image_files import an_image, as_data_uri

PNG = an_image()
LIMIT = AgentsDialect.files.inline_limit
LARGE = PNG + bytes(LIMIT)


def agents(simulator: Simulator, **settings: Any) -> LumaClient:
    return connect(simulator, dialect="agents", **settings)


def other_image(number: int) -> bytes:
    return LARGE + bytes([number])


async def test_a_30_mib_image_of_50_rows_is_uploaded_once(tmp_path: Path) -> None:
    """The bytes leave once, from the disk, by way of the media host and without the API key."""
    path = tmp_path / "large.png"
    content = PNG + os.urandom(30 * 2**20)
    path.write_bytes(content)
    async with Simulator(durations=Fixed(0.0), speed=100) as sim, agents(sim) as luma:
        tracemalloc.start()
        try:
            rows = [{"prompt": f"row {number}", "image": path} for number in range(50)]
            outcomes = [each async for each in luma.run_many(rows)]
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        [stored] = list(sim._agents_files._files.newest_first(KEY))
        assert all(each.ok for each in outcomes)
        assert {job.request["video"]["start_frame"]["file_id"] for job in sim.ledger.jobs} == {
            stored.id
        }
        arrived = await asyncio.to_thread(stored.path.read_bytes)
        assert hashlib.sha256(arrived).digest() == hashlib.sha256(content).digest()
    assert len(sim.ledger.jobs) == 50
    assert sim.ledger.requests["agents.create_file"] == 1
    assert sim.ledger.requests["agents.upload"] == 1
    assert sim.ledger.requests["agents.complete_file"] == 1
    assert sim.ledger.keys_seen_by_media == []
    assert most < 20 * 2**20


INLINE: dict[str, Callable[[Path], ImageLike]] = {
    "path": lambda path: path,
    "bytes": lambda path: path.read_bytes(),
    "data URI": lambda path: as_data_uri(path.read_bytes()),
    "file": lambda path: path.open("rb"),
}


@pytest.mark.parametrize("kind", INLINE)
async def test_a_small_image_goes_inline(kind: str, tmp_path: Path) -> None:
    """An image of 4 KiB is in the request, as Base64 with its media type."""
    path = tmp_path / "small.png"
    path.write_bytes(PNG.ljust(4096, b"\0"))
    source = INLINE[kind](path)
    async with Simulator() as sim, agents(sim) as luma:
        await luma.generate("a cat", image=source)

    frame = sim.ledger.jobs[0].request["video"]["start_frame"]
    assert frame["media_type"] == "image/png"
    assert base64.b64decode(frame["data"]) == path.read_bytes()
    assert sim.ledger.requests["agents.create_file"] == 0
    if hasattr(source, "close"):
        source.close()


@pytest.mark.parametrize("kind", INLINE)
async def test_a_large_image_of_any_source_is_uploaded(kind: str, tmp_path: Path) -> None:
    """Each source leads to the same file, which is uploaded for the first of them only."""
    path = tmp_path / "large.png"
    path.write_bytes(LARGE)
    source = INLINE[kind](path)
    async with Simulator(speed=100) as sim, agents(sim) as luma:
        await luma.generate("a cat", image=source)
        await luma.generate("a cat", keyframes={0: LARGE, 24: PNG})
        stored = [file.path.read_bytes() for file in sim._agents_files._files.newest_first(KEY)]

    first, second = (job.request["video"] for job in sim.ledger.jobs)
    assert first["start_frame"]["file_id"] == second["keyframes"][0]["file_id"]
    assert "data" in second["keyframes"][1]
    assert stored == [LARGE]
    if hasattr(source, "close"):
        source.close()


async def test_a_request_with_many_small_images_stays_small() -> None:
    """The largest of them are uploaded, so that the rest fits into one request."""
    images = {frame: PNG + bytes(700_000 + frame) for frame in range(0, 100, 10)}
    async with Simulator(speed=100) as sim, agents(sim) as luma:
        await luma.generate("a cat", keyframes=images)

    frames = sim.ledger.jobs[0].request["video"]["keyframes"]
    assert ["data" in frame for frame in frames] == [True] * 5 + [False] * 5
    assert sim.ledger.requests["agents.upload"] == 5
