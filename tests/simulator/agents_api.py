"""A caller of the simulator's Agents API that shares no code with the client."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import av
from PIL import Image

from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR

KEY = "luma-api-a-key"
URL = "https://images.example/cat.jpg"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    document: Any

    @property
    def detail(self) -> str:
        assert self.document.keys() == {"detail"}
        return str(self.document["detail"])


class AgentsApi:
    """Caller that returns statuses, headers and documents."""

    def __init__(self, session: aiohttp.ClientSession, sim: Simulator) -> None:
        self.session = session
        self.sim = sim

    async def ask(self, method: str, path: str, json: Any = None, **options: Any) -> Answer:
        url = f"{self.sim.url}/v1{path}"
        async with self.session.request(method, url, json=json, **options) as response:
            empty = response.status == 204
            return Answer(
                response.status, response.headers, None if empty else await response.json()
            )

    async def submit(self, prompt: str = "a cat", **body: Any) -> str:
        answer = await self.ask("POST", "/generations", {"prompt": prompt, **body})
        assert answer.status == 201, answer
        return str(answer.document["id"])

    async def look(self, id: str) -> dict[str, Any]:
        answer = await self.ask("GET", f"/generations/{id}")
        assert answer.status == 200, answer
        document: dict[str, Any] = answer.document
        return document

    async def finished(self, prompt: str = "a cat", **body: Any) -> str:
        """Submit a job, and let its time pass."""
        id = await self.submit(prompt, **body)
        self.sim.advance(HOUR)
        return id

    async def files(self, id: str) -> list[bytes]:
        """Return the content of all outputs of a job."""
        outputs = (await self.look(id))["output"]
        return [(await self.get(output["url"]))[1] for output in outputs]

    async def get(self, url: str) -> tuple[int, bytes]:
        async with self.session.get(url, headers={"Authorization": ""}) as response:
            return response.status, await response.read()

    async def frames(self, id: str) -> list[Image.Image]:
        """Return the frames of the video of a job."""
        return frames_of((await self.files(id))[0])

    async def upload(self, content: bytes, mime_type: str) -> str:
        """Send a file in the three steps, and let its ingest end."""
        described = {"mime_type": mime_type, "size_bytes": len(content)}
        created = (await self.ask("POST", "/files", described)).document
        upload = created["upload"]
        async with aiohttp.request(
            upload["method"], upload["url"], data=content, headers=upload["headers"]
        ) as response:
            assert response.status == 200
        assert (await self.ask("POST", f"/files/{created['id']}/complete")).status == 200
        self.sim.advance(1)
        return str(created["id"])


@asynccontextmanager
async def agents_api(**settings: Any) -> AsyncIterator[AgentsApi]:
    """Run a simulator whose jobs take an hour and whose videos are small."""
    settings = {"durations": Fixed(HOUR), "short_side": 64, **settings}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with Simulator(**settings) as sim, aiohttp.ClientSession(headers=headers) as session:
        yield AgentsApi(session, sim)


def frames_of(video: bytes) -> list[Image.Image]:
    with av.open(io.BytesIO(video), "r") as container:
        found = container.decode(video=0)
        return [each.to_image() for each in found]  # type: ignore[no-untyped-call]


def an_image(*, width: int = 40, height: int = 30, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "orange").save(file, form)
    return file.getvalue()
