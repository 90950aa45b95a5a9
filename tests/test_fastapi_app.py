"""The example of a web app, in a process of its own under uvicorn."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from luma_async import LumaError
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import HOUR
from tests.docs import ROOT
from tests.forked_programs import PYTHON, ForkedProgram
from tests.test_examples import SLOW, environment_at

APP = ROOT / "examples/fastapi_app.py"
ADDRESS = "127.0.0.2"
"""Address of the app. Its port stays free while the app starts again, as other tests do not listen
there."""


ANN = {"X-User": "ann"}


class App:
    """The app at a simulator, with a journal in a folder."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        with socket.create_server((ADDRESS, 0)) as free:
            self.port = free.getsockname()[1]
        self._simulator = simulator
        self._folder = folder
        self._url = f"http://{ADDRESS}:{self.port}"
        self._process: ForkedProgram | None = None

    def start(self) -> httpx.Client:
        """Start the app, and return a client of it once it listens."""
        place = ["--app-dir", str(APP.parent), "--host", ADDRESS, "--port", str(self.port)]
        self._process = ForkedProgram(
            [*PYTHON, "-m", "uvicorn", "fastapi_app:app", "--no-access-log", *place],
            cwd=self._folder,
            env=environment_at(self._simulator) | {"PUBLIC_URL": self._url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert self._process.stderr is not None
        seen = ""
        while "Uvicorn running" not in seen:
            line = self._process.stderr.readline()
            assert line, seen
            seen += line
        return httpx.Client(base_url=self._url, timeout=60)

    def stop(self) -> str:
        """Stop the app as a service manager does, and return the text of its stderr."""
        assert self._process is not None
        self._process.terminate()
        return self._process.communicate(timeout=30)[1]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def app_at(folder: Path, **settings: Any) -> Iterator[tuple[Simulator, App]]:
    with running_simulator(short_side=64, same_films=True, **settings) as simulator:
        app = App(simulator, folder)
        try:
            yield simulator, app
        finally:
            app.kill()


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def events_in(stream: httpx.Response) -> Iterator[tuple[str, str]]:
    """Yield the name and the data of each event."""
    lines = stream.iter_lines()
    for line in lines:
        if line.startswith("event: "):
            yield line.removeprefix("event: "), next(lines).removeprefix("data: ")


def post(web: httpx.Client, animal: str) -> httpx.Response:
    return web.post("/videos", json={"prompt": animal}, headers=key(animal))


def complaints(stderr: str) -> list[str]:
    """Return the lines of a log that are not about the start and the stop of the app."""
    lines = SLOW.sub("", stderr).splitlines()
    assert sum("Finished server process" in line for line in lines) >= 1
    return [line for line in lines if not line.startswith("INFO: ")]


def once_failed(web: httpx.Client) -> httpx.Response:
    """Post again until the journal has the end of the job, which is written in the background."""
    while True:
        answer = post(web, "cat")
        if "state" not in answer.json():
            return answer


def test_a_job_survives_a_restart_of_the_app_and_is_paid_once(tmp_path: Path) -> None:
    """A stop ends the event streams at once, and the next start watches the job to its end.

    A request whose submission has left when the app stops still gets its answer.

    The end is reported by a callback, to the address of the first run.
    """
    with app_at(tmp_path, durations=Fixed(HOUR)) as (sim, app):
        with app.start() as web:
            posted = [post(web, "cat"), post(web, "cat")]
            with web.stream("GET", "/videos/cat/events") as stream:
                events = events_in(stream)
                first = next(events)
                sim.faults.add(Fault.slow(0.3, on=["generate"]))
                with ThreadPoolExecutor() as pool:
                    late = pool.submit(post, web, "dog")
                    while sim.ledger.requests["generate"] < 2:
                        time.sleep(0.01)
                    stderr = app.stop()
                rest = list(events)
        with app.start() as web:
            state = web.get("/videos/cat").json()["state"]
            with web.stream("GET", "/videos/cat/events") as stream:
                events = events_in(stream)
                before = next(events)
                sim.advance(HOUR)
                told = time.monotonic()
                later = list(events)
                took = time.monotonic() - told
            again = post(web, "cat")
            posted += [late.result(), post(web, "dog")]
        stderr += app.stop()
        jobs = {job.prompt: job.id for job in sim.ledger.jobs}

    assert [answer.status_code for answer in posted] == [202] * 4
    assert [answer.json()["id"] for answer in (*posted, again)] == [
        jobs[animal] for animal in ("cat", "cat", "dog", "dog", "cat")
    ]
    assert len(sim.ledger.jobs) == 2
    assert first[0] == "pending"
    assert rest[-1][0] == "interrupted"
    assert {state, before[0]} <= {"pending", "processing"}
    assert took < 5  # by the callback: the next look would be in a quarter of an hour
    assert later[-1][0] == "completed"
    assert json.loads(later[-1][1])["video"]["url"].startswith(sim.url)
    assert complaints(stderr) == []
    assert "sk-simulated" not in json.dumps([posted[0].json(), again.json(), rest, later])


def test_readers_may_leave_and_errors_have_a_status(tmp_path: Path) -> None:
    """The events of a failed job end with its reason, also after another reader has left."""
    with app_at(tmp_path, durations=Fixed(1.0)) as (sim, app):
        sim.fail_next("moderated")
        with app.start() as web:
            post(web, "cat")
            with web.stream("GET", "/videos/cat/events") as left:
                next(events_in(left))
            with web.stream("GET", "/videos/cat/events") as stream:
                *_, (last, data) = events_in(stream)
            sim.reject_next(402)
            statuses = {
                "failed": once_failed(web),
                "other": web.post("/videos", json={"prompt": "a dog"}, headers=key("cat")),
                "no credits": web.post("/videos", json={"prompt": "a dog"}, headers=key("dog")),
                "no key": web.post("/videos", json={"prompt": "a dog"}),
                "dear": web.post("/videos", json={"prompt": "a", "model": "x"}, headers=key("a")),
                "path": web.post("/videos", json={"prompt": "a", "image": "/a"}, headers=key("b")),
                "odd key": web.post("/videos", json={"prompt": "a"}, headers=key("a/b")),
                "hers": web.post("/videos", json={"prompt": "a cow"}, headers=key("cat") | ANN),
                "unknown": web.get("/videos/dog"),
                "of another": web.get("/videos/cat", headers={"X-User": "bob"}),
            }
        stderr = app.stop()

    assert (last, json.loads(data)["failure_reason"]) == ("failed", "moderated")
    assert {case: answer.status_code for case, answer in statuses.items()} == {
        "failed": 409,
        "other": 409,
        "no credits": 503,
        "no key": 422,
        "dear": 422,
        "path": 422,
        "odd key": 422,
        "hers": 202,
        "unknown": 404,
        "of another": 404,
    }
    assert "rejected the content" in statuses["failed"].json()["detail"]
    assert statuses["no credits"].json() == {"detail": LumaError.for_users}
    assert statuses["no credits"].headers["Retry-After"]
    (complaint,) = complaints(stderr)  # for the operator, who can do something about it
    assert "'/videos': HTTP 402" in complaint
    assert "Top up the account" in complaint
    assert [job.prompt for job in sim.ledger.jobs] == ["cat", "a cow"]
