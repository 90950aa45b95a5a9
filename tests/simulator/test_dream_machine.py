"""The simulator serves the Dream Machine API: its limits, states, pages, callbacks and errors."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import av
import pytest
from aiohttp import web
from PIL import Image, ImageChops, ImageStat

from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR

KEY = "a-key"
URL = "https://images.example/cat.jpg"
IMAGE = {"type": "image", "url": URL}
VIDEO = {"prompt": "a cat", "model": "ray-2"}
PICTURE = {"prompt": "a cat", "model": "photon-1"}
REFRAMED = {"media": {"url": URL}, "aspect_ratio": "1:1"}
TO_SQUARE = {**REFRAMED, "generation_type": "reframe_video", "model": "ray-2"}
MODIFIED = {"media": {"url": URL}, "generation_type": "modify_video", "model": "ray-2"}

REJECTED: list[tuple[str, dict[str, Any], str]] = [
    ("", {"prompt": "a cat"}, "model"),
    ("", {**VIDEO, "model": "ray-1-6"}, "model"),
    ("", {"model": "ray-2"}, "prompt"),
    ("", {**VIDEO, "prompt": "ab"}, "prompt"),
    ("", {**VIDEO, "prompt": "a" * 5001}, "prompt"),
    ("", {**VIDEO, "prompt": None}, "prompt"),
    ("", {**VIDEO, "aspect_ratio": "2:1"}, "aspect_ratio"),
    ("", {**VIDEO, "resolution": "360p"}, "resolution"),
    ("", {**VIDEO, "duration": "10s"}, "duration"),
    ("", {**VIDEO, "loop": "yes"}, "loop"),
    ("", {**VIDEO, "loop": True, "keyframes": {"frame1": IMAGE}}, "loop"),
    ("", {**VIDEO, "keyframes": {}}, "keyframes"),
    (
        "",
        {**VIDEO, "keyframes": {"frame0": {"type": "video", "url": URL}}},
        "frame0: .*generation.*image",
    ),
    ("", {**VIDEO, "keyframes": {"frame0": {"type": "image"}}}, "frame0.image.url"),
    (
        "",
        {**VIDEO, "keyframes": {"frame1": {**IMAGE, "url": "data:image/png;base64,AAAA"}}},
        "frame1.image.url: .*must be an http",
    ),
    ("", {**VIDEO, "keyframes": {"frame0": {"type": "generation"}}}, "frame0.generation.id"),
    (
        "",
        {**VIDEO, "keyframes": {"frame0": {"type": "generation", "id": "nobody"}}},
        "frame0.id: generation not found",
    ),
    ("", {**VIDEO, "concepts": [{"key": "nothing"}]}, "concepts.0.key"),
    ("", {**VIDEO, "callback_url": "ftp://host"}, "callback_url"),
    ("", {**VIDEO, "generation_type": "image"}, "generation_type"),
    ("/image", {**PICTURE, "model": "ray-2"}, "model"),
    ("/image", {**PICTURE, "image_ref": [{"url": URL}] * 5}, "image_ref"),
    ("/image", {**PICTURE, "style_ref": [{"url": URL, "weight": 2}]}, "weight"),
    ("/image", {**PICTURE, "sync_timeout": True}, "sync_timeout"),
    ("/video/modify", {**MODIFIED, "mode": "flex_4"}, "mode"),
    ("/video/modify", {**MODIFIED, "media": {"url": "cat.mp4"}, "mode": "flex_1"}, "media.url"),
    ("/video/reframe", {**TO_SQUARE, "generation_type": "video"}, "generation_type"),
    ("/video/reframe", {**TO_SQUARE, "x_start": 1.5}, "x_start"),
    ("/video/reframe", {**TO_SQUARE, "x_start": 9, "x_end": 9}, "x_end"),
    ("/image/reframe", {**TO_SQUARE, "generation_type": "reframe_image"}, "model"),
]
"""Submissions that the API rejects: path below the jobs, body, and a part of the error."""


class Api:
    """Caller of a simulator's API that returns statuses and documents."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        url = f"{self._url}/dream-machine/v1{path}"
        async with self._session.request(method, url, json=body, **options) as response:
            return response.status, None if response.status == 204 else await response.json()

    async def submit(self, body: Any, path: str = "") -> str:
        status, job = await self.ask("POST", f"/generations{path}", body)
        assert status in (200, 201), job
        return str(job["id"])

    async def file(self, id: str, name: str) -> bytes:
        _, job = await self.ask("GET", f"/generations/{id}")
        async with self._session.get(job["assets"][name]) as response:
            assert response.status == 200
            return await response.read()

    async def video(self, id: str) -> list[Image.Image]:
        with av.open(io.BytesIO(await self.file(id, "video")), "r") as container:
            pictures = container.decode(video=0)
            return [each.to_image() for each in pictures]  # type: ignore[no-untyped-call]


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two frames, from 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[Simulator, Api]]:
    settings = {"durations": Fixed(HOUR), "short_side": 64, **settings}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with Simulator(**settings) as sim, aiohttp.ClientSession(headers=headers) as session:
        yield sim, Api(session, sim.url)


