"""Running batches for the gallery's tests: in a thread, because a test waits for the browser."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luma_async.batch import Batch, LiveGallery, read_manifest
from luma_async.simulator import Simulator
from tests.batch.gallery.pages import COMMAND, COMMANDS
from tests.clients import HOUR, connect

EVERY = 0.15
"""Seconds between two updates of a page: a person's second, for a test on a slow machine."""


@dataclass(eq=False)
class LiveBatch:
    """A batch that runs in a thread, with its gallery."""

    batch: Batch
    simulator: Simulator
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    task: asyncio.Task[None]

    def end_jobs(self, accepted: int) -> None:
        """Let the running jobs end once so many jobs are accepted. The next rows begin then."""
        while len(self.simulator.ledger.jobs) < accepted:
            assert self.thread.is_alive()
            time.sleep(0.005)
        self.simulator.advance(HOUR)

    def stop(self) -> None:
        """Submit no more rows, as after a first Ctrl-C."""
        self.loop.call_soon_threadsafe(self.batch.stop)

    def cancel(self) -> None:
        """Leave at once, as after a second Ctrl-C."""
        with contextlib.suppress(RuntimeError):  # it has ended
            self.loop.call_soon_threadsafe(self.task.cancel)
        self.thread.join()


@contextmanager
def running_batch(
    simulator: Simulator, manifest: Path, folder: Path, **settings: Any
) -> Iterator[LiveBatch]:
    """Run a batch in a thread while the body runs; its page is there when the body begins."""
    found: list[tuple[LiveBatch, LiveGallery]] = []

    async def run() -> None:
        async with connect(simulator, journal=folder / "jobs.db") as luma:
            batch = Batch(luma, read_manifest(manifest), folder, **settings)
            task, loop = asyncio.current_task(), asyncio.get_running_loop()
            assert task is not None
            gallery = LiveGallery(batch, title="Cats", command=COMMAND, every=EVERY, **COMMANDS)
            found.append((LiveBatch(batch, simulator, thread, loop, task), gallery))
            async with gallery:
                async for _ in batch.run():
                    pass

    def main() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(run())

    thread = threading.Thread(target=main)
    thread.start()
    while not found or found[0][1]._files is None:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield found[0][0]
    finally:
        found[0][0].cancel()
