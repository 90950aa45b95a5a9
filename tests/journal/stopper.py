"""A program that is stopped between its claim and its request, and says what it came to.

`python -m tests.journal.stopper URL PLACE` asks for the key "cat" and stops itself, as by SIGSTOP,
as soon as its claim is written.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from luma_async import FixedSchedule, LumaClient, LumaError, SQLJournal
from luma_async.journal import Entry
from tests.clients import KEY


class StoppingJournal(SQLJournal):
    """A journal that stops the process in its most delicate moment."""

    async def claim(self, entry: Entry, *, instead_of: Entry | None = None) -> Entry:
        stands = await super().claim(entry, instead_of=instead_of)
        assert self._store is not None
        commits = self._store.commits
        while commits._worker._task is not None:  # stopped in a write, it would lock others out
            await commits.idle()
        print("claimed", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        return stands


async def main(url: str, place: str) -> None:
    async with (
        StoppingJournal(place, owner_timeout=1.0) as journal,
        LumaClient(KEY, base_url=url, journal=journal, schedule=FixedSchedule(60)) as luma,
    ):
        try:
            print((await luma.generate("a cat", key="cat")).id)
        except LumaError as error:
            print(f"{type(error).__name__}: {error}")


asyncio.run(main(sys.argv[1], sys.argv[2]))