async def test_submissions_that_break_a_rule_are_rejected() -> None:
    """The error is `{"detail": ...}`, names the field, and no job is made."""
    async with served() as (sim, api):
        for path, body, problem in REJECTED:
            status, error = await api.ask("POST", f"/generations{path}", body)
            assert status == 400, (path, body)
            assert re.search(problem, error["detail"]), (problem, error)
        assert sim.ledger.jobs == []


async def test_a_job_passes_through_its_states() -> None:
    """Its request is echoed with its type; links come with its end."""
    async with served() as (sim, api):
        sim.fail_next("moderated")
        failing, id = await api.submit(VIDEO), await api.submit(VIDEO, "/video")
        states = []
        for seconds in (0, HOUR / 2, HOUR / 2):
            sim.advance(seconds)
            states.append((await api.ask("GET", f"/generations/{id}"))[1])

        assert [job["state"] for job in states] == ["queued", "dreaming", "completed"]
        assert states[0]["request"] == {**VIDEO, "generation_type": "video"}
        assert states[1]["assets"] is None
        assert states[1]["failure_reason"] is None
        assert states[2]["assets"].keys() == {"video", "progress_video"}
        _, failed = await api.ask("GET", f"/generations/{failing}")
        assert (failed["state"], failed["failure_reason"]) == ("failed", "moderated")


async def test_a_keyframe_is_a_completed_video_of_the_same_api() -> None:
    """Frame 0 is continued, frame 1 is led to, and both together are joined."""
    async with served() as (sim, api):
        first = await api.submit({**VIDEO, "model": "ray-flash-2"})
        image = await api.submit(PICTURE, "/image")

        def keyframes(**ids: str) -> dict[str, Any]:
            frames = {name: {"type": "generation", "id": id} for name, id in ids.items()}
            return {**VIDEO, "keyframes": frames}

        async with aiohttp.ClientSession(headers={"Authorization": KEY}) as session:
            other = {"user_prompt": "a cat"}
            async with session.post(f"{sim.url}/luma/generations", json=other) as response:
                foreign = (await response.json())["id"]
        running = await api.ask("POST", "/generations", keyframes(frame0=first))
        sim.advance(HOUR)
        foreign_job = await api.ask("POST", "/generations", keyframes(frame1=foreign))
        of_an_image = await api.ask("POST", "/generations", keyframes(frame1=image))
        await api.submit(keyframes(frame0=first))
        await api.submit(keyframes(frame1=first))
        await api.submit(keyframes(frame0=first, frame1=first))
        await api.submit({"resolution": "540p"}, f"/{first}/upscale")

        assert running == (400, {"detail": "keyframes.frame0.id: the generation is not completed"})
        assert foreign_job == (400, {"detail": "keyframes.frame1.id: generation not found"})
        assert of_an_image == (
            400,
            {"detail": "keyframes.frame1.id: the generation is not a video"},
        )
        source = sim.ledger.jobs[0]
        made = [(job.parent, job.follower) for job in sim.ledger.jobs[3:]]
        assert made == [(source, None), (None, source), (source, source), (source, None)]
        upscaled = sim.ledger.jobs[-1]
        assert upscaled.model == "ray-flash-2"
        assert (upscaled.prompt, upscaled.height, upscaled.frames) == ("a cat", 540, source.frames)


