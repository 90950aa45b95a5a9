"""Callbacks: requests to the hook of a job when its state changes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp

from luma_async.simulator.clock import Clock
from luma_async.simulator.faults import Faults
from luma_async.simulator.simulated_jobs import SimulatedJob

logger = logging.getLogger("luma_async.simulator")

TRIES, PAUSE, TIMEOUT = 3, 0.1, 5.0
"""Number of tries of one callback, seconds between them, and seconds for each, as of Luma's own
service."""


class Callbacks:
    """Sender of callbacks when a job starts and ends, with three tries each, 100 ms apart.

    The faults of the call `callback` lose, delay, repeat or change them.
    """

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def follow(self, job: SimulatedJob, url: str, describe: Callable[[SimulatedJob], Any]) -> None:
        """Send the callbacks of a job. `describe` returns their body in the job's API."""
        self._start(self._follow(job, url, describe))

    async def aclose(self) -> None:
        """Stop sending callbacks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(
        self, job: SimulatedJob, url: str, describe: Callable[[SimulatedJob], Any]
    ) -> None:
        for moment in (job.starts_at, job.ends_at):
            await self._clock.sleep_until(moment)
            described = describe(job)
            body = b"" if described is None else json.dumps(described).encode()
            # One that is delayed does not delay those that follow.
            self._start(self._send(url, body))

    async def _send(self, url: str, body: bytes) -> None:
        copies = 1
        for fault in self._faults.due("callback", after=False, reused=False):
            if fault.delay:
                await self._faults.delay(fault)
            if fault.drop:
                return
            body = fault.body if fault.status is not None else body
            copies += fault.copies
        for _ in range(copies):
            await self._post(url, body)

    async def _post(self, url: str, body: bytes) -> None:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT)
            self._session = aiohttp.ClientSession(
                timeout=timeout, connector=aiohttp.TCPConnector(limit=0)
            )
        headers = {"Content-Type": "application/json"}
        for number in range(TRIES):
            if number:
                await asyncio.sleep(PAUSE)
            try:
                async with self._session.post(url, data=body, headers=headers) as response:
                    if response.ok:
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                # The last part of the path is a secret of the client.
                logger.debug("The hook below %s did not answer: %s", url.rpartition("/")[0], error)
