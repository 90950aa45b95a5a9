"""Helpers for tests of batches: manifests, and runs like those of separate processes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, TypeVar

from luma_async.batch import Batch, Result, read_manifest
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR, connect

T = TypeVar("T")


def small(**settings: Any) -> Simulator:
    """Return a gateway with quick jobs. All of them share one small film, for speed."""
    return Simulator(
        **{
            "durations": Fixed(0.1),
            "short_side": 90,
            "same_films": True,
            "link_lifetime": 1e9,
            **settings,
        }
    )


def a_manifest(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"aspect_ratio": "1:1", **row}) for row in rows))
    return path


def cats(number: int) -> list[dict[str, Any]]:
    return [{"key": f"cat-{n}", "prompt": f"a cat, take {n}"} for n in range(number)]


async def run(sim: Simulator, manifest: Path, folder: Path, **settings: Any) -> list[Result]:
    """Run a batch once, with a client of its own, as a new process would."""
    folder.mkdir(exist_ok=True)
    async with connect(sim, journal=folder / "jobs.db", **settings.pop("client", {})) as luma:
        batch = Batch(luma, read_manifest(manifest), folder, **settings)
        return [result async for result in batch.run()]


async def end_all(sim: Simulator, running: asyncio.Task[T]) -> T:
    """Let all jobs of a run end, also those that are accepted in the meantime."""
    while not running.done():
        sim.advance(HOUR)
        await asyncio.sleep(0.02)
    return await running


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "results.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]