async def test_files_of_the_jobs() -> None:
    """Videos go on from their sources and lead to them; sounds and images are in the files."""
    async with served(durations=Fixed(0)) as (_, api):
        one, other = await api.submit(VIDEO), await api.submit(VIDEO)
        keyframes = {
            name: {"type": "generation", "id": id}
            for name, id in (("frame0", one), ("frame1", other))
        }
        joined = await api.submit({**VIDEO, "keyframes": keyframes})
        leading = await api.submit({**VIDEO, "keyframes": {"frame1": keyframes["frame1"]}})
        first, last, both, before = [await api.video(id) for id in (one, other, joined, leading)]
        assert difference(first[-1], both[0]) < 3
        assert difference(both[-1], last[0]) < 3
        assert difference(first[-1], both[-1]) > 3
        assert difference(before[-1], last[0]) < 3
        assert difference(before[0], last[0]) > 3
        assert (len(first), len(before)) == (121, 121)

        loud = await api.submit({"prompt": "purring"}, f"/{one}/audio")
        with av.open(io.BytesIO(await api.file(loud, "video")), "r") as container:
            assert [stream.type for stream in container.streams] == ["video", "audio"]
            assert sum(frame.samples for frame in container.decode(audio=0)) >= 5 * 16_000

        wide = {**PICTURE, "aspect_ratio": "21:9"}
        for format in ("jpg", "png"):
            image = await api.submit({**wide, "format": format}, "/image")
            with Image.open(io.BytesIO(await api.file(image, "image"))) as opened:
                assert opened.format == {"jpg": "JPEG", "png": "PNG"}[format]
                assert opened.size == (150, 64)


async def test_pages_of_the_list() -> None:
    """Newest first; a deleted job is in none of them, and is not found any more."""
    async with served() as (_, api):
        ids = [await api.submit(VIDEO) for _ in range(5)]
        assert await api.ask("DELETE", f"/generations/{ids.pop(1)}") == (204, None)
        ids.reverse()

        _, first = await api.ask("GET", "/generations?limit=3")
        _, last = await api.ask("GET", "/generations?limit=3&offset=3")
        _, longest = await api.ask("GET", "/generations?limit=1000")
        assert [job["id"] for job in first["generations"]] == ids[:3]
        assert (first["has_more"], first["count"]) == (True, 3)
        assert [job["id"] for job in last["generations"]] == ids[3:]
        assert (last["has_more"], last["count"], last["offset"]) == (False, 1, 3)
        assert (longest["limit"], longest["count"]) == (100, 4)
        for query, status in (("limit=0", 400), ("offset=-1", 400), ("limit=many", 422)):
            assert (await api.ask("GET", f"/generations?{query}"))[0] == status


async def test_errors_have_a_detail() -> None:
    """Also those that a test orders, and those about the account, the path and the method."""
    async with served(api_key=KEY, credits=2, max_jobs=1) as (sim, api):
        sim.reject_next(403, "suspended")
        sim.faults.add(Fault.page(502, on=["dream-machine.credits"], times=1))
        answers = [
            await api.ask("GET", "/generations/nobody"),
            await api.ask("POST", "/generations/nobody/upscale", {}),
            await api.ask("GET", "/nothing"),
            await api.ask("PUT", "/generations", {}),
            await api.ask("GET", "/ping", headers={"Authorization": "Bearer another-key"}),
            await api.ask("POST", "/generations", VIDEO),
            await api.ask("POST", "/generations", [VIDEO]),
        ]
        await api.submit(VIDEO)
        answers.append(await api.ask("POST", "/generations", VIDEO))
        sim.advance(HOUR)
        await api.submit(VIDEO)
        with pytest.raises(aiohttp.ContentTypeError):  # a proxy knows no API
            await api.ask("GET", "/credits")
        _, balance = await api.ask("GET", "/credits")
        sim.advance(HOUR)
        answers.append(await api.ask("POST", "/generations", VIDEO))

        assert [status for status, _ in answers] == [404, 404, 404, 405, 401, 403, 400, 429, 402]
        assert all(isinstance(error["detail"], str) for _, error in answers)
        assert answers[5][1] == {"detail": "suspended"}
        assert balance == {"credit_balance": 0.0}
        assert len(sim.ledger.jobs) == 2


async def test_callbacks_have_the_generation() -> None:
    """They are sent to `callback_url` when a job starts and ends, in the words of this API."""
    bodies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def note(request: web.Request) -> web.Response:
        bodies.put_nowait(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", note)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    async with served() as (sim, api):
        await api.submit({**VIDEO, "callback_url": hook})
        sim.advance(HOUR / 2)
        assert (await bodies.get())["state"] == "dreaming"
        sim.advance(HOUR / 2)
        assert (await bodies.get())["assets"]["video"].startswith(sim.url)
    await runner.cleanup()
