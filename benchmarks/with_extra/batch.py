"""Run a batch from a YAML file, with its gallery."""

from __future__ import annotations

import asyncio
from pathlib import Path

from luma_async import LumaClient
from luma_async.batch import Batch, LiveGallery, ResultState, read_manifest


async def main() -> None:
    Path("rows.yaml").write_text("- {key: cat, prompt: a cat}\n- {key: dog, prompt: a dog}\n")
    async with LumaClient(journal="batch.db") as luma:
        batch = Batch(luma, read_manifest("rows.yaml"), "videos-of-batch")
        async with LiveGallery(batch, title="cats", command="python make.py"):
            states = [result.state async for result in batch.run()]
    assert states == [ResultState.DONE, ResultState.DONE]
    assert "<video" in Path("videos-of-batch/gallery.html").read_text("utf-8")


asyncio.run(main())
