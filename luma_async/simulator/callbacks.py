"""Callbacks: requests to the hook of a job when its state changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp

from luma_async.simulator.clock import Clock
from luma_async.simulator.simulated_jobs import SimulatedJob

logger = logging.getLogger("luma_async.simulator")


class Callbacks:
    """Sender of callbacks when a job starts and ends, with three tries each, 100 ms apart."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, job: SimulatedJob, url: str, describe: Callable[[SimulatedJob], Any]) -> None:
        """Send the callbacks of a job. `describe` returns their body in the job's API."""
        task = asyncio.create_task(self._send(job, url, describe))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Stop sending callbacks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(
        self, job: SimulatedJob, url: str, describe: Callable[[SimulatedJob], Any]
    ) -> None:
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for moment in (job.starts_at, job.ends_at):
                await self._clock.sleep_until(moment)
                await self._post(session, url, describe(job))

    async def _post(self, session: aiohttp.ClientSession, url: str, body: Any) -> None:
        for _ in range(3):
            try:
                async with session.post(url, json=body) as response:
                    if response.ok:
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                logger.debug("The hook %s did not answer: %s", url, error)
            await asyncio.sleep(0.1)
