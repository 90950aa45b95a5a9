"""A line of prompt in, a video out, for any number of lines, twenty at a time.

    python examples/many_videos.py prompts.txt videos/

The file is read as places come free, so it may be as long as you like. Run it again after a crash,
or with more lines at the end: what is in the journal already is not paid for again, and what is in
the folder is not downloaded again.
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
                    print("no video:", file.error)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
