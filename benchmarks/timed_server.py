"""Server without memory: the id of each job says when the job began and when it ends.

`python -m benchmarks.timed_server SETTINGS [CERTIFICATE]` prints its URL. It costs little CPU time
for a job, and answers with rows as long as those of real servers. It knows the submissions and
status requests of gateways and of Luma's Agents API.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import ssl
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from benchmarks import full_rows
from benchmarks.gateway import certificate
from benchmarks.programs import serve, server


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the server.

    Attributes:
        median: median of the log-normal durations of jobs in seconds.
        sigma: standard deviation of the logarithm of the durations.
        has_batch: `False` for a gateway without a status request for many jobs.

    """

    median: float
    sigma: float = 0.35
    has_batch: bool = True


@dataclass(frozen=True, slots=True)
class TimedServer:
    """Running server at a URL."""

    url: str
    pid: int


@contextmanager
def timed_server(settings: Settings, *, tls: bool = True) -> Iterator[TimedServer]:
    """Run the server. Programs that are started in the context trust its certificate."""
    with certificate() if tls else nullcontext() as file:
        arguments = [json.dumps(asdict(settings)), *([] if file is None else [file])]
        with server("timed_server", *arguments) as (url, process):
            yield TimedServer(url, process.pid)


def job_id(began: float, duration: float) -> str:
    """Return the id of a job that began at a time of the Unix epoch and takes some seconds."""
    digits = f"{round(began * 1000):012x}{round(duration * 1000):08x}{random.getrandbits(48):012x}"
    return str(uuid.UUID(digits))


def end_of(id: str) -> float:
    """Return the time of the Unix epoch at which a job ends."""
    digits = uuid.UUID(id).hex
    return (int(digits[:12], 16) + int(digits[12:20], 16)) / 1000


_LONGEST = 2.0
"""Maximum duration of a job as a multiple of the median, so that a run of the benchmark ends."""

_ID, _NUMBER, _MOMENT = "the-id-of-the-job", 7_777_777, "2024-07-01T07:35:13.498264Z"
"""Parts of the templates in place of which each job has its own."""


def _completed_row() -> dict[str, Any]:
    row = full_rows.row(_ID, _NUMBER)
    link = f"https://storage.cdn-luma.com/dream_machine/{_ID}/video.mp4"
    video = {"url": link, "width": 1360, "height": 752, "thumbnail": None, "download_url": link}
    data = {**row["data"], "state": "completed", "video": video}
    return {**row, "status": "SUCCESS", "progress": "100%", "finish_time": 1719819373, "data": data}


def _generation(state: str) -> dict[str, Any]:
    """Return a job of the Agents API."""
    url = f"https://storage.lumalabs.ai/generations/{_ID}/video.mp4?X-Amz-Expires=3600"
    return {
        "id": _ID,
        "created_at": _MOMENT,
        "model": "ray-3.2",
        "state": state,
        "type": "video",
        "failure_code": None,
        "failure_reason": None,
        "output": [{"type": "video", "url": url}] if state == "completed" else [],
    }


_ROWS = {False: json.dumps(full_rows.row(_ID, _NUMBER)), True: json.dumps(_completed_row())}
_GENERATIONS = {
    False: json.dumps(_generation("processing")),
    True: json.dumps(_generation("completed")),
}


def _filled(templates: dict[bool, str], id: str) -> str:
    """Return the answer about a job at this moment."""
    number = str(int(id[-6:], 16))
    text = templates[time.time() >= end_of(id)]
    return text.replace(_ID, id).replace(str(_NUMBER), number).replace(_MOMENT, _created_at(id))


def _created_at(id: str) -> str:
    """Return the submission time of a job, in the form of an answer."""
    began = int(id[:8] + id[9:13], 16) / 1000
    return datetime.fromtimestamp(began, UTC).isoformat()


def _answer(text: str, status: int = 200) -> web.Response:
    return web.Response(body=text.encode(), status=status, content_type="application/json")


class _Handlers:
    """Handlers of the requests."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def app(self) -> web.Application:
        """Return the application with all routes."""
        app = web.Application()
        app.router.add_post("/luma/generations", self._submit)
        app.router.add_get("/luma/generations/{id}", self._one)
        if self._settings.has_batch:  # if not, the answer is 404
            app.router.add_post("/luma/tasks", self._many)
        app.router.add_post("/v1/generations", self._submit_to_agents)
        app.router.add_get("/v1/generations/{id}", self._one_of_agents)
        return app

    def _new_id(self) -> str:
        settings = self._settings
        factor = math.exp(random.gauss(0.0, settings.sigma))
        return job_id(time.time(), settings.median * min(factor, _LONGEST))

    async def _submit(self, request: web.Request) -> web.Response:
        await request.read()
        id = self._new_id()
        return _answer(json.dumps({"id": id, "state": "pending", "created_at": _created_at(id)}))

    async def _one(self, request: web.Request) -> web.Response:
        row = _filled(_ROWS, request.match_info["id"])
        return _answer(f'{{"code": "success", "message": "", "data": {row}}}')

    async def _many(self, request: web.Request) -> web.Response:
        ids = json.loads(await request.read())["ids"]
        rows = ", ".join(_filled(_ROWS, id) for id in ids)
        return _answer(f'{{"code": "success", "message": "", "data": [{rows}]}}')

    async def _submit_to_agents(self, request: web.Request) -> web.Response:
        await request.read()
        return _answer(_filled(_GENERATIONS, self._new_id()), 201)

    async def _one_of_agents(self, request: web.Request) -> web.Response:
        return _answer(_filled(_GENERATIONS, request.match_info["id"]))


async def _main(settings: Settings, file: str | None) -> None:
    context = None
    if file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
    await serve(_Handlers(settings).app(), context=context)


if __name__ == "__main__":
    asyncio.run(_main(Settings(**json.loads(sys.argv[1])), sys.argv[2] if sys.argv[2:] else None))
