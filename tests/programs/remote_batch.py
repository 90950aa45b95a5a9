"""A program that runs a batch into a bucket, for tests that kill it.

`python -m tests.programs.remote_batch URL MANIFEST FOLDER OUTPUT`
"""

from __future__ import annotations

import asyncio
import sys

from luma_async import FixedSchedule, LumaClient
from luma_async.batch import Batch, read_manifest
from tests.clients import KEY


async def main(url: str, manifest: str, folder: str, output: str) -> None:
    async with LumaClient(
        KEY,
        base_url=url,
        dialect="gateway",
        journal=f"{folder}/jobs.db",
        schedule=FixedSchedule(0.02),
    ) as luma:
        async for _ in Batch(luma, read_manifest(manifest), folder, output=output).run():
            pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
