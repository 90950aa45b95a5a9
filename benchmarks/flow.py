"""Program like a busy bot: submits jobs at a steady rate, awaits each of them, and measures itself.

`python -m benchmarks.flow SETTINGS` prints JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.loop_delay import LoopDelay
from benchmarks.memory import resident
from benchmarks.programs import output_of
from benchmarks.timed_server import end_of
from luma_async import GenerateRequest, LumaClient
from luma_async.client_settings import MaxTasksScope
from luma_async.dialects import DialectName

PROMPT = (
    "An orange tabby cat dances on a moonlit roof above a quiet harbour town, the camera circling "
    "slowly while paper lanterns drift past and the city lights shimmer in the water behind it"
)

MAX_REQUESTS = 64
"""Maximum number of requests at a time. With 16, it would limit the rate on a busy machine."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the program.

    Attributes:
        url: base URL of a timed server.
        journal: database URL.
        rate: submissions a second.
        before: seconds until as many jobs end as begin; they are not measured.
        seconds: seconds that are measured.
        dialect: format of the server.
        name: name of the process, for its job keys.
        max_tasks: as of `LumaClient`.
        scope: as its `max_tasks_scope`.

    """

    url: str
    journal: str
    rate: float
    before: float
    seconds: float
    dialect: DialectName = "gateway"
    name: str = "order"
    max_tasks: int | None = None
    scope: MaxTasksScope = "client"


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of a run, while as many jobs ended as began.

    Attributes:
        jobs: number of jobs that ended.
        running: number of jobs that ran, on average.
        cpu: CPU seconds.
        seconds: duration in seconds.
        delay: 99th percentile of the delay of the event loop in seconds.
        delay_cpu: the same in CPU seconds of the event loop.
        lateness: mean time from the end of a job to the end of its await, in seconds.
        memory: resident bytes at the end.

    """

    jobs: int
    running: float
    cpu: float
    seconds: float
    delay: float
    delay_cpu: float
    lateness: float
    memory: int


class _Flow:
    """The jobs of one run."""

    def __init__(self, luma: LumaClient, name: str, rate: float) -> None:
        self._luma = luma
        self._name = name
        self._rate = rate
        self._awaits: set[asyncio.Task[None]] = set()
        self._sending = 0
        self._all_sent = asyncio.Event()
        self.submitted = 0
        self.running = 0
        self.lateness: list[float] = []

    async def submit(self, seconds: float) -> None:
        """Submit jobs at a steady rate, and await each in a task of its own."""
        start, done = time.perf_counter(), self.submitted
        jobs = round(self._rate * seconds)
        while (sent := self.submitted - done) < jobs:
            due = min(int((time.perf_counter() - start) * self._rate) + 1, jobs)
            for number in range(self.submitted, done + due):
                waiting = asyncio.create_task(self._run(number))
                self._awaits.add(waiting)
                waiting.add_done_callback(self._awaits.discard)
            self.submitted = done + due
            await asyncio.sleep(max(start + (sent + 1) / self._rate - time.perf_counter(), 0))

    async def stop(self) -> None:
        """Stop waiting for the jobs that are still running, once all submissions are answered."""
        await self._all_sent.wait()
        waiting = [*self._awaits]
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _run(self, number: int) -> None:
        request = GenerateRequest(f"{PROMPT}, take {number}", aspect_ratio="16:9")
        self._sending += 1
        self._all_sent.clear()
        task = await self._luma.generate(request, key=f"{self._name}-{number}")
        self._sending -= 1
        if not self._sending:
            self._all_sent.set()
        self.running += 1
        try:
            await task
        finally:
            self.running -= 1
        self.lateness.append(time.time() - end_of(task.id))


async def _main(settings: Settings) -> Measured:
    delay = LoopDelay()
    async with LumaClient(
        "benchmark-key",
        base_url=settings.url,
        dialect=settings.dialect,
        journal=settings.journal,
        max_requests=MAX_REQUESTS,
        max_tasks=settings.max_tasks,
        max_tasks_scope=settings.scope,
    ) as luma:
        gc.collect()
        gc.freeze()  # keeps the collector from objects of the imports: that stall is not ours
        flow = _Flow(luma, settings.name, settings.rate)
        await flow.submit(settings.before)
        running = flow.running
        flow.lateness.clear()
        start, cpu = time.perf_counter(), time.process_time()
        async with delay.measured():
            await flow.submit(settings.seconds)
        measured = Measured(
            jobs=len(flow.lateness),
            running=(running + flow.running) / 2,
            cpu=time.process_time() - cpu,
            seconds=time.perf_counter() - start,
            delay=delay.percentile(99),
            delay_cpu=delay.percentile(99, of_cpu=True),
            lateness=sum(flow.lateness) / len(flow.lateness),
            memory=resident(),
        )
        await flow.stop()
    return measured


def measure(settings: Settings) -> Measured:
    """Run the program in a process of its own, and return its result."""
    return Measured(**json.loads(output_of("flow", json.dumps(asdict(settings)))))


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(_main(Settings(**json.loads(sys.argv[1])))))))
