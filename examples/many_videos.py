"""Videos for a file of prompts, one prompt per line, twenty jobs at a time.

    python examples/many_videos.py prompts.txt videos/

The file is read as jobs end, so it may have any length. Run the program again after a crash, or
with more lines at the end: jobs in the journal are not paid for again, and files in the folder are
not downloaded again.
"""

import asyncio
import sys
from pathlib import Path

from luma_async import LumaClient


async def main(prompts: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    async with LumaClient(max_tasks=20, journal=folder / "jobs.db") as luma:
        with prompts.open(encoding="utf-8") as lines:
            numbered = enumerate(map(str.strip, lines), start=1)
            wanted = ((f"line {number}", line) for number, line in numbered if line)
            async for file in luma.download_all(luma.run_many(wanted), folder):
                if file.ok:
                    print("saved as", file.path)
                else:
                    print("failed:", file.error)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
