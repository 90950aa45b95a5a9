"""A program that opens a journal when it is told to, and says what came of it.

`python -m tests.journal.opener PLACE` says "ready" once all is loaded, opens the journal when it
reads a line, writes an entry, and prints "open" or the error.
"""

from __future__ import annotations

import asyncio
import os
import sys

import luma_async.journal.sql.store  # noqa: F401  so that opening is all that is left to do
from luma_async import JournalError, SQLJournal
from tests.journal.test_owners import new_entry


async def main(place: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        async with SQLJournal(place) as journal:
            await journal.claim(new_entry(str(os.getpid())))
    except JournalError as error:
        print(error, flush=True)
    else:
        print("open", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
