"""Half characters (lone surrogates) are refused before anything is sent, and read leniently."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from luma_async import DownloadError, InvalidRequestError, LumaClient
from luma_async.simulator import Fault, Simulator
from tests.clients import connect

HALF = "job-\ud83d"

Request = Callable[[LumaClient], Awaitable[Any]]

REQUESTS: dict[str, Request] = {
    "get": lambda luma: luma.get(HALF),
    "get_many": lambda luma: luma.get_many(["job", HALF]),
    "watch": lambda luma: luma.watch(HALF),
    "extend": lambda luma: luma.extend(HALF, "a cat"),
    "watermark_free_url": lambda luma: luma.watermark_free_url(HALF),
    "download": lambda luma: luma.download(HALF, "cat.mp4"),
    "key": lambda luma: luma.generate("a cat", key=HALF),
    "prompt": lambda luma: luma.generate(HALF),
    "model": lambda luma: luma.generate("a cat", model=HALF),
    "extra": lambda luma: luma.generate("a cat", extra={"seed": HALF}),
    "notify_hook": lambda luma: luma.generate("a cat", notify_hook=f"https://a.example/{HALF}"),
    "image": lambda luma: luma.generate("a cat", image=f"https://a.example/{HALF}"),
    "a path": lambda luma: luma.generate("a cat", image=f"{HALF}.png"),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_half_a_character_is_refused_before_anything_is_sent(
    request_: Request, tmp_path: Path
) -> None:
    """In ids, keys, prompts and every other text."""
    async with Simulator() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        with pytest.raises(InvalidRequestError):
            await request_(luma)

        assert not sum(sim.ledger.requests.values())


async def test_download_all_tells_of_half_an_id_and_goes_on(tmp_path: Path) -> None:
    """As of any job that cannot be downloaded."""
    async with Simulator() as sim, connect(sim) as luma:
        [download] = [each async for each in luma.download_all([HALF], tmp_path)]

    assert isinstance(download.error, InvalidRequestError)


async def test_a_file_is_not_named_by_half_a_character(tmp_path: Path) -> None:
    """No file system has such names; it is said before the job is looked at."""
    async with Simulator() as sim, connect(sim) as luma:
        with pytest.raises(DownloadError, match="is not a valid file name"):
            await luma.download("job", tmp_path / f"{HALF}.mp4")

        assert not sum(sim.ledger.requests.values())


async def test_uncertain_jobs_are_not_settled_by_half_an_id(tmp_path: Path) -> None:
    """The database could not hold it."""
    async with Simulator() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        assert luma.journal is not None
        with pytest.raises(InvalidRequestError, match="lone surrogates"):
            await luma.journal.settle("cat", id=HALF)


async def test_a_servers_half_characters_get_into_the_journal_whole(tmp_path: Path) -> None:
    """An id, a prompt and a reason with one: the job is kept, and its end."""
    row = {"id": HALF, "state": "pending", "prompt": HALF}
    end = {**row, "state": "failed", "failure_reason": HALF}
    async with Simulator() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        sim.faults.add(
            Fault.answer(json.dumps(row).encode(), on=["generate"]),
            Fault.answer(json.dumps(end).encode(), on=["get"]),
        )
        task = await luma.generate("a cat", key="cat")
        generation = await luma.get(task.id)

    async with Simulator() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        assert luma.journal is not None
        entry = await luma.journal.find("cat")

    assert entry is not None
    assert entry.id == task.id == generation.id
    assert generation.failure_reason
    for text in (task.id, generation.failure_reason):
        text.encode()
