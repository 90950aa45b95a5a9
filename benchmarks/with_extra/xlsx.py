"""Run a batch from an Excel workbook."""

from __future__ import annotations

import asyncio

from openpyxl import Workbook

from luma_async import LumaClient
from luma_async.batch import Batch, ResultState, read_manifest


async def main() -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["key", "prompt"])
    sheet.append(["cat", "a cat dances"])
    book.save("rows.xlsx")
    async with LumaClient(journal="xlsx.db") as luma:
        batch = Batch(luma, read_manifest("rows.xlsx"), "videos-of-xlsx")
        assert [result.state async for result in batch.run()] == [ResultState.DONE]


asyncio.run(main())
